package probe

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"fencepost/codec"
	"fencepost/submit"
	"fencepost/submit/internal/canary"

	"github.com/google/uuid"
)

// Cluster is the part of submit.Cluster that a probe uses.
type Cluster interface {
	Submit(ctx context.Context, r submit.Request) (string, error)
	List(ctx context.Context) ([]submit.Job, error)
	Cancel(ctx context.Context, id string) error
}

// Prober runs probes, one at a time.
type Prober struct {
	Prefix string // of job names
	Spool  string
	Host   string
	Epoch  func() uint64 // of the running instance; nil = 0

	// Patience is how long a canary that was accepted may take to show in a
	// listing; 0 = 5 s.
	Patience time.Duration

	mu sync.Mutex // one probe at a time
}

// Run submits a canary held, finds it by id with name and token verbatim, and
// cancels it. Its errors are *submit.Error.
func (p *Prober) Run(ctx context.Context, c Cluster) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	req, err := p.request()
	if err != nil {
		return &submit.Error{Outcome: submit.Unfit, Op: "make canary", Err: err}
	}
	if err := p.sweep(ctx, c); err != nil {
		return err
	}
	id, err := c.Submit(ctx, req)
	if err != nil {
		return unfitIfRejected(err)
	}
	seen := p.find(ctx, c, id, req)
	// The canary goes whatever was found, and even if the caller gave up.
	cctx, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer stop()
	return errors.Join(seen, c.Cancel(cctx, id))
}

func (p *Prober) epoch() uint64 {
	if p.Epoch == nil {
		return 0
	}
	return p.Epoch()
}

// request is a job that would do nothing even if somebody released it.
func (p *Prober) request() (submit.Request, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return submit.Request{}, err
	}
	job := codec.Job{Name: "fencepost-canary", Script: "#!/bin/sh\nexit 0\n",
		Resources: codec.Resources{TimeLimitSeconds: 60}}
	rec := codec.Record{ID: id.String(), Job: job, Client: "fencepost probe", ReceivedAt: time.Now().UTC(),
		ReceivedBy: p.Host, Digest: codec.Digest(job)}
	doc, err := codec.EncodeJSON(rec)
	if err != nil {
		return submit.Request{}, err
	}
	key := canary.Key(p.Host, p.epoch())
	return submit.Request{Key: key, Name: p.Prefix + key, Token: canary.Token(p.Spool, p.Host, p.epoch()),
		Host: p.Host, SpoolID: p.Spool, Record: rec, Document: doc}, nil
}

// sweep cancels this host's canaries of this epoch and earlier ones: a crash
// between submit and cancel left them, and they count against the job limit.
func (p *Prober) sweep(ctx context.Context, c Cluster) error {
	jobs, err := c.List(ctx)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		host, epoch, ok := canary.Parse(p.Prefix, j.Name)
		if !ok || host != p.Host || epoch > p.epoch() || j.State != submit.Held ||
			j.Token != canary.Token(p.Spool, host, epoch) {
			continue
		}
		if err := c.Cancel(ctx, j.ID); err != nil {
			return err
		}
	}
	return nil
}

// find looks for the canary until it shows as it was submitted.
func (p *Prober) find(ctx context.Context, c Cluster, id string, req submit.Request) error {
	patience := p.Patience
	if patience <= 0 {
		patience = 5 * time.Second
	}
	ctx, stop := context.WithTimeout(ctx, patience+time.Minute)
	defer stop()
	for begun := time.Now(); ; {
		jobs, err := c.List(ctx)
		if err != nil {
			return err
		}
		for _, j := range jobs {
			if j.ID == id {
				return verbatim(j, req)
			}
		}
		if time.Since(begun) > patience {
			return &submit.Error{Outcome: submit.Unfit, Op: "find canary " + id,
				Detail: "accepted, but in no listing: is this another cluster, or another user's view?"}
		}
		select {
		case <-ctx.Done():
			return &submit.Error{Outcome: submit.Unavailable, Op: "find canary " + id, Err: context.Cause(ctx)}
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// verbatim: section 8 acts on an id only if its name and token are the file's,
// so a cluster that changes either would park every job.
func verbatim(j submit.Job, req submit.Request) error {
	for _, d := range []struct{ what, got, want string }{
		{"name", j.Name, req.Name}, {"token", j.Token, req.Token}, {"state", string(j.State), string(submit.Held)},
	} {
		if d.got != d.want {
			return &submit.Error{Outcome: submit.Unfit, Op: "find canary " + j.ID,
				Detail: fmt.Sprintf("%s came back as %q, not %q", d.what, d.got, d.want)}
		}
	}
	return nil
}

// unfitIfRejected: nothing is wrong with the canary, so whoever refuses it
// refuses this host.
func unfitIfRejected(err error) error {
	var e *submit.Error
	if errors.As(err, &e) && e.Outcome == submit.Rejected {
		return &submit.Error{Outcome: submit.Unfit, Op: e.Op, Detail: "canary rejected: " + e.Detail, Err: e.Err}
	}
	return err
}
