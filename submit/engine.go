package submit

import (
	"context"
	"sync"
	"time"

	"fencepost/spool"
	"fencepost/spool/env"
)

// Options are the engine's settings.
type Options struct {
	Workers      int           // submissions at a time
	Window       int           // held submissions not yet released, of this host
	MaxWindow    int           // what Window becomes once submissions waited for a listing; 0 = it doesn't
	ConfirmAfter time.Duration // a released job counts when it is seen so twice, this far apart
	ListEvery    time.Duration // one listing of the cluster in this time, at most
	PastFor      time.Duration // how long the scheduler's record is asked for an absent job
	KeyWindow    time.Duration // how long a submission with a key may be repeated; 0 = for ever
	ProbeEvery   time.Duration // fitness, between claims
	SweepEvery   time.Duration // ghosts
	Poll         time.Duration // of the stage's directory
	MaxPoll      time.Duration
	// StrictGuard says that jobs carry a guard that lets one start of a job
	// id happen, so that a job which the cluster forgot may be submitted again.
	StrictGuard bool
}

// DefaultOptions are the settings unless told otherwise.
func DefaultOptions() Options {
	return Options{Workers: 4, Window: 200, MaxWindow: 2000, ConfirmAfter: 7 * time.Second, ListEvery: 2 * time.Second,
		PastFor: time.Minute, ProbeEvery: time.Minute, SweepEvery: time.Minute,
		Poll: 200 * time.Millisecond, MaxPoll: 2 * time.Second}
}

// Engine is the submit stage of one instance.
type Engine struct {
	// Paused says that nothing new may be claimed; nil = never. Set before Run.
	Paused func() bool
	// Peers sums up the last outcomes of other hosts' submissions; nil = there
	// are none to compare with. Set before Run.
	Peers func() (ok, bad int)

	in      *spool.Instance
	env     env.Env
	cluster Cluster
	caps    Caps
	opt     Options
	taker   *spool.Taker
	look    env.Signal // the tracker has something to do
	recheck env.Signal // the prober has something to do
	full    env.Signal // the window keeps workers idle

	mu       sync.Mutex        // never held across a call to env, cluster or instance
	pin      map[string]string // what the cluster must say of itself; nil = not known yet
	tracked  map[string]*tracked
	unfit    string // why this host can't submit; "" = fit
	suspect  string // why its last submissions were refused; "" = one succeeded since
	away     bool   // unfit is the cluster's doing: it is down, or full
	refusals int    // how often unfit was set
	streak   int    // failures of this host in a row
	sentBack time.Duration
	requests requestCache
	ages     ages
	orphans  map[string]bool // held jobs whose epoch was gone at the last sweep; the sweeper's alone
	stats    Stats
	window   int    // Options.Window, or MaxWindow
	underWay int    // submissions, from their start to their seal
	starved  bool   // the window kept workers idle since the last listing
	recent   []bool // the last outcomes: whether the cluster took the job
}

// Stats counts outcomes since the start.
type Stats struct {
	Submitted, Rejected, Unavailable, Unfit, Unknown int
	Released, Confirmed, Parked, Ghosts              int
}

// New is the submit stage of in on a cluster.
func New(in *spool.Instance, c Cluster, opt Options) *Engine {
	e := &Engine{in: in, env: in.Env, cluster: c, caps: c.Caps(), opt: opt, tracked: map[string]*tracked{},
		unfit: notProbed, look: in.Env.NewSignal(), recheck: in.Env.NewSignal(), full: in.Env.NewSignal(), window: opt.Window}
	e.taker = (&spool.Taker{In: in, Stage: spool.Submit, Poll: opt.Poll, MaxPoll: opt.MaxPoll,
		Room: e.room, Work: e.handOver}).Init()
	return e
}

// Hint says that an entry may have come.
func (e *Engine) Hint() { e.taker.Hint() }

// Taker is the engine's taker, for its counters.
func (e *Engine) Taker() *spool.Taker { return e.taker }

// Run takes and submits jobs until ctx is done, then finishes what it claimed.
// work, which outlives ctx, ends what takes too long. Sealed files that are not
// confirmed by then stay for the next instance.
func (e *Engine) Run(ctx, work context.Context) {
	g := env.NewGroup(e.env)
	g.Go("probe", func() { e.probeLoop(ctx) })
	g.Go("track", func() { e.trackLoop(ctx) })
	if e.caps.Hold && e.caps.List {
		g.Go("ghosts", func() { e.ghostLoop(ctx) })
	}
	e.taker.Run(ctx, work)
	e.look.Notify()
	e.recheck.Notify()
	if g.Wait(work) != nil || e.in.Fenced() != nil {
		return
	}
	// What was sealed last would wait, held, for another instance.
	if _, err := e.trackPass(work); err != nil {
		e.in.Warn("release what was sealed last", err)
	}
}

// Stats returns the counters.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stats
}

func (e *Engine) tally(f func(*Stats)) {
	e.mu.Lock()
	f(&e.stats)
	e.mu.Unlock()
}

// room is how many more jobs may be claimed now.
func (e *Engine) room() int {
	e.mu.Lock()
	fit, trial, held, window, until := e.unfit == "", e.suspect != "", e.held(), e.window, e.sentBack
	e.mu.Unlock()
	if !fit || until > 0 && e.env.Now() < until || e.Paused != nil && e.Paused() {
		return 0
	}
	busy := e.taker.Busy()
	room := e.opt.Workers - busy
	if trial {
		room = 1 - busy
	}
	if e.caps.Hold {
		if left := window - held - busy; left < room {
			room = left
			e.starve()
		}
	}
	if room <= 0 {
		return 0
	}
	slots, err := e.cluster.Slots(context.Background())
	if err != nil {
		e.in.Warn("ask the cluster for free slots", err)
		return 0
	}
	if slots >= 0 {
		room = min(room, slots-busy)
	}
	return room
}

// request is the submission of a claim or a sealed file.
func (e *Engine) request(n spool.Name, t spool.Token, entry string, document []byte) (Request, error) {
	rec, err := decode(document)
	if err != nil {
		return Request{}, err
	}
	return Request{Key: n.ID, Name: e.in.NamePrefix() + n.ID, Token: t.String(), Host: e.in.Host, SpoolID: e.in.ID,
		Entry: entry, Record: rec, Document: document}, nil
}
