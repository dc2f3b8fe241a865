package submit

import (
	"context"
	"time"

	"fencepost/spool"
)

// Fitness says whether this host may claim, and why not.
func (e *Engine) Fitness() (fit bool, reason string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.unfit == "", e.unfit
}

// setUnfit stops claiming, at once, until a probe passes.
func (e *Engine) setUnfit(err error) {
	e.mu.Lock()
	was := e.unfit
	e.unfit = err.Error()
	e.mu.Unlock()
	if was == "" {
		e.in.Warn("unfit to submit", err)
	}
	e.recheck.Notify()
}

// probeLoop probes before the first claim, then between claims; while unfit it
// tries again after 1 s, doubling to ProbeEvery.
func (e *Engine) probeLoop(ctx context.Context) {
	wait := time.Second
	for ctx.Err() == nil {
		err := e.probe(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			e.setUnfit(err)
			if serr := e.env.Sleep(ctx, wait); serr != nil {
				return
			}
			wait = min(2*wait, e.opt.ProbeEvery)
			continue
		}
		wait = time.Second
		e.setFit()
		e.taker.Hint()
		e.recheck.Wait(ctx, e.opt.ProbeEvery)
		// Somebody found this host unfit a moment ago: give it a moment.
		if fit, _ := e.Fitness(); !fit && e.env.Sleep(ctx, wait) != nil {
			return
		}
	}
}

func (e *Engine) setFit() {
	e.mu.Lock()
	was := e.unfit
	e.unfit, e.checked = "", true
	e.mu.Unlock()
	if was != "" && was != "not probed yet" {
		e.in.Journal.Add(spool.Event{Event: "fit", Stage: spool.Submit, Detail: "was: " + was})
	}
}

// probe asks whether the cluster is the one that is pinned, and whether this
// host can submit to it.
func (e *Engine) probe(ctx context.Context) error {
	if err := e.checkPin(ctx); err != nil {
		return err
	}
	return e.cluster.Probe(ctx)
}
