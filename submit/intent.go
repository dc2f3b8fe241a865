package submit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fencepost/spool"
	"fencepost/spool/env/drill"
)

// submitIntent submits for a sealed file that bears no cluster id yet.
func (e *Engine) submitIntent(ctx context.Context, s *spool.Sealed, req Request) error {
	begun := e.env.Now()
	id, err := e.submit(ctx, s.Name, req, "", begun)
	if err != nil {
		return e.failed(ctx, err, intended{s, e, begun})
	}
	return e.accepted(s, id)
}

// acceptTries bounds how often the final record of an accepted intent is tried:
// half a minute.
const acceptTries = 6

// accepted makes the final record of an intent that the cluster took. Nobody
// but this task knows the cluster's id, so it doesn't give up easily; and if
// somebody parked the job meanwhile, the id is added to the evidence.
func (e *Engine) accepted(s *spool.Sealed, id string) error {
	err := s.Done(id, "")
	for try := 0; errors.Is(err, spool.ErrUnclear) && try < acceptTries; try++ {
		s.Own()
		if e.env.Sleep(context.Background(), 500*time.Millisecond<<try) != nil {
			break
		}
		err = s.Done(id, "")
	}
	switch {
	case err == nil:
		return nil
	case !errors.Is(err, spool.ErrLost):
		// Whoever parks it will add to these reasons.
		return errors.Join(err, e.in.AddWhy(spool.DirParked, s.Name, spool.EvSubmitted, "the cluster took it as "+id))
	}
	found, lerr := e.in.Locate(s.Name.ID)
	for _, f := range found {
		switch {
		case f.Place == spool.PlaceDone && f.Name.Cluster == id:
			return nil // by another try with the same key
		case f.Place == spool.PlaceParked:
			return errors.Join(err, e.in.AddWhy(spool.DirParked, f.Name, spool.EvSubmitted, "the cluster took it as "+id))
		}
	}
	e.note(spool.EvUnclear, s.Name, id, fmt.Sprintf("the cluster took it as %s, but somebody else ended the job", id), 0)
	return errors.Join(err, lerr)
}

// submitAgain repeats an intent under its key, which is harmless while the
// cluster remembers the key; after that, a person decides. Some earlier try may
// have been accepted, so that no refusal of this one proves anything.
func (e *Engine) submitAgain(ctx context.Context, t *tracked) {
	// The last eighth is left for a try that takes its time.
	if w := e.opt.KeyWindow; w > 0 && e.env.Now()-t.since > w-w/8 {
		e.tally(func(st *Stats) { st.Parked++ })
		e.settle(t, t.s.Park(fmt.Sprintf("no clear answer from the cluster while it remembers a key (%s)", w)))
		return
	}
	if !e.mayClaim() {
		return
	}
	document, err := t.s.Read()
	if err != nil {
		e.settle(t, err)
		return
	}
	req, err := e.request(t.s.Name, t.s.Token(), t.s.Path(), document)
	if err != nil {
		e.settle(t, t.s.Park(err.Error()))
		return
	}
	t.tries++
	if drill.Broken(e.env, drill.NewKey) {
		req.Key = fmt.Sprintf("%s-%d", req.Key, t.tries)
	}
	id, err := e.submit(ctx, t.s.Name, req, "again", e.env.Now())
	switch {
	case err == nil:
		e.settle(t, e.accepted(t.s, id))
	case OutcomeOf(err) == Rejected:
		e.tally(func(st *Stats) { st.Parked++ })
		e.settle(t, t.s.Park("refused, but an earlier try may have been accepted: "+err.Error()))
	case OutcomeOf(err) == Unfit:
		e.setSuspect(err)
	default:
		e.in.Warn("submit again "+t.s.Name.ID, err)
	}
}

// agesPerWindow is how often in a key's window sealed files are looked at.
const agesPerWindow = 4

// ages bounds how long intents have been there, by this observer's own clock:
// one that it didn't see at its last look is younger than that look.
type ages struct {
	at    time.Duration            // the last look; 0 = none yet
	since map[string]time.Duration // of what it showed: the look before its first; 0 = not known
}

// noteAges looks, if it is time to, at the sealed files of all instances.
func (e *Engine) noteAges() {
	w, now := e.opt.KeyWindow, e.env.Now()
	e.mu.Lock()
	old := e.ages
	e.mu.Unlock()
	if !e.caps.Key || w == 0 || old.at > 0 && now-old.at < w/agesPerWindow {
		return
	}
	fresh := ages{at: now, since: map[string]time.Duration{}}
	err := e.in.ScanOwned(func(f spool.Found) {
		since, known := old.since[f.Path]
		if !known {
			since = old.at
		}
		fresh.since[f.Path] = since
	})
	if err != nil {
		e.in.Warn("look at sealed jobs", err)
		return
	}
	e.mu.Lock()
	e.ages = fresh
	e.mu.Unlock()
}

// age says since when an intent may have been there; ok is false if that isn't
// known and the cluster forgets keys.
func (e *Engine) age(path string) (since time.Duration, ok bool) {
	if e.opt.KeyWindow == 0 {
		return e.env.Now(), true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	since, known := e.ages.since[path]
	if !known {
		since = e.ages.at
	}
	return since, since > 0
}
