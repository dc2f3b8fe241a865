package spool

import (
	"context"
	"errors"
	"sync"
	"time"

	"fencepost/spool/env"
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
	offered  offers     // put there by this instance
	busy     int
	lost     int
	won      int
	canary   time.Duration // when a listing showed this host's, 0 = none did
}

// worthwhile is how many claims won out of a listing call for the next one as soon
// as it is used up; and how many offers that wait call for none.
const worthwhile = 8

// listShare is the part of the time that goes into listings that nothing calls for, at
// most.
const listShare = 10

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

	at  time.Duration // when it was offered
	own bool          // it falls to this host
}

// Offer tells of an entry. It is claimed as any other.
func (t *Taker) Offer(o Offer) {
	t.mu.Lock()
	alone := t.offered.alone()
	t.mu.Unlock()
	if !alone { // else it doesn't matter
		o.at = t.In.Env.Now()
	}
	t.mu.Lock()
	if !t.offered.add(o) {
		t.look = true
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

// CanarySeen is when a listing last showed this host's canary; 0 = none did.
func (t *Taker) CanarySeen() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.canary
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
	t      *Taker
	q      *Queue
	pause  time.Duration // between listings that found nothing
	due    time.Duration // when to list again
	won    int           // claims won out of this listing
	behind bool          // at the last listing so many offers waited that no other was needed
	inARow int           // offers tried since the last entry from a listing

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

// next is the next entry to try: from the listing, or from the offers; see first. A
// fresh listing is made if it is time for one: there may be older ones. One that was
// worth it is followed by another as soon as it is used up, if there are no offers.
func (p *poller) next() (o Offer, ok bool, err error) {
	now := p.now()
	fed := p.fed(now)
	if p.behind && !fed {
		p.behind, p.pause, p.due = false, p.t.Poll, min(p.due, now+p.t.Poll)
	}
	used := p.q.Left() == 0
	if p.q.stale() || used && (p.asked() || p.won >= worthwhile && !fed) || (used || fed) && now >= p.due {
		if err := p.list(); err != nil {
			return o, false, err
		}
	}
	p.t.mu.Lock()
	defer p.t.mu.Unlock()
	p.t.offered.leave = p.q.leave
	i := p.t.offered.next(now, p.q.Left() == 0)
	if i < 0 || p.first(p.t.offered.all[i]) {
		p.inARow = 0
		n, ok := p.q.take()
		if p.listed = ok; ok {
			o = p.t.offered.instead(n)
		}
		return o, ok, nil
	}
	o = p.t.offered.take(i)
	p.listed, p.q.others = false, !o.own && now-o.at >= makersFor
	p.inARow++
	return o, true, nil
}

// fed says whether this host, of several, has an offer to try: then it needs no listing
// to have something to do, and may not get to the end of the one that it has.
func (p *poller) fed(now time.Duration) bool {
	p.t.mu.Lock()
	defer p.t.mu.Unlock()
	return !p.t.offered.alone() && p.t.offered.next(now, false) >= 0
}

// first says whether the listing's next entry comes before an offer. It does where
// this host is alone, since it is older than what was offered since. Elsewhere the
// entries are mostly others', who know what is in them: those of an older minute do,
// and of the same one now and then.
func (p *poller) first(o Offer) bool {
	minute, ok := p.q.minute()
	return ok && (p.t.offered.alone() || p.inARow >= ownInARow || minute < minuteOf(o.Name.ID))
}

// now is the time, which is a system call: a host that is alone needs it only now and
// then while it has offers. Else it is 0: nothing is due.
func (p *poller) now() time.Duration {
	p.t.mu.Lock()
	spare := p.t.offered.alone() && len(p.t.offered.all) > 0
	p.t.mu.Unlock()
	if spare && !p.rarely() {
		return 0
	}
	return p.t.In.Env.Now()
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
	n := len(t.offered.all)
	for _, o := range t.offered.all {
		known[FormatEntry(o.Name)] = false
	}
	t.mu.Unlock()
	unripe, began := p.q.unripe, t.In.Env.Now()
	err := p.q.list(known)
	if err == nil {
		t.mu.Lock() // none was taken meanwhile: that is this task's to do
		t.offered.listed(n, func(o Offer) bool { return known[FormatEntry(o.Name)] }, p.q.peers, t.In.Host)
		p.behind = !t.offered.alone() && len(t.offered.all) >= worthwhile
		t.canary = p.q.canary
		t.mu.Unlock()
	}
	now := t.In.Env.Now()
	switch p.won = 0; {
	case p.behind:
	case p.q.Left() > 0:
		p.pause = t.Poll
	case p.q.unripe > 0 && unripe == 0:
		// What others leave is taken the next time. More that is unripe then is work
		// that they have in hand.
		p.pause = min(p.pause, 2*t.Poll)
	}
	p.due = now + max(p.pause, listShare*(now-began))
	if at := p.q.ripeAt; at > 0 {
		p.due = min(p.due, max(at, now+t.Poll))
	}
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
	now, d := p.t.In.Env.Now(), p.t.MaxPoll
	if due := p.due - now; due > 0 && p.q.Left() == 0 {
		d = due
	}
	p.t.mu.Lock()
	defer p.t.mu.Unlock()
	if at, ok := p.t.offered.ripe(); ok && at > now {
		d = min(d, at-now)
	}
	return d
}
