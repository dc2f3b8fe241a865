package lease

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"fencepost/spool/env"
)

// Lease is a live instance's hold on its host's name.
type Lease struct {
	cfg    Config
	f      files
	grip   *grip
	epoch  uint64
	died   uint64
	since  time.Time
	ctx    context.Context
	cancel context.CancelCauseFunc
	tasks  *env.Group
	wake   env.Signal

	// The heartbeat's task alone.
	counter  uint64
	written  []byte // the last record
	beats    beats
	absent   int      // heartbeats in a row that didn't find the host on the roster
	rounds   int      // of looks for what others ask
	roster   []string // names on it when the own entry was read
	rosterAt int      // the round in which it is read again in any case

	mu      sync.Mutex    // never held across a call to Env
	proven  time.Duration // when the last renewal that worked was begun
	renewed bool          // the last one worked
	last    Record        // as written then
	lastErr error         // of the last one that didn't
	drained bool
	member  Member
	over    bool  // end was called
	leaving bool  // Goodbye was called
	left    error // what went wrong with it
}

func newLease(ctx context.Context, cfg Config, member Member, g *grip, epoch uint64) *Lease {
	l := &Lease{cfg: cfg, f: filesOf(cfg.Env), grip: g, member: member, epoch: epoch, since: cfg.Env.Wall().UTC(),
		tasks: env.NewGroup(cfg.Env), wake: cfg.Env.NewSignal(), beats: beats{keep: cfg.TTL}}
	l.ctx, l.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	return l
}

// Host is the host's name.
func (l *Lease) Host() string { return l.cfg.Identity.Host }

// Epoch is the instance's number.
func (l *Lease) Epoch() uint64 { return l.epoch }

// Member is the roster's entry, as of the last heartbeat.
func (l *Lease) Member() Member {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.member
}

// Context is cancelled when the lease ends; its cause matches one of this
// package's errors.
func (l *Lease) Context() context.Context { return l.ctx }

// Valid is nil while renewal is proven, else the cause of the lease's end. It
// looks at the clock itself, so that it is right even if no task has run for a
// while. It is a courtesy: the machine may pause right after it.
func (l *Lease) Valid() error {
	l.checkClock()
	return context.Cause(l.ctx)
}

// Drained says whether a person asked for a drain, as of the last heartbeat.
func (l *Lease) Drained() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.drained
}

// Renewed says whether the last renewal worked: for Watcher.Round.
func (l *Lease) Renewed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.renewed && l.ctx.Err() == nil
}

// Record is what was written last, and when that was begun.
func (l *Lease) Record() (r Record, at time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last, l.proven
}

// Worn says why the instance must not claim although it has a lease: it was
// fenced too often within an hour. Empty = all is well.
func (l *Lease) Worn() string {
	n := l.cfg.History.charged(l.cfg.Env.Now())
	if n <= l.cfg.MaxRestarts {
		return ""
	}
	return fmt.Sprintf("fenced and started over %d times within an hour", n)
}

// Beat makes the heartbeat write soon: something that Fill reports has changed.
func (l *Lease) Beat() { l.wake.Notify() }

// LowerEpochs are the earlier epochs of this host that still have directories:
// over, all of them, since this instance holds the host's name. They are to be
// reclaimed before it says ready.
func (l *Lease) LowerEpochs() ([]Over, error) {
	lower, err := LowerEpochs(l.f.fs, l.Host(), l.epoch)
	var over []Over
	for _, n := range lower {
		why := fmt.Sprintf("epoch %d of the host began", l.epoch)
		if n == l.died {
			why = fmt.Sprintf("its instance died, without a goodbye; %s", why)
		}
		over = append(over, Over{Host: l.Host(), Epoch: n, Why: why, Death: n == l.died})
	}
	return over, err
}

