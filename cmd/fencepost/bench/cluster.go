package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"fencepost/codec"
	"fencepost/spool"
	"fencepost/submit"
)

// Cluster is how quickly jobs got to the cluster, held and then released: by the
// bare calls, and by the submit stage. Rates and ratio are medians of the rounds.
type Cluster struct {
	Jobs              int     `json:"jobs"` // a round
	Parallel          int     `json:"parallel"`
	JobsPerSecond     float64 `json:"jobs_per_second"`
	BareJobsPerSecond float64 `json:"bare_jobs_per_second"`
	Ratio             float64 `json:"ratio"`
	Rounds            []Bare  `json:"rounds"`
}

// Bare is a round of a Cluster.
type Bare struct {
	JobsPerSecond     float64 `json:"jobs_per_second"`
	BareJobsPerSecond float64 `json:"bare_jobs_per_second"`
	Ratio             float64 `json:"ratio"`
}

// watched is a host's cluster whose calls are timed.
type watched struct {
	submit.Cluster

	mu       sync.Mutex
	first    time.Time // the first submission began
	last     time.Time // the last release of a job ended
	released map[string]bool
	want     int
	done     chan struct{} // closed when so many are released
}

// expect starts anew.
func (c *watched) expect(n int) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.first, c.last, c.want, c.released, c.done = time.Time{}, time.Time{}, n, map[string]bool{}, make(chan struct{})
	return c.done
}

func (c *watched) took() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last.Sub(c.first)
}

func (c *watched) Submit(ctx context.Context, r submit.Request) (string, error) {
	c.mu.Lock()
	if c.first.IsZero() {
		c.first = time.Now()
	}
	c.mu.Unlock()
	return c.Cluster.Submit(ctx, r)
}

func (c *watched) Release(ctx context.Context, ids []string) error {
	err := c.Cluster.Release(ctx, ids)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = time.Now()
	for _, id := range ids {
		c.released[id] = true
	}
	if c.done != nil && len(c.released) >= c.want {
		close(c.done)
		c.done = nil
	}
	return nil
}

// againstBare compares the submit stage of one host with the bare calls of its
// cluster: the same backend, the same jobs, as many at a time, no spool.
func (b *bench) againstBare(ctx context.Context) error {
	p, err := b.newPair(ctx)
	if err != nil {
		return err
	}
	defer p.close()
	rep := &Cluster{Jobs: b.cfg.Jobs, Parallel: b.cfg.Workers}
	for r := range b.cfg.Rounds {
		var x Bare
		parts := []func() error{
			func() (err error) {
				x.BareJobsPerSecond, err = p.bare(ctx, b.cfg.Jobs)
				return errors.Join(err, p.quiet(ctx))
			},
			func() (err error) { x.JobsPerSecond, err = p.submitted(ctx, b.cfg.Jobs); return err },
			func() error { return errors.Join(p.confirmed(ctx), p.quiet(ctx)) },
		}
		if r%2 == 1 {
			parts[0], parts[1], parts[2] = parts[1], parts[2], parts[0]
		}
		for _, part := range parts {
			if err := part(); err != nil {
				return err
			}
		}
		rep.add(x)
	}
	b.rep.ClusterCalls = rep
	return nil
}

func (c *Cluster) add(x Bare) {
	x.Ratio = x.JobsPerSecond / x.BareJobsPerSecond
	c.Rounds = append(c.Rounds, x)
	c.JobsPerSecond = median(c.Rounds, func(x Bare) float64 { return x.JobsPerSecond })
	c.BareJobsPerSecond = median(c.Rounds, func(x Bare) float64 { return x.BareJobsPerSecond })
	c.Ratio = median(c.Rounds, func(x Bare) float64 { return x.Ratio })
}

// pair is a submit stage, and the cluster that it submits to.
type pair struct {
	*world
	cluster *watched
}

