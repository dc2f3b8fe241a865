package submit

import (
	"context"
	"time"

	"fencepost/spool"
)

const notProbed = "not probed yet"

// Fitness says whether this host can submit, and why not. A cluster that is down
// or full doesn't make a host unfit, though it claims nothing then. A host whose submissions
// were refused stays unfit in words until one succeeds, though its probe passes:
// the probe doesn't see what is wrong. Until then it may try one job at a time.
func (e *Engine) Fitness() (fit bool, reason string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.away && e.suspect == "":
		return true, e.unfit
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
	first := e.unfit == "" || e.unfit == notProbed
	if OutcomeOf(err) == Unavailable && (first || e.away) {
		// Down, or full: no host can submit now, and none is unfit.
		e.away = true
	} else {
		e.away = false
	}
	e.unfit = err.Error()
	e.refusals++
	e.mu.Unlock()
	if first {
		e.in.Warn("can't submit", err)
	}
}

// refused is setUnfit outside of the prober, which it wakes.
func (e *Engine) refused(err error) {
	e.setUnfit(err)
	e.recheck.Notify()
}

// setSuspect is setUnfit after a submission.
func (e *Engine) setSuspect(err error) {
	e.mu.Lock()
	e.suspect = err.Error()
	e.mu.Unlock()
	e.refused(err)
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
		if err := e.tidyRequests(); err != nil {
			e.in.Warn("look for requests that came too late", err)
		}
		before := e.refusalCount()
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
		if e.setFit(before) {
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

func (e *Engine) refusalCount() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.refusals
}

// setFit lets this host claim, unless something was refused since the probe
// began; proven is false while it is on trial.
func (e *Engine) setFit(before int) (proven bool) {
	e.mu.Lock()
	was, suspect := e.unfit, e.suspect
	if e.refusals != before {
		e.mu.Unlock()
		return false
	}
	e.unfit, e.away = "", false
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
