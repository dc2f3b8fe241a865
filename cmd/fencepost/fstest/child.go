package fstest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Kinds of children: the first argument of RunChild.
const (
	childPeer  = "peer"  // KEY: the other side of a run on one host
	childHold  = "hold"  // NAME: takes a lock and keeps it
	childWrite = "write" // DIR PAGES: writes until it is killed
)

const wordHeld = "held"

// RunChild is what a process does that Config.Child started. It ends when in
// does, also if its work hangs, so that it doesn't outlive who started it for
// long.
func RunChild(ctx context.Context, cfg Config, in io.Reader, out io.Writer, args []string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	done := make(chan error, 1)
	go func() { done <- work(ctx, cfg, out, args) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(endWait):
		return errors.New("the share does not answer")
	}
}

func work(ctx context.Context, cfg Config, out io.Writer, args []string) error {
	switch {
	case len(args) == 2 && args[0] == childPeer:
		cfg.Key = args[1]
		_, err := Run(ctx, cfg)
		return err
	case len(args) == 2 && args[0] == childHold:
		lock, err := cfg.FS.TryLock(args[1])
		if err != nil {
			return err
		}
		fmt.Fprintln(out, wordHeld)
		<-ctx.Done()
		return lock.Unlock()
	case len(args) == 3 && args[0] == childWrite:
		n, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		return write(ctx, cfg.FS, args[1], n, out)
	}
	return fmt.Errorf("%q: no such kind of child", args)
}

// child is a process that this side has started.
type child struct {
	lines chan string // closed at its end
	talk  *strings.Builder
	kill  func() // with SIGKILL, and waits, if it can
}

// reapWait bounds the wait for a process that was killed: one that waits for a
// dead server may not end.
const reapWait = 5 * time.Second

func (c *camp) startChild(ctx context.Context, args ...string) (*child, error) {
	cmd := c.Child(ctx, args...)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	ch := &child{lines: make(chan string, 1<<16), talk: &strings.Builder{}}
	cmd.Stderr = ch.talk
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a second process: %w", err)
	}
	reaped := make(chan struct{})
	go func() {
		defer close(reaped)
		sc := bufio.NewScanner(out)
		for sc.Scan() {
			ch.lines <- sc.Text()
		}
		close(ch.lines)
		_ = cmd.Wait()
	}()
	ch.kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = in.Close()
		waitFor(reaped, reapWait)
	})
	return ch, nil
}

func waitFor(done <-chan struct{}, d time.Duration) bool {
	select {
	case <-done:
		return true
	case <-time.After(d):
		return false
	}
}

// line is the next thing that the child says.
func (c *child) line(d time.Duration) (string, error) {
	select {
	case text, ok := <-c.lines:
		if !ok {
			c.kill()
			return "", fmt.Errorf("it ended: %s", strings.TrimSpace(c.talk.String()))
		}
		return text, nil
	case <-time.After(d):
		return "", errors.New("it says nothing")
	}
}

// startPeer starts the other side on this host.
func (c *camp) startPeer(ctx context.Context) (end func(), err error) {
	ch, err := c.startChild(context.WithoutCancel(ctx), childPeer, c.Key)
	if err != nil {
		return nil, err
	}
	return func() {
		// It ends by itself, soon after this side; if it doesn't, it is made to.
		_, _ = ch.line(endWait)
		ch.kill()
	}, nil
}
