package submit

import (
	"context"
	"time"

	"fencepost/spool"
)

const notProbed = "not probed yet"

// Fitness says whether this host can submit, and why not. One whose submissions
// were refused stays unfit in words until one succeeds, though its probe passes:
// the probe doesn't see what is wrong. Until then it may try one job at a time.
func (e *Engine) Fitness() (fit bool, reason string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.unfit != "":
		return false, e.unfit
	case e.suspect != "":
		return false, e.suspect + "; its probe passes, so it tries one job at a time"
	}
	return true, ""
}

// mayClaim says whether the last probe passed, and nothing was refused since.
func (e *Engine) mayClaim() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.unfit == ""
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

// setSuspect is setUnfit after a submission.
func (e *Engine) setSuspect(err error) {
	e.mu.Lock()
	e.suspect = err.Error()
	e.mu.Unlock()
	e.setUnfit(err)
}

// probeLoop probes before the first claim, then between claims; while unfit it
// tries again after 1 s, doubling to ProbeEvery.
func (e *Engine) probeLoop(ctx context.Context) {
	wait := time.Second
	pause := func() error {
		d := min(wait, e.opt.ProbeEvery)
		wait = 2 * d
		return e.env.Sleep(ctx, d)
	}
	for ctx.Err() == nil {
		err := e.probe(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			e.setUnfit(err)
			if pause() != nil {
				return
			}
			continue
		}
		if e.setFit() {
			wait = time.Second
		}
		e.taker.Hint()
		e.recheck.Wait(ctx, e.opt.ProbeEvery)
		// Somebody found this host unfit a moment ago: give it a moment.
		if !e.mayClaim() && pause() != nil {
			return
		}
	}
}

// setFit lets this host claim; proven is false while it is on trial.
func (e *Engine) setFit() (proven bool) {
	e.mu.Lock()
	was, suspect := e.unfit, e.suspect
	e.unfit, e.checked = "", true
	e.mu.Unlock()
	event := "fit"
	if suspect != "" {
		event = "on-trial"
	}
	if was != "" && was != notProbed {
		e.in.Journal.Add(spool.Event{Event: event, Stage: spool.Submit, Detail: "was: " + was})
	}
	return suspect == ""
}

// probe asks whether the cluster is the one that is pinned, and whether this
// host can submit to it.
func (e *Engine) probe(ctx context.Context) error {
	if err := e.checkPin(ctx); err != nil {
		return err
	}
	return e.cluster.Probe(ctx)
}
