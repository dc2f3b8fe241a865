package realrun

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"fencepost/cmd/fencepost/race"
)

// plan decides what is done to one host. It draws the same from the same seed,
// however long anything takes.
type plan struct {
	rnd    *rand.Rand
	faults []race.Fault
	lease  time.Duration
	host   int
	n      int
}

func newPlan(o Options, host int) *plan {
	return &plan{rnd: rand.New(rand.NewPCG(o.Seed, uint64(host)+1)), faults: o.Faults, lease: o.Lease, host: host}
}

// strike is one decision.
type strike struct {
	after time.Duration // since the one before was over
	kind  race.Fault
	lasts time.Duration // until a killed host is started again, a stopped one goes on
	alone bool          // it waits until another host is up
}

// next decides. The first few of each host take the kinds in turn, so that a
// short run meets all.
func (p *plan) next() strike {
	s := strike{after: p.upTo(p.lease * 3 / 2), kind: p.faults[p.rnd.IntN(len(p.faults))], alone: p.rnd.IntN(4) > 0}
	quick, long, span := p.rnd.IntN(2) == 0, p.upTo(p.lease/2), p.upTo(p.lease/8)
	if p.n < len(p.faults) {
		s.kind = p.faults[(p.host+p.n)%len(p.faults)]
	}
	if p.n == 0 {
		s.alone, quick = true, false
	}
	p.n++
	switch {
	case s.kind == race.Stop:
		// A stopped host keeps its lock: it is over after the lease and half of it.
		s.lasts = p.lease*7/4 + long
	case s.kind == race.Restart:
	case quick:
		s.lasts = span
	default:
		s.lasts = p.lease + long
	}
	return s
}

func (p *plan) upTo(d time.Duration) time.Duration { return time.Duration(p.rnd.Int64N(int64(d))) }

// done is a fault that was done.
type done struct {
	host        string
	kind        race.Fault
	from, until time.Time
}

// haunt does its plan to a host until end, but at least one thing; when it
// returns the host is up.
func (r *run) haunt(ctx context.Context, i int, end time.Time) {
	h, p := r.hosts[i], newPlan(r.o, i)
	if len(r.o.Faults) == 0 {
		return
	}
	for first := true; ; first = false {
		s := p.next()
		if !sleep(ctx, min(s.after, max(time.Until(end), 0))) {
			return
		}
		if s.alone {
			select {
			case r.spare <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
		ok := (first || time.Now().Before(end)) && r.strike(ctx, h, s)
		if s.alone {
			<-r.spare
		}
		if !ok {
			return
		}
	}
}

// strike does one thing to one host; it says whether to go on.
func (r *run) strike(ctx context.Context, h *host, s strike) bool {
	p := h.process()
	if !p.running() {
		r.endedByItself(h, p)
		return false
	}
	d, ended := done{host: h.name, kind: s.kind, from: time.Now()}, false
	switch s.kind {
	case race.Stop:
		p.signal(syscall.SIGSTOP)
		sleep(ctx, s.lasts)
		p.signal(syscall.SIGCONT)
		d.until = time.Now()
		r.note(d)
		return ctx.Err() == nil
	case race.Restart:
		ended = p.end(stopLimit)
	default:
		ended = p.end(0)
		sleep(ctx, s.lasts)
	}
	if !ended {
		r.cannotTell(fmt.Sprintf("host %s (pid %d) was killed and doesn't end: it waits for the share", h.name, p.cmd.Process.Pid))
		return false
	}
	up := r.bringBack(ctx, h)
	d.until = time.Now()
	r.note(d)
	return up
}

// bringBack starts a host again, as often as it takes. It may be refused for a
// while: its lock may still be held by a watcher, its epoch be moved on.
func (r *run) bringBack(ctx context.Context, h *host) bool {
	for {
		err := r.start(ctx, h)
		switch {
		case err == nil:
			return true
		case ctx.Err() != nil:
			return false
		case time.Now().After(r.deadline):
			r.fail(race.Violation{Class: race.Liveness, Kind: "host-down", Text: "it can't be started again: " + err.Error()})
			return false
		}
		sleep(ctx, look)
	}
}

// endedByItself: nothing but a signal ends a host that was ready.
func (r *run) endedByItself(h *host, p *process) {
	r.fail(race.Violation{Class: race.Liveness, Kind: "host-ended",
		Text: fmt.Sprintf("host %s ended by itself with %s: %s", h.name, p.cmd.ProcessState, lastLines(h.log))})
}

func (r *run) note(d done) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, d)
}

// sleep waits; it says whether ctx is still on.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// within runs f, and leaves it alone if the share doesn't answer: nothing ends a
// call on a dead share.
func within[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	ch := make(chan result, 1)
	go func() {
		v, err := f()
		ch <- result{v, err}
	}()
	limit := time.NewTimer(answer)
	defer limit.Stop()
	var none T
	select {
	case r := <-ch:
		return r.v, r.err
	case <-limit.C:
		return none, errNoAnswer
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
}

var errNoAnswer = errors.New("the share did not answer in time")
