package spool_test

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"syscall"
	"testing"
	"time"

	"fencepost/spool"
	"fencepost/spool/vfs/memfs"
)

// The times of the removals here.
const (
	oldAge    = 30 * 24 * time.Hour
	oldSettle = time.Hour
	oldRound  = 20 * time.Minute
)

// jobN is the newest: it was made when the tests' clock begins.
const jobN = "019b7cb0-ac96-7000-8000-000000000009"

// checkGone: what remembers a job goes after its end, in one order, and for good.
func (w *world) checkGone(jobs map[string]*jobFiles) error {
	for id := range w.accepted {
		j := jobs[id]
		if j == nil {
			j = &jobFiles{}
		}
		done := len(j.before) == 0 && len(j.after) == 1 && j.after[0].place == spool.DirDone
		switch {
		case j.gate != "" && w.gone[id]:
			return fmt.Errorf("%s passed the gate again, after its records had gone", id)
		case j.gate != "":
			w.ended[id] = done
		case !w.removes || !w.ended[id]:
			return fmt.Errorf("%s left the gate, and hadn't ended: %v", id, j)
		case len(j.before)+len(j.after) > 0 && !done:
			return fmt.Errorf("%s is there again, after its records had gone: %v", id, j)
		default:
			w.gone[id] = true
		}
	}
	return nil
}

// cleaner is an instance that removes.
type cleaner struct {
	w     *world
	in    *spool.Instance
	audit *spool.Auditor
	*spool.Remover
}

func (w *world) cleaner(in *spool.Instance) *cleaner {
	a := spool.NewAuditor(in, 20*time.Second, 10*time.Second)
	return &cleaner{w, in, a, spool.NewRemover(a, oldAge, oldSettle)}
}

// turn lets time go by, and takes one.
func (c *cleaner) turn() error {
	c.in.Env.(*testEnv).pass(oldRound)
	_, err := c.Turn()
	return err
}

// round is a turn after an audit: this host is the one that removes.
func (c *cleaner) round() error {
	return errors.Join(c.audit.Pass(context.Background()), c.turn())
}

func (c *cleaner) rounds(n int) (err error) {
	for range n {
		err = errors.Join(err, c.round())
	}
	return err
}

// ended brings jobs to their end.
func (w *world) end(in *spool.Instance, ids ...string) {
	w.m.Quiet(func() {
		for _, id := range ids {
			must(w.accept(in, id))
			mustDo(advance(must(claimIn(in, spool.Translate, id))))
			mustDo(submitted(must(claimIn(in, spool.Submit, id))))
		}
	})
}

// untilWanted is as many rounds as it takes until a bucket is wanted.
const untilWanted = 5

// oldWorld is one with ended jobs of old, and others: removed as far as that goes
// while a host that may accept hasn't promised.
func oldWorld(w *world, also ...func(*spool.Instance)) (a, b *cleaner) {
	w.removes = true
	a, b = w.cleaner(w.start("a")), w.cleaner(w.start("b"))
	w.end(a.in, jobA, jobB, jobC, jobN)
	for _, do := range also {
		do(a.in)
	}
	mustDo(w.check())
	w.m.Quiet(func() { mustDo(a.rounds(untilWanted)) })
	return a, b
}

// records are the names of a job in gate/, once/ and done/.
func (w *world) records(id string) int {
	n := 0
	for line := range strings.Lines(w.m.Tree()) {
		top, _, _ := strings.Cut(strings.TrimSpace(line), "/")
		if strings.Contains(line, id) && (top == spool.DirGate || top == spool.DirOnce || top == spool.DirDone) {
			n++
		}
	}
	return n
}

// TestRemoval: what is old and has ended goes, buckets and all; what is new, has no
// time in its id, or hasn't ended stays. The audit's balance is right all along.
func TestRemoval(t *testing.T) {
	w := memWorld(t)
	a, b := oldWorld(w)
	if w.records(jobA) != 3 {
		t.Fatalf("gone before all had promised:\n%s", w.m.Tree())
	}
	mustDo(b.turn())
	mustDo(a.rounds(4))
	for id, want := range map[string]int{jobA: 0, jobB: 0, jobC: 3, jobN: 3} {
		if got := w.records(id); got != want {
			t.Errorf("%d records of %s, want %d", got, id, want)
		}
	}
	for _, base := range []string{spool.DirGate, spool.DirOnce, spool.DirDone} {
		if w.has(path.Join(base, spool.Bucket(jobA))) {
			t.Errorf("the bucket in %s is still there", base)
		}
	}
	if got := a.Counts(); got != (spool.RemovedCounts{Buckets: 1, Names: 6}) {
		t.Errorf("counted %+v", got)
	}
	if got := w.audit(t); !got.OK() || got.Accepted != 2 || got.Done != 2 || len(got.Ungated) > 0 {
		t.Errorf("%+v", got)
	}
	for _, in := range []*spool.Instance{a.in, b.in, w.start("c")} {
		if _, err := w.accept(in, jobA); !errors.Is(err, spool.ErrTooOld) {
			t.Errorf("host %s let it in again: %v", in.Host, err)
		}
	}
	ret := must(a.in.Retained())
	if !ret.IsClosed(jobA) || ret.IsClosed(jobN) || ret.IsClosed(jobC) {
		t.Errorf("%+v", ret)
	}
	mustDo(w.check())
}

