package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"fencepost/codec"
)

// link is the way to one address: a few connections, made when needed.
type link struct {
	c     *Client
	addr  string
	next  atomic.Uint32
	slots []*slot
}

// slot is the place of one connection. Its fields belong to who holds turn.
type slot struct {
	turn   chan struct{} // a token: one dials, the others wait for what comes of it
	conn   *conn
	failed atomic.Uint64 // dials that failed
	err    error         // of the last of them
}

func newLink(c *Client, addr string) *link {
	l := &link{c: c, addr: addr}
	for range c.cfg.Conns {
		l.slots = append(l.slots, &slot{turn: make(chan struct{}, 1)})
	}
	return l
}

// ask puts a question on a connection. sent says that the host may have seen
// it; it is meaningful after an error only.
func (l *link) ask(ctx context.Context, q question) (m codec.Message, sent bool, err error) {
	s := l.slots[int(l.next.Add(1))%len(l.slots)]
	for again := false; ; again = true {
		cn, used, err := l.connected(ctx, s)
		if err != nil {
			return nil, sent, err
		}
		if limit := cn.welcome.MaxJob; uint64(q.size) > limit {
			return nil, sent, &RefusedError{Code: codec.CodeTooLarge, Addr: l.addr,
				Reason: fmt.Sprintf("the job has %d bytes, the host takes %d", q.size, limit)}
		}
		if q.typed && !slices.Contains(cn.welcome.Features, featureTypes) {
			return nil, sent, &RefusedError{Code: codec.CodeNotAllowed, Addr: l.addr, Reason: "the host knows no job types"}
		}
		m, maybe, err := cn.ask(ctx, q)
		sent = sent || maybe
		// A connection that has been idle may be gone by now, which says
		// nothing about the host: another one is tried at once.
		if err == nil || !used || again || ctx.Err() != nil || errors.Is(err, errNoAnswer) {
			return m, sent, err
		}
	}
}

// connected returns the slot's connection; used says that it isn't fresh.
func (l *link) connected(ctx context.Context, s *slot) (cn *conn, used bool, err error) {
	before := s.failed.Load()
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, false, fmt.Errorf("connect %s: %w", l.addr, context.Cause(ctx))
	}
	if s.conn != nil && s.conn.ctx.Err() == nil {
		return s.conn, true, nil
	}
	if s.failed.Load() != before { // while we waited for our turn
		return nil, false, s.err
	}
	cn, err = l.connect(ctx)
	if err != nil {
		s.err = err
		s.failed.Add(1)
		return nil, false, err
	}
	s.conn = cn
	return cn, false, nil
}

// connect makes a connection and shakes hands.
func (l *link) connect(ctx context.Context) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, l.c.cfg.Connect)
	defer cancel()
	nc, err := l.c.cfg.Dial(ctx, "tcp", l.addr)
	if err != nil {
		return nil, fmt.Errorf("connect %s: %w", l.addr, err)
	}
	if conf := l.c.cfg.TLS; conf != nil {
		if nc, err = l.secured(ctx, conf, nc); err != nil {
			return nil, err
		}
	}
	cn := newConn(l.c, l.addr, nc)
	unhook := context.AfterFunc(ctx, func() { nc.Close() })
	err = cn.handshake()
	if !unhook() && err == nil {
		err = fmt.Errorf("connect %s: %w", l.addr, context.Cause(ctx))
	}
	if err == nil {
		err = l.c.sameSpool(cn.welcome)
	}
	if err != nil {
		nc.Close()
		return nil, l.untrusted(err)
	}
	cn.window = make(chan struct{}, min(uint64(l.c.cfg.Window), cn.welcome.Window))
	l.c.wg.Go(cn.read)
	return cn, nil
}

// secured does the TLS handshake.
func (l *link) secured(ctx context.Context, conf *tls.Config, nc net.Conn) (net.Conn, error) {
	if conf.ServerName == "" {
		conf = conf.Clone()
		conf.ServerName, _, _ = net.SplitHostPort(l.addr)
	}
	tc := tls.Client(nc, conf)
	if err := tc.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, l.untrusted(fmt.Errorf("connect %s: TLS: %w", l.addr, err))
	}
	return tc, nil
}

// troubled is the alert of a host that has trouble of its own: another time it may
// have none.
const troubled = tls.AlertError(80)

// untrusted makes a refusal of what is wrong with a certificate, ours or the
// host's: it will be as wrong the next time.
func (l *link) untrusted(err error) error {
	var alert *net.OpError // the host's word on ours: its type is crypto/tls's own
	var verify *tls.CertificateVerificationError
	remote := errors.As(err, &alert) && alert.Op == "remote error" && alert.Err.Error() != troubled.Error()
	if remote || errors.As(err, &verify) {
		return &goneAway{l.addr, codec.GoAway{Code: codec.CodeNotAllowed, Reason: codec.Reason(err.Error())}, true}
	}
	return err
}

func (cn *conn) handshake() error {
	frame, err := codec.AppendMessage(nil, cn.c.hello())
	if err != nil {
		return err
	}
	_ = cn.nc.SetDeadline(time.Now().Add(cn.c.cfg.Connect))
	if _, err := cn.nc.Write(frame); err != nil {
		return fmt.Errorf("say hello to %s: %w", cn.addr, err)
	}
	m, err := cn.receive()
	if err != nil {
		return fmt.Errorf("wait for %s to answer hello: %w", cn.addr, err)
	}
	switch m := m.(type) {
	case codec.Welcome:
		if m.Version != protocolVersion {
			return fmt.Errorf("%s speaks version %s", cn.addr, strconv.FormatUint(m.Version, 10))
		}
		cn.welcome = m
		return cn.nc.SetDeadline(time.Time{})
	case codec.GoAway:
		return &goneAway{cn.addr, m, true}
	}
	return fmt.Errorf("%s answered hello with %v", cn.addr, m.FrameType())
}
