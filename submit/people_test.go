package submit_test

import (
	"path"
	"strings"
	"testing"
	"time"

	"fencepost/spool"
	"fencepost/spool/vfs/memfs"
	"fencepost/submit"
	"fencepost/submit/clustersim"
)

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

// TestHole_4_10_CancelOfWhatCameBack: a foreign program translated the job. The
// record of that handover is no second place of it: what is cancelled, or held, on
// request is cancelled at the cluster, too, and the request goes.
func TestHole_4_10_CancelOfWhatCameBack(t *testing.T) {
	for _, kind := range []string{"hold", "cancel"} {
		w := memWorld(t, simOptions(heldCaps))
		w.feed(1)
		n := spool.Name{Stage: spool.Translate, Host: "x", Epoch: 1, Seq: 1, ID: w.ids[0], Cluster: "foreign:old/*.xml", Ext: "xml"}
		w.m.Quiet(func() {
			mkdirs(w.quiet, path.Dir(spool.DonePath(n)))
			if _, err := w.quiet.Create(spool.DonePath(n), []byte("x")); err != nil {
				t.Fatal(err)
			}
		})
		w.m.At(memfs.Point{Kind: memfs.Sync, Name: "sealed/a", After: true}, func() { w.request(kind, w.ids[0]) })
		w.start("a")
		w.env.RunFor(time.Minute)
		if state, _ := w.sim.State(w.sim.ByName(w.ids[0])); state != submit.Cancelled {
			t.Errorf("%s: at the cluster it is %v", kind, state)
		}
		if strings.Contains(w.m.Tree(), "requests/"+kind) {
			t.Errorf("%s: the request is still there", kind)
		}
	}
}
