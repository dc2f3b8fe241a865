package submit_test

import (
	"testing"
	"time"

	"fencepost/spool"
)

// After a crash Slurm takes the end of an old job for that of a new one that got
// its id: the new one looks as if it had run, and nothing did. The guard's link
// tells: the job goes back, and starts.
func TestGuardTellsThatNothingRan(t *testing.T) {
	w := memWorld(t, simOptions(heldCaps))
	w.opt.StrictGuard = true
	w.feed(1)
	link := w.sim.OnStart
	lies := 2
	w.sim.OnStart = func(name, id string) {
		if lies--; lies < 0 {
			link(name, id)
		}
	}
	w.start("a")
	w.start("b")
	w.env.RunFor(3 * time.Minute)
	w.want(t, spool.PlaceDone, 3)
	if w.sim.Stats.Submitted != 3 {
		t.Errorf("%d submissions, want 3: two of which nothing ran", w.sim.Stats.Submitted)
	}
}
