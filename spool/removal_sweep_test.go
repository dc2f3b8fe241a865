package spool_test

import (
	"errors"
	"fmt"
	"path"
	"syscall"
	"testing"

	"fencepost/spool"
	"fencepost/spool/vfs/memfs"
)

// removalAct is what host a does while things go wrong, in a world of ended jobs.
type removalAct struct {
	name  string
	setUp func(a, b *cleaner)
	do    func(w *world, a, b *cleaner) error
}

func calm(w *world, f func() error) {
	w.m.Quiet(func() { mustDo(f()) })
}

var removalActs = []removalAct{
	{"remove", func(_, b *cleaner) { calm(b.w, b.turn) }, func(_ *world, a, _ *cleaner) error {
		var err error
		for range 6 {
			err = errors.Join(err, a.turn())
		}
		return err
	}},
	{"audit and note", nil, func(_ *world, a, _ *cleaner) error { return a.round() }},
	{"start and accept", func(a, b *cleaner) {
		calm(b.w, b.turn)
		calm(a.w, a.turn)
		calm(a.w, a.turn)
	}, func(w *world, a, _ *cleaner) error {
		in, err := startAgain(w, "a", 2)
		if err == nil {
			_, err = w.accept(in, jobA)
		}
		if err == nil && w.gone[jobA] {
			return fmt.Errorf("%w: accepted again", errWrong)
		}
		return err
	}},
	{"accept again, and promise", nil, func(w *world, a, _ *cleaner) error {
		_, err := w.accept(a.in, jobA)
		return errors.Join(err, a.turn())
	}},
}

// startAgain is an instance from the making of its directories on; its epoch before it
// isn't over.
func startAgain(w *world, host string, epoch uint64) (*spool.Instance, error) {
	e := newEnv(w.m.View(host))
	e.random = func(p []byte) {
		for i := range p {
			w.random++
			p[i] = w.random
		}
	}
	w.m.Quiet(func() {
		mkdirs(e.FS(), spool.HostDir(host), spool.JournalDir(host), path.Join(spool.DirClaims, host), path.Join(spool.DirSealed, host),
			path.Join(spool.DirDrafts, host))
	})
	for _, base := range []string{spool.DirClaims, spool.DirSealed, spool.DirDrafts} {
		if err := e.FS().Mkdir(spool.EpochDir(base, host, epoch)); err != nil {
			return nil, err
		}
	}
	return w.open(e, host, epoch)
}

// removalScenario is one act under faults; then others do the rest: whatever has
// failed, nothing is let in twice on the way, and in the end all has gone that may.
func removalScenario(x removalAct, everyStep bool) func(m *memfs.Mem) error {
	return func(m *memfs.Mem) error {
		w := newWorld(m)
		var a, b *cleaner
		m.Quiet(func() { a, b = oldWorld(w) })
		if x.setUp != nil {
			x.setUp(a, b)
		}
		var broken error
		if everyStep {
			m.After = func(op memfs.Op) {
				if changes[op.Kind] && broken == nil {
					if err := w.check(); err != nil {
						broken = fmt.Errorf("after %v: %w", op, err)
					}
				}
			}
		}
		if err := x.do(w, a, b); errors.Is(err, errWrong) {
			return err
		}
		m.Calm()
		return errors.Join(broken, w.removeRest(b))
	}
}

// removeRest: host b takes over; two hosts send the job again, all the while.
func (w *world) removeRest(b *cleaner) error {
	for epoch := range uint64(2) {
		for range 3 {
			did, err := b.in.Reclaim(spool.Over{Host: "a", Epoch: epoch + 1, Why: "test", Death: true}, finish)
			if err != nil {
				return fmt.Errorf("reclaim: %w", err)
			}
			if did.Gone {
				break
			}
		}
	}
	mustDo(w.sweepTwice(b.in))
	c := w.cleaner(w.start("c"))
	for range untilWanted + 8 {
		for _, x := range []*cleaner{b, c} {
			if _, err := w.accept(x.in, jobA); err != nil && !errors.Is(err, spool.ErrTooOld) {
				return fmt.Errorf("sent again: %w", err)
			}
		}
		if err := errors.Join(b.round(), c.turn(), w.check()); err != nil {
			return err
		}
	}
	for id, want := range map[string]int{jobA: 0, jobB: 0, jobC: 3, jobN: 3} {
		if got := w.records(id); got != want {
			return fmt.Errorf("%d records of %s in the end, want %d", got, id, want)
		}
	}
	for _, base := range []string{spool.DirGate, spool.DirOnce, spool.DirDone} {
		if w.has("\n" + path.Join(base, spool.Bucket(jobA)) + "/") {
			return fmt.Errorf("a bucket is left in %s", base)
		}
	}
	return nil
}

