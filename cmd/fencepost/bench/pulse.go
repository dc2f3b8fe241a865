package bench

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// pulse counts how jobs go on: for the progress, and to notice when they don't.
type pulse struct {
	cfg   Config
	done  atomic.Int64
	total atomic.Int64
}

func newPulse(cfg Config) *pulse { return &pulse{cfg: cfg} }

func (p *pulse) begin(total int) { p.total.Store(int64(total)) }

// tick is a step of a job. To show each would cost more than the step.
func (p *pulse) tick(what string) {
	if n := p.done.Add(1); n%64 == 0 {
		p.cfg.Progress(int(n), int(p.total.Load()), what)
	}
}

// watch ends the run when nothing goes on. The func returned ends the watch.
func (p *pulse) watch(end context.CancelCauseFunc, patience time.Duration) (stop func()) {
	quit := make(chan struct{})
	go func() {
		last := int64(-1)
		t := time.NewTicker(patience)
		defer t.Stop()
		for {
			select {
			case <-quit:
				return
			case <-t.C:
			}
			now := p.done.Load()
			if now == last {
				end(fmt.Errorf("%w for %s", ErrStalled, patience))
				return
			}
			last = now
		}
	}()
	return func() { close(quit) }
}
