package node

import (
	"context"
	"time"

	"fencepost/spool"
)

// DefaultAuditEvery is the time between two audits of the spool, by whichever
// host's turn it is: with the looks apart, a job that somebody took is noticed
// within a minute.
const DefaultAuditEvery = 20 * time.Second

// canaryEvery is the time between two looks at the canaries, at least: on a
// directory that takes long to list it is listed the less often.
const (
	canaryEvery = 5 * time.Second
	canaryShare = 20 // at most this part of the time goes into its listings
)

// Alarms counts what the instances of this node noticed.
type Alarms struct {
	spool.AlarmCounts
	Canaries int
	Removed  spool.RemovedCounts
}

// Alarms returns the counters.
func (n *Node) Alarms() Alarms {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.alarms
}

// audit audits the spool when it is this host's turn.
func (s *session) audit(ctx context.Context) {
	cfg := s.n.cfg
	a := spool.NewAuditor(s.in, cfg.AuditEvery, cfg.TTL)
	before := s.n.Alarms().AlarmCounts
	remove := s.remover(a)
	for cfg.Env.Sleep(ctx, max(cfg.AuditEvery/20, 100*time.Millisecond)) == nil {
		remove()
		if !a.Due() {
			continue
		}
		err := a.Pass(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.in.Warn("audit", err)
		}
		c := a.Counts()
		s.n.mu.Lock()
		s.n.alarms.AlarmCounts = spool.AlarmCounts{Audits: before.Audits + c.Audits, Vanished: before.Vanished + c.Vanished,
			Duplicated: before.Duplicated + c.Duplicated, Found: before.Found + c.Found}
		s.n.mu.Unlock()
	}
}

// remover is what removes old records beside an auditor, to be called again and again.
func (s *session) remover(a *spool.Auditor) func() {
	if s.n.cfg.Retention == 0 {
		return func() {}
	}
	r := spool.NewRemover(a, s.n.cfg.Retention, s.n.cfg.Settle)
	before := s.n.Alarms().Removed
	return func() {
		if _, err := r.Turn(); err != nil {
			s.in.Warn("remove old records", err)
		}
		c := r.Counts()
		s.n.mu.Lock()
		s.n.alarms.Removed = spool.RemovedCounts{Buckets: before.Buckets + c.Buckets, Names: before.Names + c.Names}
		s.n.mu.Unlock()
	}
}

// canary keeps this host's canaries, and takes them away at an orderly stop: one
// that nobody watches is litter. A fenced instance leaves them to the next.
func (s *session) canary(ctx context.Context) {
	e := s.n.cfg.Env
	c := spool.NewCanary(s.in)
	c.Seen = s.canarySeen
	if err := c.Place(); err != nil {
		s.in.Warn("place canaries", err)
	}
	seen := 0
	for pause := canaryEvery; e.Sleep(ctx, pause) == nil; {
		start := e.Now()
		if err := c.Look(); err != nil {
			s.in.Warn("look at the canaries", err)
		}
		pause = max(canaryEvery, canaryShare*(e.Now()-start))
		s.n.mu.Lock()
		s.n.alarms.Canaries += c.Counts - seen
		s.n.mu.Unlock()
		seen = c.Counts
	}
	if s.in.Fenced() == nil && s.lease.Context().Err() == nil {
		if err := c.Remove(); err != nil {
			s.in.Warn("remove canaries", err)
		}
	}
}

// canarySeen is when a stage's taker saw this host's canary.
func (s *session) canarySeen(stage spool.Stage) time.Duration {
	if t := s.takerOf(stage); t != nil {
		return t.CanarySeen()
	}
	return 0
}
