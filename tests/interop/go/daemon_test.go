package interop

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// daemon is a running proxy-server or proxy-agent.
type daemon struct {
	name   string
	health string
	cmd    *exec.Cmd
	log    logBuffer
	exited chan struct{}
	status error
}

// startDaemon runs a program of DIALBACK_BIN_DIR and waits for its /healthz at health.
func startDaemon(t testing.TB, name, health string, arguments ...string) *daemon {
	t.Helper()
	// What it runs on, if not its default: DIALBACK_PROXY_SERVER_RUNTIME and DIALBACK_PROXY_AGENT_RUNTIME.
	variable := "DIALBACK_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + "_RUNTIME"
	if runtime := os.Getenv(variable); runtime != "" {
		arguments = append(arguments, "--runtime="+runtime)
	}
	d := &daemon{name: name, health: health, exited: make(chan struct{})}
	d.cmd = exec.Command(filepath.Join(binaries(t), name), arguments...)
	d.cmd.Stdout, d.cmd.Stderr = &d.log, &d.log
	// A test that panics runs no clean-up: the daemon must not outlive it all the same.
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(t, d.cmd.Start())
	go func() {
		d.status = d.cmd.Wait()
		close(d.exited)
	}()
	t.Cleanup(func() {
		d.cmd.Process.Kill()
		<-d.exited
		if t.Failed() {
			t.Logf("%s logged:\n%s", name, d.log.tail(200))
		}
	})
	eventually(t, promptly, func() error { return d.answers("/healthz") })
	return d
}

// binaries is the folder of the programs; without one the test does not run.
func binaries(t testing.TB) string {
	t.Helper()
	folder := os.Getenv("DIALBACK_BIN_DIR")
	if folder == "" {
		if os.Getenv("DIALBACK_REQUIRE_INTEROP") == "1" {
			t.Fatal("DIALBACK_BIN_DIR is not set")
		}
		t.Skip("DIALBACK_BIN_DIR is not set: it names the folder of proxy-server and proxy-agent")
	}
	return folder
}

// answers tells whether the health listener answers path with 200.
func (d *daemon) answers(path string) error {
	_, err := d.fetch(path)
	return err
}

func (d *daemon) fetch(path string) (string, error) {
	select {
	case <-d.exited:
		return "", fmt.Errorf("%s %w: %v", d.name, errEnded, d.status)
	default:
	}
	// A kept connection would count among the daemon's descriptors.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: promptly}
	response, err := client.Get("http://" + d.health + path)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s answers %s with %s: %s", d.name, path, response.Status, body)
	}
	return string(body), nil
}

// gauge is the value of a series on /metrics, name and labels as printed there; 0 when absent.
func (d *daemon) gauge(series string) (float64, error) {
	text, err := d.fetch("/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if value, found := strings.CutPrefix(line, series+" "); found {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, nil
}

// reaches waits until a series has the value.
func (d *daemon) reaches(t testing.TB, series string, want float64) {
	t.Helper()
	eventually(t, promptly, func() error {
		have, err := d.gauge(series)
		if err == nil && have != want {
			err = fmt.Errorf("%s: %s is %v, not %v", d.name, series, have, want)
		}
		return err
	})
}

func (d *daemon) descriptors() (int, error) {
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.cmd.Process.Pid))
	return len(open), err
}

// stop ends the daemon with SIGTERM and expects exit code 0.
//
// The first signal only drains an agent, the second ends it, so an agent gets as many as it
// takes; for a server a second one would mean haste.
func (d *daemon) stop(t testing.TB, signals int) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(promptly)
	for {
		if signals > 0 {
			signals--
			if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Fatal(err)
			}
		}
		select {
		case <-d.exited:
			if d.status != nil {
				t.Errorf("%s stopped by SIGTERM: %v", d.name, d.status)
			}
			return
		case <-deadline:
			t.Fatalf("%s has not stopped %s after SIGTERM", d.name, promptly)
		case <-tick.C:
		}
	}
}

// logsNoError fails t for each line of severity error or fatal, and for panics.
func (d *daemon) logsNoError(t testing.TB) {
	t.Helper()
	for _, line := range errorLine.FindAllString(d.log.String(), -1) {
		t.Errorf("%s logged an error: %s", d.name, line)
	}
}

var errorLine = regexp.MustCompile(`(?m)^(?:[EF]\d{4} .*|.*\bERROR\b.*|.*panicked at.*)$`)

type logBuffer struct {
	lock sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(text []byte) (int, error) {
	l.lock.Lock()
	defer l.lock.Unlock()
	return l.text.Write(text)
}

func (l *logBuffer) String() string {
	l.lock.Lock()
	defer l.lock.Unlock()
	return l.text.String()
}

func (l *logBuffer) tail(lines int) string {
	all := strings.SplitAfter(l.String(), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "")
}
