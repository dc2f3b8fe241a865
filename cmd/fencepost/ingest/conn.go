package ingest

import (
	"bufio"
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"fencepost/codec"
)

// ownAnswers is how many answers beside those of the window may wait to be
// written: PONG, REFUSED window_exceeded, GOAWAY. Past it the peer isn't read.
const ownAnswers = 16

// The kernel's buffers of a connection, in bytes. Answers are small; bodies
// aren't, and come from far away, too.
const (
	kernelRead  = 256 << 10
	kernelWrite = 32 << 10
)

// conn is one connection: a reader, which is its goroutine, a writer, and a
// goroutine for each request that is with the backend.
type conn struct {
	s      *Server
	nc     net.Conn
	br     *bufio.Reader
	addr   string // of the peer's network
	log    zerolog.Logger
	memory account

	slots chan struct{} // a token for each request whose answer isn't written
	own   chan struct{} // a token for each other answer that isn't written
	out   chan answer   // has room for both kinds: sending to it never blocks

	ctx  context.Context // ends when the connection is broken or given up
	fail context.CancelCauseFunc

	mu       sync.Mutex
	stopping bool // the read deadline stays in the past
	sentAway bool // the same; it makes way for another

	// The server's lock guards these.
	place  *list.Element // among the strangers: it hasn't said hello, or not who it is
	known  bool          // it has
	client string        // whose connection it is then

	// The rest is the reader's own, until it has said hello.
	peer     Peer
	began    time.Time
	lastSeq  uint64
	lastRead time.Time
}

func newConn(s *Server, nc net.Conn) *conn {
	raw := nc
	if s.cfg.TLS != nil {
		nc = tls.Server(nc, s.cfg.TLS)
	}
	c := &conn{
		s: s, nc: nc, br: bufio.NewReader(nc), memory: account{shared: s.memory}, began: time.Now(),
		slots: make(chan struct{}, s.cfg.Window), own: make(chan struct{}, ownAnswers),
		out: make(chan answer, s.cfg.Window+ownAnswers+1),
	}
	if b, ok := raw.(interface {
		SetReadBuffer(int) error
		SetWriteBuffer(int) error
	}); ok { // hints: without them the kernel keeps megabytes for a peer that stalls
		_ = b.SetReadBuffer(kernelRead)
		_ = b.SetWriteBuffer(kernelWrite)
	}
	c.addr = network(Address(nc))
	c.log = s.cfg.Log.With().Str("peer", nc.RemoteAddr().String()).Logger()
	c.ctx, c.fail = context.WithCancelCause(s.base)
	return c
}

// goAway is an error that ends the connection with a GOAWAY.
type goAway struct {
	code   codec.Code
	reason string
}

func (g *goAway) Error() string { return string(g.code) + ": " + g.reason }

// errMadeWay: see Server.makeWay.
var errMadeWay = &goAway{codec.CodeBusy, "too many connections came after this one that haven't said who they are, either"}

func protocolError(reason string) error { return &goAway{codec.CodeProtocol, reason} }

// run serves the connection from its first byte to its close.
func (c *conn) run() {
	defer c.s.unregister(c)
	written := make(chan struct{})
	// A dead connection's reader and writer wake up because its socket closes.
	unhook := context.AfterFunc(c.ctx, func() { c.nc.Close() })
	c.s.spawn(func() { defer close(written); c.write() })
	err := c.serveSafely()
	c.finish(err)
	<-written
	if c.ctx.Err() == nil {
		c.hangUp()
	}
	unhook()
	c.nc.Close()
	c.fail(net.ErrClosed)
	c.report(err)
}

// serveSafely turns a panic into the end of this connection.
func (c *conn) serveSafely() (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.panicked(p)
			err = &goAway{codec.CodeInternal, "internal error"}
		}
	}()
	if err := c.handshake(); err != nil {
		return err
	}
	for {
		if err := c.serveFrame(); err != nil {
			return err
		}
	}
}

func (c *conn) panicked(p any) {
	c.s.count.do(func(st *Stats) { st.Panics++ })
	c.log.Error().Str("event", "panic").Interface("panic", p).Bytes("stack", debug.Stack()).Msg("a panic was contained")
}

