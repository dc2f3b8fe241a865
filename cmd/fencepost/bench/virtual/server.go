package virtual

import (
	"strings"
	"time"

	"fencepost/spool"
	"fencepost/spool/env/nfssim"
	"fencepost/spool/env/simenv"
)

// server gives each request its turn: first what it has to be alone for, a
// rename and its directories, in the order that Linux takes them in, then one of
// the slots. Who waits, waits in the order of arrival.
type server struct {
	w *simenv.World
	m Model

	renames *gate
	dirs    map[uint64]*gate
	durable *gate
	reads   *gate

	asked counts
}

func newServer(w *simenv.World, m Model) *server {
	return &server{w: w, m: m, renames: newGate(w, 1), dirs: map[uint64]*gate{}, durable: newGate(w, m.Slots), reads: newGate(w, m.Slots)}
}

func (s *server) admit(a nfssim.Arrival) {
	s.asked.add(a)
	var alone []*gate
	dir, other := a.Dirs()
	if s.m.OneRename && other != 0 {
		alone = append(alone, s.renames)
	}
	// Two gates at once are taken in the order of their numbers, so that no two
	// requests wait for each other.
	for _, ino := range []uint64{min(dir, other), max(dir, other)} {
		if ino != 0 {
			alone = append(alone, s.dir(ino, a))
		}
	}
	s.enter(a, alone, nil)
}

// enter takes one gate after the other, and then serves.
func (s *server) enter(a nfssim.Arrival, rest, held []*gate) {
	if len(rest) > 0 {
		rest[0].enter(func() { s.enter(a, rest[1:], append(held, rest[0])) })
		return
	}
	slots, took := s.reads, s.m.Read
	if a.Durable() {
		slots, took = s.durable, s.m.Change
	}
	slots.enter(func() {
		s.w.After(took, func() {
			a.Serve()
			slots.leave()
			for i := len(held) - 1; i >= 0; i-- {
				held[i].leave()
			}
		})
	})
}

func (s *server) dir(ino uint64, a nfssim.Arrival) *gate {
	g := s.dirs[ino]
	if g == nil {
		g = newGate(s.w, 1)
		s.dirs[ino] = g
		g.name = s.nameOf(ino, a)
	}
	return g
}

// nameOf is a directory's path, as far as the call tells it.
func (s *server) nameOf(ino uint64, a nfssim.Arrival) string {
	k := a.Call()
	if k == nil {
		return ""
	}
	dir, _ := a.Dirs()
	name := k.From
	if ino != dir || k.Op == "link" {
		name = k.To
	}
	return name[:max(strings.LastIndexByte(name, '/'), 0)]
}

// gate lets so many in at a time, in the order of their coming.
type gate struct {
	w       *simenv.World
	name    string
	room    int
	waiting []func()

	size  int
	since time.Duration // of the last change
	busy  time.Duration // times how many were in
}

func newGate(w *simenv.World, room int) *gate { return &gate{w: w, room: room, size: room} }

func (g *gate) enter(f func()) {
	if g.room == 0 {
		g.waiting = append(g.waiting, f)
		return
	}
	g.account()
	g.room--
	f()
}

func (g *gate) leave() {
	if len(g.waiting) > 0 {
		f := g.waiting[0]
		g.waiting = g.waiting[1:]
		f()
		return
	}
	g.account()
	g.room++
}

func (g *gate) account() {
	g.busy += (g.w.Now() - g.since) * time.Duration(g.size-g.room)
	g.since = g.w.Now()
}

// used is for how long it was in use so far, as if it had room for one.
func (g *gate) used() time.Duration {
	g.account()
	return g.busy / time.Duration(g.size)
}

// counts are of calls to the server.
type counts struct {
	jobs   map[string]int // by kind: on files of jobs, and listings of where they wait
	beside int            // heartbeats, looks at other hosts, audits
	lists  int            // listings of where jobs wait
}

func (c *counts) add(a nfssim.Arrival) {
	if c.jobs == nil {
		c.jobs = map[string]int{}
	}
	k := a.Call()
	if k == nil || !ofJobs(k) {
		c.beside++
		return
	}
	c.jobs[kindOf(a.RPC())]++
	if k.Op == "list" && a.RPC() == "getattr" {
		c.lists++
	}
}

// ofJobs says whether a call is made for jobs, and not by the clock.
func ofJobs(k *nfssim.Call) bool {
	l := spool.DefaultLayout()
	top, rest, _ := strings.Cut(k.From, "/")
	switch {
	case k.Op == "list":
		return k.From == l.Translate || k.From == l.Submit
	case strings.HasPrefix(rest, "canary-"):
		return false
	case top == "hosts":
		return strings.Contains(rest, "/journal/") && k.Op != "read"
	}
	switch top {
	case l.Translate, l.Submit, spool.DirDrafts, spool.DirClaims, spool.DirSealed, spool.DirGate, spool.DirOnce, spool.DirDone:
		return true
	}
	return false
}

// kindOf is a request's name as Linux counts it.
func kindOf(rpc string) string {
	switch rpc {
	case "openfile":
		rpc = "open"
	case "mkdir":
		rpc = "create"
	case "rmdir":
		rpc = "remove"
	}
	return strings.ToUpper(rpc)
}
