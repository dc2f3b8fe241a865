package submit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"fencepost/spool"
	"fencepost/spool/env"
	"fencepost/spool/env/drill"
)

// tracked is a sealed submission that this instance sees to its end, whoever
// sealed it. Its fields are the tracker's alone, but for released.
type tracked struct {
	s        *spool.Sealed
	id       string        // the cluster's; "" = an intent
	since    time.Duration // tracked from here; of an intent, it may be that old
	tries    int           // of an intent, by us
	released bool          // guarded by Engine.mu
	releases int           // those that the cluster acknowledged
	looked   time.Duration // the last listing, or try, that served it; 0 = none yet
	acted    time.Duration // the last release
	unheld   time.Duration // the first listing after it that showed the job not held; 0 = none yet
	absent   time.Duration // the first listing in a row that didn't show it; 0 = none
	linkless time.Duration // the first listing that showed its end, while its guard showed no start; 0 = none
}

// track takes a sealed file of this instance on.
func (e *Engine) track(s *spool.Sealed) { e.trackSince(s, e.env.Now()) }

func (e *Engine) trackSince(s *spool.Sealed, since time.Duration) {
	t := &tracked{s: s, id: s.Name.Cluster, since: since}
	e.mu.Lock()
	if e.tracked[s.Path()] == nil {
		e.tracked[s.Path()] = t
	}
	e.mu.Unlock()
	e.look.Notify()
}

// Adopt takes on a sealed submission of an epoch that is over, or one that is
// stuck: any number of instances may see to one file, each step happens once.
// It is a spool.Finish: done is false, since the tracker does the work.
func (e *Engine) Adopt(s *spool.Sealed) (done bool, err error) {
	e.mu.Lock()
	known := e.tracked[s.Path()] != nil
	e.mu.Unlock()
	switch {
	case known:
	case e.caps.Hold != (s.Name.Cluster != ""):
		return true, s.Park("sealed for another kind of cluster backend than " + fmt.Sprintf("%+v", e.caps))
	case !e.caps.Hold && !e.caps.Key && drill.Broken(e.env, drill.IntentReturned):
		return true, s.Back(spool.Why{Reason: "its instance stopped"})
	case !e.caps.Hold && !e.caps.Key:
		e.tally(func(st *Stats) { st.Parked++ })
		return true, s.Park("its instance stopped between the seal and the cluster's answer: it may have been submitted, and this backend can't be asked")
	case e.caps.Hold:
		e.trackSince(s, e.env.Now())
	default:
		since, ok := e.age(s.Path())
		if !ok {
			e.tally(func(st *Stats) { st.Parked++ })
			return true, s.Park("its instance stopped between the seal and the cluster's answer, and nobody saw how long ago: the cluster may have forgotten its key")
		}
		e.trackSince(s, since)
	}
	return false, nil
}

func (e *Engine) untrack(t *tracked) {
	e.mu.Lock()
	delete(e.tracked, t.s.Path())
	e.mu.Unlock()
	t.s.Drop()
	e.taker.Wake()
}

// Tracked is the number of sealed submissions that aren't final yet.
func (e *Engine) Tracked() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.tracked)
}

// listing is one complete answer of the cluster.
type listing struct {
	asked time.Duration // before the call: it shows what was so then
	byID  map[string]Job
	byKey map[string][]Job
}

func (e *Engine) trackLoop(ctx context.Context) {
	e.noteAges()
	wait := e.opt.ListEvery
	for ctx.Err() == nil {
		e.look.Wait(ctx, wait)
		if ctx.Err() != nil {
			return
		}
		r, err := e.trackPass(ctx)
		if err != nil {
			e.in.Warn("look after sealed jobs", err)
			r = rest{e.opt.ListEvery, e.opt.ListEvery}
		}
		// However often it is told that there is something to do: the cluster
		// is not asked without end.
		if e.leave(ctx, r) != nil {
			return
		}
		e.noteAges()
		wait = max(e.nextDue(e.trackedNow(), e.env.Now()), 10*time.Millisecond)
		if w := e.opt.KeyWindow; w > 0 && e.caps.Key {
			wait = min(wait, w/agesPerWindow)
		}
	}
}

