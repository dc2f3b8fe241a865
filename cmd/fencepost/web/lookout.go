package web

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// errSlow: the share, or the look, takes its time.
var errSlow = errors.New("no answer yet")

// maxPause bounds the pause after a look that took long: it may have hung.
const maxPause = 15 * time.Second

// lookout keeps the result of one look that all viewers share. It looks only
// when somebody asks, and never twice at once: a look that hangs with a dead
// share is one goroutine, however many ask.
type lookout[T any] struct {
	look  func(context.Context) (T, error)
	every time.Duration // between two looks, at least
	part  time.Duration // at most one part in so many of the time goes into looks
	limit time.Duration // a look that takes longer is trouble

	mu      sync.Mutex // never held across look
	had     bool
	value   T
	at      time.Time     // when value was looked for
	cost    time.Duration // of the last look
	ended   time.Time     // of the last look
	err     error         // of the last look
	since   time.Time     // of the first failure in a row
	running chan struct{} // closed at the end of the look under way
	began   time.Time
}

// seen is what a lookout has to say.
type seen[T any] struct {
	value   T
	had     bool      // there is a value at all
	at      time.Time // of the value
	trouble error     // why it isn't fresher
	since   time.Time // of the trouble
}

// get returns what is known, after a look if one is due. Who has something old
// to show waits for news only half of patience.
func (l *lookout[T]) get(ctx context.Context, patience time.Duration) seen[T] {
	l.mu.Lock()
	now := time.Now()
	if l.running == nil && (l.ended.IsZero() || now.Sub(l.ended) >= max(l.every, min(l.part*l.cost, maxPause))) {
		l.start(now)
	}
	running, wait := l.running, patience
	if l.had {
		wait = patience / 2
	}
	wait = min(wait, l.limit-now.Sub(l.began))
	l.mu.Unlock()
	if running != nil && wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-running:
		case <-t.C:
		case <-ctx.Done():
		}
	}
	return l.known()
}

// start is called with mu held. The goroutine may never end: nothing ends a
// call on a dead share. Nobody waits for it.
func (l *lookout[T]) start(now time.Time) {
	done := make(chan struct{})
	l.running, l.began = done, now
	go func() {
		v, err := guarded(l.look)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.running, l.ended = nil, time.Now()
		l.cost = l.ended.Sub(now)
		if err == nil {
			l.had, l.value, l.at, l.since = true, v, now, time.Time{}
		} else if l.since.IsZero() {
			l.since = now
		}
		l.err = err
		close(done)
	}()
}

// guarded turns a panic into an error: a page must not end the daemon.
func guarded[T any](look func(context.Context) (T, error)) (v T, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("look at the spool: panic: %v", r)
		}
	}()
	return look(context.Background())
}

func (l *lookout[T]) known() seen[T] {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := seen[T]{value: l.value, had: l.had, at: l.at, trouble: l.err, since: l.since}
	if l.running != nil && l.err == nil && (!l.had || time.Since(l.began) > l.limit) {
		s.trouble, s.since = errSlow, l.began
	}
	return s
}

// ask reads the share for a list or a job, within the limit. Its slot stays taken
// until the read has ended, so that a dead share costs a few goroutines only.
func ask[T any](ctx context.Context, s *Server, read func(context.Context) (T, error)) (T, error) {
	var none T
	select {
	case s.asked <- struct{}{}:
	case <-ctx.Done():
		return none, context.Cause(ctx)
	case <-time.After(s.cfg.Limit):
		return none, errSlow
	}
	type answer struct {
		v   T
		err error
	}
	ch := make(chan answer, 1)
	go func() {
		defer func() { <-s.asked }()
		v, err := guarded(read)
		ch <- answer{v, err}
	}()
	select {
	case a := <-ch:
		return a.v, a.err
	case <-ctx.Done():
		return none, context.Cause(ctx)
	case <-time.After(s.cfg.Limit):
		return none, errSlow
	}
}

// took is the duration of the last look.
func (l *lookout[T]) took() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cost
}
