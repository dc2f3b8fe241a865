package submit_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"fencepost/spool"
	"fencepost/spool/vfs/memfs"
	"fencepost/submit"
	"fencepost/submit/clustersim"
)

// The schedules that broke earlier versions of the protocol. Each says what
// has to be broken for it to fail; each was seen to fail so.

// calls counts the calls of one operation.
func (w *world) calls(op string) *int {
	n := new(int)
	before := w.sim.Before
	w.sim.Before = func(c clustersim.Call) {
		if before != nil {
			before(c)
		}
		if c.Op == op {
			*n++
		}
	}
	return n
}

func (w *world) cancels() *int { return w.calls(clustersim.OpCancel) }

// mustHeal lets everything end, and checks.
func (w *world) mustHeal(t *testing.T) {
	t.Helper()
	if err := w.heal(); err != nil {
		t.Error(err)
	}
}

// want checks the place of the first job, and how often it started.
func (w *world) want(t *testing.T, place spool.Place, starts int) {
	t.Helper()
	if got, n := w.place(w.ids[0]), w.starts(w.ids[0]); got != place || n != starts {
		t.Errorf("the job is %q with %d starts, want %q with %d", got, n, place, starts)
	}
}

// stopAfterSeal stops a host when its first seal is durable, before it has
// asked the cluster anything more.
func (w *world) stopAfterSeal(p *proc) {
	w.m.At(memfs.Point{View: p.host.Name(), Kind: memfs.Sync, Name: "sealed/" + p.host.Name(), After: true}, p.host.Stop)
}

// cancelOnAbsent: submitHeld cancels when its seal is lost.
func TestHole_02_LoserCancelsRunningJob(t *testing.T) {
	w := memWorld(t, simOptions(heldCaps))
	cancels := w.cancels()
	w.feed(1)
	a := w.start("a")
	w.m.Inject = func(op memfs.Op) memfs.Verdict {
		if op.View == "a" && op.Kind == memfs.Rename && strings.HasPrefix(op.To, "sealed/a") {
			a.host.Stop()
			return memfs.Verdict{Apply: true, Err: syscall.ENOENT}
		}
		return memfs.Verdict{}
	}
	w.env.RunFor(5 * time.Second)
	a.fence()
	w.start("b")
	w.env.RunFor(time.Minute)
	w.want(t, spool.PlaceDone, 1)
	a.host.Continue()
	w.env.RunFor(time.Minute)
	if *cancels > 0 {
		t.Errorf("%d cancels, want none", *cancels)
	}
	w.want(t, spool.PlaceDone, 1)
}

// sweepByAbsence: provenDead says yes when no file names the id.
func TestHole_03_SweepCancelsLiveSubmission(t *testing.T) {
	w := memWorld(t, simOptions(heldCaps))
	cancels := w.cancels()
	w.feed(1)
	a := w.start("a")
	w.sim.At(clustersim.Point{Host: "a", Op: clustersim.OpSubmit, After: true}, a.host.Stop)
	w.env.RunFor(5 * time.Second)
	w.start("b")
	w.env.RunFor(50 * time.Second)
	if *cancels > 0 {
		t.Errorf("%d cancels of a live submission", *cancels)
	}
	a.host.Continue()
	w.mustHeal(t)
	w.want(t, spool.PlaceDone, 1)
}

// The sweep of one spool meets the jobs of another, and unknown ones: the check
// of the token's spool, or of the name's prefix, left out.
func TestHole_03_AnotherSpoolsJobs(t *testing.T) {
	w := memWorld(t, simOptions(heldCaps))
	other := w.sim.Submit(submit.Request{Name: "fp-22222222-" + jobID(1), Token: "22222222-2222-4333-8444-555555555555/a/1/1/0"})
	unknown := w.sim.Submit(submit.Request{Name: prefix + jobID(77), Token: testSpoolID + "/a/1/9/0"})
	// A restored copy of this spool, say: the name is as ours would be.
	copied := w.sim.Submit(submit.Request{Name: prefix + jobID(1), Token: "11111111-3333-4333-8444-555555555555/a/1/1/0"})
	edited := w.sim.Submit(submit.Request{Name: prefix + jobID(1), Token: "edited"})
	w.epochs["a"] = 1 // the epoch of those tokens is over
	w.feed(1)
	w.start("a")
	w.start("b")
	w.env.RunFor(3 * time.Minute)
	for _, id := range []string{other, unknown, copied, edited} {
		if got, _ := w.sim.State(id); got != submit.Held {
			t.Errorf("job %s is %s, want held", id, got)
		}
	}
	w.want(t, spool.PlaceDone, 1)
}

