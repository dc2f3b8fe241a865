package client

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"fencepost/codec"
)

// protocolVersion is the version of docs/spec/wire.md that is spoken here.
const protocolVersion = 1

// question is a request without its number.
type question struct {
	size  int // of the job
	query bool
	typed bool // the job names a type
	make  func(seq uint64) codec.Message
}

// tries is the course of one question.
type tries struct {
	c      *Client
	id     string
	query  bool
	n      int         // tries so far
	start  int         // address of the first
	maybe  bool        // the host may have done what was asked
	finals int         // connections that were refused for good, see finished
	last   error       // the last error that says something
	again  []time.Time // by address: not before
}

// ask puts a question until there is an answer, a final refusal, or no time.
func (c *Client) ask(ctx context.Context, id string, q question) (codec.Message, int, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	stop := context.AfterFunc(c.base, cancel)
	defer stop()
	t := &tries{c: c, id: id, query: q.query, start: int(c.first.Load()), again: make([]time.Time, len(c.links))}
	for {
		at := (t.start + t.n) % len(c.links)
		if err := t.pause(ctx, at); err != nil {
			return nil, t.n, t.giveUp(ctx)
		}
		t.n++
		m, sent, err := c.links[at].ask(ctx, q)
		if r, ok := m.(codec.Refused); ok {
			if r.Code.Final() {
				// It won't do to ask again, and yet an earlier try may be in. A
				// conflict is with another job: this one isn't.
				if t.maybe && r.Code != codec.CodeConflict {
					return nil, t.n, t.giveUpFor(&refusal{c.cfg.Addrs[at], r})
				}
				return nil, t.n, &RefusedError{ID: id, Code: r.Code, Reason: r.Reason, Addr: c.cfg.Addrs[at]}
			}
			t.maybe = t.maybe || r.Code != codec.CodeBusy && r.Code != codec.CodeDraining &&
				r.Code != codec.CodeNoSpace && r.Code != codec.CodeWindowExceeded
			t.again[at] = time.Now().Add(time.Duration(r.RetryAfterMS) * time.Millisecond)
			t.last = &refusal{c.cfg.Addrs[at], r}
			continue
		}
		if err == nil {
			c.first.Store(uint32(at))
			return m, t.n, nil
		}
		t.maybe = t.maybe || sent
		if err := t.finished(ctx, at, err); err != nil {
			return nil, t.n, err
		}
	}
}

// finished says whether err, of a try at an address, ends the question.
func (t *tries) finished(ctx context.Context, at int, err error) error {
	var refused *RefusedError
	var gone *goneAway
	var field *codec.FieldError
	switch {
	case errors.As(err, &refused):
		if refused.ID = t.id; t.maybe {
			return t.giveUpFor(errors.New(refused.Error()))
		}
		return refused
	case errors.As(err, &field):
		return invalid(t.id, err)
	case errors.As(err, &gone) && gone.Code.Final():
		// Said instead of WELCOME it will be said again. Said later, it may be
		// about another request of the connection, or damage on the way.
		t.finals++
		if gone.early {
			t.finals++
		}
		if t.finals >= 2*len(t.again) {
			if t.maybe {
				return t.giveUpFor(err)
			}
			return &RefusedError{ID: t.id, Code: gone.Code, Reason: gone.Reason, Addr: gone.addr}
		}
	}
	// What failed for want of time says less than what failed before it. The
	// dialer looks at the deadline itself, and may be ahead of the context.
	end, _ := ctx.Deadline()
	if t.last == nil || ctx.Err() == nil && time.Now().Before(end) {
		t.last = err
	}
	return nil
}

// pause waits before the next try, which is at address at. The first round
// through the addresses has no pauses but those that a host asked for.
func (t *tries) pause(ctx context.Context, at int) error {
	wait := time.Until(t.again[at])
	if round := t.n / len(t.again); round > 0 {
		wait = max(wait, t.backoff(round))
	}
	if wait <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// backoff is for the first try of a round; the others of it follow at once.
func (t *tries) backoff(round int) time.Duration {
	if t.n%len(t.again) != 0 {
		return 0
	}
	p := t.c.cfg.MaxPause
	if round < 32 {
		p = min(p, t.c.cfg.MinPause<<(round-1))
	}
	return p/2 + rand.N(p/2+1)
}

func (t *tries) giveUp(ctx context.Context) error {
	err := t.last
	switch {
	case t.c.base.Err() != nil:
		err = errors.New("the client was closed")
	case err == nil:
		err = fmt.Errorf("no time to try: %w", context.Cause(ctx))
	case errors.Is(ctx.Err(), context.Canceled):
		err = fmt.Errorf("%w; last: %w", ctx.Err(), err)
	}
	return t.giveUpFor(err)
}

func (t *tries) giveUpFor(err error) error {
	return &GaveUpError{ID: t.id, Tries: t.n, Maybe: t.maybe, Query: t.query, Err: err}
}

// grease is a feature that no host knows: so that hosts keep ignoring those that
// they don't know (docs/spec/wire.md, Body).
func grease() string { return "grease-" + hex.EncodeToString([]byte{byte(rand.N(256))}) }
