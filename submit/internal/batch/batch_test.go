package batch_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"fencepost/codec"
	"fencepost/spool"
	"fencepost/submit"
	"fencepost/submit/clustertest"
	"fencepost/submit/internal/batch"
)

// shells are what /bin/sh may be on a compute node.
func shells(t *testing.T) (found [][]string) {
	for _, sh := range [][]string{{"dash"}, {"bash", "--posix"}, {"busybox", "sh"}, {"ksh"}} {
		if _, err := exec.LookPath(sh[0]); err == nil {
			found = append(found, sh)
		}
	}
	if len(found) == 0 {
		t.Fatal("no shell")
	}
	return found
}

func run(t *testing.T, sh []string, m batch.Maker, r submit.Request, id string) (out string, status int) {
	t.Helper()
	text, err := m.Make(r)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text, "\r") {
		t.Error("a carriage return: sbatch would refuse it")
	}
	name := filepath.Join(t.TempDir(), "batch")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(sh[0], append(sh[1:len(sh):len(sh)], name)...)
	cmd.Env = []string{"MY_ID=" + id, "PATH=/site/bin:/usr/bin:/bin", "TMPDIR=" + os.TempDir()}
	b, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

func TestEverythingArrivesVerbatim(t *testing.T) {
	dir := t.TempDir()
	odd := filepath.Join(dir, "a=b")
	if err := os.Symlink("/usr/bin/printf", odd); err != nil {
		t.Fatal(err)
	}
	readonly := map[string]string{"PPID": "1", "UID": "x", "EUID": "x", "IFS": "z", "PATH": "/else:/usr/bin:/bin", "BASHOPTS": "x",
		"SHELLOPTS": "x", "_": "x", "PS4": "$(touch pwned)", "fp_link": "x", "CR": "a\rb\r\n"}
	tests := []struct {
		name   string
		job    codec.Job
		want   string
		status int
	}{
		{"nasty environment", codec.Job{Command: []string{"/usr/bin/env"}, Env: clustertest.Nasty}, "", 0},
		{"variables that a shell keeps for itself", codec.Job{Command: []string{"/usr/bin/env"}, Env: readonly}, "", 0},
		{"arguments", codec.Job{Command: []string{"printf", "<%s>"}, Args: []string{"it's", "", "$HOME `id`", "a\r\nb", "-n", "\\"}},
			"<it's><><$HOME `id`><a\r\nb><-n><\\>", 0},
		{"program with an equals sign", codec.Job{Command: []string{odd, "%s", "x=y"}}, "x=y", 0},
		{"script with arguments", codec.Job{Script: "#!/bin/sh -e\nprintf '%s|' \"$@\"\nexit 7\n", Args: []string{"a b", "\r\n"}}, "a b|\r\n|", 7},
		{"script that sees the site's PATH", codec.Job{Script: "#!/bin/sh\nprintf %s \"$PATH\"\n"}, "/site/bin:/usr/bin:/bin", 0},
		{"script with percent signs", codec.Job{Script: "#!/bin/sh\nprintf '%%s\\n%s' '\\t' # %d\n"}, "%s\n\\t", 0},
		{"no interpreter", codec.Job{Script: "#!/no/such/thing\n"}, "", 127},
	}
	for _, sh := range shells(t) {
		for _, tt := range tests {
			t.Run(sh[0]+" "+tt.name, func(t *testing.T) {
				out, status := run(t, sh, batch.Maker{IDVar: "MY_ID", Guard: batch.Off}, clustertest.Request(t, tt.job), "17")
				if status != tt.status || tt.want != "" && out != tt.want {
					t.Errorf("got %q, status %d, want %q, %d", out, status, tt.want, tt.status)
				}
				for k, v := range tt.job.Env {
					if !strings.Contains(out, k+"="+v+"\n") {
						t.Errorf("no %s=%q in %q", k, v, out)
					}
				}
			})
		}
	}
}

// With mkdir for the guard, a lost reply refuses the only start, and exits 0.
func TestHole_09_GuardLetsOnePass(t *testing.T) {
	const n = 8
	for _, sh := range shells(t) {
		t.Run(sh[0], func(t *testing.T) {
			root := t.TempDir()
			if err := os.Mkdir(filepath.Join(root, spool.DirStarted), 0o770); err != nil {
				t.Fatal(err)
			}
			m := batch.Maker{IDVar: "MY_ID", Guard: batch.Strict, SpoolRoot: root}
			marks := clustertest.NewMarks(t)
			r := clustertest.Request(t, marks.Job("one", ""))
			var wg sync.WaitGroup
			var mu sync.Mutex
			count := map[int]int{}
			for i := range n {
				wg.Go(func() {
					_, status := run(t, sh, m, r, fmt.Sprint(100+i))
					mu.Lock()
					count[status]++
					mu.Unlock()
				})
			}
			wg.Wait()
			if marks.Starts("one") != 1 || count[0] != 1 || count[113] != n-1 {
				t.Errorf("got %d starts, statuses %v, want 1 and %d refusals with 113", marks.Starts("one"), count, n-1)
			}
			traces, _ := filepath.Glob(filepath.Join(root, spool.StartedPath(r.Key)) + ".refused.*")
			own, _ := filepath.Glob(filepath.Join(root, filepath.Dir(spool.StartedPath(r.Key)), ".*"))
			if len(traces) != n-1 || len(own) != 0 {
				t.Errorf("got %d traces, want %d; left behind: %q", len(traces), n-1, own)
			}
		})
	}
}

func TestLenientGuardLetsItsOwnIDPassAgain(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, spool.DirStarted), 0o770); err != nil {
		t.Fatal(err)
	}
	marks := clustertest.NewMarks(t)
	r := clustertest.Request(t, marks.Job("lenient", ""))
	m := batch.Maker{IDVar: "MY_ID", Guard: batch.Lenient, SpoolRoot: root}
	for _, step := range []struct {
		id     string
		status int
	}{{"17", 0}, {"17", 0}, {"18", 113}} {
		if out, status := run(t, []string{"/bin/sh"}, m, r, step.id); status != step.status {
			t.Errorf("id %s: got %d, %s, want %d", step.id, status, out, step.status)
		}
	}
	if n := marks.Starts("lenient"); n != 2 {
		t.Errorf("got %d starts, want 2", n)
	}
}

func TestCanaryHasNoGuard(t *testing.T) {
	r := clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"})
	r.Key = "canary.host.3"
	text, err := batch.Maker{IDVar: "MY_ID", Guard: batch.Strict, SpoolRoot: "/spool"}.Make(r)
	if err != nil || strings.Contains(text, "started") {
		t.Errorf("got %v, %s", err, text)
	}
}
