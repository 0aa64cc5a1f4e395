package interop

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	frontendPort = "8090"
	agentPort    = "8091"
)

// listener is where a proxy server takes frontends, and with which certificates.
type listener struct {
	mode    string // grpc or http-connect
	socket  string // path of the Unix socket; empty for TCP
	address string // host:port for TCP
	files   certificates
	folder  string
}

// pair is a proxy-server and a proxy-agent connected to it.
type pair struct {
	listener
	server, agent *daemon
}

// pairOptions choose the server's frontend listener.
type pairOptions struct {
	mode            string
	tcp             bool
	withoutAgent    bool
	serverArguments []string
}

// startPair starts both daemons, and at the end of t stops them and checks that they come to
// rest, end cleanly, log no error and leave nothing behind.
func startPair(t testing.TB, options pairOptions) *pair {
	t.Helper()
	host := claimAddress(t)
	p := &pair{listener: newListener(t, options, host)}
	p.server = startServer(t, p.listener, host, options.serverArguments...)
	if !options.withoutAgent {
		p.agent = startAgent(t, p.files, host)
		eventually(t, promptly, func() error { return p.agent.answers("/readyz") })
		eventually(t, promptly, func() error { return p.server.answers("/readyz") })
	}
	p.checkAtEnd(t)
	return p
}

func newListener(t testing.TB, options pairOptions, host string) listener {
	t.Helper()
	// Not t.TempDir: with the test's name in it the socket's path would get too long.
	folder, err := os.MkdirTemp("", "dialback-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(folder) })
	l := listener{mode: options.mode, folder: folder, files: issueCertificates(t, folder, host)}
	if options.tcp {
		l.address = net.JoinHostPort(host, frontendPort)
	} else {
		l.socket = filepath.Join(folder, "server.sock")
	}
	return l
}

func startServer(t testing.TB, l listener, host string, more ...string) *daemon {
	t.Helper()
	arguments := []string{
		"--mode=" + l.mode,
		"--cluster-cert=" + l.files.cluster.certificate,
		"--cluster-key=" + l.files.cluster.key,
		"--cluster-ca-cert=" + l.files.cluster.authority,
		"--agent-bind-address=" + host, "--agent-port=" + agentPort,
		"--health-bind-address=" + host, "--health-port=8092",
		"--admin-bind-address=" + host, "--admin-port=8095",
	}
	if l.socket != "" {
		arguments = append(arguments, "--uds-name="+l.socket, "--server-port=0")
	} else {
		arguments = append(arguments,
			"--server-bind-address="+host, "--server-port="+frontendPort,
			"--server-cert="+l.files.server.certificate,
			"--server-key="+l.files.server.key,
			"--server-ca-cert="+l.files.server.authority)
	}
	return startDaemon(t, "proxy-server", host+":8092", append(arguments, more...)...)
}

func startAgent(t testing.TB, files certificates, host string) *daemon {
	t.Helper()
	return startDaemon(t, "proxy-agent", host+":8093",
		"--proxy-server-host="+host, "--proxy-server-port="+agentPort,
		"--ca-cert="+files.agent.authority,
		"--agent-cert="+files.agent.certificate,
		"--agent-key="+files.agent.key,
		"--health-server-host="+host, "--health-server-port=8093",
		"--admin-bind-address="+host, "--admin-server-port=8094",
		"--sync-interval=100ms", "--sync-interval-cap=1s", "--probe-interval=100ms")
}

// Series of /metrics that are 0 when nothing goes on.
var (
	serverGauges = []string{
		"konnectivity_network_proxy_server_pending_backend_dials",
		"konnectivity_network_proxy_server_established_connections",
		"konnectivity_network_proxy_server_http_connections",
		`konnectivity_network_proxy_server_grpc_connections{service_method="Proxy"}`,
	}
	agentGauges = []string{"konnectivity_network_proxy_agent_open_endpoint_connections"}
)

func (p *pair) checkAtEnd(t testing.TB) {
	t.Helper()
	serverFiles, err := p.server.descriptors()
	must(t, err)
	agentFiles := 0
	if p.agent != nil {
		agentFiles, err = p.agent.descriptors()
		must(t, err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			return
		}
		p.server.atRest(t, serverGauges, serverFiles)
		if p.agent != nil {
			p.agent.atRest(t, agentGauges, agentFiles)
			p.agent.stop(t, 100)
			p.agent.logsNoError(t)
		}
		p.server.stop(t, 1)
		p.server.logsNoError(t)
		left, err := os.ReadDir(p.folder)
		must(t, err)
		for _, file := range left {
			if !strings.HasSuffix(file.Name(), ".crt") && !strings.HasSuffix(file.Name(), ".key") {
				t.Errorf("left behind: %s", file.Name())
			}
		}
	})
}

// atRest waits until nothing goes on and no more descriptors are open than at the start.
func (d *daemon) atRest(t testing.TB, gauges []string, descriptors int) {
	t.Helper()
	for _, gauge := range gauges {
		d.reaches(t, gauge, 0)
	}
	eventually(t, promptly, func() error {
		open, err := d.descriptors()
		if err == nil && open > descriptors {
			err = fmt.Errorf("%s has %d descriptors open, %d at the start", d.name, open, descriptors)
		}
		return err
	})
}
