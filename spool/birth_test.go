package spool_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"fencepost/spool"
	"fencepost/spool/vfs/memfs"
)

// TestHole_6_1_BirthLandsLate: a claim's rename at birth isn't carried out in time,
// and the file is published instead. The rename lands before, between or after
// whatever follows.
func TestHole_6_1_BirthLandsLate(t *testing.T) {
	for name, x := range map[string]act{"accept": findAct("accept at birth"), "translate": findAct("translate at birth")} {
		for land := 0; ; land++ {
			if !birthLands(t, name, x, land) {
				if land < 5 {
					t.Errorf("%s: only %d operations follow", name, land)
				}
				break
			}
		}
	}
}

func findAct(name string) act {
	for _, x := range acts {
		if x.name == name {
			return x
		}
	}
	panic(name)
}

// birthLands is one run: the late rename lands before the land-th operation after
// it, if there are so many.
func birthLands(t *testing.T, name string, x act, land int) (landed bool) {
	w := newWorld(memfs.New(memfs.Options{SyncExport: true}))
	a := w.start("a")
	if x.setUp != nil {
		x.setUp(w, a)
	}
	tried, since := 0, 0
	w.m.Inject = func(op memfs.Op) memfs.Verdict {
		if op.Kind != memfs.Rename || !strings.HasPrefix(op.From, spool.DirDrafts) || !strings.HasPrefix(op.To, spool.DirClaims) {
			return memfs.Verdict{}
		}
		tried++
		return memfs.Verdict{Late: tried == 1, Err: syscall.EIO}
	}
	w.m.Before = func(memfs.Op) {
		if tried == 0 {
			return
		}
		if since == land && !landed {
			landed = true
			w.m.LandAll()
		}
		since++
	}
	_ = x.do(w, a)
	w.m.Inject = nil
	if err := w.sweepTwice(a); err != nil {
		t.Error(err)
	}
	w.m.Before = nil
	w.m.LandAll()
	if err := w.sweepTwice(a); err != nil {
		t.Error(err)
	}
	if err := w.recoverAll(); err != nil {
		t.Errorf("%s, landing before operation %d: %v\n%v%s", name, land, err, tail(w.m.Trace()), w.m.Tree())
	}
	if tried == 0 {
		t.Fatal("nothing was taken at its birth")
	}
	return landed
}

// TestBirthOfTheDead: a zombie whose epoch was reclaimed takes nothing at its birth:
// the fence stands in the way of that rename, too, and the job goes on elsewhere.
func TestBirthOfTheDead(t *testing.T) {
	for _, name := range []string{"accept at birth", "translate at birth"} {
		t.Run(name, func(t *testing.T) {
			w := memWorld(t)
			a, r := w.start("a"), w.start("r")
			x := findAct(name)
			if x.setUp != nil {
				x.setUp(w, a)
			}
			done := false
			w.m.Before = func(op memfs.Op) {
				if done || op.View != "a" || op.Kind != memfs.Rename || !strings.HasPrefix(op.To, spool.DirClaims) || !strings.HasPrefix(op.From, spool.DirDrafts) {
					return
				}
				done = true
				w.m.Quiet(func() {
					for range 3 {
						_, _ = r.Reclaim(spool.Over{Host: "a", Epoch: 1, Why: "test", Death: true}, finish)
					}
				})
			}
			_ = x.do(w, a)
			w.m.Before = nil
			if !done {
				t.Fatal("nothing was taken at its birth")
			}
			if w.has("claims/a/1") {
				t.Error("the epoch's claims are still there")
			}
			w.ends(t)
		})
	}
}

// TestReclaimedAfterBirth: an epoch is reclaimed between the rename of a birth and
// the answer. The owner learns that it is over; the client isn't told that its job is
// in, asks again elsewhere, and hears that it is.
func TestReclaimedAfterBirth(t *testing.T) {
	w := memWorld(t)
	a, r := w.start("a"), w.start("r")
	b := &births{}
	a.Births = b
	w.m.After = func(op memfs.Op) {
		if op.View != "a" || op.Kind != memfs.Rename || !strings.HasPrefix(op.To, spool.DirClaims) {
			return
		}
		w.m.Quiet(func() {
			for range 3 {
				_, _ = r.Reclaim(spool.Over{Host: "a", Epoch: 1, Why: "test"}, finish)
			}
		})
	}
	_, err := w.accept(a, jobA)
	w.m.After = nil
	if !errors.Is(err, spool.ErrFenced) || a.Fenced() == nil {
		t.Errorf("got %v, want that the epoch is over", err)
	}
	if len(b.claims) > 0 || b.begun != b.reserved {
		t.Errorf("%d claims are worked on, room was kept %d times and used or given up %d times", len(b.claims), b.reserved, b.begun)
	}
	if got := must(w.accept(r, jobA)); !got.Duplicate {
		t.Error("the job isn't known")
	}
	w.ends(t)
}

// TestPowerCutAtBirth: what was answered at a birth survives a power cut, although
// nothing that wasn't fsynced does.
func TestPowerCutAtBirth(t *testing.T) {
	m := memfs.New(memfs.Options{})
	w := newWorld(m)
	a := w.start("a")
	mustDo(a.FS.Sync("hosts", "hosts/a", "claims", "claims/a", "sealed", "sealed/a", "drafts", "drafts/a"))
	b := &births{}
	a.Births = b
	must(w.accept(a, jobA))
	if len(b.claims) != 1 {
		t.Fatalf("%d claims at birth", len(b.claims))
	}
	m.Crash(0)
	if err := w.check(); err != nil {
		t.Fatalf("%v\n%s", err, m.Tree())
	}
}
