package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
)

// contract is what holds for a connection through any frontend.
var contract = []struct {
	name string
	run  func(testing.TB, frontend, dialFunc)
}{
	{"one-byte", moves(1, 64<<10)},
	{"one-mebibyte", moves(1<<20, 64<<10)},
	{"round-trips", makesRoundTrips},
	{"echo-while-sending", echoesWhileSending},
	{"200-streams", carriesManyStreams},
	{"endpoint-speaks-first", deliversBanner},
	{"endpoint-closes", endpointCloses},
	{"endpoint-resets", endpointResets},
	{"frontend-closes", frontendCloses},
	{"dial-errors", reportsDialErrors},
}

func TestContract(t *testing.T) {
	for _, frontend := range frontends {
		t.Run(frontend.name, func(t *testing.T) {
			for _, item := range contract {
				t.Run(item.name, func(t *testing.T) {
					pair := startPair(t, frontend.options)
					item.run(t, frontend, frontend.dialer(t, pair.listener))
				})
			}
			t.Run("100-mebibytes", func(t *testing.T) {
				pair := startPair(t, frontend.options)
				moves(100<<20, 1<<20)(t, frontend, frontend.dialer(t, pair.listener))
			})
			t.Run("no-agent", func(t *testing.T) {
				options := frontend.options
				options.withoutAgent = true
				pair := startPair(t, options)
				_, err := dialWithin(frontend.dialer(t, pair.listener), "127.0.0.1:1")
				must(t, frontend.dialError(err, "500 Internal Server Error", "No agent available", ""))
			})
		})
	}
}

// moves takes so many bytes to the endpoint and as many back.
func moves(bytes uint64, chunk int) func(testing.TB, frontend, dialFunc) {
	return func(t testing.TB, _ frontend, dial dialFunc) {
		connection := connect(t, dial, serveEndpoint(t, exchange))
		must(t, within(patience, func() error { return transfer(connection, bytes, bytes, chunk) }))
	}
}

// makesRoundTrips alternates small messages, which is when grpc-go probes the bandwidth most.
func makesRoundTrips(t testing.TB, _ frontend, dial dialFunc) {
	connection := connect(t, dial, serveEndpoint(t, echo))
	must(t, within(patience, func() error {
		for trip := range 1000 {
			sent := fmt.Appendf(nil, "trip %d", trip)
			if err := echoed(connection, sent); err != nil {
				return fmt.Errorf("trip %d: %w", trip, err)
			}
		}
		return nil
	}))
}

// echoesWhileSending has both directions full at the same time.
func echoesWhileSending(t testing.TB, _ frontend, dial dialFunc) {
	connection := connect(t, dial, serveEndpoint(t, echo))
	sent := make([]byte, 16<<20)
	randomSource().Read(sent)
	written := make(chan error, 1)
	go func() {
		_, err := io.Copy(connection, onlyReader{bytes.NewReader(sent)})
		written <- err
	}()
	must(t, within(patience, func() error {
		received := make([]byte, len(sent))
		if _, err := io.ReadFull(connection, received); err != nil {
			return err
		}
		if !bytes.Equal(received, sent) {
			return errors.New("the echo differs")
		}
		return <-written
	}))
}

// onlyReader hides WriteTo, with which all would be one write.
type onlyReader struct{ io.Reader }

// carriesManyStreams has 200 connections open at once, each with its own bytes.
func carriesManyStreams(t testing.TB, _ frontend, dial dialFunc) {
	endpoint := serveEndpoint(t, exchange)
	const streams = 200
	var dialled, finished sync.WaitGroup
	dialled.Add(streams)
	failures := make(chan error, streams)
	for range streams {
		finished.Go(func() {
			connection, err := dialWithin(dial, endpoint)
			dialled.Done()
			if err != nil {
				failures <- err
				return
			}
			defer connection.Close()
			dialled.Wait()
			failures <- transfer(connection, 64<<10, 64<<10, 16<<10)
		})
	}
	must(t, within(patience, func() error {
		finished.Wait()
		close(failures)
		for err := range failures {
			if err != nil {
				return err
			}
		}
		return nil
	}))
}

