package run_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"fencepost/submit/internal/run"
)

func sh(script string) run.Spec {
	return run.Spec{Argv: []string{"/bin/sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin"}, Timeout: 10 * time.Second}
}

func TestRunTellsEndsApart(t *testing.T) {
	tests := []struct {
		name   string
		script string
		code   int
		signal syscall.Signal
		out    string
	}{
		{"ok", "echo hello", 0, 0, "hello\n"},
		{"status", "echo x; exit 75", 75, 0, "x\n"},
		{"signal", "kill -TERM $$", -1, syscall.SIGTERM, ""},
		{"input ignored", "exec <&-; echo y", 0, 0, "y\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := sh(tt.script)
			s.Stdin = bytes.Repeat([]byte("z"), 1<<20)
			got, err := run.Run(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			if got.Code != tt.code || got.Signal != tt.signal || string(got.Stdout) != tt.out || got.Stopped != nil {
				t.Errorf("got %+v, want code %d, signal %v, output %q", got, tt.code, tt.signal, tt.out)
			}
		})
	}
}

func TestRunPassesArgumentsAndInputVerbatim(t *testing.T) {
	nasty := "a b'\"$(touch x)\n*;`"
	got, err := run.Run(t.Context(), run.Spec{Argv: []string{"/usr/bin/printf", "%s", nasty}})
	if err != nil || string(got.Stdout) != nasty {
		t.Errorf("got %q, %v, want %q", got.Stdout, err, nasty)
	}
	s := run.Spec{Argv: []string{"/bin/cat"}, Stdin: []byte(nasty)}
	if got, err := run.Run(t.Context(), s); err != nil || string(got.Stdout) != nasty {
		t.Errorf("got %q, %v, want %q", got.Stdout, err, nasty)
	}
}

func TestRunEnvironmentIsOnlyWhatIsGiven(t *testing.T) {
	t.Setenv("LEAK", "1")
	got, err := run.Run(t.Context(), run.Spec{Argv: []string{"/usr/bin/env"}, Env: []string{"A=1", "A=2"}})
	if err != nil || string(got.Stdout) != "A=2\n" {
		t.Errorf("got %q, %v, want A=2 only", got.Stdout, err)
	}
	got, err = run.Run(t.Context(), run.Spec{Argv: []string{"/usr/bin/env"}})
	if err != nil || len(got.Stdout) != 0 {
		t.Errorf("got %q, %v, want nothing", got.Stdout, err)
	}
}

func TestRunNotStarted(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	noInterpreter := filepath.Join(dir, "nointerp")
	for name, text := range map[string]string{plain: "x", noInterpreter: "#!/no/such/thing\n"} {
		mode := os.FileMode(0o755)
		if name == plain {
			mode = 0o644
		}
		if err := os.WriteFile(name, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, argv := range [][]string{nil, {""}, {"/no/such/program"}, {"no-such-program"}, {plain}, {noInterpreter}, {dir}} {
		_, err := run.Run(t.Context(), run.Spec{Argv: argv})
		var ns *run.NotStarted
		if !errors.As(err, &ns) || ns.Passing {
			t.Errorf("%q: got %v, want NotStarted, for good", argv, err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	_, err := run.Run(ctx, sh("true"))
	var ns *run.NotStarted
	if !errors.As(err, &ns) || !ns.Passing {
		t.Errorf("ended context: got %v, want NotStarted, passing", err)
	}
}

func TestRunTimeoutKillsTheGroup(t *testing.T) {
	s := sh("sleep 300 & echo $!; wait")
	s.Timeout = 300 * time.Millisecond
	begun := time.Now()
	got, err := run.Run(t.Context(), s)
	if err != nil || !errors.Is(got.Stopped, run.ErrTimeout) || got.OK() {
		t.Fatalf("got %+v, %v, want a time-out", got, err)
	}
	if d := time.Since(begun); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(got.Stdout)))
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); alive(pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("child %d outlived the time-out", pid)
		}
	}
}

// alive: a zombie counts as dead, whoever has to reap it.
func alive(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !bytes.Contains(b, []byte(") Z "))
}

func TestRunCancelled(t *testing.T) {
	ctx, stop := context.WithCancelCause(t.Context())
	why := errors.New("lost the lease")
	time.AfterFunc(200*time.Millisecond, func() { stop(why) })
	got, err := run.Run(ctx, sh("sleep 60"))
	if err != nil || !errors.Is(got.Stopped, why) {
		t.Errorf("got %+v, %v, want stopped by %v", got, err, why)
	}
}

func TestRunBoundsOutput(t *testing.T) {
	for _, fd := range []string{"1", "2"} {
		s := sh("exec 1>&" + fd + "; yes")
		s.Limit = 1000
		got, err := run.Run(t.Context(), s)
		if err != nil || !errors.Is(got.Stopped, run.ErrOutput) || len(got.Stdout)+len(got.Stderr) != 1000 {
			t.Errorf("fd %s: got %d+%d bytes, %v, %v", fd, len(got.Stdout), len(got.Stderr), got.Stopped, err)
		}
	}
}

func TestRunDoesNotWaitForAChildLeftBehind(t *testing.T) {
	begun := time.Now()
	got, err := run.Run(t.Context(), sh("echo 17; sleep 5 &"))
	if err != nil || !got.OK() || string(got.Stdout) != "17\n" {
		t.Errorf("got %+v, %v", got, err)
	}
	if d := time.Since(begun); d > 4*time.Second {
		t.Errorf("waited %v for the child", d)
	}
}

func TestRunStopsOnWords(t *testing.T) {
	s := sh("echo 17; echo noise >&2; echo 'sleeping and retrying' >&2; sleep 60")
	s.StopOn = []string{"never", "and retrying"}
	begun := time.Now()
	got, err := run.Run(t.Context(), s)
	if err != nil || !errors.Is(got.Stopped, run.ErrWords) || !strings.Contains(string(got.Stderr), "retrying") {
		t.Errorf("got %+v, %v", got, err)
	}
	if d := time.Since(begun); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
}
