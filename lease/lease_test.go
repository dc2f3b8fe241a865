package lease_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"fencepost/lease"
	"fencepost/spool"
	"fencepost/spool/vfs/memfs"
)

// ends waits for the lease's end and says how long it took, and why.
func (x *fixture) ends(l *lease.Lease, within time.Duration) (time.Duration, error) {
	x.t.Helper()
	start := x.w.Now()
	if !x.w.RunUntil(within, func() bool { return l.Context().Err() != nil }) {
		x.t.Fatalf("the lease didn't end within %v", within)
	}
	return x.w.Now() - start, context.Cause(l.Context())
}

func TestHeartbeat(t *testing.T) {
	x := newFixture(t, 0, "a")
	p := x.proc("a")
	claims := 0
	cfg := p.config()
	cfg.Fill = func(r *lease.Record) {
		r.Claims, r.Listen = claims, "here:1"
		r.Epoch, r.Counter, r.Nonce, r.TTL = 99, 99, "x", 1 // not its to say
	}
	var l *lease.Lease
	x.w.Do(p.Host, "acquire", func() { l, _ = lease.Acquire(ctx, cfg) })
	first := x.record("a")
	x.w.RunFor(10 * time.Second)
	r := x.record("a")
	if beats := r.Counter - first.Counter; beats < 9 || beats > 11 {
		t.Errorf("got %d heartbeats in 10 s", beats)
	}
	claims = 3
	l.Beat()
	x.w.RunFor(200 * time.Millisecond)
	r = x.record("a")
	if r.Claims != 3 || r.Listen != "here:1" || r.Epoch != 1 || r.Nonce != p.id.Nonce || r.TTL != 10*time.Second {
		t.Errorf("got %+v", r)
	}
	if !l.Renewed() || l.Valid() != nil {
		t.Errorf("renewed %v, valid %v", l.Renewed(), l.Valid())
	}
	x.goodbye(p, l)
	if l.Renewed() || l.Valid() == nil {
		t.Errorf("after goodbye: renewed %v, valid %v", l.Renewed(), l.Valid())
	}
	if x.w.RunFor(time.Minute); x.record("a").Counter > r.Counter+2 {
		t.Error("it goes on after goodbye")
	}
}

// Writes that fail now and then are ridden out; for a TTL, they end the lease.
func TestRenewalsFail(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.ESTALE} {
		for _, failures := range []int{1, 5, 1000} {
			x := newFixture(t, 0, "a")
			l := x.mustAcquire(x.proc("a"))
			x.w.RunFor(5500 * time.Millisecond)
			left := failures
			x.m.Inject = func(op memfs.Op) memfs.Verdict {
				if op.Kind != memfs.RecordWrite || left == 0 {
					return memfs.Verdict{}
				}
				left--
				return memfs.Verdict{Err: errno, Apply: left%2 == 0}
			}
			if failures < 1000 {
				if x.w.RunFor(time.Minute); l.Valid() != nil {
					t.Errorf("%d times %v: %v", failures, errno, l.Valid())
				}
				continue
			}
			took, err := x.ends(l, time.Minute)
			if !errors.Is(err, lease.ErrLost) || !errors.Is(err, errno) {
				t.Errorf("got %v, want %v with %v", err, lease.ErrLost, errno)
			}
			// The last one that worked began up to a heartbeat before.
			if took < 9*time.Second || took > 10*time.Second {
				t.Errorf("ended after %v, want a TTL from the last renewal", took)
			}
		}
	}
}

// The server gave the lock away: EIO at each fsync.
func TestLockLost(t *testing.T) {
	x := newFixture(t, 0, "a")
	p := x.proc("a")
	l := x.mustAcquire(p)
	x.m.DropLocks("a")
	if _, err := x.ends(l, 11*time.Second); !errors.Is(err, lease.ErrLost) || !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v, want %v with EIO", err, lease.ErrLost)
	}
	x.goodbye(p, l) // only lets go
	if x.record("a").Goodbye {
		t.Error("a lost lease said goodbye")
	}
}

// A write that hangs is no renewal: the clock's task notices, at the TTL from
// before the write that worked.
func TestHungWrite(t *testing.T) {
	x := newFixture(t, 0, "a")
	p := x.proc("a")
	l := x.mustAcquire(p)
	x.m.At(memfs.Point{View: "a", Kind: memfs.RecordWrite}, func() { _ = p.Sleep(ctx, time.Hour) })
	took, err := x.ends(l, time.Minute)
	if !errors.Is(err, lease.ErrLost) || took > 10*time.Second {
		t.Errorf("got %v after %v", err, took)
	}
	// Nor one that comes back too late, though it worked.
	x.w.RunFor(2 * time.Hour)
	if err := l.Valid(); !errors.Is(err, lease.ErrLost) {
		t.Errorf("got %v", err)
	}
}

