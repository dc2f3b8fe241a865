package submit

import (
	"context"
	"fmt"

	"fencepost/spool"
)

// What a listing says is to be done with a sealed job.
type action int

const (
	wait      action = iota
	release          // held by our kind of hold, nothing else of its key runs
	done             // it ended, or was seen unheld twice
	park             // for a person
	cancelled        // by somebody else: final
	absent           // not there, or its id belongs to another job
)

// maxReleases bounds releases of one job: what is held again after them is
// held by something that we don't know.
const maxReleases = 3

// releaseAndConfirm applies one listing to all files that were tracked when it
// was asked for.
func (e *Engine) releaseAndConfirm(ctx context.Context, all []*tracked, l listing) {
	var toRelease, ends []*tracked
	why := map[*tracked]string{}
	acts := map[*tracked]action{}
	for _, t := range all {
		if t.since > l.asked {
			continue
		}
		acts[t], why[t] = e.judge(t, l)
		switch acts[t] {
		case wait:
		case release:
			toRelease = append(toRelease, t)
		default:
			ends = append(ends, t)
		}
	}
	e.releaseAll(ctx, toRelease)
	e.each(ends, func(t *tracked) {
		switch acts[t] {
		case done:
			e.tally(func(s *Stats) { s.Confirmed++ })
			e.settle(t, t.s.Done(t.id, why[t]))
		case park:
			e.tally(func(s *Stats) { s.Parked++ })
			e.settle(t, t.s.Park(why[t]))
		case cancelled:
			e.settle(t, t.s.Fail(spool.EvCancelled, why[t]))
		case absent:
			e.absent(ctx, t, l, why[t])
		}
	})
}

// judge says what a listing means for one sealed job. Every act on a cluster
// id first checks that its name and token are those of the file that it acts
// for: ids are used again after a scheduler's crash.
func (e *Engine) judge(t *tracked, l listing) (action, string) {
	if t.acted > l.asked {
		return wait, ""
	}
	j, ok := l.byID[t.id]
	switch {
	case !ok:
		return absent, "the cluster doesn't know id " + t.id
	case j.Key != t.s.Name.ID:
		return absent, fmt.Sprintf("id %s belongs to another job: %s", t.id, j.Name)
	case j.Token != t.s.Token().String():
		return park, fmt.Sprintf("id %s has our name, but the token %q instead of %q", t.id, j.Token, t.s.Token())
	}
	t.absent = 0
	switch j.State {
	case HeldOther:
		return park, "held at the cluster by somebody else: " + j.Detail
	case Cancelled:
		if j.Started {
			return done, "cancelled at the cluster after its start"
		}
		return cancelled, "cancelled at the cluster before its start"
	case Done, Failed:
		return done, string(j.State) + " at the cluster"
	case Held:
		if o, runs := otherRun(t, l); runs {
			return park, fmt.Sprintf("another job of this key is %s at the cluster: %s", o.State, o.ID)
		}
		if t.releases >= maxReleases {
			return park, fmt.Sprintf("still held after %d releases", t.releases)
		}
		return release, ""
	}
	e.setReleased(t) // by us, or by whoever had it before
	if t.unheld == 0 {
		t.unheld = l.asked
		return wait, ""
	}
	if l.asked-t.unheld < e.opt.ConfirmAfter {
		return wait, ""
	}
	return done, string(j.State) + " at the cluster, twice"
}

// otherRun finds another job of the key that is unheld, runs, or has run. One
// that was cancelled without ever a node doesn't count: a swept ghost.
func otherRun(t *tracked, l listing) (Job, bool) {
	for _, j := range l.byKey[t.s.Name.ID] {
		if j.ID == t.id || j.State == Held || j.State == HeldOther || j.State == Cancelled && !j.Started {
			continue
		}
		return j, true
	}
	return Job{}, false
}

func (e *Engine) setReleased(t *tracked) {
	e.mu.Lock()
	was := t.released
	t.released = true
	e.mu.Unlock()
	if !was {
		e.taker.Hint()
	}
}

// releaseAll releases by id, many in one call. What the call answers decides
// nothing: the next listing does.
func (e *Engine) releaseAll(ctx context.Context, all []*tracked) {
	var ids []string
	var going []*tracked
	for _, t := range all {
		if e.honourSealed(ctx, t) {
			continue
		}
		// A seal that was taken away meanwhile shows here as a file that is
		// gone: a courtesy, the check against a woken zombie is the token.
		e.note(spool.EvReleased, t.s.Name, t.id, "", 0)
		ids, going = append(ids, t.id), append(going, t)
	}
	if len(ids) == 0 {
		return
	}
	if err := e.in.Journal.Flush(); err != nil {
		e.in.Warn("journal", err)
	}
	err := e.cluster.Release(ctx, ids)
	now := e.env.Now()
	for _, t := range going {
		t.acted, t.unheld = now, 0
		if err == nil || OutcomeOf(err) == Unknown {
			t.releases++
			e.setReleased(t)
		}
	}
	if err != nil {
		e.in.Warn("release", err)
		return
	}
	e.tally(func(s *Stats) { s.Released += len(going) })
}

// absent decides about a job that the cluster doesn't know any more. That it
// never ran needs proof: the scheduler's record, or a guard that lets one start
// happen. A job that ran and was purged looks the same as one that was lost.
func (e *Engine) absent(ctx context.Context, t *tracked, l listing, why string) {
	if t.absent == 0 {
		t.absent = l.asked
	}
	if started, err := e.started(t.s.Name.ID); err != nil {
		e.in.Warn("look for a start of "+t.s.Name.ID, err)
		return
	} else if started {
		e.settle(t, t.s.Done(t.id, why+", but its guard shows a start"))
		return
	}
	if e.caps.Past {
		p, err := e.cluster.Past(ctx, t.id)
		switch {
		case err != nil:
			e.in.Warn("ask for the record of "+t.id, err)
			return
		case p.Known && p.Name == e.in.NamePrefix()+t.s.Name.ID && p.Started:
			e.settle(t, t.s.Done(t.id, why+", but its record shows a start"))
			return
		case p.Known && p.Name == e.in.NamePrefix()+t.s.Name.ID && p.State.Ended():
			e.settle(t, t.s.Back(spool.Why{Reason: why + "; its record shows that it never started"}))
			return
		}
		if l.asked-t.absent < e.opt.PastFor {
			return // the record may come late
		}
	}
	if e.opt.StrictGuard {
		e.settle(t, t.s.Back(spool.Why{Reason: why + "; its guard shows no start, and lets only one happen"}))
		return
	}
	e.tally(func(s *Stats) { s.Parked++ })
	e.settle(t, t.s.Park(why+"; nothing proves that it never ran"))
}

// started looks for the guard's link, by a fresh listing.
func (e *Engine) started(id string) (bool, error) {
	return e.in.Exists(spool.StartedPath(id))
}
