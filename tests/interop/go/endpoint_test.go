package interop

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net"
	"syscall"
	"testing"
)

// serveEndpoint accepts connections for serve until the end of t and answers its address.
func serveEndpoint(t testing.TB, serve func(*net.TCPConn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				serve(connection.(*net.TCPConn))
			}()
		}
	}()
	return listener.Addr().String()
}

func echo(connection *net.TCPConn) {
	io.Copy(connection, connection)
}

// exchange is the endpoint's side of transfer: it takes as many bytes as the peer announces,
// answers their checksum, and sends as many as asked for with their checksum.
func exchange(connection *net.TCPConn) {
	var header [16]byte
	if _, err := io.ReadFull(connection, header[:]); err != nil {
		return
	}
	up, down := binary.BigEndian.Uint64(header[:8]), binary.BigEndian.Uint64(header[8:])
	taken := sha256.New()
	if _, err := io.CopyN(taken, connection, int64(up)); err != nil {
		return
	}
	if _, err := connection.Write(taken.Sum(nil)); err != nil {
		return
	}
	if err := sendRandom(connection, down, 64<<10); err != nil {
		return
	}
	// The frontend closes.
	io.Copy(io.Discard, connection)
}

// transfer moves up bytes to an exchange endpoint and down bytes from it, and compares checksums.
func transfer(connection net.Conn, up, down uint64, chunk int) error {
	var header [16]byte
	binary.BigEndian.PutUint64(header[:8], up)
	binary.BigEndian.PutUint64(header[8:], down)
	if _, err := connection.Write(header[:]); err != nil {
		return err
	}
	sent := sha256.New()
	if err := writeRandom(connection, up, chunk, sent); err != nil {
		return err
	}
	if err := expectSum(connection, sent); err != nil {
		return fmt.Errorf("upwards: %w", err)
	}
	received := sha256.New()
	if _, err := io.CopyN(received, connection, int64(down)); err != nil {
		return fmt.Errorf("downwards: %w", err)
	}
	if err := expectSum(connection, received); err != nil {
		return fmt.Errorf("downwards: %w", err)
	}
	return nil
}

// sendRandom writes random bytes and then their checksum.
func sendRandom(to io.Writer, bytes uint64, chunk int) error {
	sum := sha256.New()
	if err := writeRandom(to, bytes, chunk, sum); err != nil {
		return err
	}
	_, err := to.Write(sum.Sum(nil))
	return err
}

func writeRandom(to io.Writer, bytes uint64, chunk int, sum hash.Hash) error {
	source := randomSource()
	for bytes > 0 {
		// A fresh buffer each time: a writer under test may keep it longer than the call.
		buffer := make([]byte, min(bytes, uint64(chunk)))
		source.Read(buffer)
		sum.Write(buffer)
		if _, err := to.Write(buffer); err != nil {
			return err
		}
		bytes -= uint64(len(buffer))
	}
	return nil
}

func randomSource() *rand.ChaCha8 {
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(rand.Uint32())
	}
	return rand.NewChaCha8(seed)
}

func expectSum(from io.Reader, sum hash.Hash) error {
	var want [sha256.Size]byte
	if _, err := io.ReadFull(from, want[:]); err != nil {
		return fmt.Errorf("reading the checksum: %w", err)
	}
	if have := sum.Sum(nil); string(have) != string(want[:]) {
		return fmt.Errorf("the checksum is %x, not %x", have, want)
	}
	return nil
}

// stalledEndpoint listens, but the kernel completes no handshake with it: its queue is full.
func stalledEndpoint(t testing.TB) string {
	t.Helper()
	listener, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { syscall.Close(listener) })
	must(t, syscall.Bind(listener, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(t, syscall.Listen(listener, 0))
	bound, err := syscall.Getsockname(listener)
	must(t, err)
	address := fmt.Sprintf("127.0.0.1:%d", bound.(*syscall.SockaddrInet4).Port)
	// A backlog of 0 holds one connection.
	filler, err := net.Dial("tcp", address)
	must(t, err)
	t.Cleanup(func() { filler.Close() })
	return address
}
