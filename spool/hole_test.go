package spool_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"fencepost/spool"
	"fencepost/spool/vfs/memfs"
)

// The schedules below broke earlier versions of the protocol or of this code.
// Each is written down step by step, and was proven once by taking its rule
// away; the comment says which, and what happened then.

var silentA = spool.Over{Host: "a", Epoch: 1, Why: "silent", Death: true}

// ends requires that everything ends once.
func (w *world) ends(t *testing.T) {
	t.Helper()
	w.m.Calm()
	if err := w.recoverAll(); err != nil {
		t.Error(err)
	}
}

// reclaims makes a pass over a's first epoch.
func reclaims(t *testing.T, in *spool.Instance) (did spool.Reclaimed) {
	t.Helper()
	did, err := in.Reclaim(silentA, finish)
	if err != nil {
		t.Error(err)
	}
	return did
}

// TestHole_01_DraftDropped: b lists claims and sealed (nothing there), slow a
// claims, drafts and seals, b drops the draft, a publishes nothing and retires.
// Without "drop waits for both rmdirs": accepted, nowhere.
func TestHole_01_DraftDropped(t *testing.T) {
	for _, moment := range []memfs.Point{
		{View: "b", Kind: memfs.List, Name: "claims/a/1", After: true},
		{View: "b", Kind: memfs.Rmdir, Name: "claims/a/1"},
		{View: "b", Kind: memfs.List, Name: "sealed/a/1", After: true},
		{View: "b", Kind: memfs.Rmdir, Name: "sealed/a/1"},
	} {
		t.Run(moment.String(), func(t *testing.T) {
			w := memWorld(t)
			a, b := w.start("a"), w.start("b")
			w.through(b, jobA, spool.Translate)
			w.m.At(moment, func() {
				c, err := claimIn(a, spool.Translate, jobA)
				if err != nil {
					return // the fence was there
				}
				mustDo(c.Draft(translate(payload(jobA))))
				if _, err := c.Seal(""); err != nil && !errors.Is(err, spool.ErrLost) && !errors.Is(err, spool.ErrUnclear) {
					t.Error(err)
				}
			})
			reclaims(t, b)
			if err := w.check(); err != nil {
				t.Error(err)
			}
			w.ends(t)
		})
	}
}

// TestHole_01_DropWaits: b can't move a's claim, nor finish its sealed
// submission: neither directory is gone, so a may yet seal. Without "drop waits
// for both rmdirs" its draft is gone when it does.
func TestHole_01_DropWaits(t *testing.T) {
	w := memWorld(t)
	a, b := w.start("a"), w.start("b")
	w.through(a, jobA, spool.Translate)
	w.through(a, jobB, spool.Submit)
	must(must(claimIn(a, spool.Submit, jobB)).Seal("7"))
	c := must(claimIn(a, spool.Translate, jobA))
	mustDo(c.Draft(translate(payload(jobA))))
	w.m.Inject = func(op memfs.Op) memfs.Verdict {
		if op.View == "b" && op.Kind == memfs.Rename && strings.HasPrefix(op.From, "claims/") {
			return memfs.Verdict{Err: syscall.EDQUOT}
		}
		return memfs.Verdict{}
	}
	did, err := b.Reclaim(silentA, nil)
	if err == nil || did.Fenced || did.Left == 0 {
		t.Errorf("reclaimed %+v, %v", did, err)
	}
	w.m.Inject = nil
	must(c.Seal(""))
	if err := w.check(); err != nil {
		t.Error(err)
	}
	w.ends(t)
}

