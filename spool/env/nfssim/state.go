package nfssim

import (
	"slices"
	"syscall"
	"time"
)

// state is what the server knows of one client: it dies with its lease, or
// when a client of the same name comes up.
type state struct {
	id     string
	c      *Client
	dead   bool
	gone   bool // its machine crashed, then:
	goneAt time.Duration
	grants []*grant
}

// grant is a lock of an open file.
type grant struct {
	node      *node
	st        *state
	owner     *file
	excl      bool
	held      bool // on the server
	lost      bool // the server gave it away
	unclaimed bool // the server restarted, and its client wasn't heard of yet
	given     bool // up: its process died while it asked
}

// hello is called with each request that arrives from a client: it renews the
// lease, or begins anew.
func (s *Server) hello(c *Client) {
	if c.st != nil && !c.st.dead {
		return
	}
	for _, st := range s.states {
		if st.id == c.id && !st.dead && (s.v4 || st.c == c) {
			s.expire(st)
		}
	}
	s.states = slices.DeleteFunc(s.states, func(st *state) bool { return st.dead })
	c.st = &state{id: c.id, c: c}
	s.states = append(s.states, c.st)
}

// silence is for how long the server has heard nothing of a client.
func (s *Server) silence(st *state) time.Duration {
	d := st.c.machine.Stood()
	if st.gone {
		d = max(d, s.w.Now()-st.goneAt)
	}
	if st.c.cut {
		d = max(d, s.w.Now()-st.c.cutAt)
	}
	return d
}

// over: its lease is. Version 3 has none.
func (s *Server) over(st *state) bool { return s.v4 && s.silence(st) >= s.opt.Lease }

// expire ends a client's state: its locks are anybody's.
func (s *Server) expire(st *state) {
	st.dead = true
	for len(st.grants) > 0 {
		s.drop(st.grants[0])
	}
}

// expireLater is for servers that aren't courteous.
func (s *Server) expireLater(st *state) {
	if s.opt.Strict && s.v4 && st != nil {
		s.w.After(s.opt.Lease, func() {
			if s.over(st) {
				s.expire(st)
			}
		})
	}
}

func (s *Server) drop(g *grant) {
	g.lost, g.held = true, false
	g.node.grants = without(g.node.grants, g)
	g.st.grants = without(g.st.grants, g)
}

func without(all []*grant, g *grant) []*grant {
	if i := slices.Index(all, g); i >= 0 {
		return slices.Delete(all, i, i+1)
	}
	return all
}

// lock never waits: who wants to, asks again.
func (s *Server) lock(q *request, a *reply) {
	if s.w.Now() < s.grace {
		a.err = errGrace
		return
	}
	g, n := q.grant, q.node
	if st := g.owner.c.st; st == nil || st.dead {
		a.err = syscall.EIO // late, for a client without a lease: it is cut off, and will ask again
		return
	}
	for i := 0; i < len(n.grants); {
		have := n.grants[i]
		switch {
		case have == g || !have.excl && q.shared:
			i++
		case s.over(have.st):
			s.expire(have.st)
			i = 0
		default:
			a.err = syscall.EAGAIN
			return
		}
	}
	g.excl = !q.shared
	if !g.held {
		g.st, g.held = g.owner.c.st, true
		n.grants = append(n.grants, g)
		g.st.grants = append(g.st.grants, g)
	}
}

// unlock of a lock that was given away does nothing.
func (s *Server) unlock(g *grant) {
	if g.held {
		g.held = false
		g.node.grants = without(g.node.grants, g)
		g.st.grants = without(g.st.grants, g)
	}
}

// restartState: the clients claim again what they hold, if they hear of the
// restart before grace is over.
func (s *Server) restartState() {
	for _, st := range s.states {
		for _, g := range st.grants {
			g.unclaimed = true
		}
		s.reclaim(st, s.boot)
	}
	boot := s.boot
	s.w.After(s.opt.Grace, func() {
		if s.boot == boot {
			s.endGrace()
		}
	})
}

func (s *Server) reclaim(st *state, boot uint64) {
	s.w.After(hearOfRestart, func() {
		switch {
		case s.boot != boot || st.dead || s.w.Now() >= s.grace:
		case s.silence(st) > 0:
			if !st.gone {
				s.reclaim(st, boot)
			}
		default:
			for _, g := range st.grants {
				g.unclaimed = false
			}
		}
	})
}

func (s *Server) endGrace() {
	for _, st := range s.states {
		for i := 0; i < len(st.grants); {
			if g := st.grants[i]; g.unclaimed {
				s.drop(g)
			} else {
				i++
			}
		}
	}
}
