package submit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"fencepost/spool"
)

// requestCache is a recent listing of requests/.
type requestCache struct {
	asked time.Duration
	ok    bool
	names map[string]bool
}

// requestAge is how old a listing of requests may be that is acted on.
const requestAge = time.Second

// asked lists what persons ask for, if that wasn't done a moment ago.
func (e *Engine) asked() (requestCache, error) {
	now := e.env.Now()
	e.mu.Lock()
	c := e.requests
	e.mu.Unlock()
	if !c.ok || now-c.asked > requestAge {
		names, err := e.in.FS.List(spool.DirRequests)
		if err != nil {
			return c, fmt.Errorf("list requests: %w", err)
		}
		c = requestCache{asked: now, ok: true, names: map[string]bool{}}
		for _, n := range names {
			c.names[spool.DirRequests+"/"+n] = true
		}
		e.mu.Lock()
		e.requests = c
		e.mu.Unlock()
	}
	return c, nil
}

// askAgain has the next look at requests list them afresh: before a release, a
// request that came a moment ago counts.
func (e *Engine) askAgain() {
	e.mu.Lock()
	e.requests.ok = false
	e.mu.Unlock()
}

// wish is what a person asked for a job: "cancel", "hold" or "". What a listing
// from a moment ago shows is looked for again: somebody else may have honoured it,
// and the job be back by a person's will.
func (e *Engine) wish(id string) (string, error) {
	c, err := e.asked()
	if err != nil || len(c.names) == 0 {
		return "", err
	}
	for _, kind := range []string{"cancel", "hold"} {
		name := spool.RequestPath(kind, id)
		if !c.names[name] {
			continue
		}
		if there, err := e.in.Exists(name); there || err != nil {
			return kind, err
		}
	}
	return "", nil
}

// honour does, before the seal, what a person asked for a claimed job.
func (e *Engine) honour(c *spool.Claim) (done bool, err error) {
	id := c.Name.ID
	kind, err := e.wish(id)
	switch {
	case err != nil:
		return true, errors.Join(err, c.Return(spool.Why{Reason: err.Error()}))
	case kind == "cancel":
		err = c.Fail(spool.EvCancelled, "cancelled on request")
	case kind == "hold":
		err = c.Hold("held on request")
	default:
		return false, nil
	}
	if err == nil {
		e.in.Honoured(id)
	}
	return true, err
}

// honourSealed does so before the release. The job at the cluster is cancelled
// after the sealed file is seen where it was put: from then on nobody releases
// it, and the cancel spares a job that is not held.
func (e *Engine) honourSealed(ctx context.Context, t *tracked) bool {
	id := t.s.Name.ID
	place := spool.PlaceHeld
	kind, err := e.wish(id)
	switch {
	case err != nil: // not released against a person's will
		e.in.Warn("look for requests", err)
		return true
	case kind == "cancel":
		place = spool.PlaceFailed
		err = t.s.Fail(spool.EvCancelled, "cancelled on request, before its release")
	case kind == "hold":
		err = t.s.Hold("held on request, before its release")
	default:
		return false
	}
	e.settle(t, err)
	if err != nil {
		return true
	}
	e.in.Honoured(id)
	found, err := e.here(id)
	if err != nil || len(found) != 1 || found[0].Place != place || found[0].Name.Cluster != t.id {
		return true // somebody else ended it, in another way
	}
	if err := e.cluster.Cancel(ctx, t.id); err != nil {
		e.in.Warn("cancel "+t.id, err)
	}
	return true
}

// here are the files of a job, but for the record of a handover at an earlier stage:
// a foreign program translated it, and gave it back.
func (e *Engine) here(id string) ([]spool.Found, error) {
	found, err := e.in.Locate(id)
	return slices.DeleteFunc(found, func(f spool.Found) bool { return f.Name.Stage != spool.Submit && spool.IsHandover(f.Name) }), err
}

// tidyRequests removes what a person asked for a job that has a final record:
// it came too late.
func (e *Engine) tidyRequests() error {
	names, err := e.in.FS.List(spool.DirRequests)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		_, id, ok := strings.Cut(name, "~")
		if !ok || !spool.ValidID(id) {
			continue
		}
		found, err := e.here(id)
		if err != nil {
			return err
		}
		if len(found) == 1 && found[0].Place == spool.PlaceDone {
			e.in.Honoured(id)
		}
	}
	return nil
}
