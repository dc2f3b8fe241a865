package spool

import (
	"context"

	"fencepost/spool/env"
)

// taking is what tasks run in.
type taking struct {
	ctx, work context.Context
	g         *env.Group
}

// Reserve says whether an entry that this instance is about to put into the stage
// may be claimed instead, and keeps the room for it. It may if this taker would
// take it at once: it has room, and knows of nothing that came before.
func (t *Taker) Reserve() bool {
	t.mu.Lock()
	ok := t.run != nil && t.run.ctx.Err() == nil && t.idle && !t.deciding && !t.look && len(t.offered.all) == 0 && t.Want == nil
	t.deciding = t.deciding || ok
	t.mu.Unlock()
	if !ok {
		return false
	}
	ok = t.Room() > 0
	t.mu.Lock()
	// Run may have come to its end while room was asked for: nobody waits for more.
	ok = ok && !t.ended
	turned := t.turned
	t.deciding, t.turned = false, false
	if ok {
		t.busy++
		t.births++
	}
	t.mu.Unlock()
	if turned {
		t.Wake()
	}
	return ok
}

// Begin works on a claim that room was kept for; nil = it won't come.
func (t *Taker) Begin(c *Claim) {
	t.mu.Lock()
	run := t.run
	t.mu.Unlock()
	if c != nil {
		t.start(run.g, run.work, c)
	}
	// Only now: Run, at its end, waits for the births first, then for the tasks.
	t.mu.Lock()
	t.births--
	if c == nil {
		t.busy--
	} else {
		t.won++
	}
	t.mu.Unlock()
	t.Wake()
}

// start starts the work on a claim that is counted as busy.
func (t *Taker) start(g *env.Group, work context.Context, c *Claim) {
	g.Go(string(t.Stage)+" "+c.Name.ID, func() {
		t.Work(work, c)
		t.count(-1, 0, 0)
		t.Wake()
	})
}

// begins says that a pass may begin: nobody else decides about the room.
func (t *Taker) begins() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.idle, t.turned = false, t.deciding
	return !t.deciding
}

// ends tells that Run takes no more. Room that is kept is waited for.
func (t *Taker) ends() {
	t.mu.Lock()
	t.idle, t.ended = false, true
	left := t.births
	t.mu.Unlock()
	for left > 0 {
		t.wake.Wait(noContext, t.MaxPoll)
		t.mu.Lock()
		left = t.births
		t.mu.Unlock()
	}
}