// A renewal counts from before its write: the server may have done it at once,
// and others count from then.
func TestSlowWriteCountsFromBefore(t *testing.T) {
	x := newFixture(t, 0, "a")
	p := x.proc("a")
	l := x.mustAcquire(p)
	var begun time.Duration
	x.m.At(memfs.Point{View: "a", Kind: memfs.RecordWrite}, func() {
		begun = x.w.Now()
		_ = p.Sleep(ctx, 6*time.Second)
	})
	x.w.RunFor(7050 * time.Millisecond)
	x.m.DropLocks("a")
	if n := x.record("a").Counter; n != 2 {
		t.Fatalf("got counter %d: not a test of the slow write", n)
	}
	if _, err := x.ends(l, time.Minute); !errors.Is(err, lease.ErrLost) {
		t.Errorf("got %v", err)
	}
	if took := x.w.Now() - begun; took > 10*time.Second {
		t.Errorf("ended %v after the last write that worked was begun", took)
	}
}

// A stopped process finds out as soon as it goes on, before it renews, whichever
// of its tasks runs first.
func TestStoppedProcess(t *testing.T) {
	for seed := range uint64(20) {
		x := newFixture(t, seed, "a")
		p := x.proc("a")
		l := x.mustAcquire(p)
		x.w.RunFor(3 * time.Second)
		p.Stop()
		x.w.RunFor(25 * time.Second)
		before := x.record("a").Counter
		p.Continue()
		if seed%2 == 0 {
			if err := l.Valid(); !errors.Is(err, lease.ErrLost) {
				t.Errorf("got %v, want %v at once", err, lease.ErrLost)
			}
		}
		x.w.RunFor(10 * time.Second)
		if after := x.record("a").Counter; after != before {
			t.Errorf("seed %d: the counter went on from %d to %d", seed, before, after)
		}
		if lock, err := x.admin.FS().TryLock(spool.LockPath("a")); err != nil {
			t.Errorf("it still holds its lock: %v", err)
		} else {
			_ = lock.Unlock()
		}
	}
}

// Stopped in a write that was begun in time, and works: there was a moment in
// which nothing was proven, so the lease is over, though that write is young.
func TestStoppedInAWrite(t *testing.T) {
	for seed := range uint64(20) {
		x := newFixture(t, seed, "a")
		p := x.proc("a")
		l := x.mustAcquire(p)
		fails, stopped := false, false
		x.m.Inject = func(op memfs.Op) memfs.Verdict {
			if op.Kind != memfs.RecordWrite || !fails {
				return memfs.Verdict{}
			}
			return memfs.Verdict{Err: syscall.EIO}
		}
		x.w.RunFor(3 * time.Second)
		fails = true
		x.w.RunFor(5 * time.Second)
		fails = false
		x.m.At(memfs.Point{View: "a", Kind: memfs.RecordWrite}, func() {
			p.Stop()
			stopped = true
			x.w.Yield()
		})
		x.w.RunUntil(time.Second, func() bool { return stopped })
		x.w.RunFor(6 * time.Second)
		p.Continue()
		if x.w.RunFor(3 * time.Second); !errors.Is(l.Valid(), lease.ErrLost) {
			t.Errorf("seed %d: got %v", seed, l.Valid())
		}
	}
}

// A paused machine can't notice; the fence tells it.
func TestPausedMachine(t *testing.T) {
	x := newFixture(t, 0, "a", "b")
	a, b := x.start("a"), x.start("b")
	x.w.RunFor(3 * time.Second)
	a.Freeze()
	x.w.RunFor(30 * time.Second)
	if o, ok := b.over["a/1"]; !ok || o.Death {
		t.Fatalf("b: got %+v, want a/1 over, not dead: its lock is held", b.over)
	}
	a.Thaw()
	_, err := x.ends(a.lease, 3*time.Second)
	var fenced *lease.FencedError
	if !errors.As(err, &fenced) || fenced.False || fenced.By != "b/1" {
		t.Errorf("got %v, want a fence by b/1", err)
	}
}

func TestFencedByPersonWhileRunning(t *testing.T) {
	x := newFixture(t, 0, "a")
	p := x.proc("a")
	l := x.mustAcquire(p)
	if err := lease.Fence(ctx, x.admin, "a", "pat", "why not"); err != nil {
		t.Fatal(err)
	}
	took, err := x.ends(l, 10*time.Second)
	if !errors.Is(err, lease.ErrByPerson) || took > 1500*time.Millisecond {
		t.Errorf("got %v after %v", err, took)
	}
	x.w.RunFor(time.Second)
	if !x.record("a").Goodbye {
		t.Error("it was well and said no goodbye: others must wait")
	}
}

func TestRevokedWhileRunning(t *testing.T) {
	x := newFixture(t, 0, "a")
	l := x.mustAcquire(x.proc("a"))
	if _, err := lease.Revoke(ctx, x.admin, "a"); err != nil {
		t.Fatal(err)
	}
	if took, err := x.ends(l, 10*time.Second); !errors.Is(err, lease.ErrRefused) || took > 4*time.Second {
		t.Errorf("got %v after %v", err, took)
	}
}

