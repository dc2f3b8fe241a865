package lease

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"fencepost/spool"
	"fencepost/spool/env"
	"fencepost/spool/vfs"
)

// Config is what Acquire needs.
type Config struct {
	Env       env.Env
	Identity  Identity
	Heartbeat time.Duration // default 1 s
	TTL       time.Duration // default 10 s; at least four heartbeats
	// Fill sets what changes: Unfit, Listen, HTTP, Stages, Claims. It is called
	// on the heartbeat's task and must not block.
	Fill func(*Record)
	// Warn tells of what deserves a line in the log. It must not block.
	Warn func(event string, kv ...any)
	// History is what the process remembers from one lease to the next; nil
	// for a process that never starts over.
	History *History
	// MaxRestarts is how often within an hour an instance may start over
	// before it is shown as unfit; default 3.
	MaxRestarts int
}

// The defaults of Config.
const (
	DefaultHeartbeat   = time.Second
	DefaultTTL         = 10 * time.Second
	defaultMaxRestarts = 3
	maxRestartPause    = time.Minute
)

func (c Config) withDefaults() (Config, error) {
	if c.Heartbeat == 0 {
		c.Heartbeat = DefaultHeartbeat
	}
	if c.TTL == 0 {
		c.TTL = DefaultTTL
	}
	if c.Fill == nil {
		c.Fill = func(*Record) {}
	}
	if c.Warn == nil {
		c.Warn = func(string, ...any) {}
	}
	if c.History == nil {
		c.History = &History{}
	}
	if c.MaxRestarts == 0 {
		c.MaxRestarts = defaultMaxRestarts
	}
	return c, errors.Join(c.Identity.validate(), checkTimes(c.Heartbeat, c.TTL))
}

// checkTimes: others declare a host gone after three heartbeats if its flock is
// free; a TTL near that would make its own judgement later than theirs.
func checkTimes(heartbeat, ttl time.Duration) error {
	if heartbeat <= 0 || ttl < 4*heartbeat || ttl > maxTTL {
		return fmt.Errorf("lease time %s and heartbeat %s: want a lease time of at least four heartbeats, at most %s",
			ttl, heartbeat, maxTTL)
	}
	return nil
}

// Acquire gets a lease and starts its heartbeat. It retries a flock that is
// held for two TTL, then returns a *HeldError; other errors are *RefusedError,
// *FencedByPersonError, or the system's. ctx ends the attempt, not the lease.
//
// In this order: roster and machine id; fence by a person; the flock, and one on
// the heartbeat's own descriptor; who made the epochs since ours, if we are
// starting over; a new epoch with its directories; the first record.
func Acquire(ctx context.Context, cfg Config) (*Lease, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	f, host := filesOf(cfg.Env), cfg.Identity.Host
	if err := cfg.startOver(ctx, f); err != nil {
		return nil, err
	}
	member, err := f.admit(ctx, cfg.Identity)
	if err != nil {
		return nil, err
	}
	if err := f.hostDirs(ctx, host); err != nil {
		return nil, err
	}
	if err := f.checkPerson(ctx, host); err != nil {
		return nil, err
	}
	g, err := cfg.grab(ctx)
	if err != nil {
		return nil, err
	}
	l, err := begin(ctx, cfg, member, g)
	if err != nil {
		return nil, errors.Join(err, g.release())
	}
	return l, nil
}

// startOver settles what the last lease of this process cost, and waits the
// longer the more there were.
func (c Config) startOver(ctx context.Context, f files) error {
	last, pending := c.History.lastEpoch()
	if last == 0 {
		return nil
	}
	if pending {
		fenced, err := epochsIn(f.fs, spool.FencedDir(c.Identity.Host))
		c.History.settle(err == nil && slices.Contains(fenced, last), c.Env.Now())
	}
	n := c.History.charged(c.Env.Now())
	if n == 0 {
		return nil
	}
	return c.Env.Sleep(ctx, min(c.Heartbeat<<min(n-1, 10), maxRestartPause))
}

func (f files) checkPerson(ctx context.Context, host string) error {
	return f.again(ctx, func() error {
		fenced, err := FencedByPerson(f.fs, host)
		if err == nil && fenced {
			err = &FencedByPersonError{Host: host, Flag: readFlag(f.fs, personPath(host))}
		}
		return err
	})
}

// begin makes the epoch and the lease of a host whose flock is held.
func begin(ctx context.Context, cfg Config, member Member, g *grip) (*Lease, error) {
	f, host := filesOf(cfg.Env), cfg.Identity.Host
	var previous Record
	err := f.again(ctx, func() (err error) {
		previous, err = ReadRecord(f.fs, host)
		return err
	})
	if err != nil && !isFinal(err) {
		return nil, fmt.Errorf("read the previous heartbeat: %w", err)
	}
	if err := cfg.nobodySince(ctx, f, previous); err != nil {
		return nil, err
	}
	epoch, err := f.newEpoch(ctx, host, cfg.Identity, previous.Epoch, cfg.History.trying)
	if err != nil {
		return nil, err
	}
	l := newLease(ctx, cfg, member, g, epoch)
	if previous.Epoch > 0 && previous.Epoch < epoch && !previous.Goodbye && !cfg.History.outlived(previous.Epoch) {
		l.died = previous.Epoch
	}
	if err := l.first(ctx); err != nil {
		return nil, err
	}
	l.tasks.Go("heartbeat of host "+host, l.beatLoop)
	l.tasks.Go("lease clock of host "+host, l.watchClock)
	return l, nil
}

