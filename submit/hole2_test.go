package submit_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"fencepost/spool"
	"fencepost/submit"
	"fencepost/submit/clustersim"
)

func (o odd) Submit(ctx context.Context, r submit.Request) (string, error) {
	if _, err := o.Client.Submit(ctx, r); err != nil {
		return "", err
	}
	return o.id, nil
}

// fullOfHeld: release asks for the probe's second half, too.
func TestHole2_08_FullOfHeld(t *testing.T) {
	so := simOptions(heldCaps)
	so.MaxJobs, so.MinJobAge = 3, 10*time.Second
	w := memWorld(t, so)
	w.feed(9)
	a := w.start("a")
	w.start("b")
	full := false
	w.env.RunUntil(20*time.Minute, func() bool {
		fit, why := a.eng.Fitness()
		if !fit && why != "not probed yet" {
			t.Errorf("a full cluster makes a host unfit: %s", why)
			return true
		}
		full = full || strings.Contains(why, "too many")
		return w.final()
	})
	if !full {
		t.Error("the cluster was never full: the schedule didn't come about")
	}
	w.mustHeal(t)
	w.want(t, spool.PlaceDone, 1)
}

// ghostInListing: otherRun counts what was cancelled without a node.
func TestHole2_08_GhostInListing(t *testing.T) {
	w := memWorld(t, simOptions(heldCaps))
	w.feed(1)
	id := w.sim.Submit(submit.Request{Name: prefix + w.ids[0], Token: testSpoolID + "/d/1/1/0"})
	w.sim.Kill(id)
	w.start("a")
	w.mustHeal(t)
	w.want(t, spool.PlaceDone, 1)
}

// adminHold: HeldOther is released like Held.
func TestHole2_09_AdminHold(t *testing.T) {
	w := memWorld(t, simOptions(heldCaps))
	w.mayPark = func(_, why string) bool { return strings.Contains(why, "held at the cluster by somebody else") }
	w.feed(1)
	a := w.start("a")
	w.stopAfterSeal(a)
	w.env.RunFor(3 * time.Second)
	w.sim.AdminHold("100")
	a.host.Continue()
	w.mustHeal(t)
	w.want(t, spool.PlaceParked, 0)
	if got, _ := w.sim.State("100"); got != submit.HeldOther {
		t.Errorf("it is %s, want held by the administrator still", got)
	}
}

// commentEdited: another token is taken for another job, and the job put back.
func TestHole2_09_CommentEdited(t *testing.T) {
	so := simOptions(heldCaps)
	so.RunTime = time.Hour
	w := memWorld(t, so)
	w.opt.StrictGuard = true
	w.mayPark = func(_, why string) bool { return strings.Contains(why, "has our name") }
	w.feed(1)
	w.sim.At(clustersim.Point{Op: clustersim.OpRelease, After: true}, func() { w.sim.Comment("100", "site/plugin/was/1/here") })
	w.start("a")
	w.start("b")
	w.mustHeal(t)
	w.want(t, spool.PlaceParked, 1)
	if w.sim.Stats.Submitted != 1 {
		t.Errorf("%d submissions, want 1", w.sim.Stats.Submitted)
	}
}

// confirmTooSoon: one listing that shows the job unheld is enough.
func TestHole2_10_ConfirmTooSoon(t *testing.T) {
	so := simOptions(heldCaps)
	so.StartAfter = 20 * time.Second
	w := memWorld(t, so)
	w.feed(1)
	a := w.start("a")
	w.stopAfterSeal(a)
	w.env.RunFor(10 * time.Second) // the submission is on the controller's disk
	w.sim.At(clustersim.Point{Host: "a", Op: clustersim.OpRelease, After: true}, a.host.Kill)
	a.host.Continue()
	b := w.start("b")
	w.env.RunUntil(time.Minute, func() bool { return b.eng.Tracked() > 0 })
	w.sim.At(clustersim.Point{Host: "b", Op: clustersim.OpList, After: true}, func() { w.sim.Crash(5 * time.Second) })
	w.mustHeal(t)
	w.want(t, spool.PlaceDone, 1)
	if w.sim.Stats.Released != 2 {
		t.Errorf("%d releases, want 2: the schedule didn't come about", w.sim.Stats.Released)
	}
}

// higherGenerationOfACopy: provenDead doesn't ask which file passed the gate.
func TestHole2_11_HigherGenerationOfACopy(t *testing.T) {
	w := memWorld(t, simOptions(heldCaps))
	cancels := w.cancels()
	w.feed(1)
	a := w.start("a")
	w.sim.At(clustersim.Point{Host: "a", Op: clustersim.OpSubmit, After: true}, a.host.Stop)
	w.env.RunFor(5 * time.Second)
	w.m.Quiet(func() { w.put(w.ids[0], spool.Name{ID: w.ids[0], Gen: 7}) })
	w.start("b")
	w.env.RunFor(50 * time.Second)
	if *cancels > 0 {
		t.Errorf("%d cancels of a live submission", *cancels)
	}
	a.host.Continue()
	w.env.RunFor(3 * time.Minute)
	w.want(t, spool.PlaceDone, 1)
}

// restartOnRecord: a restart that is on record, after our act, taken for the
// proof that what is absent never started.
func TestHole_2_8_RestartOnRecord(t *testing.T) {
	so := simOptions(heldCaps)
	so.MinJobAge = 10 * time.Second
	w := memWorld(t, so)
	w.mayPark = func(string, string) bool { return true }
	w.feed(1)
	a := w.start("a")
	w.sim.At(clustersim.Point{Host: "a", Op: clustersim.OpRelease, After: true}, a.host.Kill)
	w.env.RunFor(10 * time.Minute) // it ran, and is forgotten
	b := w.start("b")
	w.sim.At(clustersim.Point{Host: "b", Op: clustersim.OpList}, func() { w.sim.Crash(5 * time.Second) })
	w.mustHeal(t)
	w.want(t, spool.PlaceParked, 1)
	if w.sim.Stats.Submitted != 1 || b.eng.Tracked() != 0 {
		t.Errorf("%d submissions, %d still tracked", w.sim.Stats.Submitted, b.eng.Tracked())
	}
}

// intentReturned: a is stopped in its plain submission, which arrives; its epoch
// is over, and b puts what a sealed back to the stage instead of parking it.
func TestHole_2_9_IntentReturned(t *testing.T) {
	w := memWorld(t, simOptions(plainCaps))
	w.mayPark = func(string, string) bool { return true }
	w.feed(1)
	a := w.start("a")
	w.sim.At(clustersim.Point{Host: "a", Op: clustersim.OpSubmit}, a.host.Stop)
	w.env.RunFor(5 * time.Second)
	a.fence()
	w.start("b")
	w.env.RunFor(time.Minute)
	w.want(t, spool.PlaceParked, 1)
	a.host.Continue() // only now it reads the cluster's answer
	w.env.RunFor(time.Minute)
	w.want(t, spool.PlaceParked, 1)
	if w.sim.Stats.Submitted != 1 {
		t.Errorf("%d submissions, want 1", w.sim.Stats.Submitted)
	}
	w.mustHeal(t)
}
