package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fencepost/lease"
	"fencepost/spool"
	"fencepost/spool/env"
	"fencepost/submit"
)

// session is one instance, from its lease to its goodbye.
type session struct {
	n         *Node
	lease     *lease.Lease
	in        *spool.Instance
	translate *spool.Taker
	handover  *spool.Taker // instead of engine: a foreign program submits
	engine    *submit.Engine
	sweep     *spool.Sweep

	// Guarded by Node.mu.
	ready       bool
	stopping    bool
	accepts     int
	acceptEnded env.Signal
}

// session works under a lease until it ends or ctx does.
func (n *Node) session(ctx context.Context, l *lease.Lease, ready func(uint64)) error {
	// Two steps: take stops first; work goes on for the grace time at a stop,
	// and ends at once with the lease.
	work, endWork := context.WithCancelCause(l.Context())
	defer endWork(nil)
	take, endTake := context.WithCancelCause(ctx)
	defer endTake(nil)
	n.cfg.Env.Go("lease ends", func() {
		for work.Err() == nil {
			_ = n.cfg.Env.Sleep(work, time.Hour)
		}
		endTake(context.Cause(work))
	})

	s, err := n.newSession(l, endWork)
	if err != nil {
		return errors.Join(err, n.goodbye(l))
	}
	n.set(s)
	err = s.reclaimOwn(take)
	if err == nil {
		n.mu.Lock()
		s.ready = true
		n.mu.Unlock()
		s.in.Journal.Add(spool.Event{Event: "ready", Detail: fmt.Sprint(n.cfg.Stages)})
		if n.cfg.Mount != "" {
			s.in.Journal.Add(spool.Event{Event: EventMounted, Detail: n.cfg.Mount})
			_ = s.in.Journal.Flush() // a host without work flushes nothing; what fails is written again
		}
		l.Beat()
		ready(l.Epoch())
		s.run(take, work, endWork)
	}
	n.set(nil)
	s.in.Journal.Add(spool.Event{Event: "stopped", Detail: fmt.Sprint(context.Cause(take))})
	jerr := s.in.Journal.Close()
	cause := context.Cause(work)
	endWork(nil)
	return errors.Join(cause, err, jerr, n.goodbye(l))
}

func (n *Node) newSession(l *lease.Lease, fenced func(error)) (*session, error) {
	stamp := spool.Stamp{Host: n.cfg.Identity.Host, Epoch: l.Epoch(), Version: n.cfg.Identity.Version, Config: n.cfg.Identity.ConfigDigest}
	stamp.Prev, stamp.Key = n.cfg.Spool.LastLink(stamp.Host), n.cfg.JournalKey
	in, err := spool.NewInstance(n.cfg.Spool, stamp, n.cfg.Tee)
	if err != nil {
		return nil, err
	}
	in.OnFenced, in.Parse = fenced, n.cfg.Parse
	s := &session{n: n, lease: l, in: in, acceptEnded: n.cfg.Env.NewSignal()}
	in.Alive = func() { s.round(loopWatch) }
	var finish spool.Finish
	if n.serves(spool.Submit) && n.cfg.Cluster != nil {
		s.engine = submit.New(in, n.cfg.Cluster, n.cfg.Submit)
		s.engine.Paused = s.paused
		s.engine.Peers = n.peers
		s.engine.Taker().Peers = func() spool.Peers { return n.takers(spool.Translate, spool.Submit) }
		s.engine.Taker().Passed = func() { s.round(string(spool.Submit)) }
		finish = s.engine.Adopt
	}
	s.sweep = spool.NewSweep(in, finish)
	if n.serves(spool.Translate) {
		tr := spool.Translator{Convert: n.cfg.Convert}
		s.translate = s.taker(spool.Ingest, spool.Translate, tr.Work)
	}
	if _, foreign := in.Layout.Foreign[spool.Submit]; foreign && n.serves(spool.Submit) {
		s.handover = s.taker(spool.Translate, spool.Submit, nil)
	}
	in.Offered = s.offer
	if !n.cfg.NoBirths {
		in.Births = s
	}
	return s, nil
}

// taker takes a stage's entries, which come from the stage before it. The work is
// done by work, unless a foreign program does it.
func (s *session) taker(before, stage spool.Stage, work func(context.Context, *spool.Claim)) *spool.Taker {
	if to, foreign := s.in.Layout.Foreign[stage]; foreign {
		work = spool.HandOver{To: to}.Work
	}
	cfg := s.n.cfg
	t := &spool.Taker{In: s.in, Stage: stage, Poll: cfg.Poll, MaxPoll: cfg.MaxPoll, Work: work}
	t.Room = func() int { return s.room(t) }
	t.Passed = func() { s.round(string(stage)) }
	t.Peers = func() spool.Peers { return s.n.takers(before, stage) }
	return t.Init()
}

// takerOf is this instance's taker of a stage; nil if it has none.
func (s *session) takerOf(stage spool.Stage) *spool.Taker {
	switch {
	case stage == spool.Translate:
		return s.translate
	case stage == spool.Submit && s.engine != nil:
		return s.engine.Taker()
	case stage == spool.Submit:
		return s.handover
	}
	return nil
}

// offer hands an entry that this instance made to its own next stage.
func (s *session) offer(stage spool.Stage, o spool.Offer) {
	if t := s.takerOf(stage); t != nil {
		t.Offer(o)
	}
}

// Reserve implements spool.Births.
func (s *session) Reserve(stage spool.Stage) bool {
	t := s.takerOf(stage)
	return t != nil && t.Reserve()
}

// Begin implements spool.Births.
func (s *session) Begin(stage spool.Stage, c *spool.Claim) { s.takerOf(stage).Begin(c) }

