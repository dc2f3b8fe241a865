package nfssim_test

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"fencepost/spool/env/nfssim"
	"fencepost/spool/vfs"
	"golang.org/x/sys/unix"
)

const lease = 10 * time.Second

// take takes the lock for good.
func take(fs vfs.FS) error {
	_, err := fs.TryLock("lock")
	return err
}

// TestWhoHasTheLock: host a holds a lock, something happens to it, host b asks
// for the lock after a while.
func TestWhoHasTheLock(t *testing.T) {
	crash := func(m *model) { m.a.p.Kill(); m.a.c.Crash() }
	for _, c := range []struct {
		what    string
		version string
		strict  bool
		happens func(*model)
		after   time.Duration
		want    error
	}{
		{"nothing", "", false, func(*model) {}, time.Hour, vfs.ErrLocked},
		{"killed", "", false, func(m *model) { m.a.p.Kill() }, time.Second, nil},
		{"killed while cut", "", false, func(m *model) { m.a.c.Cut(); m.a.p.Kill() }, time.Second, vfs.ErrLocked},
		{"killed while cut, joined", "", false, func(m *model) { m.a.c.Cut(); m.a.p.Kill(); m.a.c.Join() }, time.Second, nil},
		{"stopped", "", false, func(m *model) { m.a.p.Stop() }, time.Hour, vfs.ErrLocked},
		{"frozen, shortly", "", false, func(m *model) { m.a.mc.Freeze() }, lease / 2, vfs.ErrLocked},
		{"frozen", "", false, func(m *model) { m.a.mc.Freeze() }, lease, nil},
		{"cut, shortly", "", false, func(m *model) { m.a.c.Cut() }, lease / 2, vfs.ErrLocked},
		{"cut", "", false, func(m *model) { m.a.c.Cut() }, lease, nil},
		{"cut, version 3", "3", false, func(m *model) { m.a.c.Cut() }, time.Hour, vfs.ErrLocked},
		{"cut, joined", "", false, func(m *model) { m.a.c.Cut(); m.w.After(2*lease, m.a.c.Join) }, 3 * lease, vfs.ErrLocked},
		{"cut, joined, strict", "", true, func(m *model) { m.a.c.Cut(); m.w.After(2*lease, m.a.c.Join) }, 3 * lease, nil},
		{"crashed", "", false, crash, time.Second, vfs.ErrLocked},
		{"crashed, after the lease", "", false, crash, lease, nil},
		{"crashed, version 3", "3", false, crash, time.Hour, vfs.ErrLocked},
		{"crashed and booted", "", false, func(m *model) { crash(m); m.a.start(); m.a.must(mkdir("d")) }, time.Second, nil},
		{"crashed and booted, version 3", "3", false, func(m *model) { crash(m); m.a.start(); m.a.must(mkdir("d")) }, time.Second, nil},
		{"server restarts", "", false, func(m *model) { m.s.Restart() }, 0, vfs.ErrLocked},
		{"server restarts, version 3", "3", false, func(m *model) { m.s.Restart() }, 0, vfs.ErrLocked},
		{"server restarts while cut", "", false, func(m *model) { m.a.c.Cut(); m.s.Restart(); m.w.After(lease/2, m.a.c.Join) }, 0, vfs.ErrLocked},
		{"server restarts while cut for long", "", false, func(m *model) { m.a.c.Cut(); m.s.Restart(); m.w.After(2*lease, m.a.c.Join) }, 0, nil},
		{"a twin mounts", "", false, func(m *model) { m.host("c", nfssim.MountOptions{Identifier: "a"}) }, 0, nil},
		{"a twin mounts, version 3", "3", false, func(m *model) { m.host("c", nfssim.MountOptions{Identifier: "a"}) }, 0, vfs.ErrLocked},
	} {
		m := newModel(t, nfssim.Options{Version: c.version, Lease: lease, Strict: c.strict}, nfssim.MountOptions{})
		m.a.must(take)
		c.happens(m)
		m.pass(c.after)
		m.b.want(c.what, c.want, take)
	}
}

