package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"

	"fencepost/codec"
	"fencepost/spool"
	"fencepost/spool/vfs/mountstats"
	"fencepost/submit"
)

// Config says what to measure. All fields but Cluster and Calls are required.
type Config struct {
	Dir     string // on the file system that is measured; a new directory is made in it
	Jobs    int    // a round
	Rounds  int
	Clients int // jobs on their way in at a time
	Workers int // of a stage of a host
	Hosts   int // instances, in this process
	Size    int // bytes of a job's script
	Idle    int // jobs that are sent one at a time to a pipeline without work
	Backlog int // entries that wait, in a measurement of its own; 0 = none
	Version string

	// Cluster makes a host's backend on the bench's spool; nil = one that
	// accepts at once.
	Cluster func(sp *spool.Spool, root, host string, opt *submit.Options) (submit.Cluster, error)

	// Calls counts what was asked of the file server so far; nil = there is none.
	Calls func() (mountstats.Counts, error)

	// Patience is how long no job may go on.
	Patience time.Duration
	// Progress is told how much of all is done; it may be called by several
	// goroutines at once.
	Progress func(done, total int, what string)
	// Warn is told what went wrong without ending the run.
	Warn func(what string)
}

// ErrStalled is returned when no job went on for Config.Patience.
var ErrStalled = errors.New("no job goes on")

// Prefix begins the name of the directory that a run makes. No part of fencepost
// takes it for anything.
const Prefix = ".fencepost-bench-"

// Run measures.
func Run(ctx context.Context, cfg Config) (rep *Report, err error) {
	root, err := os.MkdirTemp(cfg.Dir, Prefix)
	if err != nil {
		return nil, fmt.Errorf("make a directory to work in: %w", err)
	}
	defer func() {
		if errors.Is(err, ErrStalled) {
			return // a share that doesn't answer wouldn't answer this either
		}
		if rerr := os.RemoveAll(root); rerr != nil && err == nil {
			err = fmt.Errorf("clear up: %w", rerr)
		}
	}()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	b := &bench{cfg: cfg, root: root, pulse: newPulse(cfg)}
	stop := b.pulse.watch(cancel, cfg.Patience)
	defer stop()
	rep, err = b.run(ctx)
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	return rep, err
}

type bench struct {
	cfg   Config
	root  string
	pulse *pulse
	rep   *Report
	floor *floor
}

func (b *bench) run(ctx context.Context) (*Report, error) {
	c := b.cfg
	b.rep = &Report{Directory: c.Dir, Jobs: c.Jobs, Clients: c.Clients, Workers: c.Workers, Hosts: c.Hosts, ScriptBytes: c.Size, Version: c.Version}
	if err := b.openFloor(); err != nil {
		return nil, err
	}
	defer b.floor.close()
	w, err := newWorld(c, filepath.Join(b.root, "spool"), b.pulse)
	if err != nil {
		return nil, err
	}
	defer w.close()
	b.pulse.begin(b.steps(w))
	if w.held() { // first: what comes later would be in its listings
		if err := b.againstBare(ctx); err != nil {
			return nil, err
		}
	}
	all := []spool.Stage{spool.Ingest, spool.Translate, spool.Submit}
	if err := w.start(ctx, all); err != nil {
		return nil, err
	}
	defer w.stop()
	if err := w.settle(ctx); err != nil {
		return nil, err
	}
	// Buckets are made, and caches filled, before anything is counted.
	if _, err := w.load(ctx, c.Clients*c.Hosts, c.Clients); err != nil {
		return nil, err
	}
	before, began := w.counts(), time.Now()
	for r := range c.Rounds {
		if err := b.round(ctx, w, r); err != nil {
			return nil, err
		}
	}
	b.sum(w, before, time.Since(began))
	if err := b.idle(ctx, w); err != nil {
		return nil, err
	}
	w.stop()
	if c.Calls != nil {
		if err := b.apart(ctx, w); err != nil {
			return nil, err
		}
	}
	if c.Backlog > 0 {
		if err := b.backlog(ctx); err != nil {
			return nil, err
		}
	}
	b.rep.finish()
	return b.rep, nil
}

// steps is how often the pulse will be heard: three steps a job, and a start.
func (b *bench) steps(w *world) int {
	c := b.cfg
	n := c.Hosts + 3*(2*c.Rounds*c.Jobs+c.Idle+c.Clients*c.Hosts)
	if c.Backlog > 0 {
		n += smallBacklog*2 + c.Backlog + min(c.Backlog, backlogJobs) + 2*c.Hosts
	}
	if w.held() { // released and done, and the bare calls
		n += 3 * (c.Workers + c.Rounds*c.Jobs)
	}
	if c.Calls != nil {
		n += 3 * (2*c.Hosts + c.Jobs)
	}
	return n
}

// openFloor prepares files of the size that a job's files have.
func (b *bench) openFloor() error {
	j := Job(b.cfg.Size)
	r := record(newID(), j, codec.Digest(j))
	xml, err := codec.EncodeXML(r)
	if err != nil {
		return fmt.Errorf("make a job: %w", err)
	}
	json, err := codec.EncodeJSON(r)
	if err != nil {
		return fmt.Errorf("make a job: %w", err)
	}
	b.floor, err = newFloor(filepath.Join(b.root, "floor"), xml, json, make([]byte, eventBytes))
	return err
}