// newPair starts a stage on a spool of its own.
func (b *bench) newPair(ctx context.Context) (*pair, error) {
	p := &pair{}
	one := b.cfg
	one.Hosts = 1
	one.Cluster = func(sp *spool.Spool, root, host string, opt *submit.Options) (submit.Cluster, error) {
		inner, err := b.cfg.Cluster(sp, root, host, opt)
		p.cluster = &watched{Cluster: inner}
		return p.cluster, err
	}
	w, err := newWorld(one, filepath.Join(b.root, "cluster"), b.pulse)
	if err != nil {
		return nil, err
	}
	p.world = w
	w.audits = noAudits // there are no gates
	err = w.start(ctx, []spool.Stage{spool.Submit})
	// Both ways once before anything is counted: the canary is over then.
	if err == nil {
		_, err = p.submitted(ctx, b.cfg.Workers)
	}
	if err == nil {
		err = p.confirmed(ctx)
	}
	if err == nil {
		_, err = p.bare(ctx, b.cfg.Workers)
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *pair) close() {
	p.stop()
	p.world.close()
}

// quietTime is how long jobs that were released may go on running, beside what is
// measured next.
const quietTime = 30 * time.Second

// quiet waits until the jobs that were released are over, where they soon are: on
// a small cluster they take the processors from what is measured next.
func (p *pair) quiet(ctx context.Context) error {
	for end := time.Now().Add(quietTime); time.Now().Before(end); {
		jobs, err := p.cluster.List(ctx)
		if err != nil {
			return fmt.Errorf("wait for the jobs' end: %w", err)
		}
		if !slices.ContainsFunc(jobs, func(j submit.Job) bool { return j.State == submit.Pending || j.State == submit.Running }) {
			return nil
		}
		p.pulse.tick("waiting for jobs to end")
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Second):
		}
	}
	return nil
}

// submitted lets the submit stage have n entries, and returns its rate, from the
// first submission to the last release.
func (p *pair) submitted(ctx context.Context, n int) (rate float64, err error) {
	names, err := p.prepare(ctx, n)
	if err != nil {
		return 0, err
	}
	done := p.cluster.expect(n)
	l := spool.DefaultLayout()
	for _, id := range names {
		if err := os.Rename(p.aside(id), filepath.Join(p.root, l.EntryPath(spool.Submit, spool.Name{ID: id}))); err != nil {
			return 0, fmt.Errorf("fill the spool: %w", err)
		}
	}
	select {
	case <-done:
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	return float64(n) / p.cluster.took().Seconds(), nil
}

// confirmed waits until the stage has nothing more to do: the listings that confirm
// its jobs would slow down what is measured next.
func (p *pair) confirmed(ctx context.Context) error {
	for st := p.hosts[0].node.Stats().Submit; st.Confirmed+st.Parked < st.Submitted; st = p.hosts[0].node.Stats().Submit {
		select {
		case <-time.After(shortPause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

const shortPause = 100 * time.Millisecond

func (w *world) aside(id string) string { return filepath.Join(w.root, "..", id) }

// prepare writes n entries beside the spool: that isn't the stage's work.
func (w *world) prepare(ctx context.Context, n int) (ids []string, err error) {
	for range n {
		r := record(newID(), w.job, w.digest)
		data, err := codec.EncodeJSON(r)
		if err == nil {
			err = os.WriteFile(w.aside(r.ID), data, 0o440)
		}
		if err != nil {
			return nil, fmt.Errorf("fill the spool: %w", err)
		}
		ids = append(ids, r.ID)
	}
	return ids, context.Cause(ctx)
}

// bare submits n jobs and releases each, so many at a time as the stage has
// workers.
func (p *pair) bare(ctx context.Context, n int) (rate float64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for range p.cfg.Workers {
		wg.Go(func() {
			for ctx.Err() == nil && int(next.Add(1)) <= n {
				if err := p.bareJob(ctx); err != nil {
					cancel(fmt.Errorf("bare submission: %w", err))
				}
			}
		})
	}
	wg.Wait()
	return float64(n) / time.Since(began).Seconds(), context.Cause(ctx)
}

func (p *pair) bareJob(ctx context.Context) error {
	r := record(newID(), p.job, p.digest)
	// No token of this spool: the sweep leaves it alone.
	id, err := p.cluster.Cluster.Submit(ctx, submit.Request{Key: r.ID, Name: "bare-" + r.ID, Token: "bare", Host: "bench", SpoolID: p.format.SpoolID, Record: r})
	if err == nil {
		err = p.cluster.Cluster.Release(ctx, []string{id})
	}
	p.pulse.tick("bare calls")
	return err
}

// held says whether the hosts' cluster submits held and lists.
func (w *world) held() bool {
	caps := w.hosts[0].cluster.Caps()
	return caps.Hold && caps.List
}