// TestHole_01_LateClaim: a is killed in the middle of its claim; the rename
// lands when the epoch was reclaimed. Without the rmdir of the claim directory
// it is stuck there for ever; put back under its old name it is caught.
func TestHole_01_LateClaim(t *testing.T) {
	w := memWorld(t)
	a, b := w.start("a"), w.start("b")
	w.through(b, jobA, spool.Translate)
	w.m.Inject = func(op memfs.Op) memfs.Verdict {
		return memfs.Verdict{Late: op.View == "a" && op.Kind == memfs.Rename, Die: op.View == "a"}
	}
	if _, err := claimIn(a, spool.Translate, jobA); err == nil {
		t.Fatal("a lives")
	}
	w.m.Inject = nil
	if did := reclaims(t, b); !did.Gone {
		t.Errorf("reclaimed %+v", did)
	}
	if err := w.m.Land(w.m.Pending()[0].N); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("the late claim landed: %v", err)
	}
	w.ends(t)
}

// TestHole_01_RmdirStale (found by this code's tests): b's rmdir of a's claims
// answers ESTALE, or ENOENT out of a cache, and isn't done; a goes on, seals.
// With "ESTALE = gone" b drops the draft of a sealed claim: nowhere.
func TestHole_01_RmdirStale(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.ESTALE, syscall.ENOENT} {
		w := memWorld(t)
		a, b := w.start("a"), w.start("b")
		w.through(b, jobA, spool.Translate)
		var c *spool.Claim
		left := 2 // the server's word on both directories
		w.m.Inject = func(op memfs.Op) memfs.Verdict {
			if op.View == "b" && op.Kind == memfs.Rmdir && left > 0 {
				left--
				if left == 1 {
					c = must(claimIn(a, spool.Translate, jobA))
					mustDo(c.Draft(translate(payload(jobA))))
				}
				return memfs.Verdict{Err: errno}
			}
			return memfs.Verdict{}
		}
		_, _ = b.Reclaim(silentA, finish)
		if _, err := c.Seal(""); err == nil {
			t.Log("a's seal went through")
		}
		if err := w.check(); err != nil {
			t.Errorf("%v: %v", errno, err)
		}
		w.ends(t)
	}
}

// TestHole_02_ThereOrNot: a's seal is done, its reply lost; the job is carried
// on by b to its end; a wakes and looks. "Not there" is ErrLost: not ours any
// more, and no proof of anything (nothing may be cancelled on that ground).
func TestHole_02_ThereOrNot(t *testing.T) {
	w := memWorld(t)
	a, b := w.start("a"), w.start("b")
	w.through(b, jobA, spool.Submit)
	c := must(claimIn(a, spool.Submit, jobA))
	must(c.Once())
	w.m.Inject = func(op memfs.Op) memfs.Verdict {
		if op.View == "a" && op.Kind == memfs.Rename {
			return memfs.Verdict{Apply: true, Err: syscall.EIO}
		}
		return memfs.Verdict{}
	}
	w.m.At(memfs.Point{View: "a", Kind: memfs.Rename, Name: "sealed/", After: true}, func() { reclaims(t, b) })
	if _, err := c.Seal("100"); !errors.Is(err, spool.ErrLost) || !errors.Is(err, spool.ErrFenced) {
		t.Errorf("seal = %v, want lost, fenced", err)
	}
	if !w.has("done/01890a5/submit~a~1.1~" + jobA + "=7.json") {
		t.Error("b didn't end it")
	}
	w.ends(t)
}

// TestHole_07_LinkedDraft: the gate is linked, the draft not yet renamed: the
// job is in the balance (accepting), so nobody calls it vanished. Without
// drafts in the balance: vanished, and recovered into a second copy.
func TestHole_07_LinkedDraft(t *testing.T) {
	w := memWorld(t)
	a, b := w.start("a"), w.start("b")
	w.m.At(memfs.Point{View: "a", Kind: memfs.Rename, Name: "xml/"}, func() {
		got := must(b.Audit(t.Context(), 1))
		if !got.OK() || got.Accepting != 1 || got.Accepted != 1 {
			t.Errorf("audit of a linked draft: %+v", got)
		}
	})
	must(w.accept(a, jobA))
	w.ends(t)
}

