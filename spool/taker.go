package spool

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"fencepost/spool/env"
	"fencepost/spool/env/drill"
	"fencepost/spool/vfs"
)

// Taker claims a stage's entries and gives each to a task. What this instance
// itself put there it is told of, by Offer; for what others put there it polls
// the stage's directory, quicker when there is work of theirs, slower when there
// is none. Hint makes it look at once.
type Taker struct {
	In    *Instance
	Stage Stage
	// Poll is the shortest time between two listings that found nothing; it
	// doubles up to MaxPoll while nothing comes.
	Poll, MaxPoll time.Duration
	// Room says how many more entries may be claimed now, 0 = none. It is
	// asked before each claim.
	Room func() int
	// Want says whether an entry may be claimed at all; nil = all.
	Want func(Name) bool
	// Peers are the hosts that take from this stage; see Queue.
	Peers func() Peers
	// Passed is told that looks for work come to an end: of each that found none, and
	// of some of the others; nil = nobody is.
	Passed func()
	// Work does the stage's work on a claim and ends it, in a task of its own.
	Work func(ctx context.Context, c *Claim)

	wake env.Signal

	mu       sync.Mutex // never held across a call to Env
	run      *taking    // while Run takes
	idle     bool       // the last pass found nothing more to take, and had room
	ended    bool       // Run takes no more
	turned   bool       // a pass was turned away meanwhile
	deciding bool       // Reserve asks for room: no pass begins
	births   int        // claims that room is kept for
	look     bool       // there may be something that only a listing shows
	offered  []Offer    // put there by this instance, not tried yet; oldest first
	known    int        // bytes of their files
	peers    Peers      // by the last listing
	busy     int
	lost     int
	won      int
}

// maxOffered bounds what is kept of offers. What is over it is listed: a host that
// is so far behind shares its entries with the others, if there are any.
const (
	maxOffered      = 16
	maxOfferedAlone = 4096
	// maxForeign is from how many on only those are kept that fall to this host.
	maxForeign = 2
	// worthwhile is how many claims won out of a listing call for the next one as soon
	// as it is used up.
	worthwhile = 8
)

// maxLost is how many claims in a row a pass may lose. Where others are quicker
// it is better to come back later.
const maxLost = 3

// Init prepares a taker; call it before Run and Hint.
func (t *Taker) Init() *Taker {
	t.wake = t.In.Env.NewSignal()
	if t.MaxPoll < t.Poll {
		t.MaxPoll = t.Poll
	}
	return t
}

// Hint says that there may be something to take that this taker wasn't offered.
func (t *Taker) Hint() {
	t.mu.Lock()
	t.look = true
	t.mu.Unlock()
	t.wake.Notify()
}

// Wake says that there may be room again.
func (t *Taker) Wake() { t.wake.Notify() }

// Offer is an entry that an instance put into a stage's directory itself, so that
// it needn't be listed to be found, nor read: what it wrote there is what the job
// is, whatever somebody may have put in its place since.
type Offer struct {
	Name Name
	File vfs.ID
	Data []byte // nil = read it
}

const (
	// maxOfferedData is how long a file may be to be offered with what is in it.
	maxOfferedData = 32 << 10
	// maxKnown is how many bytes of files are kept in all offers together; what is
	// over it is read when it is its turn.
	maxKnown = 4 << 20
)

// Offer tells of an entry. It is claimed as any other.
func (t *Taker) Offer(o Offer) {
	t.mu.Lock()
	if len(o.Data) > maxOfferedData || t.known+len(o.Data) > maxKnown {
		o.Data = nil
	}
	n, self := len(t.offered), slices.Index(t.peers.Hosts, t.In.Host)
	alone := len(t.peers.Hosts) < 2 || self < 0
	switch {
	case n >= maxOfferedAlone || n >= maxOffered && !alone:
		t.look = true
	case n >= maxForeign && !alone && t.peers.fall(o.Name.ID) != self:
		// This host is behind: the one that it falls to will find it.
	default:
		t.offered = append(t.offered, o)
		t.known += len(o.Data)
	}
	t.mu.Unlock()
	t.wake.Notify()
}

// Busy is the number of claims that are being worked on.
func (t *Taker) Busy() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.busy
}

// Claims counts claims won and lost.
func (t *Taker) Claims() (won, lost int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.won, t.lost
}

// Run takes entries until ctx is done, then waits for the tasks that work on
// what was claimed. work is the context that they get: it may outlive ctx, so
// that a drain finishes what was begun.
func (t *Taker) Run(ctx, work context.Context) {
	g := env.NewGroup(t.In.Env)
	p := &poller{t: t, q: NewQueue(t.In.Spool, t.Stage, t.In.Host), pause: t.Poll}
	p.q.Peers = t.Peers
	t.mu.Lock()
	t.run = &taking{ctx, work, g}
	t.mu.Unlock()
	for ctx.Err() == nil {
		claimed, err, looked := 0, error(nil), t.begins()
		if looked {
			claimed, err = t.pass(ctx, work, g, p)
		}
		if looked && t.Passed != nil && (claimed == 0 || p.rarely()) {
			t.Passed()
		}
		if err != nil {
			if errors.Is(err, ErrFenced) {
				break
			}
			t.In.Warn("take", err)
		}
		t.wake.Wait(ctx, p.rest())
	}
	t.ends()
	g.Wait(noContext)
}

