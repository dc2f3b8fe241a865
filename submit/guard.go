package submit

import (
	"time"

	"fencepost/spool"
)

// confirm ends a job that the cluster says has ended, or doesn't hold any more.
//
// With the strict guard the cluster's word for a start isn't enough. After a
// crash a scheduler gives ids again while its nodes still have jobs of those
// ids: it takes the end of the old one for that of the new one, or cancels the
// new one as a second copy. Both look started, and nothing ever ran. The guard's
// link is the start; without it, the job goes back, since whatever runs of it
// yet, one start is let through.
func (e *Engine) confirm(t *tracked, l listing, why string) {
	j := l.byID[t.id]
	if e.opt.StrictGuard && (j.State.Ended() || j.State == Running) {
		started, err := e.started(t.s.Name.ID)
		if err != nil {
			e.in.Warn("look for a start of "+t.s.Name.ID, err)
			return
		}
		if !started && !e.mayBeLate(t, j, l.asked) {
			e.settle(t, t.s.Back(spool.Why{Reason: why + ", but its guard shows no start, and lets only one happen"}))
		}
		if !started {
			return
		}
	}
	e.tally(func(s *Stats) { s.Confirmed++ })
	e.settle(t, t.s.Done(t.id, why))
}

// mayBeLate says whether the guard's link may yet be seen: while the job runs,
// and for a moment after its end.
func (e *Engine) mayBeLate(t *tracked, j Job, asked time.Duration) bool {
	if !j.State.Ended() {
		t.unheld, t.linkless = 0, 0 // to be looked at again
		return true
	}
	if t.linkless == 0 {
		t.linkless = max(asked, 1)
	}
	return asked-t.linkless < e.opt.ConfirmAfter
}

// neverRan says whether another job of a key that has ended surely ran nothing.
func (e *Engine) neverRan(key string, other Job) bool {
	if !e.opt.StrictGuard || !other.State.Ended() {
		return false
	}
	started, err := e.started(key)
	return err == nil && !started
}
