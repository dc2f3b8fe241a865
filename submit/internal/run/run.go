package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Defaults of Spec.
const (
	DefaultTimeout = 30 * time.Second
	DefaultLimit   = 1 << 20
)

// drainWait is how long the output of a program that has ended is waited for:
// a child that it left behind may hold the pipe open for ever.
const drainWait = 500 * time.Millisecond

// Spec is a program to run.
type Spec struct {
	Argv    []string
	Env     []string      // the whole environment; later settings win; nil = none at all
	Stdin   []byte        // nil = /dev/null
	Dir     string        // "" = the caller's
	Timeout time.Duration // 0 = DefaultTimeout
	Limit   int           // bytes of standard output, and of standard error; 0 = DefaultLimit
	StopOn  []string      // words on standard error after which it is killed at once
}

// Result is how a program that did start ended.
type Result struct {
	Stdout, Stderr []byte
	Code           int            // exit status, -1 if it didn't exit by itself
	Signal         syscall.Signal // what ended it, 0 if it exited
	Stopped        error          // why it was killed by us: ErrTimeout, ErrOutput or the context's cause
}

// OK says whether the program ended by itself with status 0.
func (r Result) OK() bool { return r.Code == 0 && r.Stopped == nil }

// Said tells whether the program exited by itself and said something, every
// line of which, on either stream, has one of the given words in it.
func (r Result) Said(words ...string) bool {
	if r.Stopped != nil || r.Signal != 0 {
		return false
	}
	said := false
	for line := range strings.Lines(string(r.Stdout) + "\n" + string(r.Stderr)) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		if !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(line, w) }) {
			return false
		}
		said = true
	}
	return said
}

// Why tells in words how the program ended.
func (r Result) Why() string {
	switch {
	case r.Stopped != nil:
		return "killed: " + r.Stopped.Error()
	case r.Signal != 0:
		return "ended by signal: " + r.Signal.String()
	}
	return fmt.Sprintf("exit status %d", r.Code)
}

// Reasons to kill a program.
var (
	ErrTimeout = errors.New("time-out")
	ErrOutput  = errors.New("too much output")
	ErrWords   = errors.New("it said enough") // Spec.StopOn
)

// NotStarted is the error of a program that surely didn't run.
type NotStarted struct {
	// Passing is true when the cause is a shortage of this moment (processes,
	// memory, descriptors, a file being replaced, the caller's context), false
	// when the program can't be run here.
	Passing bool
	Err     error
}

func (e *NotStarted) Error() string { return "not started: " + e.Err.Error() }
func (e *NotStarted) Unwrap() error { return e.Err }

// Run runs a program and waits for its end. The only error is *NotStarted;
// everything else, time-outs included, is in the Result.
func Run(ctx context.Context, s Spec) (Result, error) {
	if len(s.Argv) == 0 || s.Argv[0] == "" {
		return Result{}, &NotStarted{Err: errors.New("no program given")}
	}
	timeout, limit := s.Timeout, s.Limit
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	if limit <= 0 {
		limit = DefaultLimit
	}
	// The cancel cause is what Result.Stopped reports: whoever is first.
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	timer := time.AfterFunc(timeout, func() { stop(ErrTimeout) })
	defer timer.Stop()

	cmd := exec.CommandContext(ctx, s.Argv[0], s.Argv[1:]...)
	cmd.Env = s.Env
	if cmd.Env == nil {
		cmd.Env = []string{}
	}
	cmd.Dir = s.Dir
	if s.Stdin != nil {
		cmd.Stdin = bytes.NewReader(s.Stdin)
	}
	out := &bounded{limit: limit, stop: func() { stop(ErrOutput) }}
	serr := &bounded{limit: limit, stop: func() { stop(ErrOutput) }, words: s.StopOn, said: func() { stop(ErrWords) }}
	cmd.Stdout, cmd.Stderr = out, serr
	// A group of its own, so that a time-out kills its children too, and so
	// that a terminal's ^C at the daemon doesn't end a submission half-way.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = drainWait
	if err := cmd.Start(); err != nil {
		return Result{}, &NotStarted{Passing: passing(ctx, err), Err: err}
	}
	_ = cmd.Wait() // the state below says it all; ErrWaitDelay is a child left behind
	return result(ctx, cmd, out, serr), nil
}

// result reads the process state, which is more exact than Wait's error: a
// program that exited just before the kill did exit.
func result(ctx context.Context, cmd *exec.Cmd, out, serr *bounded) Result {
	r := Result{Code: -1, Stdout: out.bytes(), Stderr: serr.bytes()}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok {
		switch {
		case ws.Exited():
			r.Code = ws.ExitStatus()
		case ws.Signaled():
			r.Signal = ws.Signal()
		}
	}
	switch {
	case out.over() || serr.over():
		r.Stopped = ErrOutput
	case r.Signal != 0 && ctx.Err() != nil:
		r.Stopped = context.Cause(ctx)
	}
	return r
}

func passing(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return true
	}
	for _, e := range []error{syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE,
		syscall.ETXTBSY, syscall.ESTALE, syscall.EIO, syscall.ETIMEDOUT} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// bounded keeps the first limit bytes and reports the first one beyond.
type bounded struct {
	limit int
	stop  func()
	words []string
	said  func() // called when one of words has been written

	mu   sync.Mutex // guards what follows: after drainWait a copier may still write
	buf  []byte
	full bool
}

func (b *bounded) Write(p []byte) (int, error) {
	b.mu.Lock()
	room := b.limit - len(b.buf)
	first := len(p) > room && !b.full
	if len(p) > room {
		b.full = true
		b.buf = append(b.buf, p[:room]...)
	} else {
		b.buf = append(b.buf, p...)
	}
	said := slices.ContainsFunc(b.words, func(w string) bool { return bytes.Contains(b.buf, []byte(w)) })
	b.mu.Unlock()
	if first {
		b.stop()
	}
	if said {
		b.said()
	}
	return len(p), nil
}

func (b *bounded) bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.buf)
}

func (b *bounded) over() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.full
}
