package spool_test

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"
	"time"

	"fencepost/spool"
	"fencepost/spool/vfs/memfs"
)

// steal is a foreign program that takes a file; what it does with it is its own.
func (w *world) steal(name string) {
	w.m.Quiet(func() { mustDo(w.m.View("rogue").Remove(name)) })
}

// stolen are the places out of which a waiting job is taken.
var stolen = []struct {
	name string
	do   func(w *world, a *spool.Instance)
}{
	{"out of xml", func(w *world, a *spool.Instance) {
		w.through(a, jobA, spool.Translate)
		w.steal("xml/" + jobA + ".xml")
	}},
	{"out of json", func(w *world, a *spool.Instance) {
		w.through(a, jobA, spool.Submit)
		w.steal("json/" + jobA + ".json")
	}},
	{"out of json, returned before", func(w *world, a *spool.Instance) {
		w.through(a, jobA, spool.Submit)
		w.m.Quiet(func() { mustDo(must(claimIn(a, spool.Submit, jobA)).Return(spool.Why{Reason: "test"})) })
		w.steal("json/" + jobA + "+1.0.json")
	}},
}

// recoverRun is one run of audit --recover, as a command of host.
func (w *world) recoverRun(host string) (spool.Recovery, error) {
	in := w.startOn(newEnv(w.m.View(host)), host+"~cmd")
	r, err := in.Recover(ctx, jobA, nil, false)
	if err != nil {
		return r, err
	}
	_, err = in.Reclaim(spool.Over{Host: in.Host, Epoch: in.Epoch, Why: "ended"}, nil)
	return r, errors.Join(err, in.Journal.Close())
}

// workOffAll is what the hosts do once no fault happens any more.
func (w *world) workOffAll() error {
	r := w.start("r")
	if err := w.reclaimAll(r); err != nil {
		return err
	}
	for range 3 { // two copies of one generation publish under one name
		for _, stage := range spool.Stages() {
			if err := w.workOff(r, stage); err != nil {
				return err
			}
		}
	}
	return w.checkContents()
}

// submittedOnce: one final record, which the exit gate knows; all else are
// copies, parked.
func (w *world) submittedOnce() error {
	j := w.files()[jobA]
	if len(j.before) != 0 || len(j.after) != 1 || j.after[0].place != spool.DirDone {
		return fmt.Errorf("want one final record: %v", j)
	}
	if once := w.inode(spool.OncePath(spool.Submit, jobA)); once != j.after[0].ino {
		return fmt.Errorf("the exit gate knows file %s, the final record is %s", once, j.after[0].ino)
	}
	return nil
}

func (w *world) inode(name string) string {
	for line := range strings.Lines(w.m.Tree()) {
		if file, rest, ok := strings.Cut(strings.TrimSpace(line), "  #"); ok && file == name {
			ino, _, _ := strings.Cut(rest, ",")
			return ino
		}
	}
	return ""
}

// TestRecoverSwept: each operation of a recovery fails in each way, or the
// command dies at it and what it had under way lands later; then it is run
// again, by another host. The job is submitted exactly once.
func TestRecoverSwept(t *testing.T) {
	for _, x := range stolen {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			memfs.Sweep(t, memfs.Plan{Views: []string{"op"}, Errnos: everyErrno, Stale: true, Pairs: faultPairs(150),
				Options: memfs.Options{SyncExport: true}}, recoverScenario(x.do, 2))
			memfs.Sweep(t, memfs.Plan{Views: []string{"op", "op2", "r"}, NoDie: true, Late: faultPairs(300),
				Options: memfs.Options{SyncExport: true}}, recoverScenario(x.do, 2))
		})
	}
}

