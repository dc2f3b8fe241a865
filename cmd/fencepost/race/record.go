package race

import (
	"context"
	"errors"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"fencepost/cmd/fencepost/race/history"
	"fencepost/spool"
	"fencepost/spool/env/nfssim"
	"fencepost/submit/clustersim"
)

func noContext() context.Context { return context.Background() }

func (r *run) record(e history.Event) {
	if r.opt.Record {
		e.T = int64(r.w.Now())
		r.events = append(r.events, e)
	}
}

func (h *host) lane() string {
	if h == nil {
		return ""
	}
	return h.label
}

func (h *host) procName() string {
	if h == nil || h.proc == nil {
		return ""
	}
	return h.proc.Name()
}

// jobIn is the job that names are about.
func jobIn(names ...string) string {
	for _, n := range names {
		if p, ok := parsePlace(n); ok {
			return p.name.ID
		}
	}
	return ""
}

func (r *run) recordCall(h *host, c *nfssim.Call) {
	e := history.Event{Kind: "call", Host: h.lane(), Call: int64(c.N), Op: c.Op, From: c.From, To: c.To, Job: jobIn(c.To, c.From)}
	if c.Proc != nil {
		e.Proc = c.Proc.Name()
	}
	if r.isRogue(c.Proc) {
		e.Host = "rogue"
	}
	if t := r.w.Current(); t != nil {
		e.Task = t.Name()
	}
	r.record(e)
}

func (r *run) recordEffect(x *nfssim.Effect) {
	if x.Call == nil {
		return // a direct view's: the set-up
	}
	e := history.Event{Kind: "effect", Op: x.Op, From: x.From, To: x.To, Job: jobIn(x.To, x.From)}
	if x.Call != nil {
		e.Call = int64(x.Call.N)
		e.Host = r.hostOf(x.Call.Proc).lane()
		if x.Call.Proc != nil {
			e.Proc = x.Call.Proc.Name()
		}
		if r.isRogue(x.Call.Proc) {
			e.Host = "rogue"
		}
	}
	if x.Again {
		e.Text = "asked for again"
	}
	r.record(e)
}

func (r *run) onAnswer(c *nfssim.Call) {
	e := history.Event{Kind: "answer", Host: r.hostOf(c.Proc).lane(), Call: int64(c.N), Op: c.Op, From: c.From, To: c.To, Job: jobIn(c.To, c.From)}
	if r.isRogue(c.Proc) {
		e.Host = "rogue"
	}
	if c.Err != nil {
		e.Err = c.Err.Error()
		var no syscall.Errno
		if errors.As(c.Err, &no) {
			e.Err = unix.ErrnoName(no)
		}
	}
	r.record(e)
}

func (r *run) recordFault(f Fault, h *host, words string, until time.Duration) {
	e := history.Event{Kind: "fault", Host: h.lane(), Proc: h.procName(), Op: string(f), Text: words}
	if h == nil {
		e.Host = "server"
	}
	if until > r.w.Now() {
		e.Until = int64(until)
	}
	r.record(e)
}

// faultsEnd: none lasts longer than until now, whatever was planned.
func (r *run) faultsEnd() {
	now := int64(r.w.Now())
	for i := range r.events {
		if e := &r.events[i]; e.Until > now {
			e.Until = max(now, e.T)
		}
	}
}

func (r *run) recordEvent(h *host, ev spool.Event) {
	if ev.Job != "" || ev.Event == spool.EvTrouble {
		r.record(history.Event{Kind: "job", Host: h.lane(), Proc: h.procName(), Op: ev.Event, Job: ev.Job,
			Text: joinWords(ev.Result, ev.Detail), From: ev.Token})
	}
}

func joinWords(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + ": " + b
}

func (r *run) note(h *host, op, words string) {
	r.record(history.Event{Kind: "note", Host: h.lane(), Proc: h.procName(), Op: op, Text: words})
}

func (r *run) recordNote(words string) { r.record(history.Event{Kind: "note", Text: words}) }

func (r *run) recordNote2(h *host, job, words string) {
	r.record(history.Event{Kind: "note", Host: "client", Job: job, Text: words + " to " + h.label})
}

func (r *run) recordCluster(op, job, id string) {
	r.record(history.Event{Kind: "job", Host: "cluster", Op: op, Job: job, Text: id})
}

func (r *run) recordCall2(h *host, c clustersim.Call) {
	if !r.opt.Record {
		return
	}
	job := ""
	if len(c.Arg) > idLength {
		job = c.Arg[len(c.Arg)-idLength:]
	}
	r.record(history.Event{Kind: "job", Host: h.lane(), Proc: h.procName(), Op: "cluster " + c.Op, Text: c.Arg, Job: job})
}
