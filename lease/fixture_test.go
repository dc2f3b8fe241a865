package lease_test

import (
	"context"
	"flag"
	"fmt"
	"path"
	"strconv"
	"syscall"
	"testing"
	"time"

	"fencepost/lease"
	"fencepost/spool"
	"fencepost/spool/env/envtest"
	"fencepost/spool/vfs"
	"fencepost/spool/vfs/memfs"
)

var ctx = context.Background()

const errEIO = syscall.EIO

// fixture is a spool in memory and a world in virtual time.
type fixture struct {
	t     testing.TB
	w     *envtest.World
	m     *memfs.Mem
	admin *envtest.Host
	procs int
}

func newFixture(t testing.TB, seed uint64, hosts ...string) *fixture {
	m := memfs.New(memfs.Options{SyncExport: true, NoTrace: true, MaxOps: 20_000_000})
	return onMem(t, m, seed, hosts...)
}

func onMem(t testing.TB, m *memfs.Mem, seed uint64, hosts ...string) *fixture {
	x := &fixture{t: t, w: envtest.New(t, seed), m: m}
	x.admin = x.w.Host("admin", m.View("admin"))
	m.Quiet(func() {
		for _, dir := range []string{spool.DirRoster, spool.DirHosts, spool.DirClaims, spool.DirSealed, spool.DirDrafts, spool.DirIntruders} {
			if err := x.admin.FS().Mkdir(dir); err != nil {
				t.Fatal(err)
			}
		}
		for _, h := range hosts {
			x.enroll(h)
		}
	})
	return x
}

func (x *fixture) enroll(host string) {
	if _, err := lease.Enroll(ctx, x.admin, lease.Member{Host: host, By: "test"}); err != nil {
		x.t.Fatal(err)
	}
}

// proc is one process of a host.
type proc struct {
	*envtest.Host
	view *memfs.View
	id   lease.Identity
	hist lease.History
	log  []string
}

func (x *fixture) proc(host string) *proc {
	x.procs++
	v := x.m.View(host)
	return &proc{Host: x.w.Host(host, v), view: v, id: lease.Identity{Host: host, MachineID: "machine-" + host, BootID: "boot-1",
		PID: 100 + x.procs, Nonce: fmt.Sprintf("nonce-%d", x.procs), Version: "v1", ConfigDigest: "c1"}}
}

// twin is a process of a host whose locks are its own: the server gives them to
// everybody.
func (x *fixture) twin(host string) *proc {
	p := x.proc(host)
	p.Host = x.w.Host(host, noLocks{p.view})
	return p
}

type noLocks struct{ vfs.FS }

func (noLocks) TryLock(string) (vfs.Lock, error) { return noLock{}, nil }

func (n noLocks) OpenRecord(name string) (vfs.Record, error) {
	r, err := n.FS.OpenRecord(name)
	return noLockRecord{r}, err
}

type noLock struct{}

func (noLock) Unlock() error { return nil }

type noLockRecord struct{ vfs.Record }

func (noLockRecord) Lock() error { return nil }

func (p *proc) config() lease.Config {
	return lease.Config{Env: p, Identity: p.id, History: &p.hist, Warn: func(event string, kv ...any) {
		p.log = append(p.log, event+" "+fmt.Sprint(kv...))
	}}
}

// acquire as a task of the process; the world goes on meanwhile.
func (x *fixture) acquire(p *proc) (l *lease.Lease, err error) {
	x.w.Do(p.Host, "acquire", func() { l, err = lease.Acquire(ctx, p.config()) })
	return l, err
}

func (x *fixture) mustAcquire(p *proc) *lease.Lease {
	x.t.Helper()
	l, err := x.acquire(p)
	if err != nil {
		x.t.Fatal(err)
	}
	return l
}

func (x *fixture) goodbye(p *proc, l *lease.Lease) {
	x.t.Helper()
	x.w.Do(p.Host, "goodbye", func() {
		if err := l.Goodbye(ctx); err != nil {
			x.t.Error(err)
		}
	})
}

// node is a process with a lease and a watcher that runs.
type node struct {
	*proc
	lease *lease.Lease
	watch *lease.Watcher
	over  map[string]lease.Over // by HOST/EPOCH
	at    map[string]time.Duration
}

func (x *fixture) start(host string) *node {
	x.t.Helper()
	n := &node{proc: x.proc(host)}
	n.lease = x.mustAcquire(n.proc)
	x.observe(n)
	return n
}

// observe starts a watcher that looks every second and reclaims nothing.
func (x *fixture) observe(n *node) {
	n.over, n.at = map[string]lease.Over{}, map[string]time.Duration{}
	n.watch = lease.NewWatcher(lease.WatchConfig{Env: n, Self: n.id.Host, Epoch: n.lease.Epoch(), Own: n.lease.Record, Warn: n.config().Warn})
	n.Go("watch", func() {
		for n.lease.Context().Err() == nil {
			for _, o := range n.watch.Round(ctx, n.lease.Renewed()) {
				key := o.Host + "/" + strconv.FormatUint(o.Epoch, 10)
				if _, known := n.over[key]; !known {
					n.over[key], n.at[key] = o, x.w.Now()
				}
			}
			_ = n.Sleep(n.lease.Context(), time.Second)
		}
	})
}

// epochDirs makes the directories of an epoch that nobody runs.
func (x *fixture) epochDirs(owner string, n uint64) {
	for _, base := range []string{spool.DirClaims, spool.DirSealed, spool.DirDrafts} {
		_ = x.admin.FS().Mkdir(path.Join(base, owner))
		if err := x.admin.FS().Mkdir(spool.EpochDir(base, owner, n)); err != nil {
			x.t.Fatal(err)
		}
	}
}

func (x *fixture) record(host string) lease.Record {
	x.t.Helper()
	r, err := lease.ReadRecord(x.admin.FS(), host)
	if err != nil {
		x.t.Fatal(err)
	}
	return r
}

// fence makes a watcher's fence, as one with a broken view would.
func (x *fixture) fence(host string, epoch uint64, by string, counter uint64) {
	name := path.Join(spool.FencedDir(host), strconv.FormatUint(epoch, 10))
	data := fmt.Sprintf(`{"by":%q,"why":"silent","counter":%d,"at":"2001-01-01T00:00:00Z"}`, by, counter)
	if _, err := x.admin.FS().Create(name, []byte(data)); err != nil {
		x.t.Fatal(err)
	}
}

// quiet is for the worlds of a sweep, which close themselves: thousands of them
// would each print a line once one has failed.
type quiet struct{ testing.TB }

func (quiet) Cleanup(func()) {}

// thorough makes the sweeps go through all pairs of faults: minutes.
var thorough = flag.Bool("thorough", false, "sweep all pairs of faults")

// pairs is how many pairs of faults a sweep runs through.
func pairs(n int) int {
	switch {
	case *thorough:
		return 1 << 20
	case testing.Short():
		return n / 10
	}
	return n
}
