//go:build reusable

package interop

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"

	"sigs.k8s.io/apiserver-network-proxy/konnectivity-client/pkg/client"
	"sigs.k8s.io/apiserver-network-proxy/konnectivity-client/pkg/client/metrics"
)

// The reusable tunnel came with a later release of the client than kube-apiserver uses, so these
// tests have a module file of their own: go test -modfile=reusable.mod -tags=reusable -run=Reusable

var reusable = frontend{
	"reusable-grpc-unix", pairOptions{mode: "grpc"},
	func(t testing.TB, l listener) dialFunc { return reusableTunnel(t, l).dial }, true,
}

// tunnel carries all its connections over one HTTP/2 connection.
type tunnel struct{ client.ReusableTunnel }

func (r tunnel) dial(ctx context.Context, address string) (net.Conn, error) {
	return r.DialContext(ctx, "tcp", address)
}

func reusableTunnel(t testing.TB, l listener) tunnel {
	t.Helper()
	opened, err := client.CreateGRPCTunnel(context.Background(), l.target(), l.dialOptions(t)...)
	must(t, err)
	t.Cleanup(func() {
		if err := within(patience, opened.Close); err != nil {
			t.Errorf("closing the tunnel: %v", err)
		}
	})
	return tunnel{opened}
}

// TestReusableReference checks the contract itself, as TestReference does.
func TestReusableReference(t *testing.T) {
	dial := reusable.dialer(t, startReference(t, reusable.options))
	for _, item := range contract {
		t.Run(item.name, func(t *testing.T) { item.run(t, reusable, dial) })
	}
}

func TestReusableContract(t *testing.T) {
	for _, item := range contract {
		t.Run(item.name, func(t *testing.T) {
			pair := startPair(t, reusable.options)
			item.run(t, reusable, reusable.dialer(t, pair.listener))
		})
	}
}

// TestReusableTunnelOutlivesItsStreams: streams end, fail and are cancelled; the tunnel goes on.
func TestReusableTunnelOutlivesItsStreams(t *testing.T) {
	pair := startPair(t, reusable.options)
	tunnel := reusableTunnel(t, pair.listener)
	endpoint, stalled := serveEndpoint(t, exchange), stalledEndpoint(t)
	const rounds = 20
	var all sync.WaitGroup
	failures := make(chan error, 3*rounds)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for range rounds {
		all.Go(func() {
			connection, err := dialWithin(tunnel.dial, endpoint)
			if err == nil {
				err = transfer(connection, 64<<10, 64<<10, 16<<10)
				connection.Close()
			}
			failures <- err
		})
		all.Go(func() {
			if _, err := dialWithin(tunnel.dial, "no-port.invalid"); err == nil {
				failures <- fmt.Errorf("a dial without a port succeeded")
			}
		})
		all.Go(func() {
			_, err := tunnel.dial(ctx, stalled)
			failures <- expectFailure(err, "dial timeout, context", metrics.DialFailureContext)
		})
	}
	pair.server.reaches(t, pendingDials, rounds)
	cancel()
	must(t, within(patience, func() error {
		all.Wait()
		close(failures)
		for err := range failures {
			if err != nil {
				return err
			}
		}
		return nil
	}))
	pair.server.reaches(t, proxyCallsOpen, 0)
	moves(1<<20, 1<<16)(t, reusable, tunnel.dial)
}
