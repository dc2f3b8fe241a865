package spool_test

import (
	"testing"
	"time"

	"fencepost/spool"
)

// settling is an adopter's view of an inbox over time.
func settling(w *world, dir string) (*spool.Adopter, *spool.Instance, *testEnv) {
	a := w.start("a")
	e := a.Env.(*testEnv)
	for _, b := range a.Layout.Inboxes {
		if b.Dir == dir {
			return spool.NewAdopter(a, b), a, e
		}
	}
	panic("no such inbox")
}

// TestInboxSettles: a file is adopted when it hasn't changed for the settle
// time, on the observer's own clock; what is no job yet waits longer; what is
// empty, hidden or of another pattern stays.
func TestInboxSettles(t *testing.T) {
	w := memWorld(t)
	a, _, e := settling(w, inbox)
	w.drop("ORDER1.xml", order)
	w.drop("ORDER2.xml", "ORDER: half")
	fs := w.m.View("legacy")
	for _, name := range []string{"empty.xml", ".hidden.xml", "other.txt"} {
		must(fs.Create(inbox+"/"+name, nil))
	}
	for _, step := range []struct {
		pass    time.Duration
		rewrite string
		want    int
		refused bool
	}{
		{0, "", 0, false}, {4 * time.Second, "", 0, false}, {time.Second, "", 1, false},
		{40 * time.Second, "ORDER: half of it", 0, false}, {20 * time.Second, "", 0, false},
		{49 * time.Second, "", 0, false}, {2 * time.Second, "", 1, true}, {time.Hour, "", 0, true},
	} {
		e.pass(step.pass)
		if step.rewrite != "" {
			w.rewrite(inbox+"/ORDER2.xml", step.rewrite)
		}
		got, err := a.Pass(t.Context())
		if got != step.want || err != nil || w.has("failed/adopt~") != step.refused {
			t.Errorf("at %v: adopted %d, %v, want %d; set aside: %v, want %v", e.Now(), got, err, step.want, w.has("failed/adopt~"), step.refused)
		}
	}
	if left := w.unadopted(); len(left) != 3 {
		t.Errorf("left: %v", left)
	}
}

// TestInboxMarker: a file with its marker is taken at once, one without never.
func TestInboxMarker(t *testing.T) {
	w := memWorld(t)
	a, _, e := settling(w, "marked")
	fs := w.m.View("legacy")
	must(fs.Create("marked/ORDER1.xml", []byte(order)))
	for range 3 {
		if got := must(a.Pass(t.Context())); got != 0 {
			t.Errorf("adopted %d without a marker", got)
		}
		e.pass(time.Hour)
	}
	must(fs.Create("marked/ORDER1.xml.done", nil))
	if got := must(a.Pass(t.Context())); got != 1 || w.has("\nmarked/ORDER") {
		t.Errorf("adopted %d", got)
	}
	w.ends(t)
}
