package nfslab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"fencepost/cmd/fencepost/nfslab/guest"
)

// serial is a serial line: a terminal in the guest, pipes here. One
// process at a time has it open there.
type serial struct {
	number int
	r      *bufio.Reader
	w      *os.File
	out    *os.File // what r reads from
}

// terminal is its name in the guest.
func (s *serial) terminal() string { return guest.Terminal(s.number) }

// serials are a guest's lines.
type serials struct {
	all   []*serial
	free  chan *serial
	files []*os.File // the guest's ends, until it has started
}

func newSerials() (*serials, error) {
	s := &serials{free: make(chan *serial, guest.Terminals)}
	for i := range guest.Terminals {
		inR, inW, err := os.Pipe()
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
		outR, outW, err := os.Pipe()
		if err != nil {
			return nil, errors.Join(err, inR.Close(), inW.Close(), s.close())
		}
		s.files = append(s.files, inR, outW)
		s.all = append(s.all, &serial{number: i, r: bufio.NewReaderSize(outR, 64<<10), w: inW, out: outR})
		s.free <- s.all[i]
	}
	return s, nil
}

// arguments tell the kernel its ends: descriptors from 3 on, two a line.
func (s *serials) arguments() (args []string) {
	for _, l := range s.all {
		args = append(args, fmt.Sprintf("ssl%d=fd:%d,fd:%d", l.number, 3+2*l.number, 4+2*l.number))
	}
	return args
}

// started closes the guest's ends here, so that they end with it.
func (s *serials) started() {
	for _, f := range s.files {
		_ = f.Close()
	}
	s.files = nil
}

func (s *serials) close() (err error) {
	s.started()
	for _, l := range s.all {
		err = errors.Join(err, l.w.Close(), l.out.Close())
	}
	return err
}

// take waits for a line that nobody uses.
func (s *serials) take(ctx context.Context) (*serial, error) {
	select {
	case l := <-s.free:
		return l, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%d agents at once: %w", guest.Terminals-1, context.Cause(ctx))
	}
}

// put gives a line back when its process has ended.
func (s *serials) put(l *serial) { s.free <- l }

// await reads until the process that has the line open says that it is ready.
// What an earlier one left unread is thrown away.
func (s *serial) await(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.out.SetReadDeadline(time.Now()) })
	defer stop()
	for {
		text, err := s.r.ReadString('\n')
		switch {
		case err == nil && text == guest.Ready:
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			_ = s.out.SetReadDeadline(time.Time{})
			return context.Cause(ctx)
		case errors.Is(err, io.EOF):
			return errors.New("the guest has ended")
		case err != nil:
			return err
		}
	}
}
