package spool_test

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"fencepost/spool"
	"fencepost/spool/vfs/memfs"
)

// The errors of the single-fault sweeps: each at every operation, done and not
// done, whether it is plausible or not.
var everyErrno = []syscall.Errno{syscall.EIO, syscall.ENOENT, syscall.EEXIST, syscall.ESTALE,
	syscall.ETIMEDOUT, syscall.ENOSPC, syscall.EACCES}

// act is what host a does while things go wrong.
type act struct {
	name  string
	setUp func(w *world, a *spool.Instance)
	do    func(w *world, a *spool.Instance) error
}

var acts = []act{
	{"accept", nil, func(w *world, a *spool.Instance) error {
		_, err := w.accept(a, jobA)
		return err
	}},
	{"accept again", func(w *world, _ *spool.Instance) { w.through(w.start("b"), jobA, spool.Translate) },
		func(w *world, a *spool.Instance) error {
			got, err := w.accept(a, jobA)
			if err == nil && !got.Duplicate {
				return fmt.Errorf("%w: accepted twice", errWrong)
			}
			return err
		}},
	{"accept another", func(w *world, _ *spool.Instance) { w.through(w.start("b"), jobA, spool.Translate) },
		func(_ *world, a *spool.Instance) error {
			_, err := a.Accept(jobA, []byte("another"), func([]byte) (bool, error) { return false, nil })
			if err == nil {
				return fmt.Errorf("%w: a conflict was accepted", errWrong)
			}
			return err
		}},
	{"translate", translateSetUp, func(_ *world, a *spool.Instance) error {
		c, err := claimIn(a, spool.Translate, jobA)
		if err != nil {
			return err
		}
		return advance(c)
	}},
	{"accept at birth", nil, atBirth(func(w *world, a *spool.Instance) error {
		_, err := w.accept(a, jobA)
		return err
	})},
	{"translate at birth", translateSetUp, atBirth(func(_ *world, a *spool.Instance) error {
		c, err := claimIn(a, spool.Translate, jobA)
		if err != nil {
			return err
		}
		return advance(c)
	})},
	{"return", translateSetUp, ending(spool.Translate, func(c *spool.Claim) error { return c.Return(spool.Why{Reason: "test", Fault: true}) })},
	{"fail", submitSetUp, ending(spool.Submit, func(c *spool.Claim) error { return c.Fail(spool.EvRejected, "test") })},
	{"park", submitSetUp, ending(spool.Submit, func(c *spool.Claim) error { return c.Park("test") })},
	{"hold", translateSetUp, ending(spool.Translate, func(c *spool.Claim) error { return c.Hold("test") })},
	{"submit", submitSetUp, ending(spool.Submit, submitted)},
	{"submit and back", submitSetUp, ending(spool.Submit, func(c *spool.Claim) error {
		s, err := c.Seal("7")
		if err != nil {
			return err
		}
		return s.Back(spool.Why{Reason: "test"})
	})},
	{"adopt", func(w *world, _ *spool.Instance) { w.drop("ORDER17.xml", order) }, adopting("ORDER17.xml", order)},
	{"adopt no job", func(w *world, _ *spool.Instance) { w.drop("ORDER17.xml", "garbage") }, adopting("ORDER17.xml", "garbage")},
	{"take over an adoption", adoptLeft, func(_ *world, a *spool.Instance) error {
		_, err := a.Reclaim(spool.Over{Host: "d", Epoch: 1, Why: "test", Death: true}, finish)
		return err
	}},
	{"hand over", foreignSetUp, ending(spool.Translate, handOver)},
	{"adopt what comes back", comeBackSetUp, adoptingAt(laterInbox, "BACK.json", backOrder)},
	{"adopt at a later stage", func(w *world, _ *spool.Instance) { w.put(laterInbox+"/BACK.json", backOrder) },
		adoptingAt(laterInbox, "BACK.json", backOrder)},
	{"adopt what is on its way", func(w *world, a *spool.Instance) {
		w.through(a, jobA, spool.Submit)
		w.put(laterInbox+"/BACK.json", backOrder)
	}, adoptingAt(laterInbox, "BACK.json", backOrder)},
	{"reclaim", ruin, func(w *world, a *spool.Instance) error {
		o := spool.Over{Host: "d", Epoch: 1, Why: "test", Death: true}
		_, err := a.Reclaim(o, finish)
		return err
	}},
	{"sweep", nil, func(w *world, a *spool.Instance) error {
		w.m.Quiet(func() { litter(w, a) })
		sweep := spool.NewSweep(a, finish)
		var err error
		for range 2 {
			_, perr := sweep.Pass()
			err = errors.Join(err, perr)
		}
		return err
	}},
}

// errWrong marks an answer that no fault excuses.
var errWrong = errors.New("wrong answer")

func translateSetUp(w *world, a *spool.Instance) { w.through(a, jobA, spool.Translate) }
func submitSetUp(w *world, a *spool.Instance)    { w.through(a, jobA, spool.Submit) }

func ending(stage spool.Stage, end func(*spool.Claim) error) func(*world, *spool.Instance) error {
	return func(_ *world, a *spool.Instance) error {
		c, err := claimIn(a, stage, jobA)
		if err != nil {
			return err
		}
		return end(c)
	}
}

