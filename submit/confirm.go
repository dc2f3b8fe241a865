package submit

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"syscall"

	"fencepost/spool"
	"fencepost/spool/env/drill"
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
		t.looked = max(l.asked, 1)
		acts[t], why[t] = e.judge(t, l)
	}
	for _, t := range e.there(all, func(t *tracked) bool { return acts[t] != wait }) {
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
			e.confirm(t, l, why[t])
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

// there leaves out the files that are not in their place any more: somebody
// else ended them. It saves acts that would come to nothing; what an act rests
// on is its rename. Of those that want leaves out, nothing is asked.
func (e *Engine) there(all []*tracked, want func(*tracked) bool) []*tracked {
	dirs := map[string][]string{}
	return slices.DeleteFunc(slices.Clone(all), func(t *tracked) bool {
		if !want(t) {
			return false
		}
		dir, base := path.Split(t.s.Path())
		names, known := dirs[dir]
		if !known {
			var err error
			if names, err = e.in.FS.List(path.Clean(dir)); err != nil && !errors.Is(err, syscall.ENOENT) {
				e.in.Warn("list sealed jobs", err)
				names = nil
				for _, o := range all { // no answer: as if all were there
					names = append(names, path.Base(o.s.Path()))
				}
			}
			dirs[dir] = names
		}
		if slices.Contains(names, base) || drill.Broken(e.env, drill.NoPlaceCheck) {
			return false
		}
		e.untrack(t)
		return true
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
	if !ok || j.Token != t.s.Token().String() {
		t.unheld = 0
	}
	switch {
	case !ok:
		return absent, "the cluster doesn't know id " + t.id
	case j.Key != t.s.Name.ID:
		return absent, fmt.Sprintf("id %s belongs to another job: %s", t.id, j.Name)
	case drill.Broken(e.env, drill.NameOnlyCheck):
	case j.Token != t.s.Token().String() && e.ourToken(j.Token):
		return absent, fmt.Sprintf("id %s belongs to another submission of this job: %s", t.id, j.Token)
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
		if o, runs := otherRun(t, l); runs && !e.neverRan(t.s.Name.ID, o) && !drill.Broken(e.env, drill.NoOtherCheck) {
			return park, fmt.Sprintf("another job of this key is %s at the cluster: %s", o.State, o.ID)
		}
		t.unheld = 0
		if t.acted > 0 && l.asked-t.acted < e.opt.ConfirmAfter {
			return wait, "" // a listing may lag behind, and a controller behind its answers
		}
		if t.releases >= maxReleases {
			return park, fmt.Sprintf("still held after %d releases", t.releases)
		}
		return release, ""
	}
	e.setReleased(t) // by us, or by whoever had it before
	if t.unheld == 0 && !drill.Broken(e.env, drill.ConfirmOnce) {
		t.unheld = l.asked
		return wait, ""
	}
	if l.asked-t.unheld < e.opt.ConfirmAfter && !drill.Broken(e.env, drill.ConfirmOnce) {
		return wait, ""
	}
	return done, string(j.State) + " at the cluster, twice"
}

// ourToken says whether a comment is a token of this spool. A site that edits
// comments doesn't make one.
func (e *Engine) ourToken(comment string) bool {
	tok, ok := spool.ParseToken(comment)
	return ok && tok.Spool == e.in.ID
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
		e.taker.Wake()
	}
}

// releaseAll releases by id, many in one call. What the call answers decides
// nothing: the next listing does.
func (e *Engine) releaseAll(ctx context.Context, all []*tracked) {
	var ids []string
	var going []*tracked
	e.askAgain()
	for _, t := range all {
		if e.honourSealed(ctx, t) {
			continue
		}
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
	now, released := e.env.Now(), 0
	for _, t := range going {
		t.acted, t.unheld = now, 0
		err := Released(err, t.id)
		if err == nil {
			t.releases++
			released++
		}
		if err == nil || OutcomeOf(err) == Unknown {
			e.setReleased(t)
		}
	}
	if err != nil {
		e.in.Warn("release", err)
	}
	e.tally(func(s *Stats) { s.Released += released })
}

// absent decides about a job that the cluster doesn't know any more. That it
// never ran needs proof: the scheduler's record, or a guard that lets one start
// happen. A job that ran and was purged looks the same as one that was lost.
func (e *Engine) absent(ctx context.Context, t *tracked, l listing, why string) {
	if t.absent == 0 {
		t.absent = l.asked
	}
	age := l.asked - t.absent
	if started, err := e.started(t.s.Name.ID); err != nil {
		e.in.Warn("look for a start of "+t.s.Name.ID, err)
		return
	} else if started {
		e.settle(t, t.s.Done(t.id, why+", but its guard shows a start"))
		return
	}
	if age < e.opt.ConfirmAfter {
		return // a listing may lag behind
	}
	if e.caps.Past {
		if e.byRecord(ctx, t, why) || age < e.opt.PastFor {
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

// byRecord decides by what the scheduler's record says of an absent job, if it
// says anything.
func (e *Engine) byRecord(ctx context.Context, t *tracked, why string) bool {
	p, err := e.cluster.Past(ctx, t.id)
	if err != nil {
		e.in.Warn("ask for the record of "+t.id, err)
		return false
	}
	if !p.Known || p.Name != e.in.NamePrefix()+t.s.Name.ID {
		return false
	}
	switch {
	case p.Started && e.opt.StrictGuard:
		return false // its guard shows none: that counts
	case p.Started:
		e.settle(t, t.s.Done(t.id, why+", but its record shows a start"))
	case p.State == Cancelled:
		e.settle(t, t.s.Fail(spool.EvCancelled, why+"; its record says: cancelled before its start"))
	case p.State.Ended():
		e.settle(t, t.s.Back(spool.Why{Reason: why + "; its record shows that it never started"}))
	default:
		return false
	}
	return true
}

// started looks for the guard's link, by a fresh listing.
func (e *Engine) started(id string) (bool, error) {
	return e.in.Exists(spool.StartedPath(id))
}
