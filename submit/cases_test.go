package submit_test

import (
	"strings"
	"testing"
	"time"

	"fencepost/spool"
	"fencepost/spool/vfs/memfs"
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

// Requests of a person.
func TestRequests(t *testing.T) {
	for _, kind := range []string{"hold", "cancel"} {
		for name, at := range map[string]func(w *world){
			"waiting": func(w *world) { w.request(kind, w.ids[0]) },
			"submitted": func(w *world) {
				w.sim.At(clustersim.Point{Op: clustersim.OpSubmit}, func() { w.request(kind, w.ids[0]) })
			},
			"sealed": func(w *world) {
				w.m.At(memfs.Point{Kind: memfs.Sync, Name: "sealed/a", After: true}, func() { w.request(kind, w.ids[0]) })
			},
		} {
			t.Run(kind+" "+name, func(t *testing.T) {
				w := memWorld(t, simOptions(heldCaps))
				w.feed(1)
				at(w)
				w.start("a")
				w.start("b")
				w.env.RunFor(time.Minute)
				want := map[string]spool.Place{"hold": spool.PlaceHeld, "cancel": spool.PlaceFailed}[kind]
				w.want(t, want, 0)
				if tree := w.m.Tree(); strings.Contains(tree, "requests/"+kind) {
					t.Error("the request is still there")
				}
				w.mustHeal(t)
			})
		}
	}
}

// A request that came too late goes when the job is done.
func TestRequestTooLate(t *testing.T) {
	for _, k := range kinds {
		w := memWorld(t, simOptions(k.caps))
		w.feed(1)
		op := clustersim.OpSubmit
		if k.caps.Hold {
			op = clustersim.OpRelease
		}
		w.sim.At(clustersim.Point{Op: op, After: true}, func() { w.request("hold", w.ids[0]) })
		w.start("a")
		w.env.RunFor(time.Minute)
		w.want(t, spool.PlaceDone, 1)
		if strings.Contains(w.m.Tree(), "requests/hold") {
			t.Errorf("%s: the request is still there", k.name)
		}
	}
}

// A key that the cluster forgot starts the job again: an intent is repeated
// only if it surely isn't that old.
func TestKeyWindow(t *testing.T) {
	for name, tc := range map[string]struct {
		peer bool
		away time.Duration // with no host alive
		want spool.Place
	}{
		"a peer looks on":       {true, 0, spool.PlaceDone},
		"nobody, a long time":   {false, time.Hour, spool.PlaceParked},
		"nobody, a little time": {false, time.Second, spool.PlaceParked}, // it can't know
	} {
		t.Run(name, func(t *testing.T) {
			so := simOptions(keyCaps)
			so.KeyWindow = 2 * time.Minute
			w := memWorld(t, so)
			w.opt.KeyWindow = time.Minute
			w.seal = time.Hour
			if tc.peer {
				w.start("b")
				w.env.RunFor(40 * time.Minute)
				w.procs[0].eng.Paused = func() bool { return true }
			}
			w.sim.At(clustersim.Point{Host: "a", Op: clustersim.OpSubmit, After: true}, func() { w.procs[len(w.procs)-1].host.Kill() })
			a := w.start("a")
			w.env.RunFor(2 * time.Second)
			w.feed(1)
			w.env.RunUntil(time.Minute, a.view.Dead)
			w.env.RunFor(tc.away)
			if !tc.peer {
				w.start("b")
			}
			w.env.RunFor(2 * time.Minute)
			w.want(t, tc.want, 1)
		})
	}
}

// The window counts from before the first try, and ends before the cluster
// forgets.
func TestKeyWindowIsTheClusters(t *testing.T) {
	for back := 60 * time.Second; back < 150*time.Second; back += 5 * time.Second {
		so := simOptions(keyCaps)
		so.KeyWindow, so.Latency = 2*time.Minute, 4*time.Second
		w := memWorld(t, so)
		w.opt.KeyWindow = so.KeyWindow
		w.mayPark = func(_, why string) bool { return strings.Contains(why, "remembers a key") }
		w.feed(1)
		first := true
		w.sim.Inject = func(c clustersim.Call) clustersim.Verdict {
			switch {
			case c.Op != clustersim.OpSubmit:
			case first:
				first = false
				return clustersim.Verdict{Apply: true, Err: outcome(submit.Unknown), Hang: 50 * time.Second}
			case w.env.Now() < back:
				return clustersim.Verdict{Err: outcome(submit.Unavailable)}
			}
			return clustersim.Verdict{}
		}
		w.start("a")
		w.env.RunFor(5 * time.Minute)
		w.mustHeal(t)
		w.scope.close()
		if t.Failed() {
			t.Fatalf("the cluster is back at %v", back)
		}
	}
}

// An earlier try may have been accepted: no refusal of a later one moves the
// job on.
func TestKeyRefusedLater(t *testing.T) {
	for o, want := range map[submit.Outcome]spool.Place{submit.Rejected: spool.PlaceParked,
		submit.Unavailable: spool.PlaceDone, submit.Unfit: spool.PlaceDone} {
		t.Run(o.String(), func(t *testing.T) {
			w := memWorld(t, simOptions(keyCaps))
			w.feed(1)
			n := 0
			w.sim.Inject = func(c clustersim.Call) clustersim.Verdict {
				if c.Op != clustersim.OpSubmit {
					return clustersim.Verdict{}
				}
				switch n++; n {
				case 1:
					return clustersim.Verdict{Apply: true, Err: outcome(submit.Unknown)}
				case 2:
					return clustersim.Verdict{Err: outcome(o)}
				}
				return clustersim.Verdict{}
			}
			w.start("a")
			w.env.RunFor(5 * time.Minute)
			w.want(t, want, 1)
			if f := w.locate(w.ids[0]); f[0].Name.Gen != 0 {
				t.Errorf("it went back to its stage: %+v", f)
			}
		})
	}
}

// A tracker without a listing asks who the cluster is, too.
func TestBlindReleaseOnAnotherCluster(t *testing.T) {
	w := memWorld(t, simOptions(blindCaps))
	w.feed(1)
	a := w.start("a")
	w.m.At(memfs.Point{View: "a", Kind: memfs.Sync, Name: "sealed/a", After: true}, func() { w.sim.Another["a"] = true })
	w.env.RunFor(time.Minute)
	if got := w.place(w.ids[0]); got != spool.PlaceSealed || w.sim.Stats.Released != 0 {
		t.Errorf("the job is %s, %d releases", got, w.sim.Stats.Released)
	}
	a.host.Kill()
	w.start("b")
	w.mustHeal(t)
}

// Two trackers of one file, its owner and a peer, do no harm.
func TestTwoTrackers(t *testing.T) {
	so := simOptions(heldCaps)
	so.StartAfter = 20 * time.Second
	w := memWorld(t, so)
	w.seal = 0
	w.opt.ConfirmAfter = 30 * time.Second
	w.feed(4)
	w.start("a")
	w.start("b")
	w.start("c")
	w.env.RunFor(10 * time.Second)
	n := 0
	for _, p := range w.procs {
		n += p.eng.Tracked()
	}
	if n < 8 {
		t.Errorf("%d trackers of 4 files: the schedule didn't come about", n)
	}
	w.mustHeal(t)
	if w.sim.Stats.Submitted != 4 || w.sim.Stats.Released != 4 {
		t.Errorf("%+v", w.sim.Stats)
	}
}
