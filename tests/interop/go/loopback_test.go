package interop

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// Nothing under test listens on this port: holding it is holding the address.
const claimPort = 49000

// claimAddress returns a loopback address that no other test uses until the end of t.
//
// The daemons only take ports of a fixed range, so tests that run at the same time differ by
// address instead.
func claimAddress(t testing.TB) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.%d.%d.%d", 64+rand.IntN(64), rand.IntN(256), 1+rand.IntN(254))
		claim, err := net.Listen("tcp", fmt.Sprintf("%s:%d", address, claimPort))
		if err == nil {
			t.Cleanup(func() { claim.Close() })
			return address
		}
	}
	t.Fatal("no free loopback address in 1000 tries")
	return ""
}
