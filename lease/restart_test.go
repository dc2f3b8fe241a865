package lease_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"fencepost/lease"
	"fencepost/spool/vfs/memfs"
)

// fencedOnce fences the process's lease as a watcher would, and waits.
func (x *fixture) fencedOnce(p *proc, l *lease.Lease) {
	x.t.Helper()
	x.fence(p.id.Host, l.Epoch(), "b/1", x.record(p.id.Host).Counter)
	if _, err := x.ends(l, 5*time.Second); !errors.Is(err, lease.ErrFenced) {
		x.t.Fatalf("got %v, want %v", err, lease.ErrFenced)
	}
}

func TestStartOverAfterAFence(t *testing.T) {
	x := newFixture(t, 0, "a")
	p := x.proc("a")
	l := x.mustAcquire(p)
	x.fencedOnce(p, l)
	next := x.mustAcquire(p)
	if next.Epoch() != 2 || next.Worn() != "" {
		t.Errorf("got epoch %d, worn %q", next.Epoch(), next.Worn())
	}
	// The process is alive: what it was working on isn't to blame.
	over, err := next.LowerEpochs()
	if err != nil || len(over) != 1 || over[0].Epoch != 1 || over[0].Death || over[0].Host != "a" {
		t.Errorf("got %+v, %v", over, err)
	}
	if r := x.record("a"); r.Died != 0 {
		t.Errorf("got died %d", r.Died)
	}
}

// Killed and started again: the earlier epoch died, and the record says so.
func TestHole_21_LowerEpochsOfADeadProcess(t *testing.T) {
	x := newFixture(t, 0, "a")
	p := x.proc("a")
	x.mustAcquire(p)
	p.Kill()
	p = x.proc("a")
	l := x.mustAcquire(p)
	over, err := l.LowerEpochs()
	if err != nil || len(over) != 1 || over[0].Epoch != 1 || !over[0].Death {
		t.Errorf("got %+v, %v", over, err)
	}
	if r := x.record("a"); r.Died != 1 {
		t.Errorf("got died %d", r.Died)
	}
	x.goodbye(p, l)
	over, err = x.mustAcquire(x.proc("a")).LowerEpochs()
	if err != nil || len(over) != 2 || over[0].Death || over[1].Death {
		t.Errorf("after a goodbye: got %+v, %v", over, err)
	}
}

func TestLowerEpochsCoversEachBase(t *testing.T) {
	x := newFixture(t, 0, "a")
	for _, dir := range []string{"claims/a", "sealed/a", "drafts/a", "claims/a/1", "sealed/a/2", "drafts/a/3", "claims/a/9", "drafts/a/x", "drafts/a/04"} {
		if err := x.admin.FS().Mkdir(dir); err != nil {
			t.Fatal(err)
		}
	}
	got, err := lease.LowerEpochs(x.admin.FS(), "a", 9)
	if err != nil || !slices.Equal(got, []uint64{1, 2, 3}) {
		t.Errorf("got %v, %v", got, err)
	}
}

// Another process took the name in between: whoever was fenced stays out, though
// the other one is gone again.
func TestNoStartOverAfterAnother(t *testing.T) {
	x := newFixture(t, 0, "a")
	p := x.proc("a")
	x.fencedOnce(p, x.mustAcquire(p))
	other := x.proc("a")
	x.goodbye(other, x.mustAcquire(other))
	_, err := x.acquire(p)
	var held *lease.HeldError
	if !errors.As(err, &held) || held.Holder.PID != other.id.PID {
		t.Fatalf("got %v, want a HeldError that names %d", err, other.id.PID)
	}
	// Nor does it keep the lock.
	x.mustAcquire(x.proc("a"))
}