// TestRemovalIsBounded: a turn removes no more than it may, and the next goes on.
func TestRemovalIsBounded(t *testing.T) {
	w := memWorld(t)
	w.removes = true
	a := w.cleaner(w.start("a"))
	var ids []string
	for i := range 400 {
		ids = append(ids, fmt.Sprintf("01890a5d-ac96-7000-8000-%012d", i))
	}
	w.end(a.in, ids...)
	mustDo(a.rounds(untilWanted + 2))
	turns := 0
	for w.records("01890a5d") > 0 && turns < 10 {
		before, at := a.Counts().Names, len(w.m.Trace())
		mustDo(a.turn())
		if n := a.Counts().Names - before; n > 500 {
			t.Errorf("%d names in a turn", n)
		}
		if n := len(w.m.Trace()) - at; n > 600 {
			t.Errorf("%d operations in a turn", n)
		}
		turns++
	}
	if turns < 3 || turns > 5 {
		t.Errorf("1200 names in %d turns", turns)
	}
}

// TestRemovalLeaves: whatever of a bucket's jobs hasn't ended for good keeps all of it.
func TestRemovalLeaves(t *testing.T) {
	for name, do := range map[string]func(w *world, in *spool.Instance){
		"waits":   func(w *world, in *spool.Instance) { must(w.accept(in, jobB)) },
		"claimed": func(w *world, in *spool.Instance) { must(w.accept(in, jobB)); must(claimIn(in, spool.Translate, jobB)) },
		"sealed": func(w *world, in *spool.Instance) {
			w.through(in, jobB, spool.Submit)
			must(must(claimIn(in, spool.Submit, jobB)).Seal("9"))
		},
		"failed": func(w *world, in *spool.Instance) {
			must(w.accept(in, jobB))
			mustDo(must(claimIn(in, spool.Translate, jobB)).Fail(spool.EvRejected, "test"))
		},
		"held": func(w *world, in *spool.Instance) {
			must(w.accept(in, jobB))
			mustDo(must(claimIn(in, spool.Translate, jobB)).Hold("test"))
		},
		"parked": func(w *world, in *spool.Instance) {
			must(w.accept(in, jobB))
			mustDo(must(claimIn(in, spool.Translate, jobB)).Park("test"))
		},
		"handed over, and may come back": func(w *world, in *spool.Instance) {
			w.end(in, jobB)
			mustDo(in.FS.Rename(doneOf(w, jobB), spool.DonePath(spool.Name{Stage: spool.Translate, Host: "a", Epoch: 1, Seq: 77, ID: jobB,
				Cluster: "foreign:old/*.xml", Ext: "xml"})))
		},
		"a parked copy": func(w *world, in *spool.Instance) {
			must(in.FS.Create("parked/copy~submit~b~3.4~"+jobA+".json", payload(jobA)))
		},
		"an operator's copy": func(w *world, in *spool.Instance) {
			must(in.FS.Create("held/submit~"+jobA+"+7.0.json", payload(jobA)))
		},
		"an adoption": func(w *world, in *spool.Instance) {
			must(in.FS.Create("claims/a/1/adopt~99~"+jobA+".xml", payload(jobA)))
		},
		"a foreign file in the gate": func(w *world, in *spool.Instance) {
			must(in.FS.Create(path.Join("gate", spool.Bucket(jobA), ".nfs000001"), nil))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := memWorld(t)
			w.removes = true
			a := w.cleaner(w.start("a"))
			w.end(a.in, jobA)
			do(w, a.in)
			_ = a.rounds(untilWanted + 6)
			if w.records(jobA) != 3 {
				t.Errorf("its records went:\n%s", w.m.Tree())
			}
			if _, err := w.accept(a.in, jobA); err != nil && !errors.Is(err, spool.ErrTooOld) {
				t.Errorf("sent again: %v", err)
			}
		})
	}
}

