package main_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestReadme types the README's first set-up into a shell: it must work as it
// stands. Changed are only the build, which is done already, and the two ports.
func TestReadme(t *testing.T) {
	page, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, part, found := strings.Cut(string(page), "\n## A first set-up\n")
	block := regexp.MustCompile("(?s)\n```sh\n(.*?)\n```\n").FindStringSubmatch(part)
	if !found || block == nil {
		t.Fatal("README.md has no first set-up with a block of shell")
	}
	script := block[1]
	dir := t.TempDir()
	for old, new := range map[string]string{
		"go build -o fencepost ./cmd/fencepost\n": "",
		"127.0.0.1:7433": freeAddr(t),
		"127.0.0.1:7434": freeAddr(t),
	} {
		if !strings.Contains(script, old) {
			t.Fatalf("the first set-up doesn't contain %q any more", old)
		}
		script = strings.ReplaceAll(script, old, new)
	}
	if err := os.Symlink(binary(t), filepath.Join(dir, "fencepost")); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-eu")
	cmd.Dir = dir
	cmd.Stdin = strings.NewReader(script)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir, "LC_ALL=C"}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	// A group of its own, so that no host outlives a script that fails.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	began := time.Now()
	err = cmd.Run()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	if err != nil {
		t.Fatalf("the first set-up failed: %v\n%s", err, out.Bytes())
	}
	t.Logf("took %.1f s", time.Since(began).Seconds())
	for _, want := range []string{`(?m)^ready host=a `, `(?m)^ready host=b `, `(?m)^hello from the spool$`, `(?m)^accepted\s+21$`, `(?m)^done\s+21$`, `(?m)^difference\s+0$`} {
		if !regexp.MustCompile(want).Match(out.Bytes()) {
			t.Errorf("it didn't print %s:\n%s", want, out.Bytes())
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "tmp.*")); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
}

// freeAddr is an address on loopback that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
