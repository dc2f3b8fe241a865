package lease_test

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"fencepost/lease"
	"fencepost/spool"
	"fencepost/spool/vfs"
	"fencepost/spool/vfs/memfs"
)

func TestAcquireMakesAnEpoch(t *testing.T) {
	m := memfs.New(memfs.Options{})
	x := onMem(t, m, 0, "a")
	for want := uint64(1); want <= 3; want++ {
		p := x.proc("a")
		l := x.mustAcquire(p)
		r := x.record("a")
		if l.Epoch() != want || r.Epoch != want || r.Goodbye || r.Nonce != p.id.Nonce || r.Counter == 0 {
			t.Fatalf("got epoch %d, record %+v, want epoch %d", l.Epoch(), r, want)
		}
		nonces, err := x.admin.FS().List(path.Join(spool.EpochsDir("a"), strconv.FormatUint(want, 10)))
		if err != nil || !slices.Equal(nonces, []string{p.id.Nonce}) {
			t.Errorf("got %v, %v", nonces, err)
		}
		x.goodbye(p, l)
		if err := context.Cause(l.Context()); !errors.Is(err, lease.ErrGoodbye) {
			t.Errorf("got %v, want %v", err, lease.ErrGoodbye)
		}
		if r := x.record("a"); !r.Goodbye || r.Epoch != want {
			t.Errorf("got %+v, want a goodbye", r)
		}
	}
	// rmdirOfNothing: reclaim takes a missing claims directory for a removed one
	// once it sees drafts, so drafts must be last.
	var made []string
	for _, e := range m.Trace().Of("a", memfs.Mkdir) {
		if strings.HasSuffix(e.From, "/2") {
			made = append(made, e.From)
		}
	}
	if want := []string{"hosts/a/epochs/2", "claims/a/2", "sealed/a/2", "drafts/a/2"}; !slices.Equal(made, want) {
		t.Errorf("got %v, want %v", made, want)
	}
}

// Numbers go on above everything that was ever given out, wherever it shows.
func TestEpochAboveAllTraces(t *testing.T) {
	x := newFixture(t, 0, "a")
	x.epochDirs("a", 41)
	if l := x.mustAcquire(x.proc("a")); l.Epoch() != 42 {
		t.Errorf("got %d, want 42", l.Epoch())
	}
}

func TestSecondDaemonIsRefused(t *testing.T) {
	x := newFixture(t, 0, "a")
	first := x.proc("a")
	l := x.mustAcquire(first)
	start := x.w.Now()
	_, err := x.acquire(x.proc("a"))
	var held *lease.HeldError
	if !errors.As(err, &held) || !held.Known || held.Holder.Nonce != first.id.Nonce {
		t.Fatalf("got %v, want a HeldError that names the holder", err)
	}
	for _, want := range []string{"host a", "machine-a", "boot-1", strconv.Itoa(first.id.PID), "since 2001-"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want %q in it", err, want)
		}
	}
	if took := x.w.Now() - start; took < 20*time.Second || took > 21*time.Second {
		t.Errorf("gave up after %v, want two lease times", took)
	}
	if err := l.Valid(); err != nil {
		t.Errorf("the first one: %v", err)
	}
}

// A watcher, or a process that is on its way out, may hold the flock for a while.
func TestHole_19_FlockHeldForAMoment(t *testing.T) {
	x := newFixture(t, 0, "a")
	p := x.proc("a")
	x.goodbye(p, x.mustAcquire(p))
	lock, err := x.admin.FS().TryLock(spool.LockPath("a"))
	if err != nil {
		t.Fatal(err)
	}
	x.admin.Go("let go", func() {
		_ = x.admin.Sleep(ctx, 15*time.Second)
		_ = lock.Unlock()
	})
	x.mustAcquire(x.proc("a"))
}

