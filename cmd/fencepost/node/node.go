package node

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"fencepost/lease"
	"fencepost/spool"
	"fencepost/spool/env"
	"fencepost/submit"
)

// ErrNotReady says that there is no instance at the moment: it starts, starts
// over, or stops.
var ErrNotReady = errors.New("this host takes no jobs at the moment")

// Config is what a node needs.
type Config struct {
	Env       env.Env
	Spool     *spool.Spool
	Identity  lease.Identity
	Heartbeat time.Duration
	TTL       time.Duration
	Stages    []spool.Stage // ingest, translate, submit
	Workers   int           // of translate; submit has its own
	Poll      time.Duration
	MaxPoll   time.Duration
	ClaimMax  time.Duration // an unchanged claim is given back after this
	SealMax   time.Duration // an unchanged sealed file is finished by others after this
	Grace     time.Duration // for what is being worked on at a stop
	// AuditEvery is the time between two audits; 0 = DefaultAuditEvery.
	AuditEvery time.Duration
	// Retention is how old an id must be for the records of its job to be removed;
	// 0 = they stay. Settle is how long they must have been final; 0 = a day.
	Retention  time.Duration
	Settle     time.Duration
	Convert    func([]byte) ([]byte, error)
	Parse      spool.Parse    // makes jobs of the inboxes' files; nil = nothing is adopted
	NoBirths   bool           // everything goes through its stage's directory: as under load, for the simulator
	Cluster    submit.Cluster // needed for the submit stage
	Submit     submit.Options
	Listen     string // shown to others
	HTTP       string
	Mount      string                        // where the share comes from: for the journal, and doctor
	Tee        func(spool.Event)             // sees each event; may be nil
	JournalKey []byte                        // of the journal\'s links; nil = none
	Warn       func(event string, kv ...any) // may be nil
	Digest     func() string                 // of the configuration in force; nil = Identity's
}

// EventMounted is the event that tells where an instance's share comes from.
const EventMounted = "mounted"

// Node is one host's part in a spool.
type Node struct {
	cfg     Config
	history *lease.History

	mu      sync.Mutex // never held across a call to Env
	now     *session   // nil while there is no instance
	alarms  Alarms
	changed time.Duration            // when now did
	watcher *lease.Watcher           // of now
	rounds  map[string]time.Duration // the last round of each loop of now
}

// New prepares a node.
func New(cfg Config) *Node {
	if cfg.Warn == nil {
		cfg.Warn = func(string, ...any) {}
	}
	if cfg.MaxPoll == 0 {
		cfg.MaxPoll = 10 * cfg.Poll
	}
	if cfg.AuditEvery == 0 {
		cfg.AuditEvery = DefaultAuditEvery
	}
	return &Node{cfg: cfg, history: &lease.History{}, changed: cfg.Env.Now()}
}

// Run takes a lease and works under it until ctx is done; ready is told each
// epoch that begins. A lease that is lost is taken again, under a new epoch.
// Errors are those of lease.Acquire.
func (n *Node) Run(ctx context.Context, ready func(epoch uint64)) error {
	for {
		l, err := lease.Acquire(ctx, n.leaseConfig())
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		err = n.session(ctx, l, ready)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			n.cfg.Warn("instance-ended", "epoch", l.Epoch(), "err", err.Error())
		}
		// A failure that comes at once must not become a busy loop of epochs.
		if serr := n.cfg.Env.Sleep(ctx, n.cfg.Heartbeat); serr != nil {
			return nil
		}
	}
}

func (n *Node) leaseConfig() lease.Config {
	return lease.Config{Env: n.cfg.Env, Identity: n.cfg.Identity, Heartbeat: n.cfg.Heartbeat, TTL: n.cfg.TTL,
		Fill: n.fill, Warn: n.cfg.Warn, History: n.history}
}

// Instance is the one that works at the moment.
func (n *Node) Instance() (*spool.Instance, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.now == nil || !n.now.ready {
		return nil, ErrNotReady
	}
	return n.now.in, nil
}

// Engine is the submit stage that works at the moment, if there is one.
func (n *Node) Engine() *submit.Engine {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.now == nil {
		return nil
	}
	return n.now.engine
}

// Accept lets a job in through the current instance; see spool.Instance.Accept.
func (n *Node) Accept(id string, data []byte, same func([]byte) (bool, error)) (spool.Accepted, error) {
	n.mu.Lock()
	s := n.now
	ok := s != nil && s.ready && !s.stopping
	if ok {
		s.accepts++
	}
	n.mu.Unlock()
	if !ok {
		return spool.Accepted{}, ErrNotReady
	}
	a, err := s.in.Accept(id, data, same)
	n.mu.Lock()
	s.accepts--
	n.mu.Unlock()
	s.acceptEnded.Notify()
	return a, err
}

func (n *Node) serves(stage spool.Stage) bool { return slices.Contains(n.cfg.Stages, stage) }

// takers are the hosts that take from a stage, as far as this one knows: it is
// one of them. from is the stage that puts entries there.
func (n *Node) takers(from, stage spool.Stage) (p spool.Peers) {
	n.mu.Lock()
	w := n.watcher
	n.mu.Unlock()
	if w == nil {
		return p
	}
	for _, h := range w.Hosts() {
		own := h.Host == n.cfg.Identity.Host
		if own || h.Seen && (h.State == lease.Live || h.State == lease.Unfit) && !h.Draining && h.Record.Takes(stage) {
			p.Hosts = append(p.Hosts, h.Host)
			p.Make = p.Make || h.Record.Takes(from)
		}
	}
	slices.Sort(p.Hosts)
	return p
}

// fill puts what changes into a heartbeat.
func (n *Node) fill(r *lease.Record) {
	r.Listen, r.HTTP = n.cfg.Listen, n.cfg.HTTP
	if n.cfg.Digest != nil {
		r.ConfigDigest = n.cfg.Digest()
	}
	n.mu.Lock()
	s, w := n.now, n.watcher
	n.mu.Unlock()
	if w != nil {
		r.Unfit = w.Blamed()
	}
	r.Stages = nil
	for _, stage := range n.cfg.Stages {
		st := lease.StageState{Stage: stage, Fit: true}
		if stage == spool.Submit && s != nil && s.engine != nil {
			st.Fit, st.Reason = s.engine.Fitness()
			st.OK, st.Bad = s.engine.Recent()
		}
		r.Stages = append(r.Stages, st)
	}
	if s != nil {
		r.Claims = s.claims()
	}
}

// peers sums up how the last submissions of the other live hosts went.
func (n *Node) peers() (ok, bad int) {
	n.mu.Lock()
	w := n.watcher
	n.mu.Unlock()
	if w == nil {
		return 0, 0
	}
	for _, h := range w.Hosts() {
		if h.Host == n.cfg.Identity.Host || !h.Seen || h.State == lease.Silent {
			continue
		}
		for _, st := range h.Record.Stages {
			if st.Stage == spool.Submit {
				ok, bad = ok+st.OK, bad+st.Bad
			}
		}
	}
	return ok, bad
}
