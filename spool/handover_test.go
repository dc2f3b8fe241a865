package spool_test

import (
	"context"
	"crypto/sha256"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"

	"fencepost/spool"
	"fencepost/spool/vfs/memfs"
)

const (
	foreignOut = "legacy/out/*.xml" // what a foreign translator takes
	laterInbox = "legacy/json"      // where it puts what it made of it
	backOrder  = "ORDER: id " + jobA + "\n."
)

// handOver hands one claim over to the foreign translator. Work returns nothing:
// what it came to shows on disk.
func handOver(c *spool.Claim) error {
	spool.HandOver{To: foreignOut}.Work(context.Background(), c)
	return nil
}

// foreignSetUp has a job wait for a translate stage that is foreign.
func foreignSetUp(w *world, a *spool.Instance) {
	w.foreign = true
	w.m.Quiet(func() { mkdirs(w.m.View("setup"), path.Dir(foreignOut)) })
	w.through(a, jobA, spool.Translate)
}

// comeBackSetUp has a job handed over, and its translation wait in an inbox.
func comeBackSetUp(w *world, a *spool.Instance) {
	foreignSetUp(w, a)
	w.m.Quiet(func() { mustDo(handOver(must(claimIn(a, spool.Translate, jobA)))) })
	w.put(laterInbox+"/BACK.json", backOrder)
}

func (w *world) put(file, text string) {
	w.m.Quiet(func() { must(w.m.View("legacy").Create(file, []byte(text))) })
	w.back = w.back || strings.HasPrefix(file, laterInbox+"/")
}

func adoptingAt(dir, name, text string) func(*world, *spool.Instance) error {
	return func(_ *world, a *spool.Instance) error { return a.Adopt(dir, name, sha256.Sum256([]byte(text))) }
}

func hander(in *spool.Instance) *actor {
	return &actor{name: in.Host, run: func() error {
		c, err := claimIn(in, spool.Translate, jobA)
		if err != nil {
			return err
		}
		return handOver(c)
	}}
}

// TestHandOver: what the reader gets is the job as it is, under its id; the final
// record says to whom; the balance counts it, once, until it comes back.
func TestHandOver(t *testing.T) {
	w := memWorld(t)
	a := w.start("a")
	foreignSetUp(w, a)
	mustDo(handOver(must(claimIn(a, spool.Translate, jobA))))
	if got, err := w.read("legacy/out/" + jobA + ".xml"); err != nil || string(got) != string(payload(jobA)) {
		t.Errorf("the reader gets %q, %v", got, err)
	}
	b := must(a.Audit(t.Context(), 1))
	if b.HandedOver != 1 || b.Accepted != 1 || !b.OK() {
		t.Errorf("handed over: %+v", b)
	}
	found := must(a.Locate(jobA))
	if len(found) != 1 || found[0].Place != spool.PlaceHandedOver || found[0].Name.Host != "a" || found[0].Name.Cluster != "foreign:"+foreignOut {
		t.Errorf("it is %+v", found)
	}
	w.put(laterInbox+"/BACK.json", backOrder)
	var offered []spool.Stage
	a.Offered = func(s spool.Stage, _ spool.Offer) { offered = append(offered, s) }
	mustDo(adoptingAt(laterInbox, "BACK.json", backOrder)(w, a))
	if !slices.Equal(offered, []spool.Stage{spool.Submit}) {
		t.Errorf("back: offered to %v", offered)
	}
	if b = must(a.Audit(t.Context(), 1)); b.HandedOver != 0 || b.Waiting != 1 || b.Accepted != 1 || !b.OK() {
		t.Errorf("back: %+v", b)
	}
	if at := spool.Furthest(must(a.Locate(jobA))); at.Place != spool.PlaceWaiting || at.Name.Stage != spool.Submit {
		t.Errorf("back: it is %+v", at)
	}
	w.ends(t)
}

