package rpcproxy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
)

// Proxy is one client's way to the server.
type Proxy struct {
	dial func(client net.Addr) (net.Conn, error)
	lost func(op string)

	mu   sync.Mutex
	lose which         // guarded by mu: the call whose reply is lost next
	hold which         // guarded by mu: the call that is held back next
	join chan struct{} // guarded by mu: closed by Join; nil = not cut
	slow *slow         // guarded by mu, with what is in it; nil = never was
}

// New has dial connect to the server for a client's connection, and tells lost
// when a reply was lost.
func New(dial func(client net.Addr) (net.Conn, error), lost func(op string)) *Proxy {
	return &Proxy{dial: dial, lost: lost}
}

// which names a call; the zero value names none.
type which struct{ op, text string }

func (w which) is(m Message, body []byte) bool {
	return w.op != "" && slices.Contains(m.Ops, w.op) && bytes.Contains(body, []byte(w.text))
}

// Lose loses the reply to the next call of op, which is one of Losable or that,
// a space, and a text that stands in the call, such as a part of a name.
func (p *Proxy) Lose(op string) error { return p.order(&p.lose, op) }

// Hold loses the next call of op itself, before the server has it: the client
// makes it again after Join, however much later that is.
func (p *Proxy) Hold(op string) error { return p.order(&p.hold, op) }

func (p *Proxy) order(what *which, op string) error {
	op, text, _ := strings.Cut(op, " ")
	if !slices.Contains(Losable(), op) {
		return fmt.Errorf("%q can't be lost", op)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	*what = which{op, text}
	return nil
}

// Join lets the client through again, and loses nothing more.
func (p *Proxy) Join() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lose, p.hold = which{}, which{}
	if p.join != nil {
		close(p.join)
		p.join = nil
	}
}

// Serve takes connections until the listener is closed.
func (p *Proxy) Serve(l net.Listener) error {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		go p.carry(c)
	}
}

// carry serves one connection. While the client is cut off it is taken and not
// heard: a client that is refused would wait ever longer before it tries again.
func (p *Proxy) carry(client net.Conn) {
	defer reset(client)
	p.mu.Lock()
	join := p.join
	p.mu.Unlock()
	if join != nil {
		<-join
	}
	server, err := p.dial(client.RemoteAddr())
	if err != nil {
		return
	}
	defer reset(server)
	c := &conn{proxy: p, ended: make(chan struct{}), counted: map[uint32]*slow{}}
	go c.calls(client, server)
	go c.replies(server, client)
	<-c.ended
}

// reset closes a connection at once, with all that is under way, so that its
// port is free for the next one.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}

// conn is one connection that is carried.
type conn struct {
	proxy *Proxy
	once  sync.Once
	ended chan struct{}

	counted map[uint32]*slow // guarded by proxy.mu: calls that slow counts
	writing sync.Mutex       // to the client

	mu   sync.Mutex
	xid  uint32 // guarded by mu: whose reply is to be lost
	what string // guarded by mu: what that call asks for; "" = none
}

func (c *conn) end() { c.once.Do(func() { close(c.ended) }) }

// buffer is enough for most calls.
const buffer = 64 << 10

func (c *conn) calls(client, server net.Conn) {
	defer c.end()
	r := bufio.NewReaderSize(client, buffer)
	for {
		raw, body, err := ReadRecord(r)
		if err != nil {
			return
		}
		// What can't be read is none of ours.
		if m, err := Parse(body); err == nil && !m.Reply {
			if c.mark(m, body) {
				return
			}
			c.sent(m)
		}
		if _, err := server.Write(raw); err != nil {
			return
		}
	}
}

// mark remembers the call whose reply is to be lost. It says whether the call
// itself is to be held back; then the client is cut off.
func (c *conn) mark(m Message, body []byte) (held bool) {
	p := c.proxy
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.hold.is(m, body):
		p.cutOff()
		p.lost(p.hold.op)
		p.hold = which{}
		return true
	case p.lose.is(m, body):
		c.mu.Lock()
		c.xid, c.what = m.XID, p.lose.op
		c.mu.Unlock()
		p.lose = which{}
	}
	return false
}

// cutOff has the client wait until Join. p.mu is held.
func (p *Proxy) cutOff() {
	if p.join == nil {
		p.join = make(chan struct{})
	}
}

func (c *conn) replies(server, client net.Conn) {
	defer c.end()
	r := bufio.NewReaderSize(server, buffer)
	for {
		raw, body, err := ReadRecord(r)
		if err != nil {
			return
		}
		m, err := Parse(body)
		if err == nil && m.Reply && c.cut(m.XID) {
			return
		}
		c.pass(client, raw, m)
	}
}

// cut says whether this reply is the one, and if so cuts the client off before
// anybody can notice.
func (c *conn) cut(xid uint32) bool {
	c.mu.Lock()
	what := c.what
	hit := what != "" && c.xid == xid
	c.mu.Unlock()
	if !hit {
		return false
	}
	p := c.proxy
	p.mu.Lock()
	p.cutOff()
	p.mu.Unlock()
	p.lost(what)
	return true
}
