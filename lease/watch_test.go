package lease_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"fencepost/lease"
	"fencepost/spool"
	"fencepost/spool/vfs/memfs"
)

// overAt waits until n knows that an epoch is over, and says for how long.
func (x *fixture) overAt(n *node, key string, within time.Duration) (time.Duration, lease.Over) {
	x.t.Helper()
	start := x.w.Now()
	if !x.w.RunUntil(within, func() bool { _, ok := n.over[key]; return ok }) {
		x.t.Fatalf("%s: %s is not over after %v; log %q", n.id.Host, key, within, n.log)
	}
	return x.w.Now() - start, n.over[key]
}

func (x *fixture) wantNothingOver(nodes ...*node) {
	x.t.Helper()
	for _, n := range nodes {
		if len(n.over) > 0 {
			x.t.Errorf("%s: got over %v", n.id.Host, n.over)
		}
		if n.lease.Valid() != nil {
			x.t.Errorf("%s: %v", n.id.Host, n.lease.Valid())
		}
	}
}

func TestLiveHostsAreLeftAlone(t *testing.T) {
	for seed := range uint64(2) {
		x := newFixture(t, seed, "a", "b", "c")
		a, b, c := x.start("a"), x.start("b"), x.start("c")
		// Hours apart: no two hosts' clocks are compared.
		a.Skew(5 * time.Hour)
		b.Skew(-72 * time.Hour)
		x.w.RunFor(15 * time.Minute)
		x.wantNothingOver(a, b, c)
		for _, h := range a.watch.Hosts() {
			if h.State != lease.Live || !h.Measured || h.Age > 3*time.Second || !h.Enrolled {
				t.Errorf("a sees %+v", h)
			}
		}
		if got := x.m.Count("a", memfs.TryLock); got != 1 {
			t.Errorf("a took flocks %d times: a watcher takes one only when it would fence", got)
		}
	}
}

func TestKilledIsOverInSeconds(t *testing.T) {
	x := newFixture(t, 0, "a", "b")
	a, b := x.start("a"), x.start("b")
	b.Skew(-time.Hour)
	x.w.RunFor(10 * time.Second)
	a.Kill()
	took, o := x.overAt(b, "a/1", time.Minute)
	if took < 3*time.Second || took > 5500*time.Millisecond || !o.Death {
		t.Errorf("got %+v after %v, want a death after three heartbeats", o, took)
	}
	x.w.RunFor(2 * time.Second)
	if o2 := b.watch.Hosts()[0]; o2.Host != "a" || o2.State != lease.Fenced || !strings.Contains(o2.Reason, "b/1") {
		t.Errorf("got %+v", o2)
	}
	x.w.RunFor(10 * time.Second)
	// The lock was let go of at once: the host can start.
	l := x.mustAcquire(x.proc("a"))
	if l.Epoch() != 2 {
		t.Errorf("got epoch %d", l.Epoch())
	}
	x.w.RunFor(time.Minute)
	if _, ok := b.over["a/2"]; ok {
		t.Errorf("got %v", b.over)
	}
}

func TestStoppedIsOverAfterTheTTL(t *testing.T) {
	x := newFixture(t, 0, "a", "b")
	a, b := x.start("a"), x.start("b")
	x.w.RunFor(10 * time.Second)
	a.Stop()
	took, o := x.overAt(b, "a/1", time.Minute)
	if took < 14*time.Second || took > 17*time.Second || o.Death {
		t.Errorf("got %+v after %v, want no death, after TTL and margin", o, took)
	}
	a.Continue()
	if _, err := x.ends(a.lease, 3*time.Second); err == nil {
		t.Error("no cause")
	}
}

// The lock is free, but the record changes: a broken lock service must not fence
// anybody (HOLES 11).
func TestFreeFlockAloneIsNotGone(t *testing.T) {
	x := newFixture(t, 0, "a", "b")
	a, b := x.proc("a"), x.start("b")
	l := x.mustAcquire(x.twin("a"))
	_ = a
	x.w.RunFor(10 * time.Minute)
	x.wantNothingOver(b)
	if l.Valid() != nil {
		t.Error(l.Valid())
	}
}

