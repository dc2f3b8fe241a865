package submit_test

import (
	"testing"
	"time"

	"fencepost/spool"
	"fencepost/submit"
	"fencepost/submit/clustersim"
)

// Listings cost a big cluster seconds: they are asked for rarely, whatever
// comes in meanwhile, and not at all when nothing is due.
func TestListingsAreRare(t *testing.T) {
	so := simOptions(pastCaps)
	so.Latency = 100 * time.Millisecond // and two calls for the pin
	w := memWorld(t, so)
	w.opt.SweepEvery = time.Hour
	w.start("a")
	for range 60 {
		w.feed(2)
		w.env.RunFor(time.Second)
	}
	if n := w.sim.Stats.Listings; n > 35 {
		t.Errorf("%d listings in a minute of submissions, want at most %d", n, 35)
	}
	w.env.RunFor(time.Minute)
	before := w.sim.Stats.Listings
	w.env.RunFor(10 * time.Minute)
	if n := w.sim.Stats.Listings - before; n > 0 {
		t.Errorf("%d listings with nothing to do", n)
	}
	w.mustHeal(t)
}

func TestListingsOfWhatIsAbsent(t *testing.T) {
	w := memWorld(t, simOptions(pastCaps))
	w.opt.SweepEvery, w.opt.StrictGuard = time.Hour, true
	w.feed(1)
	a := w.start("a")
	w.stopAfterSeal(a)
	w.env.RunFor(3 * time.Second)
	w.sim.Crash(5 * time.Second)
	before := w.sim.Stats.Listings
	a.host.Continue()
	w.env.RunFor(w.opt.PastFor)
	if n := w.sim.Stats.Listings - before; n < 10 || n > 31 {
		t.Errorf("%d listings in a minute, want one in two seconds", n)
	}
	w.env.RunFor(time.Minute)
	w.want(t, spool.PlaceDone, 1)
}

// A listing that lags behind by less than confirm_after decides nothing.
func TestListingLagsBehind(t *testing.T) {
	for _, caps := range []submit.Caps{heldCaps, pastCaps} {
		for lag := time.Second; lag < 7*time.Second; lag += time.Second {
			so := simOptions(caps)
			so.ListLag = lag
			w := memWorld(t, so)
			releases := w.calls(clustersim.OpRelease)
			w.feed(5)
			w.start("a")
			w.start("b")
			w.env.RunFor(2 * time.Minute)
			w.mustHeal(t)
			if w.sim.Stats.Submitted != 5 || *releases != 5 {
				t.Errorf("lag %v: %d submissions, %d releases, want 5", lag, w.sim.Stats.Submitted, *releases)
			}
		}
	}
}

// An hour without the cluster: nothing is failed or parked, and generations
// stay far below their limit.
func TestHourOfOutage(t *testing.T) {
	for _, k := range kinds {
		for _, what := range []string{"down", "refuses"} {
			if k.caps.Past || k.caps.Hold != k.caps.List {
				continue // as held
			}
			t.Run(k.name+" "+what, func(t *testing.T) {
				w := memWorld(t, simOptions(k.caps))
				w.feed(3)
				for _, h := range []string{"a", "b", "c"} {
					w.start(h)
				}
				if what == "down" {
					w.sim.Down = true
				} else { // its probe passes
					w.sim.Inject = func(c clustersim.Call) clustersim.Verdict {
						if c.Op == clustersim.OpSubmit {
							return clustersim.Verdict{Err: outcome(submit.Unavailable)}
						}
						return clustersim.Verdict{}
					}
				}
				w.env.RunFor(time.Hour)
				for _, id := range w.ids {
					f := w.locate(id)
					if len(f) != 1 || f[0].Place != spool.PlaceWaiting || f[0].Name.Gen > 100 || f[0].Name.Faults != 0 {
						t.Errorf("after an hour: %+v", f)
					}
				}
				for _, p := range w.procs {
					if fit, why := p.eng.Fitness(); what == "refuses" && !fit {
						t.Errorf("%s is unfit: %s", p.host.Name(), why)
					}
				}
				w.mustHeal(t)
				w.want(t, spool.PlaceDone, 1)
			})
		}
	}
}

// A host that is told "later" leaves the cluster alone for a while, however
// many jobs wait.
func TestManyJobsInAnOutage(t *testing.T) {
	w := memWorld(t, simOptions(heldCaps))
	w.feed(100)
	w.sim.Inject = func(c clustersim.Call) clustersim.Verdict {
		if c.Op == clustersim.OpSubmit {
			return clustersim.Verdict{Err: outcome(submit.Unavailable)}
		}
		return clustersim.Verdict{}
	}
	submits := w.calls(clustersim.OpSubmit)
	w.start("a")
	w.env.RunFor(10 * time.Minute)
	if want := w.opt.Workers * (5 + 10*60/30); *submits > want || *submits < want/4 {
		t.Errorf("%d submissions in ten minutes, want at most %d", *submits, want)
	}
	w.mustHeal(t)
}

