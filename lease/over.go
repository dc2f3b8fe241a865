package lease

import (
	"context"
	"fmt"
	"sync"
	"time"

	"fencepost/spool"
	"fencepost/spool/env"
	"fencepost/spool/env/drill"
	"fencepost/spool/vfs"
)

// Over is an epoch that is over, to be reclaimed.
type Over = spool.Over

// missedBeats make a host silent: gone, if its flock can be taken as well.
const missedBeats = 3

// fenceTries that failed are enough: nothing rests on the file.
const fenceTries = 3

// verdict is what a look at one epoch comes to.
type verdict struct {
	over  bool
	why   string
	death bool
	fence bool // others must be able to see that this observer decided it, on silence
}

// declare decides about one epoch, and notes it if it is over.
func (w *Watcher) declare(ctx context.Context, h *watched, n uint64) error {
	v := w.judge(ctx, h, n)
	if !v.over {
		return nil
	}
	if v.fence {
		if w.cfg.Epoch == 0 || w.Blamed() != "" {
			return nil // it may watch, it may not fence
		}
		// Once more, right before: the lock's attempt may have taken long.
		if changed, err := w.read(h); err != nil || changed && n <= h.highest {
			return err
		}
		if err := w.fence(h, n, v.why); err != nil {
			return err
		}
	}
	h.over[n] = Over{Host: h.owner, Epoch: n, Why: v.why, Death: v.death}
	w.cfg.Warn("epoch-over", "host", h.owner, "epoch", n, "why", v.why, "death", v.death)
	return nil
}

// judge says whether an epoch is over: DESIGN section 6, docs/spec/lease.md#over.
func (w *Watcher) judge(ctx context.Context, h *watched, n uint64) verdict {
	age := h.since[n]
	switch {
	case h.command:
		return verdict{over: age >= w.cfg.CommandAge, fence: true,
			why: fmt.Sprintf("the command's epoch is %s old", age.Round(time.Second))}
	case h.owner == w.cfg.Self && n <= w.cfg.Epoch:
		// Whether the process of an earlier one died, the lease said at its start.
		return verdict{over: n < w.cfg.Epoch, why: fmt.Sprintf("epoch %d of the host began", w.cfg.Epoch)}
	case h.known && n < h.highest:
		return verdict{over: true, death: n == h.rec.Died, why: fmt.Sprintf("epoch %d of the host began", h.highest)}
	case h.known && n == h.highest && h.owner == w.cfg.Self:
		return verdict{} // a twin's, which lives: the own lease is about to end
	case h.known && n == h.highest:
		return w.judgeLatest(ctx, h)
	}
	// Above the record's, or without any: an instance that is starting, or
	// never got further. A record that changes but can't be understood is some
	// instance's life, perhaps of this epoch's.
	if !h.known && h.moved && h.silent < w.patience(h) {
		return verdict{}
	}
	return verdict{over: age >= w.patience(h), fence: true,
		why: fmt.Sprintf("no heartbeat of this epoch for %s", age.Round(time.Second))}
}

// judgeLatest is about the epoch that the record is of.
func (w *Watcher) judgeLatest(ctx context.Context, h *watched) verdict {
	if h.rec.Goodbye && h.rec.Epoch == h.highest {
		return verdict{over: true, why: "said goodbye"}
	}
	if drill.Broken(w.cfg.Env, drill.ClockExpiry) && w.cfg.Env.Wall().Sub(h.rec.At) > w.patience(h) {
		return verdict{over: true, fence: true, death: true, why: "its record is old"}
	}
	if h.silent < missedBeats*w.interval(h) && !drill.Broken(w.cfg.Env, drill.FlockAlone) {
		return verdict{}
	}
	if w.cfg.Epoch == 0 || w.Blamed() != "" {
		return verdict{} // and doesn't touch its lock
	}
	free := w.lockIsFree(ctx, h)
	switch {
	case free:
		return verdict{over: true, fence: true, death: true,
			why: fmt.Sprintf("silent for %s, and its lock is free", h.silent.Round(time.Second))}
	case h.silent >= w.patience(h):
		// Its process is there, but stopped; or its lock server doesn't know.
		return verdict{over: true, fence: true,
			why: fmt.Sprintf("silent for %s, though its lock is not free", h.silent.Round(time.Second))}
	}
	return verdict{}
}

// interval and patience take the host's own settings into account.
func (w *Watcher) interval(h *watched) time.Duration { return max(w.cfg.Heartbeat, h.rec.Interval) }
func (w *Watcher) patience(h *watched) time.Duration {
	return max(w.cfg.TTL, h.rec.TTL) + w.cfg.Margin
}

// fence writes why, for the instance to find. An own write that fails makes the
// observer wait, but not for ever: nothing rests on the file.
func (w *Watcher) fence(h *watched, n uint64, why string) error {
	fc := fence{By: fmt.Sprintf("%s/%d", w.cfg.Self, w.cfg.Epoch), Why: why, At: w.cfg.Env.Wall().UTC()}
	if h.known && h.rec.Epoch == n {
		fc.Counter = h.rec.Counter
	}
	err := w.f.fenceEpoch(h.owner, n, fc)
	if err == nil {
		return nil
	}
	if h.refused[n]++; h.refused[n] < fenceTries {
		return err
	}
	w.cfg.Warn("fence-not-written", "host", h.owner, "epoch", n, "err", err)
	return nil
}

// ---- the flock of a silent host -------------------------------------------------

// lockProbe takes a flock and lets go of it at once, on a task of its own: it
// may block for as long as a server restarts.
type lockProbe struct {
	settled env.Signal

	mu   sync.Mutex // never held across a call to Env
	done bool
	free bool
}

func (p *lockProbe) run(fs vfs.FS, host string) {
	lock, err := fs.TryLock(spool.LockPath(host))
	free := err == nil
	if free {
		free = letGo(lock.Unlock) == nil
	}
	p.mu.Lock()
	p.done, p.free = true, free
	p.mu.Unlock()
	p.settled.Notify()
}

func (p *lockProbe) answer() (done, free bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done, p.free
}

// lockIsFree probes once a round. An answer that takes longer than a heartbeat
// is used by a later round, unless the record has changed since.
func (w *Watcher) lockIsFree(ctx context.Context, h *watched) bool {
	if h.lock == nil {
		p := &lockProbe{settled: w.cfg.Env.NewSignal()}
		h.lock = p
		w.cfg.Env.Go("try the lock of host "+h.owner, func() { p.run(w.f.fs, h.owner) })
	}
	p := h.lock
	for deadline := w.cfg.Env.Now() + w.cfg.Heartbeat; ; {
		done, free := p.answer()
		if done {
			h.lock = nil
			return free
		}
		left := deadline - w.cfg.Env.Now()
		if left <= 0 || ctx.Err() != nil {
			return false
		}
		p.settled.Wait(ctx, left)
	}
}