// TestRemovalOfWhatWasHandedOver: where nothing can come back, a handover is an end.
func TestRemovalOfWhatWasHandedOver(t *testing.T) {
	w := memWorld(t)
	a := w.cleaner(w.start("a"))
	a.in.Layout.Inboxes = nil
	w.end(a.in, jobA)
	mustDo(a.in.FS.Rename(doneOf(w, jobA), spool.DonePath(spool.Name{Stage: spool.Translate, Host: "a", Epoch: 1, Seq: 77, ID: jobA,
		Cluster: "foreign:old/*.xml", Ext: "xml"})))
	mustDo(a.rounds(untilWanted + 6))
	if w.records(jobA) != 0 {
		t.Errorf("its records stayed:\n%s", w.m.Tree())
	}
}

func doneOf(w *world, id string) string {
	for _, f := range w.files()[id].after {
		if f.place == spool.DirDone {
			return f.path
		}
	}
	return ""
}

// TestHole_5_1_ClockBehind: a host whose clock is days behind would let in again what
// another one has removed by its own clock: nothing is removed before all that may
// accept have promised, and a clock only keeps its own host from that.
func TestHole_5_1_ClockBehind(t *testing.T) {
	w := memWorld(t)
	a, b := oldWorld(w)
	b.in.Env.(*testEnv).skew = -20 * 365 * 24 * time.Hour
	mustDo(b.turn())
	mustDo(a.rounds(6))
	if got := must(w.accept(b.in, jobA)); !got.Duplicate || w.records(jobA) != 3 {
		t.Errorf("%+v", got)
	}
	b.in.Env.(*testEnv).skew = 0
	mustDo(b.turn())
	mustDo(a.rounds(4))
	if _, err := w.accept(b.in, jobA); !errors.Is(err, spool.ErrTooOld) || w.records(jobA) != 0 {
		t.Errorf("%v", err)
	}
}

// TestHole_5_2_StartsMeanwhile: an instance begins while a time is being closed. Its
// directories are there before the mark is: removal waits for it. Or not: it looks.
func TestHole_5_2_StartsMeanwhile(t *testing.T) {
	for _, early := range []bool{true, false} {
		w := memWorld(t)
		a, b := oldWorld(w)
		mustDo(b.turn())
		var c *spool.Instance
		w.m.At(memfs.Point{View: "a", Kind: memfs.Create, Name: "closed~", After: !early}, func() { c = w.start("c") })
		mustDo(a.rounds(6))
		_, err := w.accept(c, jobA)
		if early && (err != nil || w.records(jobA) != 3) || !early && !errors.Is(err, spool.ErrTooOld) {
			t.Errorf("started before the mark: %v; %v, %d records", early, err, w.records(jobA))
		}
		if early { // it agrees: then it goes
			mustDo(w.cleaner(c).turn())
			mustDo(a.rounds(4))
			if _, err := w.accept(c, jobA); !errors.Is(err, spool.ErrTooOld) || w.records(jobA) != 0 {
				t.Errorf("%v", err)
			}
		} else {
			mustDo(w.cleaner(c).turn())
			mustDo(a.rounds(4))
			if w.records(jobA) != 0 {
				t.Error("it holds up removal for ever")
			}
		}
	}
}

// TestRemovalOnAFullDisk: no file can be made; what is closed already goes, and makes
// room.
func TestRemovalOnAFullDisk(t *testing.T) {
	w := memWorld(t)
	a, b := oldWorld(w)
	mustDo(b.turn())
	for range 2 { // as far as the mark, and one look
		mustDo(a.turn())
	}
	w.end(a.in, "01890b5d-ac96-7000-8000-000000000007") // so that there is something to note
	mustDo(a.audit.Pass(t.Context()))
	a.in.Env.(*testEnv).pass(oldRound)
	mustDo(a.audit.Pass(t.Context()))
	if w.records(jobA) != 3 {
		t.Fatal("gone too soon for this test")
	}
	full := map[string]bool{memfs.Create: true, memfs.Append: true, memfs.Mkdir: true}
	w.m.Inject = func(op memfs.Op) memfs.Verdict {
		if full[op.Kind] {
			return memfs.Verdict{Err: syscall.ENOSPC}
		}
		return memfs.Verdict{Apply: true}
	}
	for range 2 {
		_ = a.turn()
	}
	w.m.Inject = nil
	if w.records(jobA) != 0 {
		t.Error("nothing was removed")
	}
}