// nobodySince refuses to start over if another process has made a higher epoch
// of this host: it has the name now.
func (c Config) nobodySince(ctx context.Context, f files, previous Record) error {
	host := c.Identity.Host
	last, _ := c.History.lastEpoch()
	if last == 0 {
		return nil
	}
	return f.again(ctx, func() error {
		made, err := epochsIn(f.fs, spool.EpochsDir(host))
		if err != nil {
			return err
		}
		for _, n := range made {
			if n <= last || c.History.didTry(n) {
				continue
			}
			own, err := f.madeBy(host, n, c.Identity.Nonce)
			if err != nil {
				return err
			}
			if !own {
				return &HeldError{Host: host, Why: fmt.Sprintf("epoch %d was made by another process", n),
					Known: previous.Epoch > 0, Holder: previous}
			}
		}
		return nil
	})
}

// ---- the locks ----------------------------------------------------------------

// grip is what an instance holds on to: the host's flock, and the heartbeat's
// descriptor with one of its own.
type grip struct {
	lock vfs.Lock // nil once let go of
	rec  vfs.Record
}

// release closes the record first: the flock is the last thing to go. After an
// error it may be called again, for what is left.
func (g *grip) release() error {
	var errs [2]error
	if g.rec != nil {
		if errs[0] = letGo(g.rec.Close); errs[0] == nil {
			g.rec = nil
		}
	}
	if g.lock != nil {
		if errs[1] = letGo(g.lock.Unlock); errs[1] == nil {
			g.lock = nil
		}
	}
	return errors.Join(errs[:]...)
}

// letGo insists: a lock that this process keeps shuts out its own successor.
func letGo(let func() error) (err error) {
	for range attempts {
		if err = let(); err == nil || errors.Is(err, fs.ErrClosed) {
			return nil
		}
	}
	return err
}

// takeGrip makes one attempt. vfs.ErrLocked: another one has either lock.
func takeGrip(share vfs.FS, host string) (*grip, error) {
	lock, err := share.TryLock(spool.LockPath(host))
	if err != nil {
		return nil, err
	}
	rec, err := share.OpenRecord(spool.HeartbeatPath(host))
	if err != nil {
		return nil, errors.Join(err, letGo(lock.Unlock))
	}
	if err := rec.Lock(); err != nil {
		return nil, errors.Join(err, (&grip{lock: lock, rec: rec}).release())
	}
	return &grip{lock: lock, rec: rec}, nil
}

// grab takes the locks, retrying for two TTL: a watcher may hold the flock for
// a moment, a dead instance's lock may have to expire at the server.
func (c Config) grab(ctx context.Context) (*grip, error) {
	host, share := c.Identity.Host, c.Env.FS()
	deadline := c.Env.Now() + 2*c.TTL
	for {
		t := &lockTask{host: host, settled: c.Env.NewSignal()}
		c.Env.Go("lock of host "+host, func() { t.run(share) })
		g, err := t.wait(ctx, c.TTL)
		if err == nil {
			return g, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("take the lock of host %s: %w", host, errors.Join(context.Cause(ctx), err))
		}
		if c.Env.Now() < deadline {
			_ = c.Env.Sleep(ctx, c.Heartbeat/2)
			continue
		}
		if !errors.Is(err, vfs.ErrLocked) {
			return nil, fmt.Errorf("take the lock of host %s: %w", host, err)
		}
		held := &HeldError{Host: host, Why: "its lock was not free for " + (2 * c.TTL).String()}
		held.Holder, err = ReadRecord(share, host)
		held.Known = err == nil
		return nil, held
	}
}

// lockTask is one attempt on a task of its own: through the grace period of a
// server that restarts it may block for minutes, and no context ends that.
type lockTask struct {
	host    string
	settled env.Signal

	mu       sync.Mutex // never held across a call to Env
	done     bool
	unwanted bool // nobody waits any more: what comes is to be let go of
	grip     *grip
	err      error
}

func (t *lockTask) run(share vfs.FS) {
	g, err := takeGrip(share, t.host)
	t.mu.Lock()
	t.done, t.grip, t.err = true, g, err
	unwanted := t.unwanted
	t.mu.Unlock()
	if unwanted && g != nil {
		_ = g.release()
	}
	t.settled.Notify()
}

func (t *lockTask) wait(ctx context.Context, pause time.Duration) (*grip, error) {
	for {
		t.mu.Lock()
		if !t.done && ctx.Err() != nil {
			t.unwanted = true
		}
		done, unwanted := t.done, t.unwanted
		t.mu.Unlock()
		if done {
			return t.grip, t.err
		}
		if unwanted {
			return nil, errors.New("the lock doesn't answer")
		}
		t.settled.Wait(ctx, pause)
	}
}
