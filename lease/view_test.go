package lease_test

import (
	"fmt"
	"testing"
	"time"

	"fencepost/lease"
	"fencepost/spool"
	"fencepost/spool/vfs/memfs"
)

// What a watcher can't read, or the rounds in which it can't write, prove
// nothing: neither a server's outage nor its own.
func TestBrokenViewDoesNotFence(t *testing.T) {
	broken := map[string]func(op memfs.Op) bool{
		"reads": func(op memfs.Op) bool {
			return op.View == "b" && op.Kind == memfs.Read && op.From == "hosts/a/heartbeat"
		},
		"listings": func(op memfs.Op) bool { return op.View == "b" && op.Kind == memfs.List && op.From == "claims" },
		"dirs":     func(op memfs.Op) bool { return op.View == "b" && op.Kind == memfs.List && op.From == "claims/a" },
		"outage":   func(op memfs.Op) bool { return true },
	}
	for name, hit := range broken {
		x := newFixture(t, 0, "a", "b")
		p := x.proc("a")
		x.mustAcquire(p)
		b := x.start("b")
		x.w.RunFor(5 * time.Second)
		p.Stop() // silent from now on
		x.m.Inject = func(op memfs.Op) memfs.Verdict {
			if op.View != "admin" && hit(op) {
				return memfs.Verdict{Err: errEIO}
			}
			return memfs.Verdict{}
		}
		x.w.RunFor(9 * time.Second) // the own lease stands it
		if name != "outage" {
			x.w.RunFor(10 * time.Minute)
		}
		x.m.Inject = nil
		x.w.RunFor(10 * time.Second)
		if len(b.over) > 0 {
			t.Errorf("%s: got %v", name, b.over)
		}
		if b.lease.Valid() != nil {
			t.Fatalf("%s: %v", name, b.lease.Valid())
		}
		x.overAt(b, "a/1", 20*time.Second)
	}
}

// Its own renewals fail, its reads work: it may be the one that is cut off.
func TestOwnWritesFail(t *testing.T) {
	x := newFixture(t, 0, "a", "b")
	p := x.proc("a")
	x.mustAcquire(p)
	w := lease.NewWatcher(lease.WatchConfig{Env: x.admin, Self: "b", Epoch: 1})
	x.w.RunFor(5 * time.Second)
	p.Kill()
	round := func(worked bool) (over []lease.Over) {
		x.w.Do(x.admin, "round", func() { over = w.Round(ctx, worked) })
		x.w.RunFor(time.Second)
		return over
	}
	for range 60 {
		if over := round(false); len(over) > 0 {
			t.Fatalf("got %v", over)
		}
	}
	for i := range 10 {
		if over := round(true); len(over) > 0 {
			if i < 3 {
				t.Errorf("over after %d good rounds", i)
			}
			return
		}
	}
	t.Error("never over")
}

// An observer that was stopped takes none of that time for the others' silence.
func TestPausedObserver(t *testing.T) {
	x := newFixture(t, 0, "a")
	p := x.proc("a")
	x.mustAcquire(p)
	w := lease.NewWatcher(lease.WatchConfig{Env: x.admin, Self: "b", Epoch: 1})
	for range 3 {
		x.w.Do(x.admin, "round", func() { w.Round(ctx, true) })
		x.w.RunFor(time.Second)
	}
	p.Stop()
	x.w.Do(x.admin, "round", func() { w.Round(ctx, true) }) // the last that it wrote
	// Both are away, as in a server's outage that nobody answers an error in.
	x.w.RunFor(time.Minute)
	x.w.Do(x.admin, "round", func() {
		if over := w.Round(ctx, true); len(over) > 0 {
			t.Errorf("got %v", over)
		}
	})
}

// The record changes while the observer asks for the lock: life.
func TestChangeInTheLastMoment(t *testing.T) {
	x := newFixture(t, 0, "a", "b")
	b := x.start("b")
	x.epochDirs("a", 1)
	for _, dir := range []string{spool.HostDir("a"), spool.FencedDir("a")} {
		if err := x.admin.FS().Mkdir(dir); err != nil {
			t.Fatal(err)
		}
	}
	rec, err := x.admin.FS().OpenRecord(spool.HeartbeatPath("a"))
	if err != nil {
		t.Fatal(err)
	}
	r := sample()
	r.Host, r.Epoch, r.Goodbye = "a", 1, false
	beats := 0
	beat := func() {
		r.Counter++
		beats++
		if err := rec.Write(mustEncode(t, r)); err != nil {
			t.Error(err)
		}
	}
	beat()
	var again func()
	again = func() {
		beat()
		x.m.At(memfs.Point{View: "b", Kind: memfs.TryLock, Name: "hosts/a/"}, again)
	}
	x.m.At(memfs.Point{View: "b", Kind: memfs.TryLock, Name: "hosts/a/"}, again)
	x.w.RunFor(time.Minute)
	x.wantNothingOver(b)
	if beats < 5 {
		t.Errorf("got %d attempts at the lock: not a test", beats)
	}
}

// A lock that doesn't answer stalls nobody, and counts as held.
func TestHungLockProbe(t *testing.T) {
	x := newFixture(t, 0, "a", "b", "c")
	a, c := x.start("a"), x.start("c")
	b := x.start("b")
	x.w.RunFor(5 * time.Second)
	var hang func()
	hang = func() {
		_ = b.Sleep(ctx, 40*time.Second)
		x.m.At(memfs.Point{View: "b", Kind: memfs.TryLock, Name: "hosts/a/"}, hang)
	}
	x.m.At(memfs.Point{View: "b", Kind: memfs.TryLock, Name: "hosts/a/"}, hang)
	c.lease.Context() // c only lives
	a.Kill()
	x.w.RunFor(8 * time.Second)
	if _, ok := b.over["a/1"]; ok {
		t.Errorf("got %v, want nothing yet: the lock hasn't answered", b.over)
	}
	x.overAt(b, "a/1", 20*time.Second)
	if b.lease.Valid() != nil || c.lease.Valid() != nil {
		t.Error(b.lease.Valid(), c.lease.Valid())
	}
}

// A record that this version can't read, but that changes, is life.
func TestRecordOfAnotherVersion(t *testing.T) {
	x := newFixture(t, 0, "a", "b")
	b := x.start("b")
	x.epochDirs("a", 1)
	_ = x.admin.FS().Mkdir(spool.HostDir("a"))
	_ = x.admin.FS().Mkdir(spool.FencedDir("a"))
	rec, err := x.admin.FS().OpenRecord(spool.HeartbeatPath("a"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		data := []byte(fmt.Sprintf("fencepost-heartbeat 2 %04d", i))
		if err := rec.Write(append(data, make([]byte, lease.RecordSize-len(data))...)); err != nil {
			t.Fatal(err)
		}
		x.w.RunFor(time.Second)
	}
	x.wantNothingOver(b)
	x.overAt(b, "a/1", 20*time.Second) // silent now
}