func TestGoodbyeIsOverAtOnce(t *testing.T) {
	x := newFixture(t, 0, "a", "b")
	b := x.start("b")
	p := x.proc("a")
	l := x.mustAcquire(p)
	x.w.RunFor(10 * time.Second)
	x.goodbye(p, l)
	took, o := x.overAt(b, "a/1", time.Minute)
	if took > 1500*time.Millisecond || o.Death {
		t.Errorf("got %+v after %v", o, took)
	}
	if fenced, _ := x.admin.FS().List(spool.FencedDir("a")); len(fenced) > 0 {
		t.Errorf("got fences %v", fenced)
	}
	if h := b.watch.Hosts()[0]; h.State != lease.Stopped {
		t.Errorf("got %+v", h)
	}
}

// goodbyeOfYesterday: the record still says goodbye of N-1 while N starts.
func TestHole_2_6_GoodbyeOfYesterday(t *testing.T) {
	x := newFixture(t, 0, "a", "b")
	b := x.start("b")
	p := x.proc("a")
	x.goodbye(p, x.mustAcquire(p))
	p = x.proc("a")
	// Eight seconds between its directories and its first heartbeat.
	x.m.At(memfs.Point{View: "a", Kind: memfs.RecordWrite, Name: "heartbeat"}, func() { _ = p.Sleep(ctx, 8*time.Second) })
	l := x.mustAcquire(p)
	x.w.RunFor(time.Minute)
	if _, ok := b.over["a/2"]; ok || l.Valid() != nil {
		t.Errorf("got %v, %v", b.over, l.Valid())
	}
	if o, ok := b.over["a/1"]; !ok || o.Death {
		t.Errorf("got %v, want a/1 over", b.over)
	}
}

// An epoch that never got a heartbeat: over once its directory was seen for TTL
// and margin, whether its host lives, is unknown, or never had a record.
func TestEpochWithoutHeartbeat(t *testing.T) {
	x := newFixture(t, 0, "a", "b", "c")
	a, b := x.start("a"), x.start("b")
	x.w.RunFor(5 * time.Second)
	for _, owner := range []string{"a", "c", "unknown"} {
		x.epochDirs(owner, 5)
	}
	x.w.RunFor(13 * time.Second)
	x.wantNothingOver(a, b)
	x.w.RunFor(12 * time.Second) // it may be ten before they are seen
	for _, key := range []string{"a/5", "c/5", "unknown/5"} {
		if o, ok := b.over[key]; !ok || o.Death {
			t.Errorf("%s: got %v", key, b.over)
		}
	}
	if _, ok := a.over["a/5"]; !ok {
		t.Errorf("of its own host: got %v", a.over)
	}
	if _, ok := b.over["a/1"]; ok || a.lease.Valid() != nil {
		t.Error("the live epoch is over, too")
	}
}

func TestLowerEpochIsOver(t *testing.T) {
	x := newFixture(t, 0, "a", "b")
	b := x.start("b")
	p := x.proc("a")
	x.mustAcquire(p)
	x.w.RunFor(6 * time.Second) // until it is known to be at work
	p.Kill()
	l := x.mustAcquire(x.proc("a")) // before anybody noticed
	took, o := x.overAt(b, "a/1", time.Minute)
	if took > 1500*time.Millisecond || !o.Death {
		t.Errorf("got %+v after %v, want a death: the new epoch's record says so", o, took)
	}
	if x.w.RunFor(time.Minute); len(b.over) != 1 || l.Valid() != nil {
		t.Errorf("got %v, %v", b.over, l.Valid())
	}
}

func TestCommandEpochs(t *testing.T) {
	x := newFixture(t, 0, "a", "b")
	b := x.start("b")
	p := x.proc("a")
	for range 2 {
		if _, _, err := lease.TakeEpoch(ctx, p, p.id); err != nil {
			t.Fatal(err)
		}
	}
	x.w.RunFor(9 * time.Minute)
	x.wantNothingOver(b)
	x.w.RunFor(2 * time.Minute)
	for _, key := range []string{"a~cmd/1", "a~cmd/2"} {
		if o, ok := b.over[key]; !ok || o.Death {
			t.Errorf("%s: got %v", key, b.over)
		}
	}
	for _, h := range b.watch.Hosts() {
		if h.Host == "a~cmd" {
			t.Errorf("a command is shown as a host")
		}
	}
}