// TestMarksOutOfReach: an instance that can't look what is closed doesn't begin; one on
// a spool of an earlier version does.
func TestMarksOutOfReach(t *testing.T) {
	w := memWorld(t)
	oldWorld(w)
	w.m.Inject = func(op memfs.Op) memfs.Verdict {
		if op.Kind == memfs.List && op.From == spool.DirRetention {
			return memfs.Verdict{Err: syscall.ENOENT}
		}
		return memfs.Verdict{Apply: true}
	}
	if _, err := startAgain(w, "d", 1); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("it began: %v", err)
	}
	w.m.Inject = nil
	w = memWorld(t)
	mustDo(w.m.View("init").Rmdir(spool.DirRetention))
	w.removes = true
	a := w.cleaner(w.start("a"))
	w.end(a.in, jobA)
	mustDo(w.check())
	mustDo(a.rounds(untilWanted + 6))
	if w.records(jobA) != 0 {
		t.Error("on a spool without the directory nothing is removed")
	}
}

// TestHole_5_3_AcceptUnderWay: a job is sent again; its draft is complete, and waits to
// be linked, for however long, when its host is asked for its promise.
func TestHole_5_3_AcceptUnderWay(t *testing.T) {
	w := memWorld(t)
	a, b := oldWorld(w)
	w.m.At(memfs.Point{View: "b", Kind: memfs.Link, Name: "accept~"}, func() {
		mustDo(b.turn())
		mustDo(a.rounds(6))
		if w.records(jobA) != 3 {
			t.Error("its gate went while an accept of it was under way")
		}
	})
	if got := must(w.accept(b.in, jobA)); !got.Duplicate {
		t.Errorf("%+v", got)
	}
	mustDo(b.turn())
	mustDo(a.rounds(4))
	if w.records(jobA) != 0 {
		t.Error("its records stayed")
	}
}

// TestHole_5_3_DraftLeft: the same, and its accept has ended in an error: the draft is
// carried on by the own sweep, or by who reclaims. Until then there is no promise.
func TestHole_5_3_DraftLeft(t *testing.T) {
	w := memWorld(t)
	a, b := oldWorld(w)
	must(b.in.FS.Create("drafts/b/1/accept~77~"+jobA+".xml", payload(jobA)))
	mustDo(b.turn())
	mustDo(a.rounds(6))
	if w.records(jobA) != 3 {
		t.Fatal("its gate went while a draft of it waited")
	}
	mustDo(w.sweepTwice(b.in))
	mustDo(b.turn())
	mustDo(a.rounds(4))
	if w.records(jobA) != 0 || w.has("accept~77~") {
		t.Error("its records stayed")
	}
	mustDo(w.check())
}

// TestHole_5_4_AuditWhileRecordsGo: an audit lists the gate before a job's name there
// goes, and its record after that went, too.
func TestHole_5_4_AuditWhileRecordsGo(t *testing.T) {
	for n := range 30 {
		w := memWorld(t)
		a, b := oldWorld(w)
		mustDo(b.turn())
		s := must(spool.Open(newEnv(w.m.View("auditor"))))
		fired := false
		w.m.Before = func(op memfs.Op) {
			if op.View == "auditor" && op.Kind == memfs.List {
				if n--; n < 0 && !fired {
					fired = true
					mustDo(a.rounds(4))
				}
			}
		}
		got := must(s.Audit(t.Context(), time.Second))
		if !got.OK() || len(got.Ungated) > 0 || got.Accepted != 2 && got.Accepted != 4 {
			t.Errorf("%+v", got)
		}
	}
}

