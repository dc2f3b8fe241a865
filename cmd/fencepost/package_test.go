package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// packages builds both, once for all tests.
var packages struct {
	sync.Once
	deb string
	out []byte
	err error
}

// buildPackages returns the deb; tests that have the program do without it where
// it can't be built.
func buildPackages(t *testing.T) (deb string) {
	t.Helper()
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
	p := &packages
	p.Do(func() {
		out := filepath.Join(filepath.Dir(binary(t)), "packages") // TestMain removes it
		p.out, p.err = exec.Command("bash", "../../.packaging/build", out, "0.9.0").CombinedOutput()
		debs, _ := filepath.Glob(filepath.Join(out, "*.deb"))
		rpms, _ := filepath.Glob(filepath.Join(out, "*.rpm"))
		if p.err != nil || len(debs) != 1 || len(rpms) != 1 {
			p.err = errors.Join(p.err, fmt.Errorf("built %v and %v", debs, rpms))
			return
		}
		p.deb = debs[0]
		if data, err := os.ReadFile(rpms[0]); err != nil || !bytes.HasPrefix(data, []byte{0xed, 0xab, 0xee, 0xdb}) {
			p.err = fmt.Errorf("%s is no rpm: %w", rpms[0], err)
		}
	})
	if p.err != nil && !ci && bytes.Contains(p.out, []byte("dial tcp")) {
		t.Skipf("the tool can't be fetched:\n%s", p.out)
	}
	if p.err != nil {
		t.Fatalf("build: %v\n%s", p.err, p.out)
	}
	if os.Getuid() != 0 {
		t.Skip("to install it needs root")
	}
	if out, err := exec.Command("unshare", "--mount", "--pid", "--fork", "true").CombinedOutput(); err != nil {
		t.Skipf("no namespaces here: %v\n%s", err, out)
	}
	return p.deb
}

// emptyDir is a directory on a short path, for a root to be mounted on.
func emptyDir(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestPackages installs the deb where nothing of it stays, runs what it
// installed, verifies its units and takes it away again.
func TestPackages(t *testing.T) {
	deb := buildPackages(t)
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-eu",
		"testdata/package/install.sh", emptyDir(t, "root"), deb)
	out, err := cmd.CombinedOutput()
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

// TestUnderSystemd has a real systemd, in namespaces of its own, run the units
// that the package installs: ready, reloaded, killed, hanging, fenced, by a
// socket, and as three users.
func TestUnderSystemd(t *testing.T) {
	deb := buildPackages(t)
	group := newCgroup(t)
	shared := emptyDir(t, "shared")
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-eu", "-c", `echo $$ >"$1/cgroup.procs"; shift
exec unshare --mount --pid --fork --cgroup --uts --ipc --net --kill-child bash -eu testdata/package/boot.sh "$@"`, "bash",
		group, emptyDir(t, "root"), deb, shared)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	report := func() string {
		text, _ := os.ReadFile(filepath.Join(shared, "out"))
		return string(text)
	}
	for !regexp.MustCompile(`(?m)^exit `).MatchString(report()) {
		select {
		case err := <-ended:
			if cmd.ProcessState.ExitCode() == 77 {
				t.Skipf("this machine doesn't let a service manager run in namespaces:\n%s", said.Bytes())
			}
			t.Fatalf("systemd ended: %v\n%s\n%s", err, said.Bytes(), report())
		case <-time.After(200 * time.Millisecond):
		}
	}
	_ = cmd.Process.Kill() // and with it all in its namespace
	<-ended
	if !strings.HasSuffix(report(), "== ok\nexit 0\n") {
		t.Errorf("it didn't come to its end:\n%s", report())
	}
	t.Log(report())
}

// newCgroup is a control group for a service manager to live in.
func newCgroup(t *testing.T) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^\S+ (\S+) cgroup2 `).FindSubmatch(mounts)
	if m == nil {
		t.Skip("no cgroup2 here")
	}
	dir, err := os.MkdirTemp(string(m[1]), "fencepost-test-")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		eventually(t, time.Minute, func() string { // what was killed leaves it a moment later
			var dirs []string
			_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					dirs = append(dirs, path)
				}
				return nil
			})
			for _, d := range slices.Backward(dirs) {
				_ = os.Remove(d)
			}
			if _, err := os.Stat(dir); err == nil {
				return dir + " is in use"
			}
			return ""
		})
	})
	return dir
}
