package fstest

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"fencepost/spool/vfs"
)

const (
	lockPoll = 10 * time.Millisecond
	inside   = 2 * time.Millisecond // how long a lock is kept when both fight for it
)

// refused checks that a lock that the other side holds isn't given to this one.
func (p *pair) refused(name string) error {
	for range 3 {
		lock, err := p.FS.TryLock(name)
		if err == nil {
			_ = lock.Unlock()
			return fmt.Errorf("the lock that %s holds was given to %s, too", p.name(p.other()), p.name(p.role))
		}
		if !errors.Is(err, vfs.ErrLocked) {
			return fmt.Errorf("a lock that %s holds: %w, want to be told that it is held", p.name(p.other()), err)
		}
	}
	return nil
}

// comesFree waits for the lock.
func (p *pair) comesFree(ctx context.Context, name string) (vfs.Lock, error) {
	for start := time.Now(); ; {
		lock, err := p.FS.TryLock(name)
		if err == nil || !errors.Is(err, vfs.ErrLocked) {
			return lock, err
		}
		if time.Since(start) > p.Sizes.Limit {
			return nil, fmt.Errorf("%s didn't get it within %s", p.name(p.role), p.Sizes.Limit)
		}
		if err := sleep(ctx, lockPoll); err != nil {
			return nil, err
		}
	}
}

func lockPhase(ctx context.Context, p *pair) ([]string, error) {
	var evidence []string
	for holder := range 2 {
		took, err := p.handOver(ctx, holder)
		if err != nil {
			return nil, err
		}
		evidence = append(evidence, fmt.Sprintf("held by %s: refused to %s; given back: %s has it %s later", p.name(holder), p.name(1-holder), p.name(1-holder), round(took)))
	}
	turns, err := p.hammer(ctx)
	if err != nil {
		return nil, err
	}
	return append(evidence, fmt.Sprintf("fought for it for %s: %s had it %d times and %s %d times, never both at once", p.Sizes.Hammer, p.name(first), turns[first], p.name(second), turns[second])), nil
}

// handOver: the holder has the lock, gives it back, and the other gets it.
func (p *pair) handOver(ctx context.Context, holder int) (took time.Duration, err error) {
	name, h := p.at("lock-%d", holder), fmt.Sprint(holder)
	if p.role == holder {
		lock, err := p.FS.TryLock(name)
		if err != nil {
			return 0, fmt.Errorf("take a lock that is free: %w", err)
		}
		defer func() {
			if lock != nil {
				_ = lock.Unlock()
			}
		}()
		if err := p.meetAt(ctx, "held"+h); err != nil {
			return 0, err
		}
		if err := p.meetAt(ctx, "refused"+h); err != nil {
			return 0, err
		}
		err = lock.Unlock()
		lock = nil
		if err := errors.Join(err, p.mark("back-"+h)); err != nil {
			return 0, err
		}
	} else if err := p.waitFor(ctx, h, name); err != nil {
		return 0, err
	}
	if err := p.meetAt(ctx, "over"+h); err != nil {
		return 0, err
	}
	return p.between("back-"+h, "got-"+h)
}

// waitFor is the other side of handOver, and of a kill.
func (p *pair) waitFor(ctx context.Context, h, name string) error {
	if err := p.meetAt(ctx, "held"+h); err != nil {
		return err
	}
	if err := p.refused(name); err != nil {
		return err
	}
	if err := p.meetAt(ctx, "refused"+h); err != nil {
		return err
	}
	lock, err := p.comesFree(ctx, name)
	if err != nil {
		return fmt.Errorf("a lock that is free again: %w", err)
	}
	return errors.Join(p.mark("got-"+h), lock.Unlock())
}

// hammer: both sides take the lock again and again. Who has it makes a directory
// and removes it: that the server lets both do so only one after the other has
// been proven before, so it is the referee.
func (p *pair) hammer(ctx context.Context) (turns [2]int, err error) {
	if err := p.meetAt(ctx, "hammer"); err != nil {
		return turns, err
	}
	mine := 0
	for start := time.Now(); time.Since(start) < p.Sizes.Hammer; {
		lock, err := p.FS.TryLock(p.at("hammer"))
		if errors.Is(err, vfs.ErrLocked) {
			if err := sleep(ctx, time.Millisecond); err != nil {
				return turns, err
			}
			continue
		}
		if err != nil {
			return turns, fmt.Errorf("lock: %w", err)
		}
		err = p.FS.Mkdir(p.at("inside"))
		if err == nil {
			time.Sleep(inside) // so that another one who is in is met
			err = p.FS.Rmdir(p.at("inside"))
		}
		if err := errors.Join(err, lock.Unlock()); errors.Is(err, syscall.EEXIST) {
			return turns, errors.New("both hosts had the lock at the same time")
		} else if err != nil {
			return turns, err
		}
		mine++
	}
	theirs, err := swap(ctx, p, "turns", mine)
	turns[p.role], turns[p.other()] = mine, theirs
	return turns, err
}

func killPhase(ctx context.Context, p *pair) ([]string, error) {
	var evidence []string
	for holder := range 2 {
		took, err := p.killed(ctx, holder)
		if err != nil {
			return nil, err
		}
		evidence = append(evidence, fmt.Sprintf("held by a process of %s: refused to %s; killed: %s has it %s later", p.name(holder), p.name(1-holder), p.name(1-holder), round(took)))
	}
	return evidence, nil
}

// killed is handOver, but the holder is a process that gets SIGKILL.
func (p *pair) killed(ctx context.Context, holder int) (took time.Duration, err error) {
	name, h := p.at("lock-%d", holder), fmt.Sprint(holder)
	if p.role == holder {
		c, err := p.startChild(ctx, childHold, name)
		if err != nil {
			return 0, err
		}
		defer c.kill()
		if _, err := c.line(p.Patience); err != nil {
			return 0, fmt.Errorf("a process that takes a lock that is free: %w", err)
		}
		if err := p.meetAt(ctx, "held"+h); err != nil {
			return 0, err
		}
		if err := p.meetAt(ctx, "refused"+h); err != nil {
			return 0, err
		}
		if err := p.mark("back-" + h); err != nil {
			return 0, err
		}
		c.kill()
	} else if err := p.waitFor(ctx, h, name); err != nil {
		return 0, err
	}
	if err := p.meetAt(ctx, "over"+h); err != nil {
		return 0, err
	}
	return p.between("back-"+h, "got-"+h)
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
