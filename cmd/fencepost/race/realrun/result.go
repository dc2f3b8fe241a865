package realrun

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"fencepost/cmd/fencepost/race"
	"fencepost/cmd/fencepost/race/history"
	"fencepost/spool"
)

// Result is how a run went.
type Result struct {
	Options   Options
	Violation *race.Violation
	Unknown   []string // why there is no verdict
	Faults    race.Counts
	Accepted  int // jobs, by the clients
	Again     int // answers that said duplicate
	Balance   spool.Balance
	Audits    int
	Takeovers []time.Duration // from a kill or a stop until another host had moved on what it left; sorted
	Leases    int             // that ended without anything having been done to their host
	Took      time.Duration
	History   []history.Event
	Spool     string // the spool, if it was kept
	Base      string // the hosts' logs and the cluster's book, if they were kept
}

// Code is the exit code.
func (r *Result) Code() int {
	switch {
	case r.Violation != nil && r.Violation.Class == race.Safety:
		return race.ExitSafety
	case len(r.Unknown) > 0:
		return race.ExitUnknown
	case r.Violation != nil:
		return race.ExitLiveness
	}
	return race.ExitPass
}

// Verdict is the run in one line.
func (r *Result) Verdict() string {
	word := map[int]string{race.ExitPass: "pass", race.ExitSafety: "FAIL (safety)", race.ExitLiveness: "FAIL (liveness)", race.ExitUnknown: "UNKNOWN"}[r.Code()]
	once := ""
	if r.Code() == race.ExitPass {
		once = ", each released and started once"
	}
	line := fmt.Sprintf("%s: seed %d, %d hosts, %d jobs, %d accepted (%d done, %d parked, %d failed)%s; %d kills, %d pauses, %d restarts; takeovers: %d%s; %d audits, %d answers that it is a duplicate, %d leases lost without a fault; %s",
		word, r.Options.Seed, r.Options.Hosts, r.Options.Jobs, r.Accepted, r.Balance.Done, r.Balance.Parked, r.Balance.Failed, once,
		r.Faults[string(race.Kill)], r.Faults[string(race.Stop)], r.Faults[string(race.Restart)], len(r.Takeovers), r.median(),
		r.Audits, r.Again, r.Leases, r.Took.Round(time.Second))
	if len(r.Unknown) > 0 {
		line += "; no verdict: " + strings.Join(r.Unknown, "; ")
	}
	return line
}

func (r *Result) median() string {
	n := len(r.Takeovers)
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" (median %s, longest %s)", ((r.Takeovers[(n-1)/2] + r.Takeovers[n/2]) / 2).Round(10*time.Millisecond), r.Takeovers[n-1].Round(10*time.Millisecond))
}

// result puts together what was seen. events are those of the journals.
func (r *run) result(events []spool.Event, b *book) *Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	res := &Result{Options: r.o, Violation: r.violation, Unknown: r.unknown, Faults: race.Counts{}, Balance: r.balance, Audits: r.audits,
		Took: time.Since(r.made), Leases: r.leases(events), Takeovers: r.takeovers(events)}
	for _, d := range r.faults {
		res.Faults[string(d.kind)]++
	}
	for _, s := range r.sent {
		res.Again += s.again
		if s.accepted > 0 {
			res.Accepted++
		}
	}
	res.History = history.FromMachine(events, r.seen(b))
	slow := timeouts(events)
	if v := res.Violation; v != nil && v.Class == race.Liveness && (r.lag > r.o.Lease || res.Leases > 0 || slow > 0) {
		res.Unknown = append(res.Unknown, fmt.Sprintf("this machine was overloaded (it slept up to %s too long, %d leases could not be proven, %d programs of the cluster did not end within %s): %s",
			r.lag.Round(time.Millisecond), res.Leases, slow, programLimit, v.Text))
	}
	if res.Violation == nil && len(res.Unknown) == 0 {
		res.Unknown = r.missing(res)
	}
	return res
}

// missing names what must have happened, and didn't.
func (r *run) missing(res *Result) (out []string) {
	over := false
	for _, f := range r.o.Faults {
		over = over || f == race.Kill || f == race.Stop
		if res.Faults[string(f)] == 0 {
			out = append(out, "fault "+string(f)+" never happened")
		}
	}
	if over && r.o.Hosts > 1 && len(res.Takeovers) == 0 {
		out = append(out, "no host took over from another")
	}
	return out
}

// soon is how long after its end a fault may still be the reason for something:
// a woken host takes a while to say that it was fenced.
const soon = 10 * time.Second

// takeovers are the times from a fault until another host noted that it moved on
// what the victim left. All read one machine's clock.
func (r *run) takeovers(events []spool.Event) (all []time.Duration) {
	for i, d := range r.faults {
		if d.kind == race.Restart {
			continue
		}
		end := d.until.Add(soon) // of what can be put down to d
		for j, o := range r.faults {
			if j != i && o.host == d.host && o.from.After(d.from) && o.from.Before(end) {
				end = o.from
			}
		}
		var first time.Time
		for _, e := range events {
			if e.Event == "reclaim" && e.Host != d.host && strings.HasPrefix(e.Token, d.host+"/") && e.Time.After(d.from) &&
				e.Time.Before(end) && (first.IsZero() || e.Time.Before(first)) {
				first = e.Time
			}
		}
		if !first.IsZero() {
			all = append(all, first.Sub(d.from))
		}
	}
	slices.Sort(all)
	return all
}

// leases counts instances that ended although nothing was done to their hosts:
// the machine or the share was too slow for the lease.
func (r *run) leases(events []spool.Event) (n int) {
	for _, e := range events {
		if e.Event != "stopped" || !r.stopping.IsZero() && e.Time.After(r.stopping) {
			continue
		}
		why := slices.ContainsFunc(r.faults, func(d done) bool {
			return d.host == e.Host && d.from.Before(e.Time) && e.Time.Before(d.until.Add(soon))
		})
		if !why {
			n++
		}
	}
	return n
}

// timeouts counts programs of the cluster that were given up. None of them
// waits for anything but the machine.
func timeouts(events []spool.Event) (n int) {
	for _, e := range events {
		if strings.Contains(e.Detail, "killed: time-out") {
			n++
		}
	}
	return n
}

// seen is what was seen from outside: the faults, the cluster's book, and the
// broken promise.
func (r *run) seen(b *book) (all []history.Seen) {
	for _, d := range r.faults {
		text := map[race.Fault]string{race.Kill: "SIGKILL, until it was started again and ready", race.Stop: "SIGSTOP, until SIGCONT",
			race.Restart: "SIGTERM, until it was started again and ready"}[d.kind]
		all = append(all, history.Seen{At: d.from, For: d.until.Sub(d.from), Event: history.Event{Kind: history.Fault, Host: d.host, Op: string(d.kind), Text: text}})
	}
	if b != nil {
		for _, l := range b.lines {
			e := history.Event{Kind: history.Note, Host: "cluster", Op: l.What, Text: "as " + l.ID}
			if j := b.byID[l.ID]; j != nil {
				e.Text += ", token " + j.token
				if r.sent[j.key] != nil {
					e.Kind, e.Job = history.Job, j.key
				}
			}
			all = append(all, history.Seen{At: l.T, Event: e})
		}
	}
	if v := r.violation; v != nil {
		all = append(all, history.Seen{At: r.began.Add(v.At), Event: history.Event{Kind: history.Violation, Op: v.Kind, Job: v.Job, Text: v.Text}})
	}
	return all
}