// TestHole_4_2_TwoWaysIn: a translator was killed between its two steps, and both
// files are adopted, in either order, the second while the job waits in either
// stage, or is done.
func TestHole_4_2_TwoWaysIn(t *testing.T) {
	for _, jsonFirst := range []bool{true, false} {
		for steps := range 3 {
			w := memWorld(t)
			a := w.start("a")
			first, second := adoptingAt(inbox, "JOB.xml", backOrder), adoptingAt(laterInbox, "JOB.json", backOrder)
			w.put(inbox+"/JOB.xml", backOrder)
			w.put(laterInbox+"/JOB.json", backOrder)
			if jsonFirst {
				first, second = second, first
			}
			mustDo(first(w, a))
			for range steps {
				for _, s := range []spool.Stage{spool.Submit, spool.Translate} {
					mustDo(w.workOff(a, s))
				}
			}
			mustDo(second(w, a))
			w.ends(t)
			if w.has("failed/") && strings.Contains(w.m.Tree(), "failed/adopt") || strings.Count(w.m.Tree(), "done/01890a5/submit~") != 1 {
				t.Errorf("JSON first: %v, after %d steps: it isn't one job", jsonFirst, steps)
			}
		}
	}
}

// TestHole_4_3_BackTwice: by a translator that was stopped between its two steps,
// and goes on when the job is done.
func TestHole_4_3_BackTwice(t *testing.T) {
	w := memWorld(t)
	a := w.start("a")
	comeBackSetUp(w, a)
	mustDo(adoptingAt(laterInbox, "BACK.json", backOrder)(w, a))
	mustDo(submitted(must(claimIn(a, spool.Submit, jobA))))
	w.put(laterInbox+"/AGAIN.json", backOrder)
	mustDo(adoptingAt(laterInbox, "AGAIN.json", backOrder)(w, a))
	w.ends(t)
}

// TestHole_4_4_SecondCopy: an operator's copy of what was handed over is parked.
func TestHole_4_4_SecondCopy(t *testing.T) {
	w := memWorld(t)
	a := w.start("a")
	foreignSetUp(w, a)
	mustDo(handOver(must(claimIn(a, spool.Translate, jobA))))
	w.put("xml/"+jobA+"+1.0.xml", string(payload(jobA)))
	mustDo(handOver(must(a.Claim(spool.Translate, spool.Name{ID: jobA, Gen: 1}))))
	if !w.has("parked/copy~translate~") || strings.Count(w.m.Tree(), "legacy/out/0") != 1 {
		t.Error("the copy isn't parked")
	}
}

// TestHandOverWishes: what a person asked for is done before the seal.
func TestHandOverWishes(t *testing.T) {
	for kind, want := range map[string]spool.Place{spool.RequestHold: spool.PlaceHeld, spool.RequestCancel: spool.PlaceFailed} {
		w := memWorld(t)
		a := w.start("a")
		foreignSetUp(w, a)
		c := must(claimIn(a, spool.Translate, jobA))
		w.put(spool.RequestPath(kind, jobA), "{}")
		mustDo(handOver(c))
		if found := must(a.Locate(jobA)); len(found) != 1 || found[0].Place != want || w.has(spool.RequestPath(kind, jobA)) {
			t.Errorf("%s: it is %+v", kind, found)
		}
	}
}

// TestHole_4_1_HandOverAfterTheChange: the stage isn't foreign any more when
// somebody finds a sealed handover: its name says where it goes.
func TestHole_4_1_HandOverAfterTheChange(t *testing.T) {
	for _, at := range []memfs.Point{{View: "a", Kind: memfs.Rename, Name: "legacy/out/"}, {View: "a", Kind: memfs.Rename, Name: "legacy/out/", After: true}} {
		w := memWorld(t)
		a, b := w.start("a"), w.start("b")
		foreignSetUp(w, a)
		w.m.At(at, func() { panic(w) })
		func() {
			defer func() { _ = recover() }()
			_ = handOver(must(claimIn(a, spool.Translate, jobA)))
		}()
		a.DisownAll()
		if did := must(b.Reclaim(silentA, nil)); did.Published != 1 || !did.Gone {
			t.Errorf("%v: reclaimed %+v", at, did)
		}
		w.ends(t)
	}
}