// Own numbers that were burnt by lost replies are no other process's.
func TestStartOverAfterBurntNumbers(t *testing.T) {
	x := newFixture(t, 0, "a")
	p := x.proc("a")
	x.fencedOnce(p, x.mustAcquire(p))
	x.m.Inject = func(op memfs.Op) memfs.Verdict {
		if op.Kind == memfs.Mkdir && strings.HasPrefix(op.From, "hosts/a/epochs/") {
			return memfs.Verdict{Apply: true, Err: errEIO}
		}
		return memfs.Verdict{}
	}
	if _, err := x.acquire(p); !errors.Is(err, errEIO) {
		t.Fatalf("got %v, want %v", err, errEIO)
	}
	x.m.Inject = nil
	l := x.mustAcquire(p)
	if l.Epoch() < 3 {
		t.Errorf("got epoch %d", l.Epoch())
	}
}

// At most a few restarts an hour, then unfit and shown; after an hour fit again.
func TestRestartBudget(t *testing.T) {
	x := newFixture(t, 0, "a")
	p := x.proc("a")
	var l *lease.Lease
	for i := range 5 {
		l = x.mustAcquire(p)
		if worn := l.Worn() != ""; worn != (i > 3) {
			t.Errorf("start %d: worn %q", i, l.Worn())
		}
		if unfit := x.record("a").Unfit; unfit != l.Worn() {
			t.Errorf("start %d: shown as %q", i, unfit)
		}
		if i < 4 {
			x.fencedOnce(p, l)
		}
	}
	x.w.RunFor(time.Hour)
	if l.Worn() != "" || x.record("a").Unfit != "" {
		t.Errorf("an hour later: %q, shown %q", l.Worn(), x.record("a").Unfit)
	}
}

// An outage of the server ends every lease again and again. Nobody is fenced in
// it, so nobody is worn by it.
func TestOutagesAreNotCharged(t *testing.T) {
	x := newFixture(t, 0, "a")
	p := x.proc("a")
	for range 8 {
		l := x.mustAcquire(p)
		x.m.Inject = func(op memfs.Op) memfs.Verdict {
			if op.View == "a" {
				return memfs.Verdict{Err: errEIO}
			}
			return memfs.Verdict{}
		}
		if _, err := x.ends(l, time.Minute); !errors.Is(err, lease.ErrLost) {
			t.Fatal(err)
		}
		x.w.RunFor(time.Second)
		x.m.Inject = nil
	}
	if l := x.mustAcquire(p); l.Worn() != "" {
		t.Errorf("worn: %q", l.Worn())
	}
	// But a host that was cut off alone, and fenced for it, is.
	p = x.proc("a2")
	x.enroll("a2")
	for i := range 5 {
		l := x.mustAcquire(p)
		if worn := l.Worn() != ""; worn != (i > 3) {
			t.Errorf("start %d: worn %q", i, l.Worn())
		}
		x.m.DropLocks("a2")
		x.fence("a2", l.Epoch(), "b/1", x.record("a2").Counter)
		x.m.Inject = func(op memfs.Op) memfs.Verdict {
			if op.View == "a2" {
				return memfs.Verdict{Err: errEIO}
			}
			return memfs.Verdict{}
		}
		if _, err := x.ends(l, time.Minute); !errors.Is(err, lease.ErrLost) {
			t.Fatal(err)
		}
		x.w.RunFor(time.Second)
		x.m.Inject = nil
	}
}

// The process of an epoch is gone for sure after its goodbye, or a later start of
// its machine; not because it was killed, fenced, or followed by another.
func TestGone(t *testing.T) {
	x := newFixture(t, 0, "a")
	check := func(epoch uint64, want bool) {
		t.Helper()
		gone, how, err := lease.Gone(x.admin.FS(), "a", epoch)
		if err != nil || gone != want || how == "" {
			t.Errorf("epoch %d: got %v, %q, %v, want %v", epoch, gone, how, err, want)
		}
	}
	check(1, false) // never heard of
	p := x.proc("a")
	x.mustAcquire(p)
	check(1, false)
	p.Kill()
	p = x.proc("a")
	l := x.mustAcquire(p)
	check(1, false)
	x.goodbye(p, l)
	check(1, false)
	check(2, true)
	check(3, false)
	p = x.proc("a")
	p.id.BootID = "boot-2"
	x.mustAcquire(p)
	check(1, true)
	check(2, true)
	check(3, false)
}
