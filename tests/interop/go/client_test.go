package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"sigs.k8s.io/apiserver-network-proxy/konnectivity-client/pkg/client"
	"sigs.k8s.io/apiserver-network-proxy/konnectivity-client/pkg/client/metrics"
	proto "sigs.k8s.io/apiserver-network-proxy/konnectivity-client/proto/client"
)

const (
	pendingDials   = "konnectivity_network_proxy_server_pending_backend_dials"
	givenUpDials   = `konnectivity_network_proxy_server_dial_failure_count{reason="frontend_close"}`
	openEndpoints  = "konnectivity_network_proxy_agent_open_endpoint_connections"
	proxyCallsOpen = `konnectivity_network_proxy_server_grpc_connections{service_method="Proxy"}`
)

// TestCancelledDial gives dials up while the agent still waits for the endpoint.
func TestCancelledDial(t *testing.T) {
	pair := startPair(t, pairOptions{mode: "grpc"})
	endpoint := stalledEndpoint(t)
	const dials = 50
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	outcomes := make(chan error, dials)
	for range dials {
		tunnel := pair.tunnel(t, context.Background())
		go func() {
			_, err := tunnel.DialContext(ctx, "tcp", endpoint)
			outcomes <- errors.Join(expectFailure(err, "dial timeout, context", metrics.DialFailureContext),
				within(promptly, func() error { <-tunnel.Done(); return nil }))
		}()
	}
	pair.server.reaches(t, pendingDials, dials)
	cancel()
	for range dials {
		must(t, <-outcomes)
	}
	pair.server.reaches(t, pendingDials, 0)
	pair.server.reaches(t, givenUpDials, dials)
	moves(1, 1)(t, frontends[0], clientDialer(t, pair.listener))
}

// TestCancelledConnect hangs up on a CONNECT before it is answered.
func TestCancelledConnect(t *testing.T) {
	for _, tcp := range []bool{false, true} {
		t.Run(fmt.Sprintf("tcp=%t", tcp), func(t *testing.T) {
			pair := startPair(t, pairOptions{mode: "http-connect", tcp: tcp})
			endpoint := stalledEndpoint(t)
			var waiting []net.Conn
			for range 20 {
				connection := pair.connectRaw(t)
				fmt.Fprintf(connection, "CONNECT %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", endpoint)
				waiting = append(waiting, connection)
			}
			pair.server.reaches(t, pendingDials, 20)
			for _, connection := range waiting {
				connection.Close()
			}
			pair.server.reaches(t, pendingDials, 0)
			moves(1, 1)(t, frontends[1], egressDialer(t, pair.listener))
		})
	}
}

// TestDialFailureReason: what the agent says of a dial is the client's reason "endpoint".
func TestDialFailureReason(t *testing.T) {
	pair := startPair(t, pairOptions{mode: "grpc"})
	closed := claimAddress(t) + ":8099"
	_, err := pair.tunnel(t, context.Background()).DialContext(context.Background(), "tcp", closed)
	text := "dial tcp " + closed + ": connect: connection refused"
	must(t, expectFailure(err, text, metrics.DialFailureEndpoint))
}

// TestDialTimeout: an endpoint that never answers fails as Go's dialler would have it.
func TestDialTimeout(t *testing.T) {
	pair := startPair(t, pairOptions{mode: "grpc"})
	endpoint := stalledEndpoint(t)
	_, err := pair.tunnel(t, context.Background()).DialContext(context.Background(), "tcp", endpoint)
	must(t, expectFailure(err, "dial tcp "+endpoint+": i/o timeout", metrics.DialFailureEndpoint))
}

// TestCancelledTunnel: with the tunnel's context the connection at the endpoint ends.
func TestCancelledTunnel(t *testing.T) {
	pair := startPair(t, pairOptions{mode: "grpc"})
	ended := make(chan error, 1)
	endpoint := serveEndpoint(t, func(connection *net.TCPConn) {
		_, err := io.Copy(io.Discard, connection)
		ended <- err
	})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	_, err := pair.tunnel(t, ctx).DialContext(context.Background(), "tcp", endpoint)
	must(t, err)
	pair.agent.reaches(t, openEndpoints, 1)
	cancel()
	must(t, within(promptly, func() error { <-ended; return nil }))
}

// TestLargeMessage: the library sends a Write as one message, which may have up to 4 MiB; beyond
// that the server ends the call, and that call only.
func TestLargeMessage(t *testing.T) {
	pair := startPair(t, pairOptions{mode: "grpc"})
	endpoint := serveEndpoint(t, exchange)
	bystander := connect(t, clientDialer(t, pair.listener), serveEndpoint(t, echo))

	connection := connect(t, clientDialer(t, pair.listener), endpoint)
	const fits = 4<<20 - 64
	must(t, within(patience, func() error { return transfer(connection, fits, 1, fits) }))

	tunnel := pair.tunnel(t, context.Background())
	oversized, err := tunnel.DialContext(context.Background(), "tcp", endpoint)
	must(t, err)
	oversized.Write(make([]byte, 4<<20+1))
	must(t, within(promptly, func() error { <-tunnel.Done(); return nil }))
	must(t, within(promptly, func() error { return echoed(bystander, []byte("still here")) }))
}

