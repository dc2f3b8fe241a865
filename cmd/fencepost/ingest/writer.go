package ingest

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"fencepost/codec"
)

// answer is a message on its way to the peer.
type answer struct {
	m    codec.Message
	done chan struct{} // a token is taken from it just before the peer can see the message
	last bool          // nothing comes after it
}

// send queues an answer that no limit applies to: WELCOME and GOAWAY, one each.
func (c *conn) send(m codec.Message) { c.out <- answer{m: m} }

// sendOwn queues an answer that has no place in the window. While too many of
// them wait, so does the reader.
func (c *conn) sendOwn(m codec.Message) error {
	select {
	case c.own <- struct{}{}:
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
	c.out <- answer{m: m, done: c.own}
	return nil
}

// write writes answers until the last one, or until the connection fails. It
// has a little buffer, flushed when there is nothing more to write at once.
func (c *conn) write() {
	bw := bufio.NewWriter(c.nc)
	for {
		var a answer
		select {
		case a = <-c.out:
		default:
			if err := c.flush(bw); err != nil {
				return
			}
			select {
			case a = <-c.out:
			case <-c.ctx.Done():
				return
			}
		}
		if a.m != nil {
			if err := c.put(bw, a); err != nil {
				return
			}
		}
		if a.last {
			_ = c.flush(bw)
			return
		}
	}
}

func (c *conn) put(bw *bufio.Writer, a answer) error {
	frame, err := codec.AppendMessage(nil, a.m)
	if err != nil {
		// A value of the backend's that no message can carry. The request
		// still gets an answer.
		c.log.Error().Err(err).Str("event", "answer-invalid").Msg("an answer can't be encoded")
		frame, err = codec.AppendMessage(nil, instead(a.m))
		if err != nil {
			c.fail(err)
			return err
		}
	}
	c.s.count.answered(a.m)
	if a.done != nil {
		<-a.done
	}
	_ = c.nc.SetWriteDeadline(time.Now().Add(c.s.cfg.Write))
	if _, err := bw.Write(frame); err != nil {
		return c.writeFailed(err)
	}
	return nil
}

// instead is the answer to give when m can't be encoded.
func instead(m codec.Message) codec.Message {
	switch m := m.(type) {
	case codec.State:
		return codec.Refused{Seq: m.Seq, Code: codec.CodeInternal, Reason: "the state can't be told"}
	case codec.Refused:
		return codec.Refused{Seq: m.Seq, Code: codec.CodeInternal, Reason: "the reason can't be told"}
	}
	return codec.GoAway{Code: codec.CodeInternal, Reason: "an answer can't be encoded"}
}

func (c *conn) flush(bw *bufio.Writer) error {
	if bw.Buffered() == 0 {
		return nil
	}
	_ = c.nc.SetWriteDeadline(time.Now().Add(c.s.cfg.Write))
	if err := bw.Flush(); err != nil {
		return c.writeFailed(err)
	}
	return nil
}

func (c *conn) writeFailed(err error) error {
	err = fmt.Errorf("write answers: %w", err)
	c.fail(err)
	return err
}

// finish ends the connection after the reader: it waits until every request is
// answered, says GOAWAY if err is one, and lets the writer end.
func (c *conn) finish(err error) {
	for range cap(c.slots) {
		select {
		case c.slots <- struct{}{}:
		case <-c.ctx.Done():
			return
		}
	}
	last := answer{last: true}
	var away *goAway
	if errors.As(err, &away) {
		last.m = codec.GoAway{Code: away.code, Reason: oneLine(away.reason), LastSeq: c.lastSeq}
	}
	c.out <- last
}

const (
	hangUpTime  = 2 * time.Second
	hangUpBytes = 1 << 20
)

// hangUp says that nothing more comes, then reads on for a while: closing a
// socket with unread bytes makes the kernel send a reset, which can overtake
// the reason that the peer was about to read.
func (c *conn) hangUp() {
	wait := hangUpTime
	c.mu.Lock()
	if c.sentAway {
		wait = maxDoorWait // its place is another's already
	}
	c.mu.Unlock()
	hangUp(c.nc, wait)
}

func hangUp(nc net.Conn, wait time.Duration) {
	// Where the handshake failed there is no end inside TLS to be said.
	if tc, ok := nc.(*tls.Conn); ok && !tc.ConnectionState().HandshakeComplete {
		nc = tc.NetConn()
	}
	half, ok := nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	_ = nc.SetReadDeadline(time.Now().Add(wait)) // also where the server drains
	_, _ = io.CopyN(io.Discard, nc, hangUpBytes)
}

// turnAway is all that a connection beyond the limits gets.
func (c *conn) turnAway(code codec.Code, reason string) {
	defer c.nc.Close()
	defer c.fail(net.ErrClosed)
	if c.secure(time.Now().Add(hangUpTime)) != nil {
		return
	}
	m := codec.GoAway{Code: code, Reason: reason}
	frame, err := codec.AppendMessage(nil, m)
	if err != nil {
		return
	}
	c.s.count.answered(m)
	_ = c.nc.SetWriteDeadline(time.Now().Add(c.s.cfg.Write))
	if _, err := c.nc.Write(frame); err == nil {
		c.hangUp()
	}
	c.log.Debug().Str("event", "turned-away").Str("code", string(code)).Str("reason", reason).Msg("connection refused")
}

// brushOff is what one gets when too many are being turned away already: the
// reason fits the kernel's buffer, and there is hardly a wait for it to be read.
// TLS would want a handshake first, so that there it is the end without a word.
func (c *conn) brushOff(code codec.Code, reason string) {
	defer c.nc.Close()
	defer c.fail(net.ErrClosed)
	m := codec.GoAway{Code: code, Reason: reason}
	frame, err := codec.AppendMessage(nil, m)
	if c.s.cfg.TLS == nil && err == nil {
		_ = c.nc.SetWriteDeadline(time.Now().Add(maxDoorWait))
		if _, err := c.nc.Write(frame); err == nil {
			c.s.count.answered(m)
			hangUp(c.nc, maxDoorWait)
			return
		}
	}
	c.s.count.do(func(st *Stats) { st.Dropped++ })
	if raw, ok := c.nc.(*tls.Conn); ok {
		raw.NetConn().Close() // c.nc.Close would try to say goodbye inside TLS
	}
	time.Sleep(maxDoorWait)
}
