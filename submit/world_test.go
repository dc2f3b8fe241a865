package submit_test

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"fencepost/codec"
	"fencepost/spool"
	"fencepost/spool/env/envtest"
	"fencepost/spool/vfs"
	"fencepost/spool/vfs/memfs"
	"fencepost/submit"
	"fencepost/submit/clustersim"
)

const (
	testSpoolID = "11111111-2222-4333-8444-555555555555"
	prefix      = "fp-11111111-"
)

func jobID(i int) string { return fmt.Sprintf("01890a5d-ac96-7000-8000-%012d", i) }

// Kinds of cluster.
var (
	heldCaps  = submit.Caps{Hold: true, List: true}
	pastCaps  = submit.Caps{Hold: true, List: true, Past: true}
	blindCaps = submit.Caps{Hold: true}
	plainCaps = submit.Caps{}
	keyCaps   = submit.Caps{Key: true}
)

// scope is a testing.TB whose clean-up is done by hand: a sweep makes thousands
// of worlds.
type scope struct {
	testing.TB
	ends []func()
}

func (s *scope) Cleanup(f func()) { s.ends = append(s.ends, f) }

func (s *scope) close() {
	for _, f := range slices.Backward(s.ends) {
		f()
	}
}

// world is a spool, a cluster and the processes of several hosts.
type world struct {
	scope  *scope
	env    *envtest.World
	m      *memfs.Mem
	quiet  vfs.FS
	sim    *clustersim.Sim
	opt    submit.Options
	caps   submit.Caps
	seal   time.Duration // seal_max
	epochs map[string]uint64
	procs  []*proc
	ids    []string
	events []spool.Event
	// mayPark says whether a job may end in parked/, for this reason.
	mayPark func(id, why string) bool
	wrap    func(submit.Cluster) submit.Cluster // what hosts see of the cluster; nil = all
}

// proc is one instance.
type proc struct {
	w      *world
	host   *envtest.Host
	view   *memfs.View
	in     *spool.Instance
	eng    *submit.Engine
	over   spool.Over
	ended  bool
	dead   time.Duration // seen dead at; 0 = not yet
	fenced bool          // declared over though alive
	gone   bool          // its directories are gone
	stop   context.CancelCauseFunc
	cut    context.CancelCauseFunc
}

func testOptions() submit.Options {
	o := submit.DefaultOptions()
	o.SweepEvery = 10 * time.Second
	o.ProbeEvery = 20 * time.Second
	return o
}

func simOptions(c submit.Caps) clustersim.Options {
	return clustersim.Options{Caps: c, StartAfter: time.Second, RunTime: 5 * time.Second}
}

// newWorld makes a world on m. A seed of 0 lets tasks take turns.
func newWorld(t testing.TB, m *memfs.Mem, seed uint64, so clustersim.Options) *world {
	w := &world{scope: &scope{TB: t}, m: m, caps: so.Caps, opt: testOptions(), epochs: map[string]uint64{}, seal: time.Minute}
	w.env = envtest.New(w.scope, seed)
	w.env.Interleave(m)
	so.Now = w.env.Now
	w.sim = clustersim.New(so)
	w.opt.StrictGuard = so.Guard
	w.quiet = m.View("quiet")
	w.mayPark = func(string, string) bool { return false }
	m.Quiet(func() {
		f := spool.Format{Version: spool.FormatVersion, SpoolID: testSpoolID}
		f.Stages.Translate.Dir, f.Stages.Submit.Dir = "xml", "json"
		if _, _, err := spool.Init(w.quiet, f); err != nil {
			panic(err)
		}
	})
	w.sim.OnStart = func(name, _ string) {
		if w.opt.StrictGuard {
			w.m.Quiet(func() { w.guard(strings.TrimPrefix(name, prefix)) })
		}
	}
	w.env.RunFor(time.Second) // zero is no time
	return w
}

// memWorld is a world for a test that writes its schedule itself.
func memWorld(t *testing.T, so clustersim.Options) *world {
	t.Helper()
	m := memfs.New(memfs.Options{SyncExport: true, MaxOps: 20_000_000, NoTrace: true})
	w := newWorld(t, m, 0, so)
	t.Cleanup(func() {
		if left := m.Unfired(); len(left) > 0 {
			t.Errorf("the schedule didn't come about: %v", left)
		}
		if left := w.sim.Unfired(); len(left) > 0 {
			t.Errorf("the schedule didn't come about: %v", left)
		}
		if t.Failed() {
			t.Log(w.describe())
		}
		w.scope.close()
	})
	return w
}

func (w *world) describe() string {
	var b strings.Builder
	for _, e := range w.events {
		fmt.Fprintf(&b, "%v %s/%d %s %s %s +%d =%s %s %s\n", e.Time.Sub(time.Date(2001, 9, 9, 1, 46, 40, 0, time.UTC)), e.Host, e.Epoch,
			e.Event, e.Job, e.Token, e.Gen, e.Cluster, e.Result, e.Detail)
	}
	fmt.Fprintf(&b, "starts: %+v\njobs: %+v\n%s", w.sim.Starts(), w.sim.Jobs(), w.m.Tree())
	return b.String()
}

func mkdirs(fs vfs.FS, dirs ...string) {
	for _, d := range dirs {
		if err := fs.Mkdir(d); err != nil && !errors.Is(err, syscall.EEXIST) {
			panic(err)
		}
	}
}

