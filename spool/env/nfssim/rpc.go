package nfssim

import (
	"syscall"
	"time"

	"fencepost/spool/env/simenv"
)

// rpc is one request of a client on its way: sent, sent again, answered. The
// reply stays in it: it is also the server's memory of it.
type rpc struct {
	request
	reply
	c    *Client
	call *Call
	fate Fate

	task  *simenv.Task // that waits; nil: the kernel itself asks
	wait  uint32
	done  func() // after a kernel's own
	ended bool   // the kernel has given up, or has its answer

	executed bool // and then:
	boot     uint64
	st       *state
	at       time.Duration
	pause    time.Duration // before it is sent again, for the server's sake
	answered bool
	cuts     uint64 // of the client, when it was answered
	boots    uint64 // of the client, when it was made
	serial   uint64 // counts the requests that it was used for
	tries    int

	// Made once: a request is used again for another one.
	start  func(wait uint32)
	arrive func()
	resend func()
}

const (
	// reconnect is how long a client takes to have a connection again.
	reconnect = time.Second

	minPause = 100 * time.Millisecond
	// MaxPause is for how long Linux may wait, after a server was in grace or in
	// need of time, until it asks again. It begins with a tenth of a second.
	MaxPause = 15 * time.Second
)

// rpc returns a request to fill.
func (c *Client) rpc(k *Call, op opcode) *rpc {
	var r *rpc
	if n := len(c.idle); n > 0 {
		r = c.idle[n-1]
		c.idle = c.idle[:n-1]
	} else {
		r = &rpc{c: c}
		r.arrive, r.resend = r.arrives, r.transmit
		r.start = func(wait uint32) {
			r.wait = wait
			r.transmit()
		}
	}
	r.call, r.op, r.boots = k, op, c.boots
	return r
}

// put gives a request back. One that may still be on its way is left alone.
func (c *Client) put(r *rpc) {
	if r.ended {
		return
	}
	names := r.names[:0]
	r.request, r.reply, r.fate = request{}, reply{names: names}, Fate{}
	r.call, r.task, r.done, r.st = nil, nil, nil, nil
	r.executed, r.answered, r.tries, r.pause = false, false, 0, 0
	r.serial++
	c.idle = append(c.idle, r)
}

// do sends a request and waits for its answer: the task that runs does.
func (r *rpc) do() syscall.Errno {
	c := r.c
	c.quiet = 0
	t := c.s.w.Current()
	if t == nil {
		panic("nfssim: only a task may wait for the server; use Direct")
	}
	r.task = t
	if c.opt.Soft {
		r.giveUpLater()
	}
	for {
		t.Park(r.start)
		if r.ended {
			return syscall.EIO
		}
		if !c.cut && r.cuts == c.cuts {
			return r.err
		}
		r.answered = false // its answer was on the way when the network was cut
	}
}

// send has the kernel send a request, for nobody in particular.
func (r *rpc) send(done func()) {
	r.done = done
	r.transmit()
}

// giveUpLater: a soft mount's call fails, whatever the server did.
func (r *rpc) giveUpLater() {
	serial := r.serial
	r.c.s.w.After(r.c.opt.SoftTime, func() {
		if r.serial == serial && !r.answered {
			r.ended = true
			r.task.Wake(r.wait)
		}
	})
}

func (r *rpc) transmit() {
	c, s := r.c, r.c.s
	switch {
	case r.ended || r.boots != c.boots:
		return
	case c.cut:
		c.waiting = append(c.waiting, r)
		return
	case r.tries > 0 && c.machine.Frozen():
		s.w.After(reconnect, r.resend)
		return
	}
	r.fate = Fate{}
	if s.Fate != nil {
		r.call.RPC, r.call.Try = r.op.String(), r.tries
		r.fate = s.Fate(r.call)
	}
	if r.fate.Out == 0 {
		r.fate.Out = s.opt.Latency
	}
	if r.fate.Back == 0 {
		r.fate.Back = s.opt.Latency
	}
	r.tries++
	s.w.After(r.fate.Out+r.fate.Stall, r.arrive)
}

// arrives has it wait for the server's turn, if there is a model of that.
func (r *rpc) arrives() {
	if admit := r.c.s.Admit; admit != nil {
		admit(Arrival{r})
		return
	}
	r.arrived()
}

// arrived is the server's turn.
func (r *rpc) arrived() {
	c, s := r.c, r.c.s
	switch {
	case r.boots != c.boots && (r.task == nil || r.op == opLock):
		return // a crash comes before what the kernel does for the dead; and nobody would hold the lock
	case c.cut && r.fate.Stall == 0:
		r.lost()
		return
	case r.fate.DropRequest:
		s.w.After(reconnect, r.resend)
		return
	case r.boots != c.boots && r.op == opLock:
		return // of a client that the server has forgotten: its machine crashed
	}
	if !r.executed || !s.remembers(r) {
		if r.boots == c.boots && !c.cut {
			s.hello(c)
		}
		names, opened := r.names[:0], r.opened
		r.reply = reply{names: names, opened: opened}
		s.serve(r.call, r.executed, &r.request, &r.reply)
		if r.err == errGrace {
			r.pause = min(max(2*r.pause, minPause), MaxPause)
			s.w.After(r.pause, r.arrive)
			return
		}
		r.executed, r.boot, r.st, r.at = true, s.boot, c.st, s.w.Now()
	}
	if r.fate.LoseReply || c.cut {
		if r.fate.ForgetReply {
			r.st = nil
		}
		r.lost()
		return
	}
	r.answer()
}

// lost: the reply didn't get there. The request is sent again.
func (r *rpc) lost() {
	if c := r.c; c.cut && r.boots == c.boots {
		c.waiting = append(c.waiting, r)
	} else {
		c.s.w.After(reconnect, r.resend)
	}
}

func (r *rpc) answer() {
	r.answered, r.cuts = true, r.c.cuts
	if r.op == opLock && r.grant.given {
		r.c.unlockFor(r.call, r.grant)
	}
	if r.task != nil {
		r.task.WakeIn(r.wait, r.fate.Back)
		return
	}
	if r.done != nil {
		r.done()
	}
	r.c.put(r)
}

// remembers says whether the server knows a request again.
func (s *Server) remembers(r *rpc) bool {
	switch {
	case r.boot != s.boot || r.st == nil:
		return false
	case s.v41: // the session's slot
		return r.st == r.c.st && !r.st.dead
	}
	return !r.c.opt.NewPort && s.w.Now()-r.at < s.opt.ReplyMemory // of 4.0 and 3: by the client's port
}

// Cut cuts the machine off from the server. What is on its way is lost, and
// sent again after Join.
func (c *Client) Cut() {
	if !c.cut {
		c.cut, c.cutAt = true, c.s.w.Now()
		c.cuts++
		c.s.expireLater(c.st)
	}
}

// Join ends a Cut.
func (c *Client) Join() {
	if !c.cut {
		return
	}
	c.cut = false
	waiting := c.waiting
	c.waiting = nil
	for _, r := range waiting {
		r.transmit()
	}
}

// Crash is the loss of the machine's memory: caches, data that no call has
// stored, requests that would have been sent again. Its processes are killed by
// the caller, before.
func (c *Client) Crash() {
	c.boots++
	for _, r := range c.waiting {
		r.ended = true
	}
	c.waiting = nil
	for len(c.open) > 0 {
		c.closed(c.open[0])
	}
	c.remount()
	if c.st != nil {
		c.st.gone, c.st.goneAt = true, c.s.w.Now()
		c.s.expireLater(c.st)
		c.st = nil
	}
}