// Every host is watched by somebody, however many there are.
func TestManyHosts(t *testing.T) {
	var names []string
	for i := range 20 {
		names = append(names, fmt.Sprintf("h%02d", i))
	}
	x := newFixture(t, 0, names...)
	var nodes []*node
	for _, h := range names {
		nodes = append(nodes, x.start(h))
	}
	x.w.RunFor(time.Minute)
	x.wantNothingOver(nodes...)
	for _, i := range []int{3, 4, 5, 6, 7, 19} {
		nodes[i].Kill()
	}
	x.w.RunFor(15 * time.Second)
	for _, i := range []int{3, 4, 5, 6, 7, 19} {
		for j, n := range nodes {
			if _, ok := n.over[names[i]+"/1"]; !ok && j != 19 && (j < 3 || j > 7) {
				t.Errorf("%s doesn't know that %s is over", names[j], names[i])
			}
		}
	}
}

// Two victims within an hour blame a watcher: it fences no more, and is shown.
func TestBlamedWatcher(t *testing.T) {
	x := newFixture(t, 0, "a", "b", "c", "d")
	b := x.start("b")
	for i, host := range []string{"a", "c"} {
		p := x.proc(host)
		l := x.mustAcquire(p)
		x.w.RunFor(20 * time.Second)
		x.fence(host, 1, "b/1", 2)
		if _, err := x.ends(l, 3*time.Second); err == nil {
			t.Fatal("not fenced")
		}
		x.w.RunFor(3 * time.Second)
		if blamed := b.watch.Blamed() != ""; blamed != (i == 1) {
			t.Errorf("after %d blames: %q", i+1, b.watch.Blamed())
		}
	}
	d := x.start("d")
	x.w.RunFor(5 * time.Second)
	d.Kill()
	if x.w.RunFor(time.Minute); len(b.over) > 0 && b.over["d/1"].Host != "" {
		t.Errorf("it goes on fencing: %v", b.over)
	}
	if got := x.m.Count("b", memfs.TryLock); got > 4 {
		t.Errorf("it goes on taking locks: %d", got)
	}
	if x.w.RunFor(time.Hour); b.watch.Blamed() != "" || b.over["d/1"].Host == "" {
		t.Errorf("an hour later: blamed %q, over: %v", b.watch.Blamed(), b.over)
	}
}

// An observer without a lease fences nobody.
func TestObserver(t *testing.T) {
	x := newFixture(t, 0, "a")
	p := x.proc("a")
	x.mustAcquire(p)
	w := lease.NewWatcher(lease.WatchConfig{Env: x.admin, Self: "admin"})
	p.Kill()
	for range 60 {
		x.w.Do(x.admin, "round", func() {
			if over := w.Round(ctx, true); len(over) > 0 {
				t.Errorf("got %v", over)
			}
		})
		x.w.RunFor(time.Second)
	}
	if h := w.Hosts(); len(h) != 1 || h[0].State != lease.Silent {
		t.Errorf("got %+v", h)
	}
}

// One operation of the watcher fails in any way, or two: nobody who lives is
// ever over, and who is dead will be.
func TestWatchSweep(t *testing.T) {
	plan := memfs.Plan{Views: []string{"b"}, Kinds: []string{memfs.Create, memfs.Read, memfs.List, memfs.TryLock, memfs.Unlock},
		Errnos: []syscall.Errno{syscall.EIO, syscall.ENOENT}, NoDie: true, Pairs: pairs(60), Options: memfs.Options{SyncExport: true, NoTrace: true}}
	memfs.Sweep(t, plan, func(m *memfs.Mem) error {
		x := onMem(quiet{t}, m, 0, "a", "b", "c")
		defer x.w.Close()
		var b *node
		a, c := x.proc("a"), x.proc("c")
		m.Quiet(func() {
			x.mustAcquire(a)
			x.mustAcquire(c)
			b = x.start("b")
			x.w.RunFor(2 * time.Second)
		})
		a.Kill()
		x.w.RunFor(5 * time.Second)
		m.Calm()
		x.w.RunUntil(20*time.Second, func() bool { return len(b.over) > 0 })
		if _, ok := b.over["a/1"]; !ok || len(b.over) != 1 || b.lease.Valid() != nil {
			return fmt.Errorf("got over %v, own lease %w", b.over, b.lease.Valid())
		}
		return nil
	})
}