// deliversBanner meets endpoints that speak first, so often that a race would show.
func deliversBanner(t testing.TB, frontend frontend, dial dialFunc) {
	const banner, dials = "220 endpoint ready\r\n", 30
	endpoint := serveEndpoint(t, func(connection *net.TCPConn) {
		io.WriteString(connection, banner)
		io.Copy(io.Discard, connection)
	})
	read := func() error {
		connection, err := dialWithin(dial, endpoint)
		if err != nil {
			return err
		}
		defer connection.Close()
		return within(promptly, func() error { return expect(connection, banner) })
	}
	var lost []error
	for range dials {
		if err := read(); err != nil {
			lost = append(lost, err)
		}
	}
	allowed := 0
	if frontend.losesEarlyData {
		// It takes the server's hold to deliver any, and luck with the scheduler to deliver all.
		allowed = dials / 2
	}
	if len(lost) > allowed {
		t.Fatalf("%d of %d banners are lost, the first with: %v", len(lost), dials, lost[0])
	}
}

// endpointCloses: everything sent before the close arrives, then the end.
func endpointCloses(t testing.TB, _ frontend, dial dialFunc) {
	const size = 1<<20 + 1
	sent := make([]byte, size)
	randomSource().Read(sent)
	connection := connect(t, dial, serveEndpoint(t, func(connection *net.TCPConn) {
		// Not at once: clients lose what comes close behind the dial.
		connection.Read(make([]byte, 1))
		connection.Write(sent)
	}))
	must(t, within(promptly, func() error {
		if _, err := connection.Write([]byte("x")); err != nil {
			return err
		}
		received, err := io.ReadAll(connection)
		if err != nil {
			return err
		}
		if !bytes.Equal(received, sent) {
			return fmt.Errorf("%d bytes arrived, of %d", len(received), size)
		}
		return nil
	}))
}

// endpointResets: the frontend's read ends, with an error or without.
func endpointResets(t testing.TB, _ frontend, dial dialFunc) {
	connection := connect(t, dial, serveEndpoint(t, func(connection *net.TCPConn) {
		connection.Read(make([]byte, 1))
		connection.SetLinger(0)
	}))
	must(t, within(promptly, func() error {
		if _, err := connection.Write([]byte("x")); err != nil {
			return err
		}
		if n, _ := io.Copy(io.Discard, connection); n != 0 {
			return fmt.Errorf("%d bytes came from nowhere", n)
		}
		return nil
	}))
}

// frontendCloses: an endpoint that starts to read late still gets all that was written before.
func frontendCloses(t testing.TB, _ frontend, dial dialFunc) {
	sent := make([]byte, 1<<20)
	randomSource().Read(sent)
	closing := make(chan struct{})
	received := make(chan []byte, 1)
	connection := connect(t, dial, serveEndpoint(t, func(connection *net.TCPConn) {
		<-closing
		bytes, _ := io.ReadAll(connection)
		received <- bytes
	}))
	must(t, within(promptly, func() error {
		if _, err := connection.Write(sent); err != nil {
			return err
		}
		close(closing)
		connection.Close()
		return nil
	}))
	must(t, within(promptly, func() error {
		if have := <-received; !bytes.Equal(have, sent) {
			return fmt.Errorf("%d bytes reached the endpoint, of %d", len(have), len(sent))
		}
		return nil
	}))
}

func reportsDialErrors(t testing.TB, frontend frontend, dial dialFunc) {
	const badGateway = "502 Bad Gateway"
	// Nothing else can listen on an address of our own.
	closed := claimAddress(t) + ":8099"
	// A leading hyphen: refused by the resolver library, without asking a name server.
	for _, dialled := range []struct{ address, prefix, suffix string }{
		{closed, "dial tcp " + closed + ": ", "connect: connection refused"},
		{"-no-such-host.invalid:80", "dial tcp: lookup -no-such-host.invalid", ": no such host"},
		{"no-port.invalid", "dial tcp: address no-port.invalid: ", "missing port in address"},
	} {
		connection, err := dialWithin(dial, dialled.address)
		if err == nil {
			connection.Close()
			t.Fatalf("%s: the dial succeeded", dialled.address)
		}
		must(t, frontend.dialError(err, badGateway, dialled.prefix, dialled.suffix))
	}
}

// connect dials and closes the connection at the end of t.
func connect(t testing.TB, dial dialFunc, address string) net.Conn {
	t.Helper()
	connection, err := dialWithin(dial, address)
	must(t, err)
	t.Cleanup(func() { connection.Close() })
	return connection
}

func dialWithin(dial dialFunc, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), promptly)
	defer cancel()
	return dial(ctx, address)
}

// echoed sends and expects the same back.
func echoed(connection net.Conn, sent []byte) error {
	if _, err := connection.Write(sent); err != nil {
		return err
	}
	return expect(connection, string(sent))
}

func expect(from io.Reader, want string) error {
	have := make([]byte, len(want))
	if _, err := io.ReadFull(from, have); err != nil {
		return err
	}
	if string(have) != want {
		return fmt.Errorf("read %q, not %q", have, want)
	}
	return nil
}