// TestHole_5_5_CopyComesBack: an old copy of an entry is put back into its stage after
// the job's records have gone, or while they go: the exit gate lets it through, since
// its name there went as well.
func TestHole_5_5_CopyComesBack(t *testing.T) {
	remove := func(w *world) (a *cleaner, c *spool.Claim) {
		a, b := oldWorld(w)
		mustDo(b.turn())
		must(a.in.FS.Create("json/"+jobA+"+90.0.json", translate(payload(jobA))))
		c = must(b.in.Claim(spool.Submit, spool.Name{ID: jobA, Gen: 90}))
		return a, c
	}
	t.Run("after", func(t *testing.T) {
		w := memWorld(t)
		a, b := oldWorld(w)
		mustDo(b.turn())
		mustDo(a.rounds(4))
		must(a.in.FS.Create("json/"+jobA+"+90.0.json", translate(payload(jobA))))
		c := must(b.in.Claim(spool.Submit, spool.Name{ID: jobA, Gen: 90}))
		if v, err := c.Once(); v != spool.Taken {
			t.Errorf("%v, %v", v, err)
		}
		if w.has(path.Join(spool.DirOnce, spool.Bucket(jobA))) {
			t.Error("its bucket was made anew")
		}
	})
	t.Run("while", func(t *testing.T) {
		w := memWorld(t)
		w.removes = false
		a, c := remove(w)
		// It looked, and the gate was whole. What it links then is let through only
		// because the record of the first is gone.
		w.m.At(memfs.Point{View: "b", Kind: memfs.Link, Name: spool.DirOnce}, func() {
			mustDo(a.in.FS.Remove(spool.GatePath(jobA)))
			mustDo(a.in.FS.Remove(spool.OncePath(spool.Submit, jobA)))
		})
		if v, err := c.Once(); v != spool.Taken {
			t.Errorf("%v, %v", v, err)
		}
	})
	t.Run("an old job that waited", func(t *testing.T) {
		w := memWorld(t)
		const older = "01890a40-ac96-7abc-8000-000000000003" // nothing of its bucket ended
		a, b := oldWorld(w, func(in *spool.Instance) { w.through(in, older, spool.Submit) })
		mustDo(b.turn())
		mustDo(a.rounds(4))
		c := must(claimIn(b.in, spool.Submit, older))
		if v, err := c.Once(); v != spool.Done {
			t.Errorf("%v, %v", v, err)
		}
	})
}

// TestHole_5_6_DraftComesBack: a person brings back the directory of a dead instance,
// with an accept's draft in it, after the job's records have gone.
func TestHole_5_6_DraftComesBack(t *testing.T) {
	w := memWorld(t)
	a, b := oldWorld(w)
	mustDo(b.turn())
	mustDo(a.rounds(4))
	mkdirs(a.in.FS, "drafts/d", "drafts/d/1")
	must(a.in.FS.Create("drafts/d/1/accept~7~"+jobA+".xml", payload(jobA)))
	did := must(b.in.Reclaim(spool.Over{Host: "d", Epoch: 1, Why: "test"}, finish))
	if w.records(jobA) > 0 || w.has("xml/"+jobA) || !w.has(spool.DirForeign+"/b.1.") {
		t.Errorf("it was let in again: %+v\n%s", did, w.m.Tree())
	}
}

// TestHole_5_7_AdoptedAgain: a foreign writer sends a file with the id of a job whose
// records have gone, and an adoption gets a fresh id on a host whose clock is behind.
func TestHole_5_7_AdoptedAgain(t *testing.T) {
	w := memWorld(t)
	a, b := oldWorld(w)
	mustDo(b.turn())
	mustDo(a.rounds(4))
	w.put(laterInbox+"/BACK.json", backOrder) // of job A
	mustDo(adoptingAt(laterInbox, "BACK.json", backOrder)(w, b.in))
	if w.records(jobA) > 0 || !w.has(spool.DirFailed+"/adopt~") {
		t.Errorf("it was let in again:\n%s", w.m.Tree())
	}
	b.in.Env.(*testEnv).skew = -20 * 365 * 24 * time.Hour
	w.drop("ORDER17.xml", order)
	mustDo(adopting("ORDER17.xml", order)(w, b.in))
	if n := strings.Count(w.m.Tree(), "\nxml/0"); n != 1 {
		t.Errorf("the file is %d jobs:\n%s", n, w.m.Tree())
	}
}

// TestRemovalIsBoundedByCalls: many small buckets are no more work in a turn than a big
// one.
func TestRemovalIsBoundedByCalls(t *testing.T) {
	w := memWorld(t)
	w.removes = true
	a := w.cleaner(w.start("a"))
	var ids []string
	for i := range 100 {
		ids = append(ids, fmt.Sprintf("0189%04x-ac96-7000-8000-%012d", 16*i, i))
	}
	w.end(a.in, ids...)
	mustDo(a.rounds(untilWanted + 2))
	for turns := 0; w.records("0189") > 0 && turns < 20; turns++ {
		at := len(w.m.Trace())
		mustDo(a.turn())
		if n := len(w.m.Trace()) - at; n > 700 {
			t.Errorf("%d operations in a turn", n)
		}
	}
	if w.records("0189") > 0 {
		t.Error("some are left")
	}
}