// handshake reads HELLO and answers with WELCOME.
func (c *conn) handshake() error {
	c.lastRead = time.Now()
	deadline := c.lastRead.Add(c.s.cfg.Handshake)
	if err := c.secure(deadline); err != nil {
		return err
	}
	m, size, err := c.readMessage(&frameReader{c: c, fixed: deadline}, smallLimit)
	defer c.memory.shrink(size)
	if err != nil {
		return err
	}
	hello, ok := m.(codec.Hello)
	if !ok {
		return protocolError(m.FrameType().String() + " before HELLO")
	}
	if !slices.Contains(hello.Versions, ProtocolVersion) {
		return &goAway{codec.CodeUnsupportedVersion, "this host speaks version 1"}
	}
	peer, err := c.s.cfg.Identify(c.nc, hello)
	if err != nil {
		c.log.Warn().Err(err).Str("event", "client-refused").Str("claims", hello.Client).Msg("client refused")
		return &goAway{codec.CodeNotAllowed, "this client is not allowed here"}
	}
	if age := c.s.cfg.MaxAge; age > 0 && (peer.Until.IsZero() || c.began.Add(age).Before(peer.Until)) {
		peer.Until = c.began.Add(age)
	}
	if err := c.s.introduce(c, peer); err != nil {
		return err
	}
	c.peer = peer
	c.log.Debug().Str("event", "hello").Str("client", peer.Name).Str("claims", hello.Client).
		Str("software", hello.Software).Msg("client connected")
	c.send(c.s.cfg.welcome())
	return nil
}

// secure does the TLS handshake, if there is one. A peer that speaks the protocol
// without TLS is told so: that one could be told in its own words.
func (c *conn) secure(deadline time.Time) error {
	tc, ok := c.nc.(*tls.Conn)
	if !ok {
		return nil
	}
	c.setReadDeadline(deadline)
	_ = tc.SetWriteDeadline(deadline)
	err := tc.Handshake()
	_ = tc.SetWriteDeadline(time.Time{})
	if err == nil {
		return nil
	}
	c.s.count.do(func(st *Stats) { st.NoTLS++ })
	var notTLS tls.RecordHeaderError
	if errors.As(err, &notTLS) && notTLS.Conn != nil && notTLS.RecordHeader[0] == codec.Magic[0] {
		m := codec.GoAway{Code: codec.CodeNotAllowed, Reason: "this host speaks TLS here"}
		if frame, ferr := codec.AppendMessage(nil, m); ferr == nil {
			c.s.count.answered(m)
			_ = notTLS.Conn.SetWriteDeadline(time.Now().Add(c.s.cfg.Write))
			if _, werr := notTLS.Conn.Write(frame); werr == nil {
				hangUp(notTLS.Conn, hangUpTime)
			}
		}
	}
	return fmt.Errorf("TLS handshake: %w", err)
}

// serveFrame waits for a frame and deals with it.
func (c *conn) serveFrame() error {
	if err := c.awaitFrame(); err != nil {
		return err
	}
	if u := c.peer.Until; !u.IsZero() && time.Now().After(u) {
		return &goAway{codec.CodeIdle, "this connection's time is over: connect again"}
	}
	if err := c.checkProven(); err != nil {
		return err
	}
	m, size, err := c.readMessage(&frameReader{c: c, started: time.Now()}, c.s.cfg.maxFrame())
	defer func() { c.memory.shrink(size) }()
	if m == nil && err != nil {
		return err
	}
	c.lastRead = time.Now()
	switch m := m.(type) {
	case codec.Submit:
		return c.request(m.Seq, m.ID, err, func(r *request) { c.submit(r, m) }, &size)
	case codec.Query:
		return c.request(m.Seq, m.ID, err, func(r *request) { c.query(r, m) }, &size)
	case codec.Ping:
		return c.sendOwn(codec.Pong(m))
	case codec.Pong:
		return nil
	case codec.GoAway:
		return io.EOF // the peer sends nothing more, but reads its answers
	}
	return protocolError("a client doesn't send " + m.FrameType().String())
}

// checkProven lets an unproven peer go that has had its time: else whoever says
// HELLO could keep those out who have a token.
func (c *conn) checkProven() error {
	if !c.peer.Unproven || time.Since(c.began) < c.s.cfg.Handshake || !c.s.isStrange(c) {
		return nil
	}
	return &goAway{codec.CodeTimeout, "no request has said who this is within " + c.s.cfg.Handshake.String()}
}

