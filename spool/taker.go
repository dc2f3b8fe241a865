package spool

import (
	"context"
	"errors"
	"sync"
	"time"

	"fencepost/spool/env"
	"fencepost/spool/env/drill"
)

// Taker claims a stage's entries and gives each to a task. It polls the stage's
// directory, quicker when there is work, slower when there is none; Hint makes
// it look at once.
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
	// Passed is told of each look for work that ended; nil = nobody is.
	Passed func()
	// Work does the stage's work on a claim and ends it, in a task of its own.
	Work func(ctx context.Context, c *Claim)

	hint env.Signal
	mu   sync.Mutex // never held across a call to Env
	busy int
	lost int
	won  int
}

// Init prepares a taker; call it before Run and Hint.
func (t *Taker) Init() *Taker {
	t.hint = t.In.Env.NewSignal()
	if t.MaxPoll < t.Poll {
		t.MaxPoll = t.Poll
	}
	return t
}

// Hint says that there may be something to take, or room for it.
func (t *Taker) Hint() { t.hint.Notify() }

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
	q := NewQueue(t.In.Spool, t.Stage, t.In.Host)
	pause := t.Poll
	for ctx.Err() == nil {
		took, err := t.pass(ctx, work, g, q)
		if t.Passed != nil {
			t.Passed()
		}
		if err != nil {
			if errors.Is(err, ErrFenced) {
				break
			}
			t.In.Warn("take", err)
		}
		if took > 0 {
			pause = t.Poll
		}
		t.hint.Wait(ctx, pause)
		if took == 0 {
			pause = min(2*pause, t.MaxPoll)
		}
	}
	g.Wait(noContext)
}

// pass claims from one listing until it is used up or there is no more room.
func (t *Taker) pass(ctx, work context.Context, g *env.Group, q *Queue) (took int, err error) {
	fresh := true
	for ctx.Err() == nil {
		if t.Room() <= 0 {
			return took, nil
		}
		n, ok, err := q.Next(fresh)
		if err != nil || !ok {
			return took, err
		}
		fresh = false
		if t.Want != nil && !t.Want(n) {
			continue
		}
		c, err := t.In.Claim(t.Stage, n)
		switch {
		case errors.Is(err, ErrLost):
			q.Missed()
			t.count(0, 0, 1)
			continue
		case err != nil:
			return took, err
		}
		took++
		t.count(1, 1, 0)
		g.Go(string(t.Stage)+" "+n.ID, func() {
			t.Work(work, c)
			t.count(-1, 0, 0)
			t.Hint() // there is room again
		})
	}
	return took, nil
}

func (t *Taker) count(busy, won, lost int) {
	t.mu.Lock()
	t.busy += busy
	t.won += won
	t.lost += lost
	t.mu.Unlock()
}

// Translator is the translate stage: its work is a pure function.
type Translator struct {
	// Convert turns an accepted file into the next stage's. An error means
	// that the job is bad.
	Convert func(data []byte) ([]byte, error)
	// Published is told of each job that went on; may be nil.
	Published func()
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
	if err := s.Publish(); err != nil {
		return err
	}
	if tr.Published != nil {
		tr.Published()
	}
	return nil
}