// TestHandOverPowerCut: what the reader may have taken isn't handed over again.
func TestHandOverPowerCut(t *testing.T) {
	for n := range 200 {
		m := memfs.New(memfs.Options{KeepOrder: true})
		w := newWorld(m)
		a := w.start("a")
		foreignSetUp(w, a)
		mustDo(a.FS.Sync("legacy", "hosts", "hosts/a", "hosts/a/journal", "claims", "claims/a", "sealed", "sealed/a", "drafts", "drafts/a"))
		count, cut := 0, false
		m.Before = func(op memfs.Op) {
			if op.View == "a" && !cut {
				if count++; count > n {
					cut = true
					m.Crash(uint64(n))
				}
			}
		}
		func() {
			defer func() { _ = recover() }()
			_ = handOver(must(claimIn(a, spool.Translate, jobA)))
		}()
		m.Before = nil

		if err := w.recoverAll(); err != nil {
			t.Fatalf("cut before operation %d: %v\n%s\n%s", n, err, m.Trace(), m.Tree())
		}
		if !cut {
			return
		}
	}
}

// TestRecoverHandedOver: a job whose record vanished after it was handed over is
// nobody's to enter again; one that began at a later stage begins there.
func TestRecoverHandedOver(t *testing.T) {
	w := memWorld(t)
	a := w.start("a")
	foreignSetUp(w, a)
	mustDo(handOver(must(claimIn(a, spool.Translate, jobA))))
	w.m.Quiet(func() { mustDo(w.m.View("x").Remove(must(a.Locate(jobA))[0].Path)) })
	if r := must(a.Recover(t.Context(), jobA, nil, false)); r.Did != spool.DidNothing || !strings.Contains(r.Detail, "foreign program") {
		t.Errorf("handed over: %+v", r)
	}

	w = memWorld(t)
	a = w.start("a")
	w.put(laterInbox+"/BACK.json", backOrder)
	mustDo(adoptingAt(laterInbox, "BACK.json", backOrder)(w, a))
	w.m.Quiet(func() { mustDo(w.m.View("x").Remove("json/" + jobA + ".json")) })
	r := must(a.Recover(t.Context(), jobA, nil, false))
	if got, err := w.read("json/" + jobA + "+1.0.json"); r.Did != spool.DidRecover || err != nil || string(got) != string(translate(payload(jobA))) {
		t.Errorf("began later: %+v, %q, %v", r, got, err)
	}
}

