package submit_test

import (
	"testing"
	"time"
)

// TestWindowGrows: where listings are slow, they are fewer than a fixed window
// would ask for, and the jobs are released sooner; at a cluster that is quick, too.
func TestWindowGrows(t *testing.T) {
	for _, latency := range []time.Duration{20 * time.Millisecond, time.Second} {
		run := func(most int) (took time.Duration, listings int) {
			so := simOptions(heldCaps)
			so.Latency = latency
			w := memWorld(t, so)
			w.opt.Window, w.opt.MaxWindow, w.opt.SweepEvery = 50, most, time.Hour
			w.opt.Workers = 32
			w.feed(400)
			p := w.start("a")
			if !w.env.RunUntil(time.Hour, func() bool { return p.eng.Stats().Released == 400 }) {
				t.Fatalf("%+v after an hour", p.eng.Stats())
			}
			return w.env.Now(), w.sim.Stats.Listings
		}
		fixed, many := run(0)
		grown, few := run(2000)
		t.Logf("latency %v: %v with %d listings, with a fixed window %v with %d", latency, grown, few, fixed, many)
		if few >= many || grown >= fixed {
			t.Errorf("latency %v: %v with %d listings, no better than a fixed window: %v with %d", latency, grown, few, fixed, many)
		}
	}
}
