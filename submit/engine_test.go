package submit_test

import (
	"testing"
	"time"

	"fencepost/submit"
)

var kinds = []struct {
	name string
	caps submit.Caps
}{{"held", heldCaps}, {"past", pastCaps}, {"blind", blindCaps}, {"plain", plainCaps}, {"key", keyCaps}}

func TestEveryKindOfCluster(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			w := memWorld(t, simOptions(k.caps))
			w.feed(30)
			a, b := w.start("a"), w.start("b")
			if !w.env.RunUntil(2*time.Minute, w.final) {
				t.Error("not done after two minutes")
			}
			if err := w.heal(); err != nil {
				t.Error(err)
			}
			for _, id := range w.ids {
				if n := w.starts(id); n != 1 {
					t.Errorf("%s: %d starts, want 1", id, n)
				}
			}
			for _, p := range []*proc{a, b} {
				if won, _ := p.eng.Taker().Claims(); won == 0 {
					t.Errorf("host %s took nothing", p.host.Name())
				}
			}
		})
	}
}
