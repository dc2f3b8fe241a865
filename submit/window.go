package submit

import (
	"context"
	"time"
)

// The window bounds what this host has at the cluster that is held, until a listing
// lets it release that. A listing costs what all of the cluster's jobs cost, however
// many it releases: so the window opens when submissions had to wait for one, and
// is small again as soon as the cluster says that it is full.

// batch is worth a listing that comes early: a trickle waits for the next that is
// due.
const batch = 16

// held is the number of submissions that aren't released. mu is held.
func (e *Engine) held() (n int) {
	for _, t := range e.tracked {
		if !t.released {
			n++
		}
	}
	return n
}

// starve takes note that the window keeps workers idle.
func (e *Engine) starve() {
	e.mu.Lock()
	e.starved = true
	e.mu.Unlock()
	e.full.Notify()
}

// listed opens the window if submissions waited for this listing.
func (e *Engine) listed() {
	e.mu.Lock()
	if e.starved {
		e.window = max(e.opt.Window, e.opt.MaxWindow)
	}
	e.starved = false
	e.mu.Unlock()
}

// narrow is for a cluster that is full.
func (e *Engine) narrow() {
	e.mu.Lock()
	e.window = e.opt.Window
	e.mu.Unlock()
}

// begin and end count the submissions that are under way. With the last one's
// end nothing more is to come for a listing to serve.
func (e *Engine) begin() {
	e.mu.Lock()
	e.underWay++
	e.mu.Unlock()
}

func (e *Engine) end() {
	e.mu.Lock()
	e.underWay--
	last := e.underWay == 0
	e.mu.Unlock()
	if last {
		e.full.Notify()
	}
}

// pressing says whether submissions wait for a listing: because the window keeps
// workers idle, or because they are the last of a batch.
func (e *Engine) pressing() bool {
	busy := e.taker.Busy()
	e.mu.Lock()
	defer e.mu.Unlock()
	held := e.held()
	return held+busy >= e.window || held >= batch && e.underWay == 0
}

// rest is how long the cluster is left alone after a listing; the short one is
// for submissions that wait for the next.
type rest struct{ long, short time.Duration }

// leave leaves the cluster alone for a while after a listing.
func (e *Engine) leave(ctx context.Context, r rest) error {
	began := e.env.Now()
	for now := began; now < began+r.long && ctx.Err() == nil; now = e.env.Now() {
		until := began + r.long
		if e.pressing() {
			until = began + r.short
		}
		if now >= until {
			return nil
		}
		e.full.Wait(ctx, until-now)
	}
	return context.Cause(ctx)
}

// Bounds of a rest, beside Options.ListEvery: the time between two listings of a
// quick cluster, and how long a slow one is left alone at most.
const (
	shortest = 200 * time.Millisecond
	longest  = 10 * time.Second
)

// restAfter is the rest after a listing that took so long and ended so long ago.
// It costs the less the seldomer it is asked for; a slow one is more than the
// cluster should be asked for all the time.
func (e *Engine) restAfter(took, ago time.Duration) rest {
	long := min(max(10*took, shortest), e.opt.ListEvery)
	long = max(long, min(2*took, longest))
	return rest{long: long - ago, short: min(max(took, shortest), long) - ago}
}