// awaitFrame waits for the first byte of a frame.
func (c *conn) awaitFrame() error {
	for {
		wait := c.s.cfg.Idle
		if c.peer.Unproven && c.s.isStrange(c) {
			wait = min(wait, max(0, c.s.cfg.Handshake-time.Since(c.began)))
		}
		c.setReadDeadline(time.Now().Add(wait))
		_, err := c.br.Peek(1)
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if why := c.whyEnded(); why != nil {
			return why
		}
		if err := c.checkProven(); err != nil {
			return err
		}
		// A peer that waits for us is not idle.
		if len(c.slots) == 0 && time.Since(c.lastRead) >= c.s.cfg.Idle {
			return &goAway{codec.CodeIdle, "nothing was asked for " + c.s.cfg.Idle.String()}
		}
	}
}

// readMessage reads one frame. size is what its body holds of the connection's
// memory, to be given back by the caller. For a request that was refused but
// can be answered it returns both a message and an error.
func (c *conn) readMessage(r *frameReader, limit int) (m codec.Message, size int64, err error) {
	f, err := codec.ReadFrame(r, limit)
	if err != nil {
		return nil, r.got, c.readError(err)
	}
	if len(f.Body) > smallLimit && f.Type != codec.TypeSubmit {
		return nil, r.got, &goAway{codec.CodeTooLarge, f.Type.String() + " of more than 16 KiB"}
	}
	m, err = codec.Unmarshal(f)
	if m == nil && err != nil {
		err = c.readError(err)
	}
	return m, r.got, err
}

// readError says how the connection ends after an error of reading.
func (c *conn) readError(err error) error {
	var away *goAway
	var frame *codec.FrameError
	switch {
	case errors.As(err, &away):
		return away
	case errors.Is(err, errNoMemory):
		return &goAway{codec.CodeBusy, "too many large jobs are on their way to this host"}
	case errors.As(err, &frame):
		code := codec.CodeMalformed
		switch frame.Layer {
		case codec.LayerVersion:
			code = codec.CodeUnsupportedVersion
		case codec.LayerLength:
			code = codec.CodeTooLarge
		}
		return &goAway{code, string(frame.Layer) + ": " + frame.Reason}
	case errors.Is(err, os.ErrDeadlineExceeded):
		if why := c.whyEnded(); why != nil {
			return why
		}
		return &goAway{codec.CodeTimeout, "the frame didn't arrive in time"}
	}
	return err
}

// setReadDeadline sets the deadline unless the server is draining: then it has
// passed, and stays so.
func (c *conn) setReadDeadline(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping || c.sentAway {
		t = time.Unix(1, 0)
	}
	_ = c.nc.SetReadDeadline(t) // fails on a closed socket, and then so does the read
}

// stopReading makes the reader end as soon as it waits for the peer.
func (c *conn) stopReading() {
	c.mu.Lock()
	c.stopping = true
	c.mu.Unlock()
	c.setReadDeadline(time.Time{})
}

// sendAway is stopReading for one that makes way. It doesn't wait.
func (c *conn) sendAway() {
	c.mu.Lock()
	c.sentAway = true
	c.mu.Unlock()
	c.setReadDeadline(time.Time{})
}

// whyEnded says why the reader's deadline is in the past; nil if it isn't.
func (c *conn) whyEnded() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.stopping:
		return &goAway{codec.CodeDraining, "this host is stopping"}
	case c.sentAway:
		return errMadeWay
	}
	return nil
}

// report writes the one line that a connection's end is worth.
func (c *conn) report(err error) {
	var away *goAway
	e := c.log.Debug()
	switch {
	case errors.As(err, &away):
		if away.code != codec.CodeDraining && away.code != codec.CodeIdle {
			e = c.log.Info()
		}
		e = e.Str("code", string(away.code)).Str("reason", away.reason)
	case errors.Is(err, io.EOF):
	default:
		e = e.Err(err)
	}
	e.Str("event", "disconnected").Uint64("last_seq", c.lastSeq).Msg("connection ended")
}