// TestForeignFormat: what a handover may be called.
func TestForeignFormat(t *testing.T) {
	format := func(more string) error {
		_, err := spool.ParseFormat([]byte("version = 1\nspool_id = \"" + testSpoolID + "\"\n[stages.submit]\ndir = \"json\"\n[stages.translate]\ndir = \"xml\"\n" + more))
		return err
	}
	for _, ok := range []string{"legacy/*.xml", "legacy/a b/JOB_*.xml"} {
		if err := format("foreign = \"" + ok + "\"\n"); err != nil {
			t.Errorf("%s: %v", ok, err)
		}
	}
	for _, bad := range []string{"*.xml", "legacy/*.json", "legacy/x.xml", "legacy/*/a.xml", "legacy/*-*.xml", "/legacy/*.xml", "../*.xml", "xml/*.xml",
		"xml/in/*.xml", "claims/*.xml", "legacy/.*.xml", "a//*.xml", strings.Repeat("long/", 20) + "*.xml"} {
		if err := format("foreign = \"" + bad + "\"\n"); err == nil || !strings.Contains(err.Error(), "foreign") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if format("foreign = \"legacy/*.xml\"\n[[inbox]]\ndir = \"legacy\"\n") == nil {
		t.Error("an inbox where jobs are handed over")
	}
	if format("[[inbox]]\ndir = \"legacy\"\nstage = \"ingest\"\n") == nil {
		t.Error("an inbox of a stage that takes nothing")
	}
	if !spool.ValidClusterID("4711") || spool.ValidClusterID("foreign:x") {
		t.Error("a cluster's id passes for a handover")
	}
}

// TestHole_4_5_BackAndVanished: a job came back, and what waited for its next
// stage was taken by somebody foreign. Its handover is no place of it any more:
// the job is nowhere, and is recovered as any other.
func TestHole_4_5_BackAndVanished(t *testing.T) {
	for _, handed := range []bool{false, true} {
		w := memWorld(t)
		a := w.start("a")
		comeBackSetUp(w, a)
		mustDo(adoptingAt(laterInbox, "BACK.json", backOrder)(w, a))
		if handed {
			c := must(claimIn(a, spool.Submit, jobA))
			must(c.Once())
			mustDo(c.Return(spool.Why{Reason: "test"}))
		}
		w.m.Quiet(func() { mustDo(w.m.View("x").Remove(spool.Furthest(must(a.Locate(jobA))).Path)) })
		if found := must(a.Locate(jobA)); len(found) > 0 {
			t.Errorf("it vanished: it is %+v", found)
		}
		b := must(a.Audit(t.Context(), 1))
		if b.HandedOver != 0 || len(b.Vanished) != 1 || b.OK() {
			t.Errorf("it vanished: %+v", b)
		}
		want := map[bool]string{false: spool.DidRecover, true: spool.DidCopy}[handed]
		if r, err := a.Recover(t.Context(), jobA, nil, false); err != nil || r.Did != want {
			t.Errorf("recovered: %+v, %v", r, err)
		}
	}
}

// TestHole_4_6_BackAtAStaleExitGate: what comes back is dropped as a copy of a job
// that is on its way only if two looks agree that the job never left.
func TestHole_4_6_BackAtAStaleExitGate(t *testing.T) {
	for _, kind := range []string{memfs.List, memfs.Identify} {
		w := memWorld(t)
		a := w.start("a")
		comeBackSetUp(w, a)
		struck := false
		w.m.Inject = func(op memfs.Op) memfs.Verdict {
			if struck || op.View != "a" || op.Kind != kind || !strings.HasPrefix(op.From, "once/") {
				return memfs.Verdict{}
			}
			struck = true
			if kind == memfs.List {
				return memfs.Verdict{Apply: true, Stale: true}
			}
			return memfs.Verdict{Err: syscall.ENOENT}
		}
		mustDo(adoptingAt(laterInbox, "BACK.json", backOrder)(w, a))
		if at := spool.Furthest(must(a.Locate(jobA))); at.Place != spool.PlaceWaiting || at.Name.Stage != spool.Submit {
			t.Errorf("%s: it is %+v", kind, at)
		}
		w.ends(t)
	}
}

// TestHole_4_8_NowhereToHandOver: a host died between the seal and the handover,
// and the foreign program's directory is gone. That holds up nothing else: its
// claims are fenced, so that it may be ready again, and the job is kept.
func TestHole_4_8_NowhereToHandOver(t *testing.T) {
	w := memWorld(t)
	a, b := w.start("a"), w.start("b")
	foreignSetUp(w, a)
	w.m.Quiet(func() { mustDo(w.m.View("x").Rmdir(path.Dir(foreignOut))) })
	if err := handOver(must(claimIn(a, spool.Translate, jobA))); err != nil || w.has("done/01890a5") {
		t.Errorf("handed over to nowhere: %v", err)
	}
	did, err := b.Reclaim(silentA, nil)
	if err != nil || !did.Fenced || did.Left != 1 || did.Gone {
		t.Errorf("reclaimed %+v, %v", did, err)
	}
	w.m.Quiet(func() { mkdirs(w.m.View("x"), path.Dir(foreignOut)) })
	if did, err = b.Reclaim(silentA, nil); err != nil || did.Published != 1 || !did.Gone {
		t.Errorf("reclaimed %+v, %v", did, err)
	}
	w.ends(t)
}

// TestRecoverBesideACopy: that translate parked a copy is no reason not to park
// one of what vanished at submit.
func TestRecoverBesideACopy(t *testing.T) {
	w := memWorld(t)
	a := w.start("a")
	comeBackSetUp(w, a)
	w.put("xml/"+jobA+"+1.0.xml", string(payload(jobA)))
	mustDo(handOver(must(a.Claim(spool.Translate, spool.Name{ID: jobA, Gen: 1}))))
	mustDo(adoptingAt(laterInbox, "BACK.json", backOrder)(w, a))
	c := must(claimIn(a, spool.Submit, jobA))
	must(c.Once())
	w.m.Quiet(func() { mustDo(w.m.View("x").Remove(c.Path())) })
	r, err := a.Recover(t.Context(), jobA, nil, false)
	if err != nil || r.Did != spool.DidCopy || !strings.Contains(r.Path, "copy~submit~") || !w.has(r.Path) {
		t.Errorf("got %+v, %v", r, err)
	}
}

// TestHole_4_9_NotTakenYet: the foreign program is replaced before it took a file,
// and its directory is made an inbox, so that nothing is left behind. What lies
// there is no duplicate to be thrown away: it is all that there is of the job.
func TestHole_4_9_NotTakenYet(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		w := memWorld(t)
		a, b := w.start("a"), w.start("b")
		w.through(a, jobA, spool.Submit)
		to := spool.Handover("old/*.json")
		w.m.Quiet(func() { mkdirs(w.m.View("x"), "old") })
		if sealed { // its host is gone before the record
			w.m.At(memfs.Point{View: "a", Kind: memfs.Rename, Name: "done/"}, func() { panic(w) })
		}
		func() {
			defer func() { _ = recover() }()
			spool.HandOver{To: to}.Work(t.Context(), must(claimIn(a, spool.Submit, jobA)))
		}()
		b.Layout.Inboxes = append(b.Layout.Inboxes, spool.Inbox{Dir: "old", Stage: spool.Submit})
		data := must(w.read("old/" + jobA + ".json"))
		b.Parse = func(spool.Stage, string, []byte) (spool.Adoptee, error) {
			return spool.Adoptee{ID: jobA, Data: data, Same: sameAs(jobA)}, nil
		}
		mustDo(b.Adopt("old", jobA+".json", sha256.Sum256(data)))
		if !w.has("failed/adopt~") || w.has("old/"+jobA) {
			t.Errorf("sealed %v: it was dropped", sealed)
		}
		if sealed {
			a.DisownAll()
			if did := must(b.Reclaim(silentA, nil)); !did.Gone {
				t.Errorf("reclaimed %+v", did)
			}
		}
	}
}

// foreigner is the foreign translator: it gives back what it finds, and is killed
// before it removes that.
func foreigner(w *world) *actor {
	fs := w.m.View("legacy")
	return &actor{name: "legacy", run: func() error {
		for range 5 {
			names, err := fs.List(path.Dir(foreignOut))
			if err != nil || len(names) == 0 {
				continue
			}
			if _, err = fs.Create(laterInbox+"/BACK.json", []byte(backOrder)); err == nil {
				w.back = true
			}
			return err
		}
		return nil
	}}
}

// taker adopts it.
func taker(w *world, in *spool.Instance) *actor {
	return &actor{name: in.Host, run: func() error {
		for range 5 {
			names, err := in.FS.List(laterInbox)
			if err == nil && slices.Contains(names, "BACK.json") {
				return adoptingAt(laterInbox, "BACK.json", backOrder)(w, in)
			}
		}
		return nil
	}}
}