func recoverScenario(steal func(*world, *spool.Instance), runs int) func(*memfs.Mem) error {
	return func(m *memfs.Mem) error {
		w := newWorld(m)
		steal(w, w.start("a"))
		if _, err := w.recoverRun("op"); err != nil && runs == 1 {
			return err
		}
		if len(m.Pending()) == 0 { // a late operation lands when the plan says
			m.Calm()
		}
		// It is found, or recovered: also by a listing that missed it before.
		_, err := w.recoverRun("op2")
		if err != nil && len(m.Pending()) == 0 {
			return fmt.Errorf("run again: %w", err)
		}
		if err := w.workOffAll(); err != nil {
			return err
		}
		m.Calm()
		if err := w.workOffAll(); err != nil {
			return err
		}
		return w.submittedOnce()
	}
}

// TestTwoRecoverers: one is stopped before its rename, which lands after the
// other's copy has been submitted: the exit gate parks the second.
func TestTwoRecoverers(t *testing.T) {
	for _, x := range stolen {
		t.Run(x.name, func(t *testing.T) {
			w := memWorld(t)
			x.do(w, w.start("a"))
			w.m.At(memfs.Point{View: "op", Kind: memfs.Rename, Name: "xml/"}, func() {
				must(w.recoverRun("op2"))
				r := w.start("r")
				mustDo(w.workOff(r, spool.Translate))
				mustDo(w.workOff(r, spool.Submit))
			})
			if _, err := w.recoverRun("op"); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(w.workOffAll(), w.submittedOnce()); err != nil {
				t.Error(err)
			}
			if copies := w.files()[jobA].copies; len(copies) != 1 {
				t.Errorf("got %v, want one parked copy", copies)
			}
		})
	}
}

// TestRecoverersSideBySide: both renames land before anybody claims: the names
// are the same, one copy is left.
func TestRecoverersSideBySide(t *testing.T) {
	w := memWorld(t)
	stolen[1].do(w, w.start("a"))
	var second spool.Recovery
	w.m.At(memfs.Point{View: "op", Kind: memfs.Append}, func() { second = must(w.recoverRun("op2")) })
	first := must(w.recoverRun("op"))
	if first.Path != second.Path {
		t.Fatalf("the schedule didn't come about: %s, %s", first.Path, second.Path)
	}
	if err := errors.Join(w.workOffAll(), w.submittedOnce()); err != nil {
		t.Error(err)
	}
	if copies := w.files()[jobA].copies; len(copies) != 0 {
		t.Errorf("copies: %v", copies)
	}
}

// TestTheOriginalComesBack: whoever took the file puts it back after its copy
// was submitted. It is never submitted, whoever claims it.
func TestTheOriginalComesBack(t *testing.T) {
	w := memWorld(t)
	w.through(w.start("a"), jobA, spool.Submit)
	rogue := w.m.View("rogue")
	w.m.Quiet(func() { mustDo(rogue.Rename("json/"+jobA+".json", "elsewhere")) })
	must(w.recoverRun("op"))
	mustDo(w.workOffAll())
	w.m.Quiet(func() { mustDo(rogue.Rename("elsewhere", "json/"+jobA+".json")) })
	if err := errors.Join(w.workOffAll(), w.submittedOnce()); err != nil {
		t.Error(err)
	}
	if copies := w.files()[jobA].copies; len(copies) != 1 {
		t.Errorf("got %v, want the original parked as a copy", copies)
	}
}

// TestRecoverWhatIsBeingAccepted: HOLES 7. The gate is linked, the host stopped
// before its rename: the draft is a place, so nothing is entered again.
func TestRecoverWhatIsBeingAccepted(t *testing.T) {
	w := memWorld(t)
	a := w.start("a")
	w.m.At(memfs.Point{View: "a", Kind: memfs.Rename, Name: "xml/"}, func() {
		r, err := w.recoverRun("op")
		if err != nil || r.Did != spool.DidFind {
			t.Errorf("got %+v, %v, want it found", r, err)
		}
	})
	must(w.accept(a, jobA))
	if err := errors.Join(w.workOffAll(), w.submittedOnce()); err != nil {
		t.Error(err)
	}
}

