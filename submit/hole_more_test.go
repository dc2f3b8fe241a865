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

// noExitGate: handOne doesn't link once/.
func TestHole_07_SecondCopy(t *testing.T) {
	for name, caps := range map[string]submit.Caps{"held": heldCaps, "plain": plainCaps, "key": keyCaps} {
		t.Run(name, func(t *testing.T) {
			so := simOptions(caps)
			so.KeyWindow = time.Second
			w := memWorld(t, so)
			w.feed(1)
			w.m.Quiet(func() { w.put(w.ids[0], spool.Name{ID: w.ids[0], Gen: 1}) })
			w.start("a")
			w.start("b")
			w.env.RunFor(2 * time.Minute)
			w.want(t, spool.PlaceDone, 1)
			if w.sim.Stats.Submitted != 1 {
				t.Errorf("%d submissions, want 1", w.sim.Stats.Submitted)
			}
			if !strings.Contains(w.m.Tree(), spool.CopyPrefix) {
				t.Error("the copy isn't parked")
			}
		})
	}
}

// FinishStuck left out, or a tracker that works without a pin.
func TestHole_12_SealedOnAHostThatLostItsCluster(t *testing.T) {
	w := memWorld(t, simOptions(heldCaps))
	w.feed(1)
	w.m.At(memfs.Point{View: "a", Kind: memfs.Sync, Name: "sealed/a", After: true}, func() { w.sim.Another["a"] = true })
	w.start("a")
	w.start("b")
	w.env.RunFor(w.seal - 10*time.Second)
	if got := w.place(w.ids[0]); got != spool.PlaceSealed && got != spool.PlaceDone {
		t.Errorf("the job is %s", got)
	}
	w.env.RunFor(time.Minute)
	w.want(t, spool.PlaceDone, 1)
	w.mustHeal(t)
}

// A cancelled job put back to its stage by whoever sees it first, or last.
func TestHole_13_CancelledAtTheClusterStaysSo(t *testing.T) {
	for name, purge := range map[string]time.Duration{"listed": 0, "on record": time.Second} {
		t.Run(name, func(t *testing.T) {
			so := simOptions(pastCaps)
			so.MinJobAge = purge
			w := memWorld(t, so)
			w.feed(1)
			a := w.start("a")
			w.stopAfterSeal(a)
			w.env.RunFor(3 * time.Second)
			w.sim.Kill("100")
			w.env.RunFor(3 * time.Second)
			a.fence()
			w.start("b")
			w.env.RunFor(20 * time.Second)
			a.host.Continue()
			w.env.RunFor(2 * time.Minute)
			w.want(t, spool.PlaceFailed, 0)
			if w.sim.Stats.Submitted != 1 {
				t.Errorf("%d submissions, want 1", w.sim.Stats.Submitted)
			}
		})
	}
}

// The name in held/ without generation or cluster id.
func TestHole_17_HeldKeepsItsNumbers(t *testing.T) {
	w := memWorld(t, simOptions(heldCaps))
	w.m.Quiet(func() {
		w.ids = []string{jobID(1)}
		w.put(jobID(1), spool.Name{ID: jobID(1), Gen: 3, Faults: 1})
	})
	w.m.At(memfs.Point{View: "a", Kind: memfs.Sync, Name: "sealed/a", After: true}, func() { w.request("hold", jobID(1)) })
	w.start("a")
	w.env.RunFor(time.Minute)
	w.want(t, spool.PlaceHeld, 0)
	if got := w.locate(jobID(1))[0].Name; got.Gen != 3 || got.Faults != 1 || got.Cluster != "100" {
		t.Errorf("got %+v", got)
	}
	if got, _ := w.sim.State("100"); got != submit.Cancelled {
		t.Errorf("at the cluster it is %s, want cancelled", got)
	}
}

// Adopt returns the intent instead of parking it; submitIntent drops the id.
func TestHole_18_PausedOwnerOfAnIntent(t *testing.T) {
	for _, how := range []string{"stuck", "fenced"} {
		t.Run(how, func(t *testing.T) {
			w := memWorld(t, simOptions(plainCaps))
			w.mayPark = func(string, string) bool { return true }
			w.feed(1)
			a := w.start("a")
			w.sim.Inject = func(c clustersim.Call) clustersim.Verdict {
				if c.Op == clustersim.OpSubmit {
					return clustersim.Verdict{Apply: true, Hang: 3 * time.Minute}
				}
				return clustersim.Verdict{}
			}
			w.start("b")
			w.env.RunFor(5 * time.Second)
			if how == "fenced" { // wakes after the cluster's answer came
				a.fence()
				a.host.Stop()
			}
			w.env.RunFor(2 * time.Minute)
			w.want(t, spool.PlaceParked, 1)
			w.env.RunFor(2 * time.Minute)
			a.host.Continue()
			w.env.RunFor(time.Minute)
			w.want(t, spool.PlaceParked, 1)
			if why := w.why(w.ids[0]); !strings.Contains(why, "the cluster took it as 100") {
				t.Errorf("the reasons don't name the cluster's id: %s", why)
			}
		})
	}
}