func TestDrain(t *testing.T) {
	x := newFixture(t, 0, "a")
	l := x.mustAcquire(x.proc("a"))
	for range 2 {
		if err := lease.Drain(ctx, x.admin, "a", "pat", "upgrade"); err != nil {
			t.Fatal(err)
		}
	}
	x.w.RunFor(3 * time.Second)
	if on, err := lease.Drained(x.admin.FS(), "a"); !on || err != nil || !l.Drained() || !x.record("a").Draining {
		t.Errorf("drained %v, %v, lease %v, record %+v", on, err, l.Drained(), x.record("a"))
	}
	if changed, err := lease.Resume(ctx, x.admin, "a"); !changed || err != nil {
		t.Errorf("resume: got %v, %v", changed, err)
	}
	x.w.RunFor(3 * time.Second)
	if l.Drained() || l.Valid() != nil {
		t.Errorf("drained %v, valid %v", l.Drained(), l.Valid())
	}
}

// Both have the flock: the one with the lower epoch sees the other's record.
func TestTwinGivesWay(t *testing.T) {
	x := newFixture(t, 0, "a")
	first := x.mustAcquire(x.twin("a"))
	second := x.mustAcquire(x.twin("a"))
	took, err := x.ends(first, 10*time.Second)
	if !errors.Is(err, lease.ErrLost) || took > 5*time.Second || !strings.Contains(err.Error(), "pid 102") {
		t.Errorf("got %v after %v", err, took)
	}
	if x.w.RunFor(time.Minute); second.Valid() != nil {
		t.Errorf("the second: %v", second.Valid())
	}
}

// A fence although renewals had succeeded for a TTL is reported, and not charged.
func TestHole_2_6_FalseFence(t *testing.T) {
	for _, seen := range []uint64{1, 55} {
		x := newFixture(t, 0, "a", "b")
		b := x.start("b")
		p := x.proc("a")
		l := x.mustAcquire(p)
		x.w.RunFor(60 * time.Second)
		x.fence("a", 1, "b/1", seen)
		_, err := x.ends(l, 3*time.Second)
		var fenced *lease.FencedError
		if want := seen == 1; !errors.As(err, &fenced) || fenced.False != want {
			t.Errorf("fencer saw %d: got %v, want false %v", seen, err, want)
		}
		x.w.RunFor(time.Second)
		blames, _ := x.admin.FS().List("hosts/b/blamed")
		if want := seen == 1; (len(blames) == 1) != want {
			t.Errorf("fencer saw %d: blames %v", seen, blames)
		}
		if b.watch.Blamed() != "" {
			t.Error("one blame is not enough")
		}
	}
}

// Each operation of the heartbeat fails once, in any way: the lease goes on. Two
// in a row, too: the TTL is longer than that.
func TestHeartbeatSweep(t *testing.T) {
	plan := memfs.Plan{Views: []string{"a"}, NoDie: true, Pairs: pairs(400), Options: memfs.Options{SyncExport: true}}
	memfs.Sweep(t, plan, func(m *memfs.Mem) error {
		x := onMem(quiet{t}, m, 0, "a")
		defer x.w.Close()
		p := x.proc("a")
		var l *lease.Lease
		var err error
		m.Quiet(func() { l, err = x.acquire(p) })
		if err != nil {
			return err
		}
		x.w.RunFor(4500 * time.Millisecond)
		m.Calm()
		if err := l.Valid(); err != nil {
			return fmt.Errorf("the lease ended: %w", err)
		}
		before, err := lease.ReadRecord(x.admin.FS(), "a")
		if err != nil && !errors.Is(err, lease.ErrTorn) {
			return err
		}
		x.w.RunFor(3 * time.Second)
		after, err := lease.ReadRecord(x.admin.FS(), "a")
		if err != nil || after.Counter <= before.Counter {
			return fmt.Errorf("got counter %d after %d, %w", after.Counter, before.Counter, err)
		}
		x.w.Do(p.Host, "goodbye", func() { err = l.Goodbye(ctx) })
		return err
	})
}

// Goodbye under faults: it says so, or fails; never does it keep the lock.
func TestGoodbyeSweep(t *testing.T) {
	plan := memfs.Plan{Views: []string{"a"}, NoDie: true, Pairs: pairs(500), Options: memfs.Options{SyncExport: true}}
	memfs.Sweep(t, plan, func(m *memfs.Mem) error {
		x := onMem(quiet{t}, m, 0, "a")
		defer x.w.Close()
		p := x.proc("a")
		var l *lease.Lease
		var err error
		m.Quiet(func() { l, err = x.acquire(p) })
		if err != nil {
			return err
		}
		x.w.Do(p.Host, "goodbye", func() { err = l.Goodbye(ctx) })
		m.Calm()
		r, rerr := lease.ReadRecord(x.admin.FS(), "a")
		if err == nil && (rerr != nil || !r.Goodbye) {
			return fmt.Errorf("goodbye said all is well, the record %+v, %w", r, rerr)
		}
		_, err = x.acquire(x.proc("a"))
		return err
	})
}
