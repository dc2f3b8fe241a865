package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fencepost/cmd/fencepost/node"
	"fencepost/codec"
	"fencepost/lease"
	"fencepost/spool"
	"fencepost/spool/env"
	"fencepost/spool/vfs"
	"fencepost/submit"
)

// world is a spool with hosts, all in this process, each with a view of the
// share of its own.
type world struct {
	cfg    Config
	root   string
	format spool.Format
	pulse  *pulse
	hosts  []*host
	job    codec.Job
	digest string

	mu    sync.Mutex
	jobs  map[string]*job // under way, by id
	left  int             // of them, those that have no end yet
	until string          // the event that is their end; "" = what ends a job
	ended chan struct{}   // closed when left falls to 0
	turn  atomic.Uint64
	done  atomic.Int64 // ends of jobs that these hosts saw, whoever sent them

	audits    time.Duration // 0 = as a daemon's
	published *atomic.Int64 // how many are still to be published; nil = single jobs are waited for
	stopAll   func()
}

// job is what is known of one.
type job struct {
	sent, accepted, handed time.Time
	over                   bool
}

type host struct {
	name    string
	fs      *vfs.OS
	counted *counted
	sp      *spool.Spool
	cluster submit.Cluster
	opt     submit.Options
	node    *node.Node
}

func newWorld(cfg Config, root string, p *pulse) (*world, error) {
	w := &world{cfg: cfg, root: root, pulse: p, jobs: map[string]*job{}, stopAll: func() {}, job: Job(cfg.Size)}
	w.digest = codec.Digest(w.job)
	if err := os.Mkdir(root, 0o770); err != nil {
		return nil, fmt.Errorf("make the spool: %w", err)
	}
	for i := range cfg.Hosts {
		h, err := w.newHost(fmt.Sprintf("bench-%d", i+1))
		if err != nil {
			w.close()
			return nil, err
		}
		w.hosts = append(w.hosts, h)
	}
	return w, nil
}

func (w *world) newHost(name string) (*host, error) {
	fs, err := vfs.OpenOS(w.root)
	if err != nil {
		return nil, fmt.Errorf("open the spool: %w", err)
	}
	fs.Unique = spool.Unique
	h := &host{name: name, fs: fs, counted: newCounted(fs, name), opt: submit.DefaultOptions()}
	e := env.NewReal(h.counted)
	f, err := spool.NewFormat()
	if err == nil {
		w.format, _, err = spool.Init(fs, f)
	}
	if err == nil {
		_, err = lease.Enroll(context.Background(), e, lease.Member{Host: name, By: "fencepost bench"})
	}
	if err != nil {
		fs.Close()
		return nil, fmt.Errorf("make the spool: %w", err)
	}
	h.sp = spool.New(e, w.format)
	h.opt.Workers = w.cfg.Workers
	h.cluster = &Instant{}
	if w.cfg.Cluster != nil {
		if h.cluster, err = w.cfg.Cluster(h.sp, w.root, name, &h.opt); err != nil {
			fs.Close()
			return nil, fmt.Errorf("cluster: %w", err)
		}
	}
	return h, nil
}

func (w *world) close() {
	for _, h := range w.hosts {
		h.fs.Close()
	}
}

