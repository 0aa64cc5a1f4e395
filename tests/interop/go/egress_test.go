package interop

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apiserver/pkg/server/egressselector"
)

// Every configuration in core/tests/egress gets from kube-apiserver's loader the verdict in its first line, which
// dialback_core::connectivity is held to as well.
func TestEgressSelectorConfigurationsAreJudgedAlike(t *testing.T) {
	folder, err := filepath.Abs("../../../core/tests/egress")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil || len(files) < 50 {
		t.Fatalf("found %d configurations in %s: %v", len(files), folder, err)
	}
	t.Chdir(t.TempDir())
	for _, name := range []string{"ca.crt", "client.crt", "client.key"} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(string(text), "\n")
			want := strings.TrimPrefix(first, "# ")
			if got := egressVerdict(file); got != want {
				t.Errorf("kube-apiserver's verdict is\n%s\nand not\n%s", got, want)
			}
		})
	}
}

func egressVerdict(file string) string {
	config, err := egressselector.ReadEgressSelectorConfiguration(file)
	if err != nil {
		return "refused by the decoder"
	}
	if errs := egressselector.ValidateEgressSelectorConfiguration(config); len(errs) > 0 {
		return "invalid: " + errs.ToAggregate().Error()
	}
	return "accepted"
}