// eventBytes is about what a job's events have in a journal, divided by the two
// times that it has to be written for the job.
const eventBytes = 1200

// round lets floor and pipeline do the same, one after the other; who begins
// changes with each round.
func (b *bench) round(ctx context.Context, w *world, r int) error {
	var res Round
	parts := []func() error{
		func() (err error) { res.FloorJobsPerSecond, err = b.runFloor(ctx); return err },
		func() error {
			before, err := b.calls()
			if err != nil {
				return err
			}
			l, err := w.load(ctx, b.cfg.Jobs, b.cfg.Clients)
			if err != nil {
				return err
			}
			if err := b.addCalls(before); err != nil {
				return err
			}
			res.JobsPerSecond = float64(b.cfg.Jobs) / l.took.Seconds()
			b.rep.accept, b.rep.submitted = append(b.rep.accept, l.accept...), append(b.rep.submitted, l.submitted...)
			return nil
		},
	}
	if r%2 == 1 {
		slices.Reverse(parts)
	}
	for _, part := range parts {
		if err := part(); err != nil {
			return err
		}
	}
	res.Ratio = res.JobsPerSecond / res.FloorJobsPerSecond
	b.rep.Rounds = append(b.rep.Rounds, res)
	return nil
}

func (b *bench) runFloor(ctx context.Context) (rate float64, err error) {
	ids := make([]string, b.cfg.Jobs)
	for i := range ids {
		ids[i] = newID()
	}
	began := time.Now()
	err = b.floor.run(ctx, ids, b.cfg.Clients*b.cfg.Hosts, b.cfg.Workers*b.cfg.Hosts, func() { b.pulse.tick("floor") })
	return float64(len(ids)) / time.Since(began).Seconds(), err
}

// calls is what the file server was asked so far; nil where there is none.
func (b *bench) calls() (mountstats.Counts, error) {
	if b.cfg.Calls == nil {
		return nil, nil
	}
	return b.cfg.Calls()
}

// addCalls adds what was asked since to the costs of a job.
func (b *bench) addCalls(before mountstats.Counts) error {
	after, err := b.calls()
	if err != nil || after == nil {
		return err
	}
	if b.rep.RPCs == nil {
		b.rep.RPCs = map[string]float64{}
	}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if n := after[name] - before[name]; n > 0 {
			b.rep.RPCs[name] += float64(n) / float64(b.cfg.Jobs*b.cfg.Rounds)
		}
	}
	b.rep.RPCsTotal = total(b.rep.RPCs)
	return nil
}

// sum turns what was counted since the marks into costs of a job.
func (b *bench) sum(w *world, before counts, spent time.Duration) {
	jobs := float64(b.cfg.Jobs * b.cfg.Rounds)
	ops := w.counts().since(before, jobs)
	other := ops[rowOther].Total() * jobs
	b.rep.Background = other / spent.Seconds() / float64(b.cfg.Hosts)
	delete(ops, rowOther)
	floorCalls, floorSyncs := float64(b.floor.calls.Load())/jobs, float64(b.floor.syncs.Load())/jobs
	b.rep.Floor = FloorCost{Calls: floorCalls, Fsyncs: floorSyncs}
	for _, stage := range rows() {
		if o := ops[stage]; o != nil {
			b.rep.Stages = append(b.rep.Stages, StageCost{Stage: stage, Operations: o.Total(), Fsyncs: o[opSync], Kinds: o})
		}
	}
	b.rep.LostClaims = float64(w.lost()) / jobs
}

func rows() []string {
	return []string{stageAccept, string(spool.Translate), string(spool.Submit), rowJournal}
}

// idle sends jobs one at a time, with pauses, so that each finds nobody at work.
func (b *bench) idle(ctx context.Context, w *world) error {
	for range b.cfg.Idle {
		l, err := w.load(ctx, 1, 1)
		if err != nil {
			return err
		}
		b.rep.idleAccept = append(b.rep.idleAccept, l.accept...)
		b.rep.idleSubmitted = append(b.rep.idleSubmitted, l.submitted...)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(idlePause):
		}
	}
	return nil
}

// idlePause is longer than the shortest poll, so that a hint has to do it.
const idlePause = 50 * time.Millisecond

// record is a job as a daemon keeps it. All have the same contents: to make them
// is the client's work, and isn't measured.
func record(id string, j codec.Job, digest string) codec.Record {
	return codec.Record{ID: id, Job: j, Client: "bench", ReceivedAt: time.Now().UTC().Truncate(time.Millisecond), ReceivedBy: "bench",
		Digest: digest}
}

// Job is what is in the jobs.
func Job(size int) codec.Job {
	script := make([]byte, 0, size+16)
	script = append(script, "#!/bin/sh\nexit 0\n"...)
	for len(script) < size {
		script = append(script, "# a line of a job's script\n"[:min(27, size-len(script))]...)
	}
	return codec.Job{Name: "bench", Script: string(script), Owner: "bench", Resources: codec.Resources{CPUs: 1, MemoryMB: 64}}
}

func newID() string {
	id, err := uuid.NewV7()
	if err != nil {
		panic(err) // crypto/rand doesn't fail
	}
	return id.String()
}