// A server in its grace period answers no lock for minutes. That is not "held",
// and whoever gives up doesn't keep the lock that comes at last.
func TestGracePeriod(t *testing.T) {
	x := newFixture(t, 0, "a")
	p := x.proc("a")
	x.m.At(memfs.Point{View: "a", Kind: memfs.TryLock}, func() { _ = p.Sleep(ctx, 90*time.Second) })
	l := x.mustAcquire(p)
	x.goodbye(p, l)

	p = x.proc("a")
	x.m.At(memfs.Point{View: "a", Kind: memfs.TryLock}, func() { _ = p.Sleep(ctx, 90*time.Second) })
	impatient, cancel := context.WithCancelCause(ctx)
	errImpatient := errors.New("no time")
	x.admin.Go("cancel", func() { _ = x.admin.Sleep(ctx, 30*time.Second); cancel(errImpatient) })
	var err error
	x.w.Do(p.Host, "acquire", func() { _, err = lease.Acquire(impatient, p.config()) })
	if !errors.Is(err, errImpatient) {
		t.Fatalf("got %v, want %v", err, errImpatient)
	}
	x.w.RunFor(2 * time.Minute)
	x.mustAcquire(x.proc("a"))
}

func TestRefusedAndFenced(t *testing.T) {
	x := newFixture(t, 0, "a")
	if _, err := x.acquire(x.proc("stranger")); !errors.Is(err, lease.ErrRefused) {
		t.Errorf("not enrolled: got %v, want %v", err, lease.ErrRefused)
	}
	p := x.proc("a")
	x.goodbye(p, x.mustAcquire(p))
	other := x.proc("a")
	other.id.MachineID = "machine-of-a-clone"
	if _, err := x.acquire(other); !errors.Is(err, lease.ErrRefused) || !strings.Contains(err.Error(), "machine-a") {
		t.Errorf("another machine: got %v, want %v", err, lease.ErrRefused)
	}
	if err := lease.Fence(ctx, x.admin, "a", "pat", "new disk"); err != nil {
		t.Fatal(err)
	}
	_, err := x.acquire(x.proc("a"))
	var by *lease.FencedByPersonError
	if !errors.As(err, &by) || by.Flag.By != "pat" || by.Flag.Reason != "new disk" {
		t.Errorf("fenced by a person: got %v", err)
	}
	if changed, err := lease.Resume(ctx, x.admin, "a"); !changed || err != nil {
		t.Errorf("resume: got %v, %v", changed, err)
	}
	if changed, err := lease.Resume(ctx, x.admin, "a"); changed || err != nil {
		t.Errorf("resume again: got %v, %v", changed, err)
	}
	x.mustAcquire(x.proc("a"))
}