// start starts all hosts with the given stages, and waits until they are ready.
func (w *world) start(ctx context.Context, stages []spool.Stage) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	ready := make(chan struct{}, len(w.hosts))
	failed := make(chan error, len(w.hosts))
	for _, h := range w.hosts {
		h.node = node.New(w.nodeConfig(h, stages))
		wg.Go(func() {
			if err := h.node.Run(ctx, func(uint64) { ready <- struct{}{} }); err != nil {
				failed <- fmt.Errorf("host %s: %w", h.name, err)
			}
		})
	}
	w.stopAll = sync.OnceFunc(func() {
		cancel(errStop)
		wg.Wait()
	})
	for range w.hosts {
		select {
		case <-ready:
			w.pulse.tick("start")
		case err := <-failed:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// settle waits until the hosts have seen each other: a few heartbeats.
func (w *world) settle(ctx context.Context) error {
	if len(w.hosts) == 1 {
		return nil
	}
	select {
	case <-time.After(3 * heartbeat):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

const heartbeat = time.Second

var errStop = errors.New("the measurement is over")

func (w *world) stop() { w.stopAll() }

func (w *world) nodeConfig(h *host, stages []spool.Stage) node.Config {
	return node.Config{Env: h.sp.Env, Spool: h.sp, Identity: lease.Identity{Host: h.name, MachineID: "machine-of-" + h.name, BootID: "boot",
		PID: os.Getpid(), Nonce: "nonce-" + h.name, Started: time.Now(), Version: w.cfg.Version, ConfigDigest: "bench"},
		Heartbeat: heartbeat, TTL: 10 * time.Second, Stages: stages, Workers: w.cfg.Workers, Poll: h.opt.Poll, MaxPoll: h.opt.MaxPoll,
		AuditEvery: w.audits, ClaimMax: 10 * time.Minute, SealMax: 10 * time.Minute, Grace: 2 * time.Second, Convert: codec.Translate,
		Cluster: h.cluster, Submit: h.opt, Tee: w.saw, Warn: w.warn}
}

func (w *world) warn(event string, words ...any) {
	w.cfg.Warn(strings.TrimSpace(event + ": " + fmt.Sprintln(words...)))
}

// saw takes note of what an event says of a job.
func (w *world) saw(ev spool.Event) {
	switch ev.Event {
	case spool.EvSubmitted:
		w.note(ev.Job, func(j *job) { j.handed = time.Now() })
	case spool.EvFailed, spool.EvParked, spool.EvRejected:
		w.warn(ev.Event, ev.Job, ev.Detail)
		w.note(ev.Job, func(j *job) { j.over = true })
	case spool.EvTrouble:
		w.warn(ev.Result, ev.Detail)
	case spool.EvPublished, spool.EvDone, spool.EvReleased, spool.EvAccepted:
		w.pulse.tick("jobs")
		if ev.Event == spool.EvDone {
			w.done.Add(1)
		}
		if p := w.published; p != nil {
			if ev.Event == spool.EvPublished && p.Add(-1) == 0 {
				close(w.ended)
			}
			return
		}
		w.note(ev.Job, func(j *job) { j.over = j.over || w.ends(ev.Event) })
	}
}

// ends says whether an event is the end of a job, as far as it is waited for. A
// job that was released is with the cluster: that it is confirmed takes seconds,
// and nobody waits for it. It is called with mu held.
func (w *world) ends(event string) bool {
	if w.until != "" {
		return event == w.until
	}
	return event == spool.EvDone || event == spool.EvReleased
}

// note changes what is known of a job.
func (w *world) note(id string, f func(*job)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	j := w.jobs[id]
	if j == nil {
		return
	}
	was := j.over
	f(j)
	if j.over && !was {
		if w.left--; w.left == 0 {
			close(w.ended)
		}
	}
}

// counts sums up what the hosts asked for.
func (w *world) counts() counts {
	sum := counts{}
	for _, h := range w.hosts {
		c := h.counted.counts()
		for _, stage := range append(rows(), rowOther) {
			for kind, n := range c[stage] {
				sum.add(stage, kind, n)
			}
		}
	}
	return sum
}

// lost is the number of claims that another host was quicker with.
func (w *world) lost() (n int) {
	for _, h := range w.hosts {
		claims := h.node.Stats().Claims
		for _, stage := range spool.Stages() {
			n += claims[stage].Lost
		}
	}
	return n
}

// loaded is what a load showed.
type loaded struct {
	took              time.Duration
	accept, submitted []time.Duration
}

// expect registers jobs that are to come to their end.
func (w *world) expect(ids []string, until string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.until, w.jobs, w.left, w.ended = until, map[string]*job{}, len(ids), make(chan struct{})
	for _, id := range ids {
		w.jobs[id] = &job{}
	}
}

// load sends n jobs, so many at a time to each host, and waits for the end of
// all of them.
func (w *world) load(ctx context.Context, n, clients int) (loaded, error) {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = newID()
	}
	w.expect(ids, "")
	began := time.Now()
	if err := w.send(ctx, ids, clients*len(w.hosts)); err != nil {
		return loaded{}, err
	}
	if err := w.await(ctx); err != nil {
		return loaded{}, err
	}
	l := loaded{took: time.Since(began)}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		j := w.jobs[id]
		l.accept = append(l.accept, j.accepted.Sub(j.sent))
		l.submitted = append(l.submitted, max(j.handed.Sub(j.accepted), 0))
	}
	return l, nil
}

// await waits for the end of the jobs that are expected.
func (w *world) await(ctx context.Context) error {
	w.mu.Lock()
	ended := w.ended
	w.mu.Unlock()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-ended:
		return nil
	}
}

// send hands the jobs in, to the hosts in turn.
func (w *world) send(ctx context.Context, ids []string, wide int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(wide, len(ids)) {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(ids) {
					return
				}
				if err := w.sendOne(ids[i]); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

func (w *world) sendOne(id string) error {
	h := w.hosts[w.turn.Add(1)%uint64(len(w.hosts))]
	sent := time.Now()
	data, err := codec.EncodeXML(record(id, w.job, w.digest))
	if err == nil {
		_, err = h.node.Accept(id, data, nil)
	}
	if err != nil {
		return fmt.Errorf("host %s: %w", h.name, err)
	}
	w.mu.Lock()
	j := w.jobs[id]
	j.sent, j.accepted = sent, time.Now()
	w.mu.Unlock()
	return nil
}

// Instant is a cluster that accepts everything at once. It has a key, so that
// all steps of the protocol are taken that don't need an answer.
type Instant struct{ n atomic.Uint64 }

var _ submit.Cluster = (*Instant)(nil)

func (c *Instant) Caps() submit.Caps { return submit.Caps{Key: true} }

func (c *Instant) Pin(context.Context) (map[string]string, error) {
	return map[string]string{"backend": "instant"}, nil
}

func (c *Instant) Probe(context.Context) error        { return nil }
func (c *Instant) Slots(context.Context) (int, error) { return -1, nil }

func (c *Instant) Submit(context.Context, submit.Request) (string, error) {
	return fmt.Sprint(c.n.Add(1)), nil
}

func (c *Instant) List(context.Context) ([]submit.Job, error) { return nil, submit.ErrNotSupported }
func (c *Instant) Release(context.Context, []string) error    { return submit.ErrNotSupported }
func (c *Instant) Cancel(context.Context, string) error       { return submit.ErrNotSupported }

func (c *Instant) Past(context.Context, string) (submit.Past, error) {
	return submit.Past{}, submit.ErrNotSupported
}
