package submit

import (
	"context"
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

// requested says whether a person asked for kind ("hold", "cancel") of a job.
func (e *Engine) requested(kind, id string) bool {
	now := e.env.Now()
	e.mu.Lock()
	c := e.requests
	e.mu.Unlock()
	if !c.ok || now-c.asked > requestAge {
		names, err := e.in.FS.List(spool.DirRequests)
		if err != nil {
			e.in.Warn("list requests", err)
			return false
		}
		c = requestCache{asked: now, ok: true, names: map[string]bool{}}
		for _, n := range names {
			c.names[spool.DirRequests+"/"+n] = true
		}
		e.mu.Lock()
		e.requests = c
		e.mu.Unlock()
	}
	return c.names[spool.RequestPath(kind, id)]
}

// honour does, before the seal, what a person asked for a claimed job.
func (e *Engine) honour(c *spool.Claim) (done bool, err error) {
	id := c.Name.ID
	switch {
	case e.requested("cancel", id):
		err = c.Fail(spool.EvCancelled, "cancelled on request")
	case e.requested("hold", id):
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
// after the sealed file is out of the way: from then on nobody releases it, and
// the cancel spares a job that is not held.
func (e *Engine) honourSealed(ctx context.Context, t *tracked) bool {
	id := t.s.Name.ID
	var err error
	switch {
	case e.requested("cancel", id):
		err = t.s.Fail(spool.EvCancelled, "cancelled on request, before its release")
	case e.requested("hold", id):
		err = t.s.Hold("held on request, before its release")
	default:
		return false
	}
	e.settle(t, err)
	if err == nil {
		e.in.Honoured(id)
		if cerr := e.cluster.Cancel(ctx, t.id); cerr != nil {
			e.in.Warn("cancel "+t.id, cerr)
		}
	}
	return true
}