// TestShortGrace: who wasn't there in the grace has lost its lock, though its
// lease isn't over.
func TestShortGrace(t *testing.T) {
	for cut, want := range map[bool]error{false: vfs.ErrLocked, true: nil} {
		m := newModel(t, nfssim.Options{Lease: lease, Grace: 3 * time.Second}, nfssim.MountOptions{})
		m.a.must(take)
		if cut {
			m.a.c.Cut()
		}
		m.s.Restart()
		m.pass(4 * time.Second)
		m.a.c.Join()
		m.b.want("lock", want, take)
	}
}

// TestDeadAskedForIt: a lock that is had by a process that died while it asked
// is given back by its kernel.
func TestDeadAskedForIt(t *testing.T) {
	m := newModel(t, nfssim.Options{}, nfssim.MountOptions{})
	m.b.must(create("x"))
	m.once("lock", nfssim.Fate{Stall: time.Minute})
	m.a.begin(take)
	m.pass(time.Second)
	m.a.p.Kill()
	m.pass(time.Second)
	m.b.must(func(fs vfs.FS) error {
		l, err := fs.TryLock("lock")
		if err != nil {
			return err
		}
		return l.Unlock()
	})
	m.pass(2 * time.Minute)
	m.b.must(take)
}

// TestLockLostInRecord: the record tells, and nothing else does.
func TestLockLostInRecord(t *testing.T) {
	m := newModel(t, nfssim.Options{Lease: lease}, nfssim.MountOptions{})
	var r, other vfs.Record
	m.a.must(func(fs vfs.FS) (err error) {
		if r, err = fs.OpenRecord("record"); err == nil {
			err = r.Lock()
		}
		return err
	}, func(vfs.FS) error { return r.Write([]byte("1")) })
	m.a.c.Cut()
	m.pass(lease)
	m.b.must(func(fs vfs.FS) (err error) {
		if other, err = fs.OpenRecord("record"); err == nil {
			err = other.Lock()
		}
		return err
	}, func(vfs.FS) error { return other.Write([]byte("2")) })
	k := m.a.begin(func(vfs.FS) error { return r.Write([]byte("3")) })
	m.pass(time.Minute)
	if k.ended {
		t.Errorf("a write while cut off: %v", k.err)
	}
	m.a.c.Join()
	if !k.within(time.Minute) || k.err == nil {
		t.Errorf("the write: %v, %v", k.ended, k.err)
	}
	m.a.want("lock again", vfs.ErrLocked, func(vfs.FS) error { return r.Lock() })
	m.b.must(func(vfs.FS) error { return other.Close() })
	m.a.want("another descriptor, while the kernel thinks the first has it", vfs.ErrLocked, take2("record"))
	m.a.must(func(vfs.FS) error { return r.Lock() })
	m.b.want("it has it indeed", vfs.ErrLocked, take2("record"))
	m.a.want("write", syscall.EIO, func(vfs.FS) error { return r.Write([]byte("4")) })
	if got := m.contents("record"); got != "2" {
		t.Errorf("the record is %q", got)
	}
	m.a.must(func(vfs.FS) error { return r.Close() })
	m.pass(time.Second)
	m.b.must(take2("record"))
}

