package interop

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestProfile has Go's own pprof fetch CPU profiles of a server that is at work, and show them.
func TestProfile(t *testing.T) {
	frontend, host := frontends[0], claimAddress(t)
	l := newListener(t, frontend.options, host)
	server := startServer(t, l, host, "--enable-profiling")
	agent := startAgent(t, l.files, host)
	eventually(t, promptly, func() error { return agent.answers("/readyz") })
	dial := frontend.dialer(t, l)

	profile := func(t *testing.T) {
		top := filepath.Join(l.folder, "top")
		url := "http://" + net.JoinHostPort(host, "8095") + "/debug/pprof/profile?seconds=1"
		pprof := exec.Command("go", "tool", "pprof", "-symbolize=none", "-top", "-output="+top, url)
		pprof.Env = append(pprof.Environ(), "PPROF_TMPDIR="+l.folder)
		output := make(chan string, 1)
		go func() {
			text, err := pprof.CombinedOutput()
			if err != nil {
				text = append(text, err.Error()...)
			}
			output <- string(text)
		}()
		var said string
		for said == "" {
			select {
			case said = <-output:
			default:
				fetches(t, dial, false, "HTTP/1.1")
			}
		}
		shown, err := os.ReadFile(top)
		if err != nil {
			t.Fatalf("%v; pprof said: %s", err, said)
		}
		if !bytes.Contains(shown, []byte("Type: cpu")) || !bytes.Contains(shown, []byte("dialback")) {
			t.Errorf("the profile shows nothing of the server:\n%s\n%s", said, shown)
		}
	}
	// What the profiler opens it opens once.
	t.Run("first", profile)
	files, err := server.descriptors()
	must(t, err)
	t.Run("second", profile)
	server.atRest(t, serverGauges, files)
}