// handedAndStolen: the job passed the exit gate; then its file was taken.
func handedAndStolen(w *world, a *spool.Instance) *spool.Claim {
	w.through(a, jobA, spool.Submit)
	c := must(claimIn(a, spool.Submit, jobA))
	must(c.Once())
	w.steal(c.Path())
	return c
}

// TestRecoverWhatWasHandedOver: the job passed the exit gate before it was taken:
// it may have been submitted. A copy is parked, once, and a person decides; the
// owner, woken, can't submit it any more.
func TestRecoverWhatWasHandedOver(t *testing.T) {
	w := memWorld(t)
	a := w.start("a")
	c := handedAndStolen(w, a)
	for range 2 {
		r, err := w.recoverRun("op")
		if err != nil || r.Did != spool.DidCopy || !strings.Contains(r.Detail, "may have been submitted") {
			t.Fatalf("got %+v, %v, want a parked copy", r, err)
		}
	}
	j := w.files()[jobA]
	if len(j.copies) != 1 || len(j.before)+len(j.after) != 0 {
		t.Fatalf("got %v, want one copy and nothing else", j)
	}
	if b := must(a.Audit(ctx, time.Second)); len(b.Vanished) != 1 {
		t.Errorf("the alarm must stay until a person decides: %+v", b)
	}
	op := w.operator("op", 1)
	var refusal *spool.Refusal
	if _, err := op.CopyAgain(ctx, jobA, "any"); !errors.As(err, &refusal) {
		t.Errorf("without force: got %v", err)
	}
	op.Force = true
	op.Ask = func(context.Context, string) (spool.Answer, error) {
		return spool.Answer{Known: true, Cluster: "7", Detail: "running"}, nil
	}
	if _, err := op.CopyAgain(ctx, jobA, "any"); !errors.As(err, &refusal) || !strings.Contains(refusal.Why, "running") {
		t.Errorf("the cluster has it: got %v", err)
	}
	op.Ask = nil
	if _, err := op.CopyAgain(ctx, jobA, "any"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Seal("7"); !errors.Is(err, spool.ErrLost) {
		t.Errorf("the woken owner's seal: got %v, want ErrLost", err)
	}
	if err := errors.Join(w.workOffAll(), w.submittedOnce()); err != nil {
		t.Error(err)
	}
}

// TestCopyAgainSwept: each operation of giving the exit gate to a copy fails, or
// the command dies at it; the same command does the rest.
func TestCopyAgainSwept(t *testing.T) {
	again := func(op *spool.Operator) error {
		op.Force = true
		_, err := op.CopyAgain(ctx, jobA, "any")
		return err
	}
	memfs.Sweep(t, memfs.Plan{Views: []string{"op"}, Errnos: everyErrno, Stale: true, Pairs: faultPairs(300), Late: faultPairs(200),
		Options: memfs.Options{SyncExport: true}}, func(m *memfs.Mem) error {
		w := newWorld(m)
		m.Quiet(func() {
			handedAndStolen(w, w.start("a"))
			must(w.recoverRun("setup"))
		})
		_ = again(w.operator("op", 1))
		m.Calm()
		var refusal *spool.Refusal
		if err := again(w.operator("op2", 2)); err != nil && !errors.As(err, &refusal) {
			return err
		}
		if err := w.workOffAll(); err != nil {
			return err
		}
		return w.submittedOnce()
	})
}

// TestSubmittedCopy: the cluster has the job: the copy becomes its record.
func TestSubmittedCopy(t *testing.T) {
	w := memWorld(t)
	a := w.start("a")
	handedAndStolen(w, a)
	must(w.recoverRun("op"))
	must(w.operator("op", 1).Submitted(ctx, jobA, "77", "any"))
	b := must(a.Audit(ctx, time.Second))
	if !b.OK() || b.Done != 1 {
		t.Errorf("audit: %+v", b)
	}
	// Another copy beside it is refused.
	w.m.Quiet(func() {
		fs := w.m.View("rogue")
		must(fs.Create(path.Join(spool.DirParked, "copy~submit~x~1.1~"+jobA+".json"), nil))
	})
	op := w.operator("op", 2)
	op.Force = true
	var refusal *spool.Refusal
	if _, err := op.CopyAgain(ctx, jobA, "x/1/1"); !errors.As(err, &refusal) || !strings.Contains(refusal.Why, "done") {
		t.Errorf("got %v, want a refusal", err)
	}
}

// TestKnownAtTheCluster: a job that the cluster knows isn't entered again, nor
// one that can't be asked for.
func TestKnownAtTheCluster(t *testing.T) {
	w := memWorld(t)
	stolen[1].do(w, w.start("a"))
	in := w.startOn(newEnv(w.m.View("op")), "op~cmd")
	before := w.m.Tree()
	r, err := in.Recover(ctx, jobA, func(context.Context, string) (spool.Answer, error) {
		return spool.Answer{Known: true, Cluster: "7", Detail: "pending"}, nil
	}, false)
	if err != nil || r.Did != spool.DidNothing || !strings.Contains(r.Detail, "7 (pending)") {
		t.Errorf("got %+v, %v", r, err)
	}
	_, err = in.Recover(ctx, jobA, func(context.Context, string) (spool.Answer, error) { return spool.Answer{}, errors.New("down") }, false)
	if err == nil {
		t.Error("the cluster couldn't be asked, and that was no error")
	}
	if r, err := in.Recover(ctx, jobA, nil, true); err != nil || r.Did != spool.DidRecover {
		t.Errorf("dry run: got %+v, %v", r, err)
	}
	if w.m.Tree() != before {
		t.Error("something was changed")
	}
}

// TestKnownAndHandedOver: what passed the exit gate and is known to the cluster,
// be it held by a submission that nobody sealed, is parked as a copy: else its
// alarm would stand for ever, and nothing could be decided.
func TestKnownAndHandedOver(t *testing.T) {
	w := memWorld(t)
	a := w.start("a")
	w.through(a, jobA, spool.Submit)
	w.m.Quiet(func() {
		c := must(claimIn(a, spool.Submit, jobA))
		must(c.Once())
		mustDo(c.Return(spool.Why{Reason: "perhaps accepted, held"}))
	})
	w.steal("json/" + jobA + "+1.0.json")
	in := w.startOn(newEnv(w.m.View("op")), "op~cmd")
	for range 2 {
		r, err := in.Recover(ctx, jobA, func(context.Context, string) (spool.Answer, error) {
			return spool.Answer{Known: true, Cluster: "7", Detail: "held"}, nil
		}, false)
		if err != nil || r.Did != spool.DidCopy || !strings.Contains(r.Detail, "7 (held)") {
			t.Errorf("got %+v, %v", r, err)
		}
	}
	if copies := must(in.Copies(jobA)); len(copies) != 1 {
		t.Errorf("%d copies", len(copies))
	}
}

// TestRecoveredGeneration: the copy's generation is one that the job never had,
// also when it was taken from a later stage after several tries.
func TestRecoveredGeneration(t *testing.T) {
	w := memWorld(t)
	a := w.start("a")
	stolen[2].do(w, a)
	mustDo(a.Journal.Flush())
	r := must(w.recoverRun("op"))
	if r.Path != "xml/"+jobA+"+2.0.xml" {
		t.Errorf("got %s, want generation 2", r.Path)
	}
	mustDo(w.workOffAll())
	var got []string
	for _, e := range must(a.Trace(jobA)) {
		got = append(got, e.Event)
	}
	want := "accepted claimed sealed published claimed returned recovered claimed sealed published claimed sealed done"
	if strings.Join(got, " ") != want {
		t.Errorf("trace:\ngot  %s\nwant %s", strings.Join(got, " "), want)
	}
}