// TestSharedLocks: of a file they go together, and one descriptor may change its
// own.
func TestSharedLocks(t *testing.T) {
	m := newModel(t, nfssim.Options{Lease: lease}, nfssim.MountOptions{})
	m.a.must(create("lock"))
	ya, yb := m.a.c.Sys(m.a.p), m.b.c.Sys(m.b.p)
	var fa, fb int
	flock := func(y *nfssim.Sys, fd *int, how int) func(vfs.FS) error {
		return func(vfs.FS) error { return y.Flock(*fd, how|unix.LOCK_NB) }
	}
	m.a.must(func(vfs.FS) (err error) { fa, err = ya.Open("lock", unix.O_RDWR); return err }, flock(ya, &fa, unix.LOCK_SH))
	m.b.must(func(vfs.FS) (err error) { fb, err = yb.Open("lock", unix.O_RDWR); return err }, flock(yb, &fb, unix.LOCK_SH))
	m.a.want("exclusive beside a shared one", syscall.EAGAIN, flock(ya, &fa, unix.LOCK_EX))
	m.b.must(flock(yb, &fb, unix.LOCK_UN))
	m.a.must(flock(ya, &fa, unix.LOCK_EX))
	m.b.want("shared beside an exclusive one", syscall.EAGAIN, flock(yb, &fb, unix.LOCK_SH))

	// Without LOCK_NB it waits.
	k := m.b.begin(func(vfs.FS) error { return yb.Flock(fb, unix.LOCK_EX) })
	m.pass(time.Minute)
	if k.ended {
		t.Errorf("it didn't wait: %v", k.err)
	}
	m.a.must(func(vfs.FS) error { return ya.Close(fa) })
	if !k.within(time.Minute) || k.err != nil {
		t.Errorf("after the close: %v, %v", k.ended, k.err)
	}
}

// TestReadThroughLostLock: what isn't cached can't be read by it any more.
func TestReadThroughLostLock(t *testing.T) {
	m := newModel(t, nfssim.Options{Lease: lease}, nfssim.MountOptions{})
	m.b.must(create("lock"))
	y := m.a.c.Sys(m.a.p)
	var fd int
	m.a.must(func(vfs.FS) (err error) { fd, err = y.Open("lock", unix.O_RDWR); return err },
		func(vfs.FS) error { return y.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
	m.a.c.Cut()
	m.pass(lease)
	m.b.must(take)
	m.a.c.Join()
	m.a.want("read", syscall.EIO, func(vfs.FS) error { _, err := y.Read(fd, 10); return err })
}

// TestLateLockWithoutLease: a lock that lands for a client without a lease is
// nobody's.
func TestLateLockWithoutLease(t *testing.T) {
	m := newModel(t, nfssim.Options{Lease: lease}, nfssim.MountOptions{})
	m.b.must(create("lock"), create("other"))
	m.a.must(take2("other"))
	m.once("lock", nfssim.Fate{Stall: 3 * lease})
	k := m.a.begin(take)
	m.pass(time.Second)
	m.a.c.Cut()
	m.pass(2 * lease)
	m.b.must(take2("other")) // so that a's lease ends
	m.pass(2 * lease)
	m.b.must(take)
	m.a.c.Join()
	if !k.within(time.Minute) || !errors.Is(k.err, vfs.ErrLocked) {
		t.Errorf("got %v, %v", k.ended, k.err)
	}
}

func take2(name string) func(vfs.FS) error {
	return func(fs vfs.FS) error {
		r, err := fs.OpenRecord(name)
		if err == nil {
			err = r.Lock()
		}
		return err
	}
}

// TestGrace: what gives out something new waits, and nothing else.
func TestGrace(t *testing.T) {
	for _, version := range []string{"4.2", "3"} {
		m := newModel(t, nfssim.Options{Version: version, Lease: lease}, nfssim.MountOptions{})
		m.a.must(create("x"), create("y"), create("v"), mkdir("d"))
		m.s.Restart()
		calls := []struct {
			what string
			call *call
			v4   bool
		}{
			{"create", m.a.begin(create("z")), true},
			{"read", m.b.begin(identify("x")), true},
			{"rename", m.b.begin(rename("y", "y2")), true},
			{"remove", m.b.begin(remove("v")), true},
			{"rmdir", m.b.begin(rmdir("d")), true},
			{"link", m.b.begin(link("x", "x2")), false},
			{"mkdir", m.b.begin(mkdir("e")), false},
			{"list", m.b.begin(list(".")), false},
		}
		m.pass(lease / 2)
		for _, c := range calls {
			if waits := c.v4 && version != "3"; c.call.ended == waits {
				t.Errorf("version %s: %s waits: %v", version, c.what, !waits)
			}
		}
		m.pass(time.Minute)
		for _, c := range calls {
			if !c.call.ended || c.call.err != nil {
				t.Errorf("version %s: %s after grace: %v, %v", version, c.what, c.call.ended, c.call.err)
			}
		}
	}
}