// guard makes the link that a job's guard makes.
func (w *world) guard(id string) {
	p := spool.StartedPath(id)
	mkdirs(w.quiet, path.Dir(p))
	_, _ = w.quiet.Create(p, nil)
}

// feed lets n more jobs in, as if they had been translated.
func (w *world) feed(n int) {
	w.m.Quiet(func() {
		for range n {
			id := jobID(len(w.ids) + 1)
			w.ids = append(w.ids, id)
			w.put(id, spool.Name{ID: id})
		}
	})
}

// put writes a job's file as an entry, and its gate link if there is none.
func (w *world) put(id string, n spool.Name) {
	job := codec.Job{Name: "test", Script: "#!/bin/sh\n"}
	rec := codec.Record{ID: id, Job: job, Client: "test", ReceivedAt: time.Unix(1e9, 0).UTC(), ReceivedBy: "a", Digest: codec.Digest(job)}
	doc, err := codec.EncodeJSON(rec)
	if err != nil {
		panic(err)
	}
	entry := spool.DefaultLayout().EntryPath(spool.Submit, n)
	if _, err := w.quiet.Create(entry, doc); err != nil {
		panic(err)
	}
	mkdirs(w.quiet, path.Dir(spool.GatePath(id)))
	_ = w.quiet.Link(entry, spool.GatePath(id))
}

// request leaves a person's request for a job.
func (w *world) request(kind, id string) {
	w.m.Quiet(func() { _, _ = w.quiet.Create(spool.RequestPath(kind, id), nil) })
}

// instance makes the next instance of a host, which does nothing yet.
func (w *world) instance(host string) *proc {
	w.epochs[host]++
	epoch := w.epochs[host]
	p := &proc{w: w, view: w.m.View(host), over: spool.Over{Host: host, Epoch: epoch, Why: "test", Death: true}}
	p.host = w.env.Host(host, p.view)
	w.m.Quiet(func() {
		mkdirs(w.quiet, spool.HostDir(host), spool.JournalDir(host))
		for _, base := range []string{spool.DirClaims, spool.DirSealed, spool.DirDrafts} {
			mkdirs(w.quiet, path.Join(base, host), spool.EpochDir(base, host, epoch))
		}
		s, err := spool.Open(p.host)
		if err != nil {
			panic(err)
		}
		p.in, err = spool.NewInstance(s, spool.Stamp{Host: host, Epoch: epoch, Version: "test"}, func(e spool.Event) { w.events = append(w.events, e) })
		if err != nil {
			panic(err)
		}
	})
	var cluster submit.Cluster = w.sim.Client(p.host, clustersim.Site{Host: host, Prefix: prefix, Kill: p.host.Kill})
	if w.wrap != nil {
		cluster = w.wrap(cluster)
	}
	p.eng = submit.New(p.in, cluster, w.opt)
	return p
}

// start runs the next instance of a host, with what its daemon does beside.
func (w *world) start(host string) *proc {
	p := w.instance(host)
	w.procs = append(w.procs, p)
	work, cut := context.WithCancelCause(context.Background())
	take, stop := context.WithCancelCause(work)
	p.stop, p.cut = stop, cut
	p.in.OnFenced = cut
	p.host.Go("main", func() {
		for _, q := range w.procs { // its own earlier epochs, before it is ready
			if q.over.Host == host && q != p && !q.gone {
				q.dead = max(q.dead, 1)
				p.reclaim(q)
			}
		}
		p.host.Go("sweep", func() { p.sweep(take) })
		p.host.Go("watch", func() { p.watch(take) })
		p.eng.Run(take, work)
		p.ended = true
	})
	return p
}

func (p *proc) reclaim(q *proc) {
	did, err := p.in.Reclaim(q.over, p.eng.Adopt)
	if err == nil && did.Gone {
		q.gone = true
	}
	if did.Returned > 0 {
		p.eng.Hint()
	}
}

func (p *proc) sweep(ctx context.Context) {
	s := spool.NewSweep(p.in, p.eng.Adopt)
	for p.host.Sleep(ctx, 5*time.Second) == nil {
		_, _ = s.Pass()
	}
}

// watch takes over from what is dead for three seconds, or declared over, and
// finishes what is sealed for too long.
func (p *proc) watch(ctx context.Context) {
	seen := map[string]time.Duration{}
	for p.host.Sleep(ctx, time.Second) == nil {
		now := p.w.env.Now()
		for _, q := range p.w.procs {
			if q.gone || q == p {
				continue
			}
			if q.dead == 0 && (q.view.Dead() || q.fenced || q.ended) {
				q.dead = now
			}
			if q.dead > 0 && now-q.dead >= 3*time.Second {
				p.reclaim(q)
			}
		}
		var stuck []spool.Found
		_ = p.in.ScanOwned(func(f spool.Found) {
			if seen[f.Path] == 0 {
				seen[f.Path] = now
			}
			if f.Place == spool.PlaceSealed && now-seen[f.Path] > p.w.seal {
				stuck = append(stuck, f)
			}
		})
		for _, f := range stuck {
			_ = p.in.FinishStuck(f, p.eng.Adopt)
		}
	}
}

func (p *proc) alive() bool { return !p.view.Dead() && !p.ended && !p.fenced }

// fence declares an instance over though it may live.
func (p *proc) fence() { p.fenced = true }
