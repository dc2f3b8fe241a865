package nfsfacts

import (
	"time"

	"golang.org/x/sys/unix"
)

const tryLock = unix.LOCK_EX | unix.LOCK_NB

func v4() []string { return []string{"4.2", "4.1", "4.0"} }

// locks are the experiments on locks and leases.
func locks() []Experiment {
	return []Experiment{
		{
			Name: "lock-readonly", Did: "flock, exclusive, on a descriptor that was opened read-only",
			So:   "open read-write",
			Want: []Answer{{What: "flock", Is: "EBADF", On: map[string]string{"3": "ok"}}},
			run: func(t *trial) {
				p := t.start(t.host(0))
				p.create("lock")
				t.saw("flock", p.Flock(p.open("lock", unix.O_RDONLY), tryLock))
			},
		},
		{
			Name: "lock-lost", Did: "host 1 holds a flock and is cut off for longer than the server's lease; host 2 asks for the lock; then host 1 is joined",
			So: "heartbeat through the locked descriptor, fsync it: EIO = lost. A lock fences no path operation. Only the holder's descriptor may write the record. Never lock again to check",
			Want: []Answer{
				{What: "host 2's flock at once", Is: "EAGAIN"},
				{What: "host 2's flock after the lease", Is: "ok", On: map[string]string{"3": "EAGAIN"}},
				{What: "host 1's write and fsync", Is: "EIO", On: map[string]string{"3": "ok"}},
				{What: "its rename", Is: "ok"},
				{What: "its link", Is: "ok"},
				{What: "its flock again", Is: "EAGAIN", On: map[string]string{"3": "ok"}},
				{What: "its flock again, host 2 gave it back", Is: "ok"},
				{What: "write and fsync through it", Is: "EIO", On: map[string]string{"3": "ok"}},
				{What: "write and fsync through another descriptor", Is: "ok"},
			},
			run: lockLost,
		},
		{
			Name: "lock-kept", Only: v4(), Did: "host 1 holds a flock and is cut off for longer than the server's lease; nobody asks for the lock",
			So: "a lock that nobody wanted may survive",
			Want: []Answer{
				{What: "host 1's write and fsync", Is: "ok"},
				{What: "host 2's flock", Is: "EAGAIN"},
			},
			run: lockKept,
		},
		{
			Name: "lock-killed", Did: "a process that holds a flock is killed",
			So:   "a lock that is free means that its process is gone, or its host cut off",
			Want: []Answer{{What: "host 2's flock within 5 s", Is: "ok"}},
			run: func(t *trial) {
				p, q := t.start(t.host(0)), t.start(t.host(1))
				p.create("lock")
				t.must(p.Flock(p.open("lock", unix.O_RDWR), tryLock))
				fd := q.open("lock", unix.O_RDWR)
				t.must(p.Kill())
				t.saw("host 2's flock within 5 s", q.lockWithin(fd, 5*time.Second))
			},
		},
		{
			Name: "stopped", Did: "a process that holds a flock is stopped for longer than the lease",
			So: "silence and a held lock are possible: watch the heartbeat too",
			Want: []Answer{
				{What: "host 2's flock", Is: "EAGAIN"},
				{What: "host 1's write and fsync after it goes on", Is: "ok"},
			},
			run: stoppedHolder,
		},
		{
			Name: "paused", Only: v4(), Did: "the whole machine of a process that holds a flock is paused for longer than the lease; host 2 asks for the lock",
			So: "a machine can't notice its own pause: to stop oneself by time is a courtesy only",
			Want: []Answer{
				{What: "host 2's flock", Is: "ok"},
				{What: "host 1's write and fsync", Is: "EIO"},
			},
			run: pausedMachine,
		},
		{
			Name: "twins", Only: v4(), Did: "two hosts with one hostname and no NFS client identifier: one holds a flock, the other one comes up and asks for it",
			So: "identity is not the hostname; an exclusive mkdir, not flock, hands out epochs",
			Want: []Answer{
				{What: "the first one's flock", Is: "ok"},
				{What: "the twin's flock", Is: "ok"},
				{What: "the first one's write and fsync", Is: "EIO"},
				{What: "its rename", Is: "ok"},
			},
			run: twins,
		},
		{
			Name: "nolock", Did: "two hosts that are mounted with nolock ask for one flock",
			So: "check /proc/self/mountinfo (version 4 ignores the option)",
			Want: []Answer{
				{What: "the first one's", Is: "ok"},
				{What: "the second one's", Is: "EAGAIN", On: map[string]string{"3": "ok"}},
			},
			run: func(t *trial) { lockOnMounts(t, "nolock") },
		},
		{
			Name: "local-lock", Did: "the same, mounted with local_lock=flock",
			So: "check /proc/self/mountinfo (version 4 ignores the option)",
			Want: []Answer{
				{What: "the first one's", Is: "ok"},
				{What: "the second one's", Is: "EAGAIN", On: map[string]string{"3": "ok"}},
			},
			run: func(t *trial) { lockOnMounts(t, "local_lock=flock") },
		},
	}
}