// trackPass does what is due, and returns how long the cluster is left alone.
func (e *Engine) trackPass(ctx context.Context) (rest, error) {
	all, now := e.trackedNow(), e.env.Now()
	due := slices.DeleteFunc(slices.Clone(all), func(t *tracked) bool { return e.dueIn(t, now) > 0 })
	if len(due) == 0 {
		return rest{}, nil
	}
	if e.caps.Hold && e.caps.List {
		l, took, err := e.list(ctx)
		if err != nil {
			return rest{}, err
		}
		e.listed()
		ended := e.env.Now()
		e.releaseAndConfirm(ctx, all, l)
		// Releases wait for a listing: list as often as that costs little.
		return e.restAfter(took, e.env.Now()-ended), nil
	}
	if err := e.checkPin(ctx); err != nil {
		return rest{}, err
	}
	e.askAgain()
	e.each(due, func(t *tracked) {
		t.looked = now
		if e.caps.Hold {
			e.releaseBlind(ctx, t)
		} else {
			e.submitAgain(ctx, t)
		}
	})
	return rest{}, nil
}

func (e *Engine) trackedNow() []*tracked {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make([]*tracked, 0, len(e.tracked))
	for _, t := range e.tracked {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b *tracked) int { return cmp.Compare(a.s.Path(), b.s.Path()) })
	return all
}

// dueIn is when a listing is of use to t: at once before its release, then
// when it would tell something new.
func (e *Engine) dueIn(t *tracked, now time.Duration) time.Duration {
	switch {
	case t.looked == 0:
		return 0
	case t.id == "":
		return t.looked + min(e.opt.ListEvery<<min(t.tries, 5), 30*time.Second) - now
	case t.unheld > 0:
		return t.unheld + e.opt.ConfirmAfter - now
	}
	return t.looked + e.opt.ListEvery - now
}

func (e *Engine) nextDue(all []*tracked, now time.Duration) time.Duration {
	next := time.Hour
	for _, t := range all {
		next = min(next, max(0, e.dueIn(t, now)))
	}
	return next // track notifies
}

// list asks the cluster for everything, and who it is before and after: a
// listing of another cluster would make every job look absent.
func (e *Engine) list(ctx context.Context) (l listing, took time.Duration, err error) {
	asked := e.env.Now()
	if err := e.checkPin(ctx); err != nil {
		return l, 0, err
	}
	jobs, err := e.cluster.List(ctx)
	if err != nil {
		return l, 0, err
	}
	if err := e.checkPin(ctx); err != nil {
		return l, 0, err
	}
	l = listing{asked: asked, byID: map[string]Job{}, byKey: map[string][]Job{}}
	prefix := e.in.NamePrefix()
	for _, j := range jobs {
		l.byID[j.ID] = j
		if j.Name == prefix+j.Key || j.Name == "" {
			l.byKey[j.Key] = append(l.byKey[j.Key], j)
		}
	}
	return l, e.env.Now() - asked, nil
}

// each runs f for all, a few at a time: they wait for the share, not for us.
func (e *Engine) each(all []*tracked, f func(*tracked)) {
	const wide = 8
	for chunk := range slices.Chunk(all, wide) {
		g := env.NewGroup(e.env)
		for _, t := range chunk {
			g.Go("track "+t.s.Name.ID, func() { f(t) })
		}
		_ = g.Wait(context.Background())
	}
}

// releaseBlind releases where the cluster can't list: the program's exit 0 is
// the confirmation.
func (e *Engine) releaseBlind(ctx context.Context, t *tracked) {
	if e.honourSealed(ctx, t) {
		return
	}
	e.note(spool.EvReleased, t.s.Name, t.id, "", 0)
	if err := e.in.Journal.Flush(); err != nil {
		e.in.Warn("journal", err)
	}
	if err := e.cluster.Release(ctx, []string{t.id}); err != nil {
		if OutcomeOf(err) == Rejected {
			e.settle(t, t.s.Park("release: "+err.Error()))
			return
		}
		e.in.Warn("release "+t.id, err)
		return
	}
	e.tally(func(s *Stats) { s.Released++; s.Confirmed++ })
	e.settle(t, t.s.Done(t.id, "released"))
}

// settle forgets a file that reached its end, by us or by somebody else. After
// any other error it stays, for the next pass.
func (e *Engine) settle(t *tracked, err error) {
	if err == nil || errors.Is(err, spool.ErrLost) {
		e.untrack(t)
		return
	}
	e.in.Warn("end "+t.s.Name.ID, err)
}
