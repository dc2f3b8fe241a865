package batch

import (
	"context"
	"sync"
	"time"

	"fencepost/codec"
)

// Final is where a job ended up.
type Final struct {
	ID    string
	State codec.State
	Err   error // no final state was seen: the context ended, with the last error of asking
}

// settled says whether a state stays until a person acts. A held job is waited
// for: somebody holds it in order to let it go.
func settled(state string) bool {
	switch state {
	case codec.StateDone, codec.StateHandedOver, codec.StateFailed, codec.StateParked:
		return true
	}
	return false
}

// Pace bounds how often hosts are asked: each question is a look at the share.
type Pace struct {
	Parallel   int           // questions at once; default 4
	First, Max time.Duration // pause between rounds, growing by half; default 200 ms and 5 s
}

// Wait asks for the jobs until each has a final state, and calls each with it,
// in no order, on its own goroutine.
func Wait(ctx context.Context, s Sender, ids []string, p Pace, each func(Final)) {
	if p.Parallel <= 0 {
		p.Parallel = 4
	}
	if p.First <= 0 {
		p.First = 200 * time.Millisecond
	}
	if p.Max <= 0 {
		p.Max = 5 * time.Second
	}
	left, last := ids, map[string]Final{}
	for pause := p.First; ; pause = min(pause*3/2, p.Max) {
		var next []string
		for _, f := range round(ctx, s, left, p.Parallel) {
			if f.Err == nil && settled(f.State.State) {
				each(f)
				continue
			}
			last[f.ID] = f
			next = append(next, f.ID)
		}
		if left = next; len(left) == 0 {
			return
		}
		select {
		case <-time.After(pause):
			continue
		case <-ctx.Done():
		}
		for _, id := range left {
			f := last[id]
			if f.Err == nil {
				f.Err = context.Cause(ctx)
			}
			each(f)
		}
		return
	}
}

// round asks once for each job.
func round(ctx context.Context, s Sender, ids []string, parallel int) []Final {
	out := make([]Final, len(ids))
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(parallel, len(ids)) {
		wg.Go(func() {
			for i := range next {
				st, err := s.Query(ctx, ids[i])
				out[i] = Final{ID: ids[i], State: st, Err: err}
			}
		})
	}
	for i := range ids {
		next <- i
	}
	close(next)
	wg.Wait()
	return out
}
