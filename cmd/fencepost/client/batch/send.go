package batch

import (
	"context"
	"iter"
	"sync"

	"github.com/google/uuid"

	"fencepost/cmd/fencepost/client"
	"fencepost/codec"
)

// Sender is client.Client, as far as it is needed here.
type Sender interface {
	// Send gets a job accepted; see client.Client.
	Send(ctx context.Context, id string, job codec.Job) (client.Result, error)
	// Query asks where a job is; see client.Client.
	Query(ctx context.Context, id string) (codec.State, error)
}

var _ Sender = (*client.Client)(nil)

// Outcome is what became of a document.
type Outcome struct {
	File      string
	Line      int
	ID        string // "" only if there is no job
	Duplicate bool
	Host      string
	Err       error // nil = accepted; *BadDocument, *client.RefusedError, *client.GaveUpError, or the system's
}

// Send sends documents, at most parallel of them at once, and calls each with
// the outcomes, in order, on its own goroutine. When ctx ends, what isn't
// accepted fails, and no more is read.
func Send(ctx context.Context, s Sender, docs iter.Seq[Doc], parallel int, each func(Outcome)) {
	// The queue is longer than what is sent at once, so that one slow job
	// doesn't hold up those behind it.
	queue := make(chan chan Outcome, 4*parallel)
	tokens := make(chan struct{}, parallel)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(queue)
		for d := range docs {
			if ctx.Err() != nil {
				return
			}
			result := make(chan Outcome, 1)
			queue <- result
			tokens <- struct{}{}
			wg.Go(func() {
				result <- one(ctx, s, d)
				<-tokens
			})
		}
	})
	for result := range queue {
		each(<-result)
	}
	wg.Wait()
}

func one(ctx context.Context, s Sender, d Doc) Outcome {
	o := Outcome{File: d.File, Line: d.Line, ID: d.ID, Err: d.Err}
	if o.Err != nil {
		return o
	}
	if o.ID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			o.Err = err
			return o
		}
		o.ID = id.String()
	}
	r, err := s.Send(ctx, o.ID, d.Job)
	o.Duplicate, o.Host, o.Err = r.Duplicate, r.Host, err
	return o
}