// TestHole_08_RollForward: a's draft is complete, or linked; b reclaims; a goes
// on. With drafts judged and dropped: ACCEPTED, and gone.
func TestHole_08_RollForward(t *testing.T) {
	for _, moment := range []memfs.Point{
		{View: "a", Kind: memfs.Create, After: true},
		{View: "a", Kind: memfs.Rename, Name: "accept~"},
		{View: "a", Kind: memfs.Link},
		{View: "a", Kind: memfs.Link, After: true},
		{View: "a", Kind: memfs.Rename, Name: "xml/"},
	} {
		t.Run(moment.String(), func(t *testing.T) {
			w := memWorld(t)
			a, b := w.start("a"), w.start("b")
			w.m.At(moment, func() { reclaims(t, b) })
			_, err := w.accept(a, jobA)
			if torn := moment.After && moment.Kind == memfs.Create || moment.Name == "accept~"; torn != (err != nil) {
				t.Errorf("accept = %v", err)
			}
			w.ends(t)
		})
	}
}

// TestHole_08_Conflict: two contents under one id: one is accepted, the other
// refused, whoever retries where.
func TestHole_08_Conflict(t *testing.T) {
	w := memWorld(t)
	a, b := w.start("a"), w.start("b")
	w.m.At(memfs.Point{View: "a", Kind: memfs.Link}, func() { must(w.accept(b, jobA)) })
	_, err := a.Accept(jobA, []byte("other"), func([]byte) (bool, error) { return false, nil })
	if !errors.Is(err, spool.ErrConflict) {
		t.Errorf("accept = %v, want a conflict", err)
	}
	w.ends(t)
}

// TestHole_08_InodeUsedAgain (found by this code's tests): a writes its draft
// and is stopped; b reclaims it (the draft isn't complete: removed); c accepts
// another job under the id, in a file that gets the same number. With "the gate
// has our number = accepted" a answers ACCEPTED for what is not in.
func TestHole_08_InodeUsedAgain(t *testing.T) {
	m := memfs.New(memfs.Options{SyncExport: true, ReuseInodes: true})
	w := newWorld(m)
	a, b, c := w.start("a"), w.start("b"), w.start("c")
	m.At(memfs.Point{View: "a", Kind: memfs.Rename, Name: "accept~"}, func() {
		// The reclaimer b has got as far as this.
		mustDo(b.FS.Remove("drafts/a/1/new~1~" + jobA + ".xml"))
		must(w.accept(c, jobA))
	})
	_, err := a.Accept(jobA, []byte("other"), func([]byte) (bool, error) { return false, nil })
	if err == nil {
		t.Errorf("a answered ACCEPTED for another job's file\n%s", m.Tree())
	}
	if len(m.Unfired()) > 0 {
		t.Error(m.Unfired())
	}
	w.ends(t)
}

// TestHole_11_Faults: what isn't the job's counts no fault: return without
// fault, reclaim of an epoch that said goodbye. Deaths end in parked/, failures
// in failed/, each past its limit, and the reasons are there.
func TestHole_11_Faults(t *testing.T) {
	w := memWorld(t)
	b := w.start("b")
	w.through(b, jobA, spool.Translate)
	for gen := range 50 { // an hour of outage
		c := must(b.Claim(spool.Translate, spool.Name{ID: jobA, Gen: gen}))
		mustDo(c.Return(spool.Why{Reason: "cluster is down"}))
	}
	for n := range b.Limits.Faults + 1 {
		if _, err := w.start("a").Claim(spool.Translate, spool.Name{ID: jobA, Gen: 50 + n, Faults: n}); err != nil {
			t.Fatal(err)
		}
		over := silentA
		over.Epoch = w.epochs["a"]
		must(b.Reclaim(over, nil))
	}
	if !w.has("parked/translate~" + jobA + "+59.9.xml") {
		t.Errorf("deaths didn't park it")
	}
	if why, err := w.read("parked/" + jobA + ".why.json"); err != nil || len(why) < 100 {
		t.Errorf("why: %s, %v", why, err)
	}
	w.ends(t)
}
