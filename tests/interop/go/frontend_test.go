package interop

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"k8s.io/apiserver/pkg/server/egressselector"
	"sigs.k8s.io/apiserver-network-proxy/konnectivity-client/pkg/client"
)

// dialFunc opens a connection to an endpoint through a proxy server.
type dialFunc func(ctx context.Context, address string) (net.Conn, error)

// frontend is a way in: a kind of listener, and who dials through it.
type frontend struct {
	name    string
	options pairOptions
	dialer  func(testing.TB, listener) dialFunc
	// The client fails when the endpoint's first bytes come close behind the answer to the dial:
	// over gRPC it drops them, over a plain socket it refuses a CONNECT answer with more behind
	// it. (Over TLS it reads one record at a time.)
	losesEarlyData bool
}

var frontends = []frontend{
	{"egress-grpc-unix", pairOptions{mode: "grpc"}, egressDialer, true},
	{"egress-connect-unix", pairOptions{mode: "http-connect"}, egressDialer, true},
	{"egress-connect-mtls", pairOptions{mode: "http-connect", tcp: true}, egressDialer, false},
	{"client-grpc-unix", pairOptions{mode: "grpc"}, clientDialer, true},
	{"client-grpc-mtls", pairOptions{mode: "grpc", tcp: true}, clientDialer, true},
}

// dialError is how the frontend reports what the agent said of a dial that failed.
func (f frontend) dialError(err error, status, prefix, suffix string) error {
	text := fmt.Sprint(err)
	if f.options.mode == "http-connect" {
		// The egress selector shows the status line alone.
		if !strings.HasSuffix(text, "code "+status[:3]+": "+status) {
			return fmt.Errorf("%q does not tell the status %q", text, status)
		}
		return nil
	}
	if !strings.HasPrefix(text, prefix) || !strings.HasSuffix(text, suffix) {
		return fmt.Errorf("%q is not %q...%q", text, prefix, suffix)
	}
	return nil
}

// egressDialer is kube-apiserver's own, configured through its file.
func egressDialer(t testing.TB, l listener) dialFunc {
	t.Helper()
	file := filepath.Join(t.TempDir(), "egress.yaml")
	must(t, os.WriteFile(file, []byte(egressConfiguration(l)), 0o600))
	configuration, err := egressselector.ReadEgressSelectorConfiguration(file)
	must(t, err)
	if errors := egressselector.ValidateEgressSelectorConfiguration(configuration); len(errors) > 0 {
		t.Fatal(errors.ToAggregate())
	}
	selector, err := egressselector.NewEgressSelector(configuration)
	must(t, err)
	dial, err := selector.Lookup(egressselector.Cluster.AsNetworkContext())
	must(t, err)
	return func(ctx context.Context, address string) (net.Conn, error) {
		return dial(ctx, "tcp", address)
	}
}

func egressConfiguration(l listener) string {
	protocol := map[string]string{"grpc": "GRPC", "http-connect": "HTTPConnect"}[l.mode]
	transport := fmt.Sprintf("{uds: {udsName: %s}}", l.socket)
	if l.socket == "" {
		transport = fmt.Sprintf(
			"{tcp: {url: https://%s, tlsConfig: {caBundle: %s, clientCert: %s, clientKey: %s}}}",
			l.address, l.files.frontend.authority, l.files.frontend.certificate, l.files.frontend.key)
	}
	return fmt.Sprintf(`apiVersion: apiserver.k8s.io/v1beta1
kind: EgressSelectorConfiguration
egressSelections:
- name: cluster
  connection:
    proxyProtocol: %s
    transport: %s
- name: controlplane
  connection: {proxyProtocol: Direct}
- name: etcd
  connection: {proxyProtocol: Direct}
`, protocol, transport)
}

// clientDialer makes one single-use tunnel per connection, as users of the library do.
func clientDialer(t testing.TB, l listener) dialFunc {
	t.Helper()
	return func(ctx context.Context, address string) (net.Conn, error) {
		// Not ctx: the tunnel's context is the connection's life, the dial's is shorter.
		tunnel, err := client.CreateSingleUseGrpcTunnelWithContext(ctx, context.Background(), l.target(), l.dialOptions(t)...)
		if err != nil {
			return nil, err
		}
		return tunnel.DialContext(ctx, "tcp", address)
	}
}

// target is what a gRPC channel to the listener names.
//
// A Unix socket goes by its bare path, as in kube-apiserver: grpc-go then sends the
// percent-encoded path as :authority.
func (l listener) target() string {
	if l.socket != "" {
		return l.socket
	}
	return l.address
}

func (l listener) dialOptions(t testing.TB) []grpc.DialOption {
	t.Helper()
	if l.socket == "" {
		security := credentials.NewTLS(l.files.frontend.clientConfig(t))
		return []grpc.DialOption{grpc.WithTransportCredentials(security)}
	}
	connect := func(ctx context.Context, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", l.socket)
	}
	return []grpc.DialOption{
		grpc.WithContextDialer(connect),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
	}
}

// connectRaw opens a connection to the listener on which nothing is said yet.
func (l listener) connectRaw(t testing.TB) net.Conn {
	t.Helper()
	var connection net.Conn
	var err error
	if l.socket != "" {
		connection, err = net.Dial("unix", l.socket)
	} else {
		connection, err = tls.Dial("tcp", l.address, l.files.frontend.clientConfig(t))
	}
	must(t, err)
	t.Cleanup(func() { connection.Close() })
	return connection
}
