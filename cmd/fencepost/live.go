package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"fencepost/cmd/fencepost/show"
)

// liveFlags are those of a view that goes on.
type liveFlags struct {
	every time.Duration
	count int  // looks; 0 = until it is ended
	lines bool // one JSON document a line and look
}

// Bounds of a live view. A look costs the file server something: on a spool that
// takes long to list, looks are further apart than was asked for.
const (
	leastEvery = 200 * time.Millisecond
	liveShare  = 2 // of its time, at most one part in so many goes into looks
)

func (f *liveFlags) bind(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&f.every, "interval", 2*time.Second, "time between two looks, `DURATION`")
	cmd.Flags().IntVar(&f.count, "count", 0, "end after `N` looks (default: until it is ended)")
	cmd.Flags().BoolVar(&f.lines, "jsonl", false, "print one JSON document a line and look")
}

func (f liveFlags) check(g *globals, cmd *cobra.Command) error {
	switch {
	case f.every < leastEvery:
		return usagef(cmd, "--interval %s is below %s", f.every, leastEvery)
	case f.count < 0:
		return usagef(cmd, "--count %d is negative", f.count)
	case g.json && f.count != 1:
		return usagef(cmd, "--json is one document: --jsonl prints one a line and look")
	}
	return nil
}

// live looks again and again, until count, Ctrl-C or q, and returns what was seen
// last; ended says that a person or a signal ended it. A share that doesn't
// answer ends it, too: looks that hang must not pile up.
func live[T any](g *globals, cmd *cobra.Command, f liveFlags, schema string, look func(context.Context, *share) (T, error),
	frame func(o *show.Out, doc T, first bool)) (last T, ended bool, err error) {
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	cmd.SetContext(ctx)
	s := openScreen(g, f)
	defer s.close()
	for n := 1; ; n++ {
		began := time.Now()
		doc, err := onSpool(g, cmd, look)
		if err != nil {
			if ctx.Err() != nil {
				return last, true, nil
			}
			return last, false, err
		}
		last = doc
		switch {
		case f.lines:
			err = show.JSONLines(g.stdout, schema, func(yield func(T) bool) { yield(doc) })
		case g.json:
			err = show.JSON(g.stdout, schema, doc)
		default:
			err = s.draw(func(o *show.Out) { frame(o, doc, n == 1) })
		}
		if err != nil || n == f.count {
			return last, false, err
		}
		if s.wait(ctx, max(f.every, liveShare*time.Since(began))) {
			return last, true, nil
		}
	}
}

// screen is where the frames go: on a terminal each in the place of the one
// before, elsewhere one after the other.
type screen struct {
	g     *globals
	tty   *os.File // nil = no terminal
	keys  *os.File // nil = none are read
	saved *unix.Termios
	last  []byte
}

// What a terminal is told: another screen, so that what was there comes back; no
// cursor; long lines are cut off, not wrapped.
const (
	screenBegin = "\x1b[?1049h\x1b[?25l\x1b[?7l"
	screenEnd   = "\x1b[?7h\x1b[?25h\x1b[?1049l"
)

func openScreen(g *globals, f liveFlags) *screen {
	s := &screen{g: g}
	out, ok := g.stdout.(*os.File)
	if !ok || f.lines || g.json || contains(g.environ, "TERM=dumb") || !term.IsTerminal(int(out.Fd())) {
		return s
	}
	s.tty, g.live = out, true
	_, _ = out.WriteString(screenBegin)
	in, ok := g.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return s
	}
	// Only what makes keys come one by one and unseen: Ctrl-C stays a signal.
	saved, err := unix.IoctlGetTermios(int(in.Fd()), unix.TCGETS)
	if err != nil {
		return s
	}
	t := *saved
	t.Lflag &^= unix.ICANON | unix.ECHO
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	if unix.IoctlSetTermios(int(in.Fd()), unix.TCSETS, &t) == nil {
		s.keys, s.saved = in, saved
	}
	return s
}

// close gives the terminal back, with the last frame on it.
func (s *screen) close() {
	if s.saved != nil {
		_ = unix.IoctlSetTermios(int(s.keys.Fd()), unix.TCSETS, s.saved)
	}
	if s.tty != nil {
		_, _ = s.tty.Write(append([]byte(screenEnd), s.last...))
	}
}

// draw makes a frame.
func (s *screen) draw(frame func(o *show.Out)) error {
	if s.tty == nil {
		o := show.NewOut(s.g.stdout, s.g.environ)
		frame(o)
		return o.Flush()
	}
	var b bytes.Buffer
	o := show.NewPretty(&b, show.Coloured(s.g.environ))
	frame(o)
	if err := o.Flush(); err != nil {
		return err
	}
	s.last = bytes.Clone(b.Bytes())
	_, height, err := term.GetSize(int(s.tty.Fd()))
	if err != nil || height < 2 {
		height = 24
	}
	_, err = s.tty.Write(inPlace(b.Bytes(), height))
	return err
}

// inPlace is a frame as it is drawn over another: no line more than there is
// room for, what is left of the old ones erased.
func inPlace(frame []byte, height int) []byte {
	out := []byte("\x1b[H")
	lines := bytes.Split(bytes.TrimSuffix(frame, []byte("\n")), []byte("\n"))
	for i, line := range lines[:min(len(lines), height)] {
		if i > 0 {
			out = append(out, "\r\n"...)
		}
		out = append(append(out, line...), "\x1b[K"...)
	}
	return append(out, "\x1b[J"...)
}

// keyTurn is how long a wait for a key lasts before the context is looked at.
const keyTurn = 100 * time.Millisecond

// wait waits for the next look; true = it is over. A key makes the look come at
// once, q ends the view.
func (s *screen) wait(ctx context.Context, d time.Duration) (over bool) {
	if s.keys == nil {
		select {
		case <-ctx.Done():
			return true
		case <-time.After(d):
			return false
		}
	}
	for until := time.Now().Add(d); ; {
		left := time.Until(until)
		if ctx.Err() != nil || left <= 0 {
			return ctx.Err() != nil
		}
		fds := []unix.PollFd{{Fd: int32(s.keys.Fd()), Events: unix.POLLIN}} //nolint:gosec // a descriptor
		n, err := unix.Poll(fds, int(max(min(left, keyTurn).Milliseconds(), 1)))
		if n <= 0 || errors.Is(err, syscall.EINTR) {
			continue
		}
		var key [16]byte
		got, err := s.keys.Read(key[:])
		return err != nil || bytes.ContainsAny(key[:got], "qQ\x04")
	}
}