// The story: a host that can't submit returns what it took and leaves the rest.
func TestUnfitHost(t *testing.T) {
	for _, probe := range []bool{true, false} {
		w := memWorld(t, simOptions(heldCaps))
		w.feed(40)
		w.sim.Inject = func(c clustersim.Call) clustersim.Verdict {
			if c.Host == "b" && (c.Op == clustersim.OpSubmit || c.Op == clustersim.OpProbe && !probe) {
				return clustersim.Verdict{Err: outcome(submit.Unfit)}
			}
			return clustersim.Verdict{}
		}
		w.start("a")
		b := w.start("b")
		w.env.RunFor(2 * time.Minute)
		if fit, _ := b.eng.Fitness(); fit || b.eng.Stats().Unfit > 10 {
			t.Errorf("b: fit %v, %+v", fit, b.eng.Stats())
		}
		for _, id := range w.ids {
			if f := w.locate(id)[0]; f.Place != spool.PlaceDone || f.Name.Faults != 0 {
				t.Errorf("%+v", f)
			}
		}
		w.sim.Inject = nil
		w.env.RunFor(time.Minute)
		w.feed(40)
		w.env.RunFor(2 * time.Minute)
		if fit, why := b.eng.Fitness(); !fit || b.eng.Stats().Submitted == 0 {
			t.Errorf("b takes part again? fit %v %q, %+v", fit, why, b.eng.Stats())
		}
		w.mustHeal(t)
	}
}

// A host that can't submit from its first probe on says so, once; a cluster that
// is down when a host starts is no fault of the host.
func TestFirstProbeFails(t *testing.T) {
	for kind, fit := range map[submit.Outcome]bool{submit.Unfit: false, submit.Unavailable: true} {
		w := memWorld(t, simOptions(heldCaps))
		w.sim.Unfit["a"] = outcome(kind)
		a := w.start("a")
		w.env.RunFor(time.Minute)
		if got, why := a.eng.Fitness(); got != fit || why == "" {
			t.Errorf("%v: fit %v %q, want %v", kind, got, why, fit)
		}
		said := 0
		for _, e := range w.events {
			if e.Event == spool.EvTrouble && e.Result == "can't submit" {
				said++
			}
		}
		if said != 1 {
			t.Errorf("%v: said %d times that it can't submit, want once", kind, said)
		}
	}
}

// Rejected is final only if the host is fit right after it, its pin included.
func TestRejected(t *testing.T) {
	for name, tc := range map[string]struct {
		after func(w *world)
		want  spool.Place
	}{
		"a bad job":       {func(*world) {}, spool.PlaceFailed},
		"a bad host":      {func(w *world) { w.sim.Unfit["a"] = outcome(submit.Unfit) }, spool.PlaceWaiting},
		"another cluster": {func(w *world) { w.sim.Another["a"] = true }, spool.PlaceWaiting},
		"a full cluster":  {func(w *world) { w.sim.Unfit["a"] = outcome(submit.Unavailable) }, spool.PlaceWaiting},
	} {
		t.Run(name, func(t *testing.T) {
			w := memWorld(t, simOptions(heldCaps))
			w.feed(1)
			w.sim.Reject[prefix+w.ids[0]] = true
			w.sim.At(clustersim.Point{Op: clustersim.OpSubmit, After: true}, func() { tc.after(w) })
			w.start("a")
			w.env.RunFor(20 * time.Second)
			w.want(t, tc.want, 0)
		})
	}
}

// A stop in the middle of a submission: what is sealed last is released before
// the instance says goodbye.
func TestStopReleasesWhatWasSealedLast(t *testing.T) {
	for _, caps := range []submit.Caps{heldCaps, blindCaps} {
		w := memWorld(t, simOptions(caps))
		w.feed(1)
		w.sim.Inject = func(c clustersim.Call) clustersim.Verdict {
			if c.Op == clustersim.OpSubmit {
				return clustersim.Verdict{Apply: true, Hang: 10 * time.Second}
			}
			return clustersim.Verdict{}
		}
		a := w.start("a")
		w.env.RunFor(3 * time.Second)
		a.stop(nil)
		w.env.RunFor(20 * time.Second)
		if !a.ended || w.sim.Stats.Released != 1 {
			t.Errorf("ended %v, %d releases, want 1", a.ended, w.sim.Stats.Released)
		}
		w.mustHeal(t)
	}
}
