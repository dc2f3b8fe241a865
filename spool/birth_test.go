package spool_test

import (
	"strings"
	"syscall"
	"testing"

	"fencepost/spool"
	"fencepost/spool/vfs/memfs"
)

// TestHole_5_1_BirthLandsLate: a claim's rename at birth isn't carried out in time,
// and the file is published instead. The rename lands before, between or after
// whatever follows.
func TestHole_5_1_BirthLandsLate(t *testing.T) {
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
