package line_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"fencepost/cmd/fencepost/nfslab/line"
)

// roleVar has the test binary serve a stream on its standard input and output.
const roleVar = "LINE_TEST_SERVE"

func TestMain(m *testing.M) {
	if os.Getenv(roleVar) != "" {
		if line.Serve(os.Stdin, os.Stdout) != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// pair is a client whose commands run in this process's environment.
func pair(t *testing.T) (*line.Client, func()) {
	t.Helper()
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	served := make(chan error, 1)
	go func() {
		served <- line.Serve(inR, outW)
		outW.Close()
	}()
	hangUp := func() { inW.Close() }
	t.Cleanup(func() {
		hangUp()
		select {
		case err := <-served:
			if err != nil {
				t.Errorf("serve: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("serve doesn't end")
		}
	})
	return line.NewClient(outR, inW), hangUp
}

func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestOutput(t *testing.T) {
	c, _ := pair(t)
	cmd := c.Command("sh", "-c", "echo $WHAT; pwd; cat; echo no >&2")
	cmd.Env, cmd.Dir = []string{"WHAT=yes"}, "/"
	got, err := cmd.Output(bounded(t))
	if err != nil || string(got) != "yes\n/\n" {
		t.Errorf("got %q, %v", got, err)
	}
	_, err = c.Command("sh", "-c", "echo broken >&2; exit 3").Output(bounded(t))
	var exit *line.ExitError
	if !errors.As(err, &exit) || exit.Exit.Code != 3 || !strings.Contains(err.Error(), "broken") {
		t.Errorf("got %v, want exit status 3 and what it said", err)
	}
	if _, err := c.Command("/none/such").Output(bounded(t)); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("got %v, want that there is no such program", err)
	}
}

// TestBulk: more than any buffer holds, in both directions at once.
func TestBulk(t *testing.T) {
	c, _ := pair(t)
	want := bytes.Repeat([]byte("0123456789abcde\n"), 200_000)
	var got bytes.Buffer
	cmd := c.Command("cat")
	cmd.Input, cmd.Stdout = true, &got
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := cmd.Write(want); err != nil {
		t.Fatal(err)
	}
	if err := cmd.CloseInput(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("got %d bytes, want %d, or others", got.Len(), len(want))
	}
}

func TestSignals(t *testing.T) {
	c, _ := pair(t)
	cmd := c.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(cmd.Pid(), 0); err != nil {
		t.Errorf("process %d: %v", cmd.Pid(), err)
	}
	for _, s := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGKILL} {
		if err := cmd.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	var exit *line.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Exit.Signal != int(syscall.SIGKILL) {
		t.Errorf("got %v, want killed", err)
	}
	group := c.Command("sh", "-c", "sleep 1000 & echo $!; wait")
	r, w := io.Pipe()
	group.Stdout = w
	if err := group.Start(); err != nil {
		t.Fatal(err)
	}
	var child int
	if _, err := fmt.Fscanln(r, &child); err != nil {
		t.Fatal(err)
	}
	if err := group.SignalGroup(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := group.Wait(); !errors.As(err, &exit) || exit.Exit.Signal != int(syscall.SIGTERM) {
		t.Errorf("got %v, want terminated", err)
	}
	gone(t, child)
}

// gone waits until a process is no more, or nobody's but the one's who has to
// bury it.
func gone(t *testing.T, pid int) {
	t.Helper()
	for range 100 {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("process %d is still there", pid)
	_ = syscall.Kill(pid, syscall.SIGKILL)
}

func TestRunEndsWithContext(t *testing.T) {
	c, _ := pair(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.Command("sleep", "1000").Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// TestHangUp: the end of the stream kills what runs, and nobody waits for ever.
func TestHangUp(t *testing.T) {
	c, hangUp := pair(t)
	cmd := c.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hangUp()
	if err := cmd.Wait(); err == nil {
		t.Error("it ended well")
	}
	gone(t, cmd.Pid())
	if err := c.Command("true").Start(); err == nil {
		t.Error("a command was started on a stream that has ended")
	}
}

// TestNested: a command that serves a stream itself, as a host does.
func TestNested(t *testing.T) {
	c, _ := pair(t)
	host := c.Command(os.Args[0])
	host.Env, host.Input = []string{roleVar + "=1"}, true
	r, w := io.Pipe()
	host.Stdout = w
	inner := line.NewClient(r, host)
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	got, err := inner.Command("echo", "hello").Output(bounded(t))
	if err != nil || string(got) != "hello\n" {
		t.Errorf("got %q, %v", got, err)
	}
	cmd := inner.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := host.CloseInput(); err != nil {
		t.Fatal(err)
	}
	if err := host.Wait(); err != nil {
		t.Errorf("the host's end: %v", err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("a command outlived its host")
	}
}
