package interop

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
)

// TestHTTP fetches from real HTTP servers with the transport that kube-apiserver uses.
func TestHTTP(t *testing.T) {
	for _, frontend := range frontends[:3] {
		t.Run(frontend.name, func(t *testing.T) {
			pair := startPair(t, frontend.options)
			dial := frontend.dialer(t, pair.listener)
			t.Run("http1", func(t *testing.T) { fetches(t, dial, false, "HTTP/1.1") })
			t.Run("https", func(t *testing.T) { fetches(t, dial, true, "HTTP/1.1") })
			t.Run("http2", func(t *testing.T) { fetches(t, dial, true, "HTTP/2.0") })
		})
	}
}

// fetches sends a body and gets one back, ten times at once.
func fetches(t *testing.T, dial dialFunc, secure bool, protocol string) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(answerWithBody))
	server.EnableHTTP2 = protocol == "HTTP/2.0"
	if secure {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			return dial(ctx, address)
		},
		TLSClientConfig:   &tls.Config{RootCAs: rootsOf(server)},
		ForceAttemptHTTP2: server.EnableHTTP2,
	}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}

	const requests = 10
	outcomes := make(chan error, requests)
	for range requests {
		go func() { outcomes <- fetchOnce(client, server.URL, protocol) }()
	}
	must(t, within(patience, func() error {
		for range requests {
			if err := <-outcomes; err != nil {
				return err
			}
		}
		return nil
	}))
}

func fetchOnce(client *http.Client, url, protocol string) error {
	const up, down = 1 << 20, 2 << 20
	reader, writer := io.Pipe()
	go func() { writer.CloseWithError(sendRandom(writer, up, 32<<10)) }()
	response, err := client.Post(url+"?bytes="+strconv.Itoa(down), "application/octet-stream", reader)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK || response.Proto != protocol {
		return fmt.Errorf("answered with %s %s", response.Proto, response.Status)
	}
	return expectSummed(response.Body, down)
}

// answerWithBody checks the request's body and answers with as many bytes as are asked for.
func answerWithBody(writer http.ResponseWriter, request *http.Request) {
	if err := expectSummed(request.Body, 1<<20); err != nil {
		http.Error(writer, err.Error(), http.StatusBadRequest)
		return
	}
	down, err := strconv.ParseUint(request.URL.Query().Get("bytes"), 10, 64)
	if err != nil {
		http.Error(writer, err.Error(), http.StatusBadRequest)
		return
	}
	sendRandom(writer, down, 32<<10)
}

// expectSummed reads bytes followed by their checksum, and then the end.
func expectSummed(from io.Reader, bytes int64) error {
	sum := sha256.New()
	if _, err := io.CopyN(sum, from, bytes); err != nil {
		return err
	}
	if err := expectSum(from, sum); err != nil {
		return err
	}
	if n, err := io.Copy(io.Discard, from); n != 0 || err != nil {
		return fmt.Errorf("%d bytes more, %v", n, err)
	}
	return nil
}

func rootsOf(server *httptest.Server) *x509.CertPool {
	roots := x509.NewCertPool()
	if certificate := server.Certificate(); certificate != nil {
		roots.AddCert(certificate)
	}
	return roots
}
