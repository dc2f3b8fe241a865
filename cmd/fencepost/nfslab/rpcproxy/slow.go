package rpcproxy

import (
	"net"
	"slices"
	"time"
)

// slow is what a slow proxy does: it keeps each reply for a while, and counts
// the calls of one kind that the client has no reply to yet.
type slow struct {
	wait time.Duration
	op   string
	now  int
	most int
}

// Slow keeps each reply for so long from now on, and counts the calls of op, one
// of Losable, that are under way. A wait of 0 ends it.
func (p *Proxy) Slow(wait time.Duration, op string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slow = &slow{wait: wait, op: op}
}

// Most is how many of those calls were under way at a time.
func (p *Proxy) Most() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slow == nil {
		return 0
	}
	return p.slow.most
}

// sent counts a call.
func (c *conn) sent(m Message) {
	p := c.proxy
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.slow; s != nil && slices.Contains(m.Ops, s.op) && c.counted[m.XID] == nil {
		c.counted[m.XID] = s
		s.now++
		s.most = max(s.most, s.now)
	}
}

// pass passes a reply on, now or in a while. Who waits has asked for it by its
// number: replies may overtake each other.
func (c *conn) pass(client net.Conn, raw []byte, m Message) {
	p := c.proxy
	p.mu.Lock()
	wait := time.Duration(0)
	if p.slow != nil {
		wait = p.slow.wait
	}
	p.mu.Unlock()
	if wait == 0 {
		c.write(client, raw, m)
		return
	}
	time.AfterFunc(wait, func() { c.write(client, raw, m) })
}

func (c *conn) write(client net.Conn, raw []byte, m Message) {
	p := c.proxy
	p.mu.Lock()
	if s := c.counted[m.XID]; m.Reply && s != nil {
		s.now--
		delete(c.counted, m.XID)
	}
	p.mu.Unlock()
	c.writing.Lock()
	defer c.writing.Unlock()
	if _, err := client.Write(raw); err != nil {
		c.end()
	}
}