// TestManyCallsOnOneConnection: Proxy calls that share an HTTP/2 connection live and die alone.
func TestManyCallsOnOneConnection(t *testing.T) {
	pair := startPair(t, pairOptions{mode: "grpc"})
	endpoint := serveEndpoint(t, echo)
	channel, err := grpc.NewClient("passthrough:///"+pair.target(), pair.dialOptions(t)...)
	must(t, err)
	defer channel.Close()

	const calls = 200
	var streams []*proxyCall
	for n := range calls {
		stream := openProxyCall(t, channel)
		defer stream.cancel()
		must(t, stream.dial(int64(n+1), endpoint))
		streams = append(streams, stream)
	}
	pair.agent.reaches(t, openEndpoints, calls)
	for n, stream := range streams {
		if n%2 == 0 {
			stream.cancel()
		}
	}
	pair.agent.reaches(t, openEndpoints, calls/2)
	pair.server.reaches(t, proxyCallsOpen, calls/2)
	var echoes sync.WaitGroup
	failures := make(chan error, calls)
	for n, stream := range streams {
		if n%2 != 0 {
			echoes.Go(func() { failures <- stream.echo(fmt.Sprintf("call %d", n)) })
		}
	}
	must(t, within(promptly, func() error {
		echoes.Wait()
		close(failures)
		for err := range failures {
			if err != nil {
				return err
			}
		}
		return nil
	}))
}

// TestAgentLost: connections end when their agent does, and its successor takes new ones.
func TestAgentLost(t *testing.T) {
	for _, frontend := range frontends[:3] {
		t.Run(frontend.name, func(t *testing.T) {
			host := claimAddress(t)
			l := newListener(t, frontend.options, host)
			server := startServer(t, l, host, "--resume-timeout=1s")
			agent := startAgent(t, l.files, host)
			eventually(t, promptly, func() error { return server.answers("/readyz") })
			dial := frontend.dialer(t, l)
			connection := connect(t, dial, serveEndpoint(t, echo))
			must(t, within(promptly, func() error { return echoed(connection, []byte("before")) }))

			must(t, agent.cmd.Process.Kill())
			must(t, within(promptly, func() error {
				if n, _ := io.Copy(io.Discard, connection); n != 0 {
					return fmt.Errorf("%d bytes came from nowhere", n)
				}
				return nil
			}))
			startAgent(t, l.files, host)
			eventually(t, promptly, func() error { return server.answers("/readyz") })
			moves(1<<20, 1<<16)(t, frontend, dial)
			server.logsNoError(t)
		})
	}
}

func (l listener) tunnel(t testing.TB, life context.Context) client.Tunnel {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), promptly)
	defer cancel()
	tunnel, err := client.CreateSingleUseGrpcTunnelWithContext(ctx, life, l.target(), l.dialOptions(t)...)
	must(t, err)
	return tunnel
}

func expectFailure(err error, text string, reason metrics.DialFailureReason) error {
	if err == nil || err.Error() != text {
		return fmt.Errorf("the dial failed with %q, not %q", fmt.Sprint(err), text)
	}
	if is, have := client.GetDialFailureReason(err); !is || have != reason {
		return fmt.Errorf("the reason is %q, not %q", have, reason)
	}
	return nil
}

// proxyCall is one Proxy call with one connection.
type proxyCall struct {
	proto.ProxyService_ProxyClient
	cancel context.CancelFunc
	id     int64
}

func openProxyCall(t testing.TB, channel *grpc.ClientConn) *proxyCall {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := proto.NewProxyServiceClient(channel).Proxy(ctx)
	must(t, err)
	return &proxyCall{stream, cancel, 0}
}

func (c *proxyCall) dial(random int64, address string) error {
	if err := c.Send(dialRequest(random, address)); err != nil {
		return err
	}
	packet, err := c.Recv()
	if err != nil {
		return err
	}
	response := packet.GetDialResponse()
	if response.GetError() != "" || response.GetRandom() != random {
		return fmt.Errorf("the dial %d is answered with %v", random, packet)
	}
	c.id = response.GetConnectID()
	return nil
}

func (c *proxyCall) echo(text string) error {
	if err := c.Send(dataPacket(c.id, []byte(text))); err != nil {
		return err
	}
	var received strings.Builder
	for received.Len() < len(text) {
		packet, err := c.Recv()
		if err != nil {
			return err
		}
		if data := packet.GetData(); data.GetConnectID() == c.id {
			received.Write(data.GetData())
		} else {
			return fmt.Errorf("connection %d was sent %v", c.id, packet)
		}
	}
	if received.String() != text {
		return fmt.Errorf("the echo of %q is %q", text, received.String())
	}
	return nil
}
