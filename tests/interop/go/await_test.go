package interop

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// Everything awaited here takes milliseconds; the limits only say when to give up.
const (
	promptly = 15 * time.Second
	patience = 120 * time.Second
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// errEnded is the end of a daemon: it has no answers any more.
var errEnded = errors.New("has ended")

// eventually asks until check is content, and fails t with its last answer when it never is.
func eventually(t testing.TB, limit time.Duration, check func() error) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		if errors.Is(err, errEnded) {
			t.Fatal(err)
		}
		select {
		case <-deadline:
			t.Fatalf("not within %s: %v", limit, err)
		case <-tick.C:
		}
	}
}

// within runs work, which can't be given a deadline (the Konnectivity client has none), and
// answers an error when it does not return in time.
func within(limit time.Duration, work func() error) error {
	done := make(chan error, 1)
	go func() { done <- work() }()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		return fmt.Errorf("no answer within %s", limit)
	}
}