// pass claims until there is nothing, or no more room.
func (t *Taker) pass(ctx, work context.Context, g *env.Group, p *poller) (claimed int, err error) {
	lost := 0
	for ctx.Err() == nil {
		if p.full = t.Room() <= 0; p.full {
			return claimed, nil
		}
		o, ok, err := p.next()
		if err != nil || !ok {
			t.mu.Lock()
			t.idle = err == nil
			t.mu.Unlock()
			return claimed, err
		}
		if t.Want != nil && !t.Want(o.Name) {
			continue
		}
		c, err := t.In.Claim(t.Stage, o.Name)
		switch {
		case errors.Is(err, ErrLost):
			t.count(0, 0, 1)
			p.q.Missed()
			if lost++; lost >= maxLost {
				p.leave()
				return claimed, nil
			}
			continue
		case err != nil:
			return claimed, err
		}
		lost = 0
		claimed++
		if p.listed {
			p.won++
		}
		t.count(1, 1, 0)
		c.file, c.data = o.File, o.Data
		t.start(g, work, c)
	}
	return claimed, nil
}

func (t *Taker) count(busy, won, lost int) {
	t.mu.Lock()
	t.busy += busy
	t.won += won
	t.lost += lost
	t.mu.Unlock()
}

// poller decides where a taker's next entry comes from. It belongs to the
// taker's task.
type poller struct {
	t     *Taker
	q     *Queue
	pause time.Duration // between listings that found nothing
	due   time.Duration // when to list again
	won   int           // claims won out of this listing

	listed bool // the last entry was from the listing
	full   bool // the last pass ended for want of room
	steps  int  // of what isn't done each time
}

// rarely says whether it is time for what costs a system call and would be done for
// each job else.
func (p *poller) rarely() bool {
	p.steps++
	return p.steps%16 == 0
}

// next is the next entry to try: from the listing, which is older than what was
// offered since; from the offers; or from a fresh listing, if it is time for one.
// A listing that was worth it is followed by another as soon as it is used up.
func (p *poller) next() (o Offer, ok bool, err error) {
	if p.q.stale() || p.q.Left() == 0 && (p.asked() || p.won >= worthwhile || (!p.offered() || p.rarely()) && p.t.In.Env.Now() >= p.due) {
		if err := p.list(); err != nil {
			return o, false, err
		}
	}
	if o.Name, p.listed = p.q.take(); p.listed {
		return o, true, nil
	}
	p.t.mu.Lock()
	defer p.t.mu.Unlock()
	if len(p.t.offered) == 0 {
		return o, false, nil
	}
	o, p.t.offered[0] = p.t.offered[0], Offer{}
	p.t.offered = p.t.offered[1:]
	p.t.known -= len(o.Data)
	return o, true, nil
}

// offered says whether an offer is left.
func (p *poller) offered() bool {
	p.t.mu.Lock()
	defer p.t.mu.Unlock()
	return len(p.t.offered) > 0
}

// asked says, once, whether somebody gave a hint.
func (p *poller) asked() bool {
	p.t.mu.Lock()
	defer p.t.mu.Unlock()
	asked := p.t.look
	p.t.look = false
	return asked
}

// list lists. What was offered and isn't there any more is somebody else's.
func (p *poller) list() error {
	t := p.t
	known := map[string]bool{}
	t.mu.Lock()
	offered := t.offered
	t.mu.Unlock()
	for _, o := range offered {
		known[FormatEntry(o.Name)] = false
	}
	err := p.q.list(known)
	if err == nil {
		t.mu.Lock()
		rest := t.offered[len(offered):] // none was taken meanwhile: that is this task's to do
		var there []Offer
		for _, o := range offered {
			if known[FormatEntry(o.Name)] {
				there = append(there, o)
			} else {
				t.known -= len(o.Data)
			}
		}
		t.offered = append(there, rest...)
		t.peers = p.q.peers
		t.mu.Unlock()
	}
	now := t.In.Env.Now()
	switch p.won = 0; {
	case p.q.Left() > 0:
		p.pause = t.Poll
	case p.q.unripe > 0:
		p.pause = min(p.pause, 2*t.Poll)
	}
	p.due = now + p.pause
	p.pause = min(2*p.pause, t.MaxPoll)
	return err
}

// leave leaves what is there to those who are quicker, for a while.
func (p *poller) leave() {
	p.q.drop()
	p.won, p.due = 0, p.t.In.Env.Now()+p.t.Poll
}

// rest is how long to wait for a wake. While there is something to try, or to
// list, and no room for it, that is what is waited for.
func (p *poller) rest() time.Duration {
	if p.full {
		return p.t.MaxPoll
	}
	if d := p.due - p.t.In.Env.Now(); d > 0 && p.q.Left() == 0 {
		return d
	}
	return p.t.MaxPoll
}

// Translator is the translate stage: its work is a pure function.
type Translator struct {
	// Convert turns an accepted file into the next stage's. An error means
	// that the job is bad.
	Convert func(data []byte) ([]byte, error)
}

// Work translates one claim: read, draft, seal, publish.
func (tr Translator) Work(_ context.Context, c *Claim) {
	if err := tr.work(c); err != nil && !errors.Is(err, ErrLost) {
		c.in.Warn("translate", err)
	}
}

func (tr Translator) work(c *Claim) error {
	data, err := c.Read()
	if errors.Is(err, errTooLarge) || errors.Is(err, errNotRegular) {
		return c.Fail(EvQuarantine, err.Error())
	}
	if err != nil {
		return errors.Join(err, c.Return(Why{Reason: err.Error()}))
	}
	out, err := tr.Convert(data)
	if err != nil {
		return c.Fail(EvRejected, err.Error())
	}
	if drill.Broken(c.in.Env, drill.CommitFirst) {
		s, err := c.Seal("")
		if err != nil {
			return err
		}
		return errors.Join(c.Draft(out), s.Publish())
	}
	if err := c.Draft(out); err != nil {
		return errors.Join(err, c.Return(Why{Reason: err.Error()}))
	}
	s, err := c.Seal("")
	if err != nil {
		return err
	}
	return s.Publish()
}