// unfitJanitor: list doesn't compare the pin.
func TestHole_04_UnfitJanitor(t *testing.T) {
	w := memWorld(t, simOptions(heldCaps))
	w.opt.StrictGuard = true // so that what is absent would be submitted again
	w.feed(1)
	a := w.start("a")
	w.m.At(memfs.Point{View: "a", Kind: memfs.Sync, Name: "sealed/a", After: true}, a.host.Kill)
	w.env.RunFor(5 * time.Second)
	w.sim.Another["u"] = true
	u := w.start("u")
	w.env.RunFor(3 * time.Minute)
	if got := w.place(w.ids[0]); got != spool.PlaceSealed || u.eng.Tracked() != 1 {
		t.Errorf("the job is %s, want sealed until a fit host comes", got)
	}
	if fit, why := u.eng.Fitness(); fit || !strings.Contains(why, "another") {
		t.Errorf("host u: fit %v, %q", fit, why)
	}
	w.start("b")
	w.env.RunFor(time.Minute)
	w.want(t, spool.PlaceDone, 1)
	w.mustHeal(t)
}

// nameOnlyCheck: judge doesn't compare tokens.
func TestHole_05_IDUsedAgainForTheSameKey(t *testing.T) {
	w := memWorld(t, simOptions(heldCaps))
	w.opt.StrictGuard = true
	w.feed(1)
	a := w.instance("a")
	w.procs = append(w.procs, a)
	a.host.Go("run", func() { a.eng.Run(t.Context(), t.Context()) })
	w.stopAfterSeal(a)
	w.env.RunFor(3 * time.Second)
	w.sim.Crash(5 * time.Second)
	a.fence()
	a.view.Freeze("sealed/a/1") // the file in its place, as a's client has it cached
	b := w.start("b")
	w.m.At(memfs.Point{View: "b", Kind: memfs.Rename, Name: "sealed/b"}, b.host.Kill)
	w.env.RunUntil(2*time.Minute, b.view.Dead)
	if got, _ := w.sim.State("100"); got != submit.Held {
		t.Fatalf("id 100 is %s: the schedule didn't come about", got)
	}
	a.host.Continue()
	w.env.RunFor(10 * time.Second)
	if got, _ := w.sim.State("100"); got != submit.Held {
		t.Errorf("a released a submission that isn't its own: %s", got)
	}
	w.start("c")
	w.mustHeal(t)
	w.want(t, spool.PlaceDone, 1)
}

// The same, when the id went to a ghost of the same job: with the guard the job
// goes on, instead of waiting for a person as one whose comment was edited.
func TestHole_05_IDGivenToAGhostOfTheJob(t *testing.T) {
	so := simOptions(heldCaps)
	so.Guard = true
	w := memWorld(t, so)
	w.feed(1)
	a := w.start("a")
	w.stopAfterSeal(a)
	w.env.RunFor(3 * time.Second)
	w.sim.Crash(5 * time.Second)
	if id := w.sim.Submit(submit.Request{Name: prefix + w.ids[0], Token: testSpoolID + "/d/1/1/0"}); id != "100" {
		t.Fatalf("the ghost is %s: the schedule didn't come about", id)
	}
	a.host.Continue()
	w.mustHeal(t)
	w.want(t, spool.PlaceDone, 1)
}

// absent taken for "never started".
func TestHole_06_AbsentAfterItRan(t *testing.T) {
	for name, tc := range map[string]struct {
		caps  submit.Caps
		guard bool
		want  spool.Place
	}{"nothing proves": {heldCaps, false, spool.PlaceParked}, "record": {pastCaps, false, spool.PlaceDone}, "guard": {heldCaps, true, spool.PlaceDone}} {
		t.Run(name, func(t *testing.T) {
			so := simOptions(tc.caps)
			so.MinJobAge, so.Guard = 10*time.Second, tc.guard
			w := memWorld(t, so)
			w.feed(1)
			a := w.start("a")
			w.sim.At(clustersim.Point{Host: "a", Op: clustersim.OpRelease, After: true}, a.host.Kill)
			w.env.RunFor(10 * time.Minute)
			w.sim.Crash(0) // a restart on record proves nothing
			w.start("b")
			w.env.RunFor(5 * time.Minute)
			w.want(t, tc.want, 1)
		})
	}
}
