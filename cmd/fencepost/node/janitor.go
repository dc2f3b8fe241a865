package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fencepost/lease"
	"fencepost/spool"
)

// sweepEvery is the time between two sweeps of the own directories while there are
// strays in them, twice that otherwise: they come of operations with an unknown
// outcome, which are rare.
const sweepEvery = 5 * time.Second

// janitor settles what no task owns: strays in the own directories, and work
// of anybody that is provably stuck.
func (s *session) janitor(ctx context.Context) {
	e := s.n.cfg.Env
	st := newStuck(s)
	next := e.Now() + st.every()
	for turn := 0; e.Sleep(ctx, sweepEvery) == nil; turn++ {
		s.round(loopJanitor)
		if turn%2 == 0 || !s.sweep.Clean() {
			if _, err := s.sweep.Pass(); err != nil {
				if errors.Is(err, spool.ErrFenced) {
					return
				}
				s.in.Warn("sweep own directories", err)
			}
		}
		if e.Now() >= next {
			st.pass()
			next = e.Now() + st.every()
		}
		if err := s.in.Journal.Flush(); err != nil {
			s.in.Warn("journal", err)
		}
	}
}

// stuck finds claims and sealed files that this observer has seen unchanged
// for too long, whoever owns them, alive or not. To move them on is always
// safe: the seal decides.
type stuck struct {
	s     *session
	seen  map[string]time.Duration // since when, by this observer's clock
	round map[string]bool
}

func newStuck(s *session) *stuck { return &stuck{s: s, seen: map[string]time.Duration{}} }

func (st *stuck) every() time.Duration {
	return max(time.Second, min(st.s.n.cfg.ClaimMax, st.s.n.cfg.SealMax)/4)
}

func (st *stuck) pass() {
	cfg, in := st.s.n.cfg, st.s.in
	st.round = map[string]bool{}
	now := cfg.Env.Now()
	var claims, sealed []spool.Found
	err := in.ScanOwned(func(f spool.Found) {
		st.round[f.Path] = true
		first, known := st.seen[f.Path]
		if !known {
			st.seen[f.Path], first = now, now
		}
		switch age := now - first; {
		case f.Place == spool.PlaceClaimed && age > cfg.ClaimMax:
			claims = append(claims, f)
		case f.Place == spool.PlaceSealed && age > cfg.SealMax:
			sealed = append(sealed, f)
		}
	})
	if err != nil {
		in.Warn("look for stuck work", err)
		return
	}
	for path := range st.seen {
		if !st.round[path] {
			delete(st.seen, path)
		}
	}
	for _, f := range claims {
		if err := in.ReturnStuck(f, fmt.Sprintf("claim unchanged for more than %s", cfg.ClaimMax)); err != nil {
			in.Warn("return stuck claim", err)
		}
	}
	for _, f := range sealed {
		if err := in.FinishStuck(f, st.s.finish()); err != nil {
			in.Warn("finish stuck job", err)
		}
	}
}

// watch observes the other hosts, and moves on the work of those that are gone.
func (s *session) watch(ctx context.Context) {
	cfg := s.n.cfg
	w := lease.NewWatcher(lease.WatchConfig{Env: cfg.Env, Self: cfg.Identity.Host, Epoch: s.in.Epoch,
		Heartbeat: cfg.Heartbeat, TTL: cfg.TTL, Own: s.lease.Record, Warn: cfg.Warn})
	s.n.mu.Lock()
	s.n.watcher = w
	s.n.mu.Unlock()
	for cfg.Env.Sleep(ctx, cfg.Heartbeat) == nil {
		s.round(loopWatch)
		for _, o := range w.Round(ctx, s.lease.Renewed()) {
			if ctx.Err() != nil {
				return
			}
			s.reclaim(spool.Over(o))
		}
	}
}

func (s *session) reclaim(o spool.Over) {
	did, err := s.in.Reclaim(o, s.finish())
	s.report(o, did)
	if err != nil {
		s.in.Warn("reclaim", err)
	}
	if did.Returned > 0 || did.Rolled > 0 || did.Published > 0 {
		if s.translate != nil {
			s.translate.Hint()
		}
		s.hintSubmit()
	}
}
