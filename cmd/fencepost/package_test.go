package main_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestPackages builds the packages, installs the deb where nothing of it stays,
// runs what it installed, verifies its units and takes it away again.
func TestPackages(t *testing.T) {
	if testing.Short() {
		t.Skip("builds two packages")
	}
	ci := os.Getenv("CI") != ""
	for _, tool := range []string{"dpkg", "systemd-analyze", "unshare", "setpriv"} {
		if _, err := exec.LookPath(tool); err != nil {
			if ci {
				t.Fatalf("%v: required in CI", err)
			}
			t.Skip(err)
		}
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "bash", "../../.packaging/build", filepath.Join(dir, "out"), "0.9.0")
	out, err := cmd.CombinedOutput()
	if err != nil && !ci && bytes.Contains(out, []byte("dial tcp")) {
		t.Skipf("the tool can't be fetched:\n%s", out)
	}
	if err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	debs, _ := filepath.Glob(filepath.Join(dir, "out", "*.deb"))
	rpms, _ := filepath.Glob(filepath.Join(dir, "out", "*.rpm"))
	if len(debs) != 1 || len(rpms) != 1 {
		t.Fatalf("built %v and %v", debs, rpms)
	}
	if data, err := os.ReadFile(rpms[0]); err != nil || !bytes.HasPrefix(data, []byte{0xed, 0xab, 0xee, 0xdb}) {
		t.Errorf("%s is no rpm: %v", rpms[0], err)
	}
	if os.Getuid() != 0 {
		t.Skip("to install it needs root")
	}
	root := filepath.Join(dir, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd = exec.CommandContext(t.Context(), "unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-eu", "testdata/package/install.sh", root, debs[0])
	out, err = cmd.CombinedOutput()
	if cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == 77 {
		t.Skipf("this machine makes no overlay of its root:\n%s", out)
	}
	if err != nil {
		t.Fatalf("install: %v\n%s", err, out)
	}
	t.Logf("%s", out)
	if !strings.HasSuffix(string(out), "== ok\n") {
		t.Error("it didn't come to its end")
	}
	scores := regexp.MustCompile(`Overall exposure level for (\S+): ([\d.]+)`).FindAllStringSubmatch(string(out), -1)
	if len(scores) != 4 {
		t.Errorf("%d units have a score, want 4", len(scores))
	}
	for _, m := range scores {
		if score, err := strconv.ParseFloat(m[2], 64); err != nil || score > 3 {
			t.Errorf("exposure of %s is %s", m[1], m[2])
		}
	}
}
