package interop

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"sigs.k8s.io/apiserver-network-proxy/konnectivity-client/proto/client"
)

// TestDoctorAtGoServer sends `dialback doctor agent` to a server on grpc-go, which takes it for an
// agent: when the server first reads from it, it drains and is gone.
func TestDoctorAtGoServer(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			host := claimAddress(t)
			l := newListener(t, pairOptions{mode: "grpc"}, host)
			config := l.files.cluster.serverConfig(t)
			config.MaxVersion = version
			probed := &probedServer{heard: make(chan error, 1)}
			service := agentService
			service.Streams = []grpc.StreamDesc{connectCall}
			service.Streams[0].Handler = func(_ any, stream grpc.ServerStream) error {
				return probed.connect(stream)
			}
			server := grpc.NewServer(grpc.Creds(credentials.NewTLS(config)))
			server.RegisterService(&service, probed)
			serveGRPC(t, server, "tcp", net.JoinHostPort(host, agentPort))

			agent, stranger := l.files.agent, l.files.frontend
			flags := func(shown ...string) []string {
				return append([]string{"agent", "--proxy-server-host=" + host, "--ca-cert=" + agent.authority}, shown...)
			}
			expectDoctor(t, flags(), 1, "fail  client-certificate", "was shown none")
			expectDoctor(t, flags("--agent-cert="+stranger.certificate, "--agent-key="+stranger.key), 1,
				"fail  client-certificate", "refuses this side's certificate")
			known := flags("--agent-cert="+agent.certificate, "--agent-key="+agent.key)
			expectDoctor(t, known, 0, `server "go-server", one of 3, speaks plain Konnectivity`)
			must(t, within(promptly, func() error { return <-probed.heard }))
			probed.refuses.Store(true)
			expectDoctor(t, known, 1, "fail  token-accepted", "lookup failed: service account jwt not valid")
		})
	}
}

// TestDoctorAtGoFrontends sends `dialback doctor frontend` through listeners on grpc-go.
func TestDoctorAtGoFrontends(t *testing.T) {
	for _, tcp := range []bool{false, true} {
		t.Run(fmt.Sprintf("tcp=%t", tcp), func(t *testing.T) {
			l := startReference(t, pairOptions{mode: "grpc", tcp: tcp})
			flags := []string{"frontend", "--uds=" + l.socket}
			if tcp {
				own := l.files.frontend
				flags = []string{"frontend", "--url=https://" + l.address, "--ca-cert=" + own.authority,
					"--client-cert=" + own.certificate, "--client-key=" + own.key}
			}
			expectDoctor(t, append(flags, serveEndpoint(t, echo)), 0, "a proxy server in grpc mode",
				"connected by an agent that the server does not name", "all works")
		})
	}
}

// probedServer answers Connect calls as the reference's server does.
type probedServer struct {
	// What was heard from an agent that was let in: nil if it is what a probe says.
	heard   chan error
	refuses atomic.Bool
}

func (s *probedServer) connect(stream grpc.ServerStream) error {
	if s.refuses.Load() {
		return errors.New("Failed to validate authentication token, err:lookup failed: service account jwt not valid")
	}
	if err := stream.SendHeader(metadata.Pairs("serverid", "go-server", "servercount", "3")); err != nil {
		return err
	}
	s.heard <- hearProbe(stream)
	return nil
}

// hearProbe reads DRAIN and the end of the stream.
func hearProbe(stream grpc.ServerStream) error {
	packet := new(client.Packet)
	if err := stream.RecvMsg(packet); err != nil {
		return err
	}
	if packet.GetType() != client.PacketType_DRAIN {
		return fmt.Errorf("a probe says %v", packet)
	}
	if err := stream.RecvMsg(packet); err != io.EOF {
		return fmt.Errorf("a probe goes on: %v, %v", packet, err)
	}
	return nil
}

// expectDoctor runs `dialback doctor`, which has to end with this code and to say all these words.
func expectDoctor(t *testing.T, arguments []string, code int, words ...string) {
	t.Helper()
	command := exec.Command(filepath.Join(binaries(t), "dialback"), append([]string{"doctor"}, arguments...)...)
	told, err := command.CombinedOutput()
	if command.ProcessState == nil {
		t.Fatal(err)
	}
	if ended := command.ProcessState.ExitCode(); ended != code {
		t.Fatalf("exit code %d, not %d:\n%s", ended, code, told)
	}
	for _, word := range words {
		if !strings.Contains(string(told), word) {
			t.Fatalf("%q is not told:\n%s", word, told)
		}
	}
}