// An id that fits no name taken for one.
func TestHole_22_UnusableClusterID(t *testing.T) {
	for _, id := range []string{"", "1\n2", strings.Repeat("/", 34)} {
		w := memWorld(t, simOptions(heldCaps))
		w.feed(1)
		p := w.instance("a")
		p.eng = submit.New(p.in, odd{w.sim.Client(p.host, clustersim.Site{Host: "a", Prefix: prefix}), id}, w.opt)
		p.host.Go("run", func() { p.eng.Run(t.Context(), t.Context()) })
		w.env.RunFor(10 * time.Second)
		if got := w.place(w.ids[0]); got != spool.PlaceWaiting || p.eng.Stats().Unknown == 0 {
			t.Errorf("id %q: the job is %s, %+v", id, got, p.eng.Stats())
		}
		p.host.Kill()
	}
}

// odd answers submissions with a strange id.
type odd struct {
	*clustersim.Client
	id string
}

// Canaries aren't swept.
func TestHole_24_CanariesOfTheDead(t *testing.T) {
	w := memWorld(t, simOptions(heldCaps))
	canary := func(host, epoch string) string {
		return w.sim.Submit(submit.Request{Name: prefix + "canary." + host + "." + epoch, Token: testSpoolID + "/" + host + "/" + epoch + "/0/0"})
	}
	w.epochs["a"], w.epochs["d"] = 1, 1
	dead, own := canary("d", "1"), canary("a", "2")
	forged := w.sim.Submit(submit.Request{Name: prefix + "canary.d.1", Token: testSpoolID + "/d/1/5/0"})
	w.start("a")
	w.env.RunFor(time.Minute)
	for id, want := range map[string]submit.State{dead: submit.Cancelled, own: submit.Held, forged: submit.Held} {
		if got, _ := w.sim.State(id); got != want {
			t.Errorf("canary %s is %s, want %s", id, got, want)
		}
	}
}

// judge releases without a look at the other jobs of the key.
func TestHole_26_AnotherOfTheKeyRuns(t *testing.T) {
	w := memWorld(t, simOptions(heldCaps))
	w.mayPark = func(_, why string) bool { return strings.Contains(why, "another job of this key") }
	w.feed(1)
	other := w.sim.Submit(submit.Request{Name: prefix + w.ids[0], Token: "from before the restore"})
	c := w.sim.Client(w.env.Host("person", w.quiet), clustersim.Site{Host: "person"})
	if err := c.Release(t.Context(), []string{other}); err != nil {
		t.Fatal(err)
	}
	a := w.start("a")
	w.env.RunFor(time.Minute)
	w.want(t, spool.PlaceParked, 1)
	// What a person has to decide about stays as it is, whoever is over.
	a.host.Kill()
	w.start("b")
	w.env.RunFor(2 * time.Minute)
	if got, _ := w.sim.State(w.locate(w.ids[0])[0].Name.Cluster); got != submit.Held {
		t.Errorf("the parked submission is %s, want held", got)
	}
}

// provenDead takes a sealed file with another id for proof, whatever its
// generation: an old listing shows where the job was before.
func TestHole_03_SweepWithAnOldListing(t *testing.T) {
	w := memWorld(t, simOptions(heldCaps))
	cancels := w.cancels()
	id := jobID(1)
	w.ids = []string{id}
	d, b := w.instance("d"), w.instance("b")
	sealed := "sealed/d/1/" + spool.FormatSealed(spool.Name{Stage: spool.Submit, Seq: 1, ID: id, Cluster: "99", Ext: "json"})
	w.m.Quiet(func() {
		w.put(id, spool.Name{ID: id, Gen: 1})
		if err := w.quiet.Rename("json/"+id+"+1.0.json", sealed); err != nil {
			t.Fatal(err)
		}
		b.view.Freeze("sealed/d/1")
		if err := w.quiet.Rename(sealed, "json/"+id+"+1.0.json"); err != nil {
			t.Fatal(err)
		}
	})
	a := w.start("a")
	w.sim.At(clustersim.Point{Host: "a", Op: clustersim.OpSubmit, After: true}, a.host.Stop)
	w.env.RunFor(10 * time.Second)
	w.env.Do(b.host, "sweep", func() {
		if n, err := b.eng.SweepGhosts(t.Context()); n != 0 || err != nil {
			t.Errorf("%d swept, %v", n, err)
		}
	})
	if *cancels > 0 {
		t.Errorf("%d cancels of a live submission", *cancels)
	}
	d.host.Kill()
	b.host.Kill()
}