// Goodbye ends the context with ErrGoodbye, writes the last record, closes it
// and lets go of the flock, in this order. The caller has stopped its work. On a
// lease that is lost or fenced it only waits until it is let go of. One caller
// at a time.
func (l *Lease) Goodbye(ctx context.Context) error {
	l.mu.Lock()
	l.leaving = true
	l.mu.Unlock()
	l.wake.Notify()
	if err := l.tasks.Wait(ctx); err != nil {
		return fmt.Errorf("say goodbye as host %s: %w", l.Host(), err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.left
}

// end ends the lease. The first cause counts.
func (l *Lease) end(cause error) {
	l.mu.Lock()
	first := !l.over
	l.over = true
	l.mu.Unlock()
	if first {
		l.cfg.History.ended(l.epoch, cause, l.cfg.Env.Now())
		l.cancel(cause)
		l.wake.Notify()
	}
}

// ---- the clock ----------------------------------------------------------------

// checkClock ends a lease whose renewal can't be proven any more, and returns
// how long it still lasts. It counts from before the last write that worked: the
// server may have taken it at any moment since.
func (l *Lease) checkClock() time.Duration {
	now := l.cfg.Env.Now()
	l.mu.Lock()
	left, err := l.proven+l.cfg.TTL-now, l.lastErr
	l.mu.Unlock()
	if left <= 0 {
		l.end(&LostError{Host: l.Host(), Epoch: l.epoch, Err: err,
			Why: fmt.Sprintf("no renewal was proven for %s", l.cfg.TTL-left)})
	}
	return left
}

// watchClock is a task of its own, since a write may hang for ever. It sleeps
// no longer than a heartbeat: timers stand still while the machine is suspended,
// the clock doesn't.
func (l *Lease) watchClock() {
	for l.ctx.Err() == nil {
		left := l.checkClock()
		_ = l.cfg.Env.Sleep(l.ctx, min(left, l.cfg.Heartbeat))
	}
}

// ---- the heartbeat ------------------------------------------------------------

// first writes the first record: without it the lease doesn't begin.
func (l *Lease) first(ctx context.Context) error {
	err := l.f.again(ctx, func() error {
		start := l.cfg.Env.Now()
		err := l.write(false)
		if err == nil {
			l.proven, l.renewed = start, true
			l.beats.add(l.counter, start)
		}
		return err
	})
	if err == nil && l.cfg.Env.Now()-l.proven >= l.cfg.TTL {
		err = errors.New("it took longer than the lease time")
	}
	if err != nil {
		l.cancel(err)
		return fmt.Errorf("write the first heartbeat of host %s: %w", l.Host(), err)
	}
	return nil
}

// releaseTries are an hour's at a second's heartbeat.
const releaseTries = 3600

// beatLoop renews until the lease ends, then lets go of the locks: a lease that
// is lost may be taken by the next instance.
func (l *Lease) beatLoop() {
	defer l.release()
	next := l.cfg.Env.Now() + l.cfg.Heartbeat
	for {
		l.wake.Wait(l.ctx, max(next-l.cfg.Env.Now(), l.cfg.Heartbeat/10))
		if l.ctx.Err() != nil {
			return
		}
		if l.isLeaving() {
			l.lastWords(ErrGoodbye)
			return
		}
		start := l.cfg.Env.Now()
		next = start + l.cfg.Heartbeat
		if !l.beat(start) {
			next = start + l.cfg.Heartbeat/4 // soon: the TTL is running
		}
		if l.ctx.Err() == nil {
			l.look()
		}
		l.rounds++
	}
}

// beat renews once and says whether it worked.
func (l *Lease) beat(start time.Duration) bool {
	if l.checkClock() <= 0 || l.turn(1) && l.superseded() {
		return false
	}
	start = max(start, l.cfg.Env.Now())
	err := l.write(false)
	// Before this one counts: was the lease still proven when it was answered?
	if l.checkClock() <= 0 {
		return false
	}
	if err == nil {
		l.beats.add(l.counter, start)
	}
	l.mu.Lock()
	l.renewed, l.lastErr = err == nil, err
	if err == nil {
		l.proven = start
	}
	l.mu.Unlock()
	if err != nil {
		// One EIO or ESTALE is ridden out; a lock that the server gave away
		// shows as EIO each time.
		l.cfg.Warn("heartbeat-failed", "host", l.Host(), "epoch", l.epoch, "err", err)
	}
	return err == nil
}

// superseded notices an instance of this host with a higher epoch: both have
// the flock, if the lock service is broken, and write the same record.
func (l *Lease) superseded() bool {
	data, err := readRaw(l.f.fs, l.Host())
	if err != nil || bytes.Equal(data, l.written) {
		return false
	}
	r, err := DecodeRecord(data)
	if err != nil || r.Host != l.Host() || r.Nonce == l.cfg.Identity.Nonce || r.Epoch <= l.epoch {
		return false
	}
	l.end(&LostError{Host: l.Host(), Epoch: l.epoch, Why: fmt.Sprintf(
		"epoch %d of machine %s, boot %s, pid %d writes the heartbeat", r.Epoch, r.MachineID, r.BootID, r.PID)})
	return true
}

func (l *Lease) write(goodbye bool) error {
	id := l.cfg.Identity
	r := Record{Version: id.Version, ConfigDigest: id.ConfigDigest}
	l.cfg.Fill(&r)
	// A counter is used once, even if its write fails: others may have seen it.
	l.counter++
	r.Host, r.Epoch, r.Counter, r.Nonce = id.Host, l.epoch, l.counter, id.Nonce
	r.MachineID, r.BootID, r.PID = id.MachineID, id.BootID, id.PID
	r.Since, r.At, r.Goodbye, r.Died = l.since, l.cfg.Env.Wall(), goodbye, l.died
	r.Draining = l.Drained()
	r.Interval, r.TTL = l.cfg.Heartbeat, l.cfg.TTL
	if worn := l.Worn(); worn != "" {
		r.Unfit = worn
	}
	data, err := EncodeRecord(r)
	if err != nil {
		return err
	}
	l.written = data
	if err := l.grip.rec.Write(data); err != nil {
		return err
	}
	l.mu.Lock()
	l.last = r
	l.mu.Unlock()
	return nil
}

// lastWords ends the context, then writes a record that says goodbye: from then
// on others may take what is left. What fails is theirs to find out by waiting.
func (l *Lease) lastWords(cause error) {
	l.end(cause)
	err := l.f.again(context.WithoutCancel(l.ctx), func() error { return l.write(true) })
	if err != nil {
		l.mu.Lock()
		l.left = fmt.Errorf("write the goodbye of host %s: %w", l.Host(), err)
		l.mu.Unlock()
	}
}

// release lets go of the locks. A process that lives on, and may start over,
// goes on trying through an outage; one that ends leaves it to its kernel.
func (l *Lease) release() {
	bye := errors.Is(context.Cause(l.ctx), ErrGoodbye)
	err := l.grip.release()
	for try := 0; err != nil && !bye && try < releaseTries; try++ {
		if l.cfg.Env.Sleep(context.WithoutCancel(l.ctx), l.cfg.Heartbeat) != nil {
			break
		}
		err = l.grip.release()
	}
	if err == nil {
		return
	}
	l.mu.Lock()
	l.left = errors.Join(l.left, fmt.Errorf("let go of the lock of host %s: %w", l.Host(), err))
	l.mu.Unlock()
}

func (l *Lease) isLeaving() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leaving
}