// hintSubmit tells that entries came for submit that nobody offered.
func (s *session) hintSubmit() {
	if t := s.takerOf(spool.Submit); t != nil {
		t.Hint()
	}
}

func (n *Node) set(s *session) {
	at := n.cfg.Env.Now()
	n.mu.Lock()
	n.now, n.changed, n.watcher, n.rounds = s, at, nil, map[string]time.Duration{}
	n.mu.Unlock()
}

// goodbye ends the lease; the heartbeat stops last, the unlock after it.
func (n *Node) goodbye(l *lease.Lease) error {
	ctx, cancel := n.limit(context.Background(), n.cfg.TTL)
	defer cancel(nil)
	return l.Goodbye(ctx)
}

// limit is context.WithTimeout by the environment's clock.
func (n *Node) limit(parent context.Context, d time.Duration) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	n.cfg.Env.Go("limit", func() {
		if n.cfg.Env.Sleep(ctx, d) == nil {
			cancel(context.DeadlineExceeded)
		}
	})
	return ctx, cancel
}

// room is how many more entries a taker may claim.
func (s *session) room(t *spool.Taker) int {
	if s.paused() {
		return 0
	}
	return s.n.cfg.Workers - t.Busy()
}

// paused says that nothing new may be claimed: a person drains this host, or
// it started over too often.
func (s *session) paused() bool { return s.lease.Drained() || s.lease.Worn() != "" }

func (s *session) claims() int {
	c := 0
	for _, t := range []*spool.Taker{s.translate, s.handover} {
		if t != nil {
			c += t.Busy()
		}
	}
	if s.engine != nil {
		c += s.engine.Taker().Busy()
	}
	return c
}

// reclaimOwn moves on what earlier epochs of this host left: claims, accept
// drafts and sealed translations before ready; sealed submissions beside the
// work.
func (s *session) reclaimOwn(ctx context.Context) error {
	pause := 50 * time.Millisecond
	for ctx.Err() == nil {
		lower, err := s.lease.LowerEpochs()
		clean := err == nil
		for _, o := range lower {
			did, rerr := s.in.Reclaim(spool.Over(o), s.finish())
			err = errors.Join(err, rerr)
			s.report(spool.Over(o), did)
			clean = clean && rerr == nil && (did.Fenced || did.Gone)
		}
		if clean {
			return nil
		}
		if err != nil {
			s.in.Warn("reclaim own earlier epochs", err)
		}
		if serr := s.n.cfg.Env.Sleep(ctx, pause); serr != nil {
			return serr
		}
		pause = min(2*pause, s.n.cfg.Heartbeat)
	}
	return context.Cause(ctx)
}

func (s *session) finish() spool.Finish {
	if s.engine == nil {
		return nil
	}
	return s.engine.Adopt
}

// report notes a reclaim that did something.
func (s *session) report(o spool.Over, did spool.Reclaimed) {
	if did == (spool.Reclaimed{Left: did.Left, Fenced: did.Fenced}) {
		return
	}
	s.in.Journal.Add(spool.Event{Event: "reclaim", Token: fmt.Sprintf("%s/%d", o.Host, o.Epoch), Result: o.Why,
		Detail: fmt.Sprintf("returned %d, published %d, accepted %d, foreign %d, sealed left %d, gone %v",
			did.Returned, did.Published, did.Rolled, did.Foreign, did.Left, did.Gone)})
}

// run runs the stages and the janitor until take is done.
func (s *session) run(take, work context.Context, endWork func(error)) {
	g := env.NewGroup(s.n.cfg.Env)
	for _, loop := range []string{loopWatch, loopJanitor} {
		s.round(loop)
	}
	if s.translate != nil {
		g.Go("translate", func() { s.translate.Run(take, work) })
	}
	if s.engine != nil {
		g.Go("submit", func() { s.engine.Run(take, work) })
	}
	if s.handover != nil {
		g.Go("hand over", func() { s.handover.Run(take, work) })
	}
	for _, box := range s.in.Layout.Inboxes {
		if s.n.cfg.Parse != nil && (s.n.serves(spool.Ingest) || s.n.serves(box.Stage)) {
			g.Go("inbox "+box.Dir, func() { s.adopt(take, box) })
		}
	}
	g.Go("janitor", func() { s.janitor(take) })
	g.Go("watch", func() { s.watch(take) })
	g.Go("audit", func() { s.audit(take) })
	g.Go("canary", func() { s.canary(take) })
	s.wait(take, g, work, endWork)
}

// wait waits for the stages' end; past the grace time what is still being
// worked on is told to end.
func (s *session) wait(take context.Context, g *env.Group, work context.Context, endWork func(error)) {
	e := s.n.cfg.Env
	for take.Err() == nil {
		_ = e.Sleep(take, time.Hour)
	}
	s.n.mu.Lock()
	s.stopping = true
	s.n.mu.Unlock()
	grace, cancel := s.n.limit(work, s.n.cfg.Grace)
	defer cancel(nil)
	for grace.Err() == nil && s.accepting() > 0 {
		s.acceptEnded.Wait(grace, time.Second)
	}
	if err := g.Wait(grace); err != nil {
		endWork(fmt.Errorf("stop: still at work after %s: %v", s.n.cfg.Grace, g.Running()))
		_ = g.Wait(context.Background())
	}
	if s.in.Fenced() == nil && s.lease.Context().Err() == nil {
		// What no task ended goes back at once, instead of at the next start.
		o := spool.Over{Host: s.in.Host, Epoch: s.in.Epoch, Why: "stopped"}
		did, err := s.in.Reclaim(o, nil)
		s.report(o, did)
		if err != nil {
			s.in.Warn("return own claims", err)
		}
	}
}

func (s *session) accepting() int {
	s.n.mu.Lock()
	defer s.n.mu.Unlock()
	return s.accepts
}