// lockWithin asks for a lock until it is there, at most for d.
func (p *process) lockWithin(fd int, d time.Duration) (err error) {
	p.t.eventually(d, func() bool {
		err = p.Flock(fd, tryLock)
		return err == nil
	})
	return err
}

// healing is how long a connection may take to come back: a client tries again
// ever later.
const healing = 3 * time.Minute

// within makes a call that may take its time.
func (p *process) within(d time.Duration, f func() error) error {
	return ended(p.Begin(func(Process) error { return f() }), d)
}

// ended is a call's answer, or ETIMEDOUT if there is none after d.
func ended(c Pending, d time.Duration) error {
	err, done := c.Wait(d)
	if !done {
		return unix.ETIMEDOUT
	}
	return err
}

// heal joins host 1 and waits until its process can work again.
func (p *process) heal(h Host) {
	p.t.must(h.Join())
	p.t.must(p.within(healing, func() error { return p.Mkdir(p.t.in("healed")) }))
}

func lockLost(t *trial) {
	p, q := t.start(t.host(0)), t.start(t.host(1))
	p.create("lock", "a", "b")
	fd := p.open("lock", unix.O_RDWR)
	t.must(p.Flock(fd, tryLock))
	t.must(p.writes(fd, "one"))
	theirs := q.open("lock", unix.O_RDWR)
	t.must(t.host(0).Cut())
	t.saw("host 2's flock at once", q.Flock(theirs, tryLock))
	t.Sleep(t.Lease() + t.Lease()/2)
	t.saw("host 2's flock after the lease", q.lockWithin(theirs, t.Lease()))
	p.heal(t.host(0))
	t.saw("host 1's write and fsync", p.writes(fd, "two"))
	t.saw("its rename", p.rename("a", "c"))
	t.saw("its link", p.Link(t.in("b"), t.in("d")))
	t.saw("its flock again", p.Flock(fd, tryLock))
	t.must(q.Flock(theirs, unix.LOCK_UN))
	t.must(q.Close(theirs))
	t.saw("its flock again, host 2 gave it back", p.Flock(fd, tryLock))
	t.saw("write and fsync through it", p.writes(fd, "three"))
	t.saw("write and fsync through another descriptor", p.writes(p.open("lock", unix.O_RDWR), "four"))
}

func lockKept(t *trial) {
	p, q := t.start(t.host(0)), t.start(t.host(1))
	p.create("lock")
	fd := p.open("lock", unix.O_RDWR)
	t.must(p.Flock(fd, tryLock))
	t.must(t.host(0).Cut())
	t.Sleep(t.Lease() * 2)
	p.heal(t.host(0))
	t.saw("host 1's write and fsync", p.writes(fd, "two"))
	t.saw("host 2's flock", q.Flock(q.open("lock", unix.O_RDWR), tryLock))
}

func stoppedHolder(t *trial) {
	p, q := t.start(t.host(0)), t.start(t.host(1))
	p.create("lock")
	fd := p.open("lock", unix.O_RDWR)
	t.must(p.Flock(fd, tryLock))
	t.must(p.Stop())
	t.Sleep(t.Lease()*2 + t.Lease()/2)
	t.saw("host 2's flock", q.Flock(q.open("lock", unix.O_RDWR), tryLock))
	t.must(p.Continue())
	t.saw("host 1's write and fsync after it goes on", p.writes(fd, "two"))
}

func pausedMachine(t *trial) {
	p, q := t.start(t.host(0)), t.start(t.host(1))
	p.create("lock")
	fd := p.open("lock", unix.O_RDWR)
	t.must(p.Flock(fd, tryLock))
	t.must(t.host(0).Pause())
	t.Sleep(t.Lease() * 3)
	t.saw("host 2's flock", q.lockWithin(q.open("lock", unix.O_RDWR), t.Lease()))
	t.must(t.host(0).Resume())
	t.saw("host 1's write and fsync", p.writes(fd, "two"))
}

func twins(t *trial) {
	first := t.addHost(HostOptions{})
	p := t.start(first)
	p.create("lock", "a")
	fd := p.open("lock", unix.O_RDWR)
	t.saw("the first one's flock", p.Flock(fd, tryLock))
	q := t.start(t.addHost(HostOptions{Twin: first}))
	theirs := q.open("lock", unix.O_RDWR)
	t.saw("the twin's flock", q.lockWithin(theirs, t.Lease()))
	// The first one finds out when it speaks to the server next.
	t.saw("the first one's write and fsync", p.writes(fd, "two"))
	t.saw("its rename", p.rename("a", "b"))
}

func lockOnMounts(t *trial, options string) {
	p, q := t.start(t.addHost(HostOptions{Mount: options})), t.start(t.addHost(HostOptions{Mount: options}))
	p.create("lock")
	t.saw("the first one's", p.Flock(p.open("lock", unix.O_RDWR), tryLock))
	t.saw("the second one's", q.Flock(q.open("lock", unix.O_RDWR), tryLock))
}