// TestRemovalSweepSingles: each operation fails in each way, or its process dies at it.
func TestRemovalSweepSingles(t *testing.T) {
	for _, x := range removalActs {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			errnos := []syscall.Errno{syscall.ENOENT, syscall.ESTALE, syscall.EEXIST}
			if thorough {
				errnos = everyErrno
			}
			s := memfs.Sweep(t, memfs.Plan{Views: []string{"a"}, Errnos: errnos, Stale: true,
				Options: memfs.Options{SyncExport: true}}, removalScenario(x, true))
			t.Log(x.name, s)
		})
	}
}

// TestRemovalSweepPairs: two operations fail, or one of a dead process lands later.
func TestRemovalSweepPairs(t *testing.T) {
	for _, x := range removalActs {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			bound := 100
			if thorough {
				bound = 1 << 30
			}
			s := memfs.Sweep(t, memfs.Plan{Views: []string{"a"}, Errnos: []syscall.Errno{syscall.ENOENT, syscall.ESTALE}, Stale: true, Pairs: bound, Late: bound,
				Options: memfs.Options{SyncExport: true}}, removalScenario(x, false))
			t.Log(x.name, s)
		})
	}
}

// removalDuels are what hosts do at once while the records of a job that is sent again
// are removed: a accepts, and promises; b removes; c starts.
var removalDuels = map[string]setting{
	"accept, promise": func(w *world) []*actor {
		a, b := oldWorld(w)
		mustDo(a.turn())
		mustDo(a.round())
		return []*actor{accepter(w, b.in), turner("b promises", b, 1), turner("a", a, 6), sendAgain(w, b.in)}
	},
	"start": func(w *world) []*actor {
		a, b := oldWorld(w)
		mustDo(b.turn())
		return []*actor{turner("a", a, 6), {name: "c", run: func() error {
			in, err := startAgain(w, "c", 1)
			if err == nil {
				_, err = w.accept(in, jobA)
			}
			return err
		}}}
	},
	"two remove": func(w *world) []*actor {
		a, b := oldWorld(w)
		mustDo(b.rounds(untilWanted))
		return []*actor{turner("a", a, 6), turner("b", b, 6), sendAgain(w, a.in)}
	},
	"reclaim, roll forward": func(w *world) []*actor {
		a, b := oldWorld(w)
		d := w.start("d")
		must(d.FS.Create("drafts/d/1/accept~7~"+jobA+".xml", payload(jobA)))
		mustDo(b.turn())
		return []*actor{reclaimer(b.in, "d", 1), turner("a", a, 6), reclaimer(a.in, "d", 1)}
	},
}

func turner(name string, c *cleaner, n int) *actor {
	return &actor{name: name, run: func() (err error) {
		for range n {
			err = errors.Join(err, c.turn())
		}
		return err
	}}
}

func sendAgain(w *world, in *spool.Instance) *actor {
	return &actor{name: "again", run: func() error { _, err := w.accept(in, jobA); return err }}
}

// TestRemovalSchedules: schedules of the duels with up to three preemptions.
func TestRemovalSchedules(t *testing.T) {
	for name, set := range removalDuels {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			explore(t, explorePlan{switches: 3, runs: 80}, set)
		})
	}
}

// TestRemovalScheduleFaults: the same with one lie, stale listing or death.
func TestRemovalScheduleFaults(t *testing.T) {
	for name, set := range removalDuels {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			explore(t, explorePlan{switches: 2, faults: lies, runs: 60}, set)
		})
	}
}
