package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"fencepost/codec"
)

// maxAnswer bounds a host's frames (docs/spec/wire.md, Frame).
const maxAnswer = 16 << 10

// errNoAnswer: the host is alive, but this request's answer doesn't come.
var errNoAnswer = errors.New("no answer in time")

// conn is one connection after its handshake. Many goroutines ask; one reads.
type conn struct {
	c       *Client
	addr    string
	nc      net.Conn
	br      *bufio.Reader
	welcome codec.Welcome
	window  chan struct{} // a token for each request without an answer

	ctx  context.Context // ends, with the cause, when the connection is of no use any more
	fail context.CancelCauseFunc

	writing sync.Mutex // held while a frame is written: seq is in the order of the frames
	seq     uint64

	mu      sync.Mutex
	waiting map[uint64]chan codec.Message
	heard   time.Time // when the host last gave a sign, or the first request after a rest was sent
}

func newConn(c *Client, addr string, nc net.Conn) *conn {
	cn := &conn{c: c, addr: addr, nc: nc, br: bufio.NewReader(nc), waiting: map[uint64]chan codec.Message{}}
	cn.ctx, cn.fail = context.WithCancelCause(c.base)
	return cn
}

// ask sends a request and waits for its answer. sent says, after an error, that
// the host may have seen it.
func (cn *conn) ask(ctx context.Context, q question) (m codec.Message, sent bool, err error) {
	select {
	case cn.window <- struct{}{}:
	case <-cn.ctx.Done():
		return nil, false, context.Cause(cn.ctx)
	case <-ctx.Done():
		return nil, false, context.Cause(ctx)
	}
	answer, sent, err := cn.send(q)
	if err != nil {
		return nil, sent, err
	}
	timer := time.NewTimer(cn.c.cfg.Answer)
	defer timer.Stop()
	// The place in the window is given back with the answer, not before: the
	// host counts, too.
	select {
	case m := <-answer:
		return m, true, nil
	case <-cn.ctx.Done():
		select {
		case m := <-answer: // both
			return m, true, nil
		default:
		}
		return nil, cn.looked(answer), context.Cause(cn.ctx)
	case <-timer.C:
		return nil, true, fmt.Errorf("%s: %w", cn.addr, errNoAnswer)
	case <-ctx.Done():
		return nil, true, fmt.Errorf("wait for the answer of %s: %w", cn.addr, context.Cause(ctx))
	}
}

// looked says whether the host may have looked at a request that has no answer:
// GOAWAY tells which ones it did not.
func (cn *conn) looked(answer chan codec.Message) bool {
	var gone *goneAway
	if !errors.As(context.Cause(cn.ctx), &gone) {
		return true
	}
	cn.mu.Lock()
	defer cn.mu.Unlock()
	for seq, ch := range cn.waiting {
		if ch == answer {
			return seq <= gone.LastSeq
		}
	}
	return true
}

// send writes a request and registers for its answer.
func (cn *conn) send(q question) (answer chan codec.Message, sent bool, err error) {
	cn.writing.Lock()
	defer cn.writing.Unlock()
	if cn.ctx.Err() != nil {
		return nil, false, context.Cause(cn.ctx)
	}
	m := q.make(cn.seq + 1)
	if t := cn.c.cfg.Token; t != nil && slices.Contains(cn.welcome.Features, featureToken) {
		m = t.Sign(m, cn.welcome.Spool, time.Now())
	}
	frame, err := codec.AppendMessage(nil, m)
	if err != nil {
		<-cn.window
		return nil, false, err
	}
	cn.seq++
	answer = make(chan codec.Message, 1)
	cn.mu.Lock()
	if len(cn.waiting) == 0 {
		cn.heard = time.Now()
	}
	cn.waiting[cn.seq] = answer
	cn.mu.Unlock()
	return answer, true, cn.write(frame)
}

// write writes a frame; writing is held.
func (cn *conn) write(frame []byte) error {
	_ = cn.nc.SetWriteDeadline(time.Now().Add(cn.c.cfg.Write))
	if _, err := cn.nc.Write(frame); err != nil {
		// The host may have said why it doesn't read: the reader finds out.
		// Half a frame is out, so the connection is of no use in any case.
		err = fmt.Errorf("send to %s: %w", cn.addr, err)
		select {
		case <-cn.ctx.Done():
			return context.Cause(cn.ctx)
		case <-time.After(100 * time.Millisecond):
		}
		cn.fail(err)
		return context.Cause(cn.ctx)
	}
	return nil
}

// read is the connection's goroutine: it hands out answers until the end.
func (cn *conn) read() {
	unhook := context.AfterFunc(cn.ctx, func() { cn.nc.Close() })
	defer unhook()
	for {
		err := cn.readOne()
		if err != nil {
			cn.fail(err)
			cn.nc.Close()
			return
		}
	}
}

func (cn *conn) readOne() error {
	if err := cn.await(); err != nil {
		return err
	}
	_ = cn.nc.SetReadDeadline(time.Now().Add(cn.c.cfg.Silence))
	m, err := cn.receive()
	if err != nil {
		return err
	}
	switch m := m.(type) {
	case codec.Accepted:
		return cn.answered(m.Seq, m)
	case codec.State:
		return cn.answered(m.Seq, m)
	case codec.Refused:
		return cn.answered(m.Seq, m)
	case codec.Ping:
		return cn.say(codec.Pong(m))
	case codec.Pong:
		return nil
	case codec.GoAway:
		return &goneAway{cn.addr, m, false}
	}
	return fmt.Errorf("%s sent %v, which a host doesn't", cn.addr, m.FrameType())
}

// await waits for a frame to begin. While an answer is awaited a silent host is
// asked for a sign, and given up if it gives none: a host that was powered off
// sends nothing, not even a reset.
func (cn *conn) await() error {
	for {
		_ = cn.nc.SetReadDeadline(time.Now().Add(cn.c.cfg.Ping))
		_, err := cn.br.Peek(1)
		cn.mu.Lock()
		waits, silent := len(cn.waiting) > 0, time.Since(cn.heard)
		if err == nil {
			cn.heard = time.Now()
		}
		cn.mu.Unlock()
		switch {
		case err == nil:
			return nil
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%s closed the connection without a word", cn.addr)
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("read from %s: %w", cn.addr, err)
		case waits && silent >= cn.c.cfg.Silence:
			return fmt.Errorf("%s has given no sign for %s", cn.addr, silent.Round(time.Second))
		case waits:
			if err := cn.say(codec.Ping{Nonce: uint64(silent)}); err != nil {
				return err
			}
		}
	}
}

// say sends what is no request. It is left out while a request is being
// written: the reader must not wait for the writer.
func (cn *conn) say(m codec.Message) error {
	frame, err := codec.AppendMessage(nil, m)
	if err != nil || !cn.writing.TryLock() {
		return err
	}
	defer cn.writing.Unlock()
	return cn.write(frame)
}

func (cn *conn) answered(seq uint64, m codec.Message) error {
	cn.mu.Lock()
	answer, ok := cn.waiting[seq]
	delete(cn.waiting, seq)
	cn.mu.Unlock()
	if !ok {
		return fmt.Errorf("%s answered request %d, which doesn't wait", cn.addr, seq)
	}
	answer <- m
	<-cn.window
	return nil
}

func (cn *conn) receive() (codec.Message, error) {
	f, err := codec.ReadFrame(cn.br, maxAnswer)
	if err != nil {
		return nil, err
	}
	return codec.Unmarshal(f)
}