// atBirth does what makes an entry while a taker has room, and then the work on
// what was taken.
func atBirth(do func(*world, *spool.Instance) error) func(*world, *spool.Instance) error {
	return func(w *world, a *spool.Instance) error {
		b := &births{}
		a.Births = b
		err := do(w, a)
		a.Births = nil
		if b.reserved != b.begun {
			return fmt.Errorf("%w: room was kept %d times, and used or given up %d times", errWrong, b.reserved, b.begun)
		}
		for _, c := range b.claims {
			if c.Name.Stage == spool.Translate {
				err = errors.Join(err, advance(c))
			} else {
				err = errors.Join(err, submitted(c))
			}
		}
		return err
	}
}

// births has always room.
type births struct {
	reserved, begun int
	claims          []*spool.Claim
}

func (b *births) Reserve(spool.Stage) bool { b.reserved++; return true }

func (b *births) Begin(_ spool.Stage, c *spool.Claim) {
	if b.begun++; c != nil {
		b.claims = append(b.claims, c)
	}
}

// ruin is what host d left behind when it died: a bit of everything.
func ruin(w *world, _ *spool.Instance) {
	w.m.Quiet(func() { litter(w, w.start("d")) })
}

// litter leaves in d's directories what d was doing: a claim, a claim with its
// draft, a sealed translation, a sealed submission, accept drafts before and
// after the gate and one of a duplicate, a torn one, and a foreign file.
func litter(w *world, d *spool.Instance) {
	id := func(i int) string { return fmt.Sprintf("01890a5d-ac96-7000-8000-%012d", i) }
	for i := 1; i <= 4; i++ {
		must(w.accept(d, id(i)))
	}
	must(claimIn(d, spool.Translate, id(1)))
	c := must(claimIn(d, spool.Translate, id(2)))
	mustDo(c.Draft(translate(payload(id(2)))))
	c = must(claimIn(d, spool.Translate, id(3)))
	mustDo(c.Draft(translate(payload(id(3)))))
	must(c.Seal(""))
	mustDo(advance(must(claimIn(d, spool.Translate, id(4)))))
	c = must(claimIn(d, spool.Submit, id(4)))
	must(c.Once())
	must(c.Seal("7"))
	dir := spool.EpochDir(spool.DirDrafts, d.Host, d.Epoch) + "/"
	fs := w.m.View("setup")
	must(fs.Create(dir+"accept~101~"+id(5)+".xml", payload(id(5))))
	must(fs.Create(dir+"accept~102~"+id(6)+".xml", payload(id(6))))
	mustDo(fs.Link(dir+"accept~102~"+id(6)+".xml", spool.GatePath(id(6))))
	must(fs.Create(dir+"accept~103~"+id(1)+".xml", payload(id(1))))
	must(fs.Create(dir+"new~104~"+id(7)+".xml", payload(id(7))[:9]))
	// They are nobody's: d is dead, or its tasks gave up.
	d.DisownAll()
}

// scenario is one act of host a under faults; then no fault happens any more.
// With lives, a goes on and sweeps; else it is reclaimed as it is.
func scenario(x act, lives, everyStep bool) func(m *memfs.Mem) error {
	return func(m *memfs.Mem) error {
		w := newWorld(m)
		a := w.start("a")
		if x.setUp != nil {
			x.setUp(w, a)
		}
		var broken error
		if everyStep {
			m.After = func(op memfs.Op) {
				if !changes[op.Kind] || broken != nil {
					return
				}
				if err := w.check(); err != nil {
					broken = fmt.Errorf("after %v: %w", op, err)
				}
			}
		}
		if err := x.do(w, a); errors.Is(err, errWrong) {
			return err
		}
		m.Calm()
		if lives && !errors.Is(dead(a), memfs.ErrDead) {
			broken = errors.Join(broken, w.sweepTwice(a))
		}
		return errors.Join(broken, w.recoverAll())
	}
}

// changes are the kinds of operations after which the names may differ.
var changes = map[string]bool{memfs.Create: true, memfs.Rename: true, memfs.Link: true, memfs.Rmdir: true, memfs.Remove: true}

func dead(in *spool.Instance) error {
	_, err := in.FS.List(".")
	return err
}

// thorough runs every plan there is: minutes. Else they are picked evenly.
var thorough = os.Getenv("FENCEPOST_SWEEP") == "all"

// heavy acts have many operations on many jobs.
func (x act) heavy() bool { return x.name == "reclaim" || x.name == "sweep" }

// TestSweepSingles: each operation of each act fails in each way, or the
// process dies at it, before and after; all promises are checked after each
// operation.
func TestSweepSingles(t *testing.T) {
	for _, x := range acts {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			errnos := everyErrno
			if x.heavy() && !thorough {
				errnos = []syscall.Errno{syscall.ENOENT, syscall.ESTALE}
			}
			for _, lives := range []bool{true, false} {
				if lives && x.heavy() && !thorough {
					continue
				}
				memfs.Sweep(t, memfs.Plan{Views: []string{"a"}, Errnos: errnos, Stale: true,
					Options: memfs.Options{SyncExport: true}}, scenario(x, lives, true))
			}
		})
	}
}

// TestSweepPairs: any two operations, one after the other, and each operation
// of a dead process landing later.
func TestSweepPairs(t *testing.T) {
	for _, x := range acts {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			bound := 200
			switch {
			case thorough:
				bound = 1 << 30
			case x.heavy():
				bound = 40
			}
			plan := memfs.Plan{Views: []string{"a"}, Stale: true, Pairs: bound, Late: bound, Options: memfs.Options{SyncExport: true}}
			if x.heavy() && !thorough {
				plan.Errnos = []syscall.Errno{syscall.ENOENT}
			}
			for i, lives := range []bool{true, false} {
				plan.Sample = i
				memfs.Sweep(t, plan, scenario(x, lives, false))
			}
		})
	}
}