func TestConfigIsChecked(t *testing.T) {
	x := newFixture(t, 0, "a")
	for name, change := range map[string]func(*lease.Config){
		"ttl":     func(c *lease.Config) { c.TTL = 3 * time.Second },
		"nonce":   func(c *lease.Config) { c.Identity.Nonce = "" },
		"machine": func(c *lease.Config) { c.Identity.MachineID = "a/b" },
		"host":    func(c *lease.Config) { c.Identity.Host = "A" },
	} {
		cfg := x.proc("a").config()
		change(&cfg)
		if _, err := lease.Acquire(ctx, cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Two processes of one host that both get the flock, as twins without an NFS
// client identifier do: never one epoch, in any interleaving.
func TestTwinsNeverShareAnEpoch(t *testing.T) {
	for seed := range uint64(50) {
		m := memfs.New(memfs.Options{NoTrace: true, SyncExport: true})
		x := onMem(t, m, seed+1, "a")
		x.w.Interleave(m)
		epochs := map[uint64]int{}
		for range 3 {
			p := x.twin("a")
			p.Go("start", func() {
				if l, err := lease.Acquire(ctx, p.config()); err == nil {
					epochs[l.Epoch()]++
				}
			})
		}
		x.w.RunFor(30 * time.Second)
		if len(epochs) < 2 {
			t.Errorf("seed %d: got epochs %v: not a test of twins", seed+1, epochs)
		}
		for n, times := range epochs {
			if times > 1 {
				t.Fatalf("seed %d: epoch %d was given out %d times", seed+1, n, times)
			}
		}
		x.w.Close()
	}
}

// Each operation of a start fails, lies or dies in turn: whoever gets a lease
// has an epoch and directories that are its own; whoever doesn't leaves no lock.
func TestAcquireSweep(t *testing.T) {
	plan := memfs.Plan{Views: []string{"a"}, Pairs: pairs(1000), Stale: true, Late: 1500, Options: memfs.Options{SyncExport: true}}
	memfs.Sweep(t, plan, func(m *memfs.Mem) error {
		x := onMem(quiet{t}, m, 0, "a")
		defer x.w.Close()
		var epochs []uint64
		p := x.proc("a")
		if err := x.try(p, &epochs); err != nil {
			return err
		}
		// The next process of the host, without faults, right after its death.
		m.Calm()
		p.Kill()
		next := x.proc("a")
		l, err := x.acquire(next)
		if err != nil {
			return fmt.Errorf("the next process: %w", err)
		}
		if slices.Contains(epochs, l.Epoch()) {
			return fmt.Errorf("epoch %d was given out twice", l.Epoch())
		}
		if len(epochs) > 0 && l.Epoch() < epochs[0] {
			return fmt.Errorf("epoch %d after %d", l.Epoch(), epochs[0])
		}
		return x.ownDirs(l)
	})
}

// try starts p once; it may die on the way.
func (x *fixture) try(p *proc, epochs *[]uint64) error {
	done := false
	var l *lease.Lease
	var err error
	p.Go("acquire", func() {
		l, err = lease.Acquire(ctx, p.config())
		done = true
	})
	x.w.RunUntil(5*time.Minute, func() bool { return done || p.view.Dead() })
	switch {
	case p.view.Dead():
		return nil
	case !done:
		return errors.New("acquire never ended")
	case err != nil:
		// Nothing may be left locked.
		x.w.RunFor(time.Second)
		lock, lerr := x.m.View("probe").TryLock(spool.LockPath("a"))
		if lerr != nil && !errors.Is(lerr, syscall.ENOENT) {
			return fmt.Errorf("acquire failed (%w) and left a lock: %w", err, lerr)
		}
		if lerr == nil {
			return lock.Unlock()
		}
		return nil
	}
	*epochs = append(*epochs, l.Epoch())
	return x.ownDirs(l)
}

func (x *fixture) ownDirs(l *lease.Lease) error {
	for _, base := range []string{spool.DirClaims, spool.DirSealed, spool.DirDrafts} {
		if _, err := x.admin.FS().List(spool.EpochDir(base, l.Host(), l.Epoch())); err != nil {
			return fmt.Errorf("epoch %d: %w", l.Epoch(), err)
		}
	}
	r, err := lease.ReadRecord(x.admin.FS(), l.Host())
	if err == nil && r.Epoch != l.Epoch() {
		err = fmt.Errorf("the record is of epoch %d, want %d", r.Epoch, l.Epoch())
	}
	return err
}

func TestTakeEpochOfACommand(t *testing.T) {
	x := newFixture(t, 0, "a")
	p := x.proc("a")
	for want := uint64(1); want <= 2; want++ {
		owner, n, err := lease.TakeEpoch(ctx, p, p.id)
		if err != nil || owner != "a~cmd" || n != want {
			t.Fatalf("got %s %d, %v, want a~cmd %d", owner, n, err, want)
		}
		if _, err := x.admin.FS().List(spool.EpochDir(spool.DirDrafts, owner, n)); err != nil {
			t.Error(err)
		}
	}
}

// passing makes a higher epoch just before it makes one: another process of the
// host was quicker, after its own try at this number came to nothing.
type passing struct {
	vfs.FS
	done *bool
}

func (p passing) Mkdir(dir string) error {
	if dir == path.Join(spool.EpochsDir("a~cmd"), "1") && !*p.done {
		*p.done = true
		if err := p.FS.Mkdir(path.Join(spool.EpochsDir("a~cmd"), "2")); err != nil {
			return err
		}
	}
	return p.FS.Mkdir(dir)
}

// TestHole_3_3_EpochBehind: a number that is given out after a higher one is
// over at its birth. Who made it must not use it: whoever has the higher one
// has looked for lower ones already.
func TestHole_3_3_EpochBehind(t *testing.T) {
	x := newFixture(t, 0, "a")
	p := x.proc("a")
	p.Host = x.w.Host("a", passing{p.view, new(bool)})
	_, n, err := lease.TakeEpoch(ctx, p, p.id)
	if err != nil || n != 3 {
		t.Errorf("got epoch %d, %v, want 3", n, err)
	}
	for _, base := range []string{spool.DirClaims, spool.DirSealed, spool.DirDrafts} {
		if names, err := x.admin.FS().List(path.Join(base, "a~cmd")); err != nil || len(names) != 1 || names[0] != "3" {
			t.Errorf("%s: %v, %v", base, names, err)
		}
	}
}
