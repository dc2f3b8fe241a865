package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fencepost/cmd/fencepost/show"
	"fencepost/spool"
)

// topDoc is one look of top.
type topDoc struct {
	Time     string     `json:"time"`
	Spool    string     `json:"spool"`
	OK       bool       `json:"ok"`
	Problems []problem  `json:"problems"`
	Accepted int        `json:"accepted"`
	Done     int        `json:"done"`
	Rates    *rateDoc   `json:"rates"` // nil at the first look
	Stages   []depthDoc `json:"stages"`
	Hosts    []topHost  `json:"hosts"`
	InHand   int        `json:"in_hand"` // claims and sealed files
	Jobs     []topJob   `json:"jobs"`    // of these, those that were seen the longest

	status *statusDoc
}

// rateDoc is what the whole spool did, by the names of two looks.
type rateDoc struct {
	Over     float64 `json:"over_seconds"`
	Accepted float64 `json:"accepted_per_minute"`
	Done     float64 `json:"done_per_minute"`
}

// topHost is a host and what it does.
type topHost struct {
	hostDoc
	Sealed int      `json:"sealed"`
	Done   *float64 `json:"done_per_minute"` // nil at the first look
}

// topJob is a job in somebody's hands. Seconds is how long top has seen it so, by
// its own clock: no host's clock is asked.
type topJob struct {
	jobDoc
	Seconds float64 `json:"seen_seconds"`
}

// What is shown: status has the rest.
const (
	topJobs     = 40 // in hand
	topProblems = 3
)

func newTopCmd(g *globals) *cobra.Command {
	var f liveFlags
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch the work: rates, depths, hosts, and what is in whose hands for how long",
		Long: "top looks at the spool again and again, until Ctrl-C or q. It counts names, as status does; rates\n" +
			"are the differences between the looks of the last minute, and how long a job has been in a host's\n" +
			"hands is counted from when top first saw it there. Without a terminal it prints one look after\n" +
			"the other, with --jsonl one document a line.",
		Example: "  fencepost top\n  fencepost top --interval 10s --count 6 --jsonl",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if g.json && f.count == 0 {
				f.count = 1
			}
			if err := f.check(g, cmd); err != nil {
				return err
			}
			var t top
			_, _, err := live(g, cmd, f, "top", t.look, func(o *show.Out, d *topDoc, first bool) {
				if !first && !g.live {
					o.Gap()
				}
				hint := []string{}
				if g.live {
					hint = append(hint, fmt.Sprintf("every %s; q ends it", f.every))
				}
				printTop(o, d, hint...)
			})
			return err
		},
	}
	f.bind(cmd)
	return cmd
}

// top is what is remembered from look to look.
type top struct {
	looks []topLook // of the last minute, oldest first
	known settled
	seen  map[string]time.Duration // paths of jobs in hand, and since when
}

type topLook struct {
	at             time.Duration
	accepted, done int
	ended          map[string]int
}

// topOver is what rates are taken over.
const topOver = time.Minute

func (t *top) look(ctx context.Context, s *share) (*topDoc, error) {
	st, err := takeStatusAgain(&t.known)(ctx, s)
	if err != nil {
		return nil, err
	}
	now := s.Env.Now()
	d := &topDoc{Time: stamp(s.Env.Wall()), Spool: st.Spool, OK: st.OK, Problems: st.Problems, Accepted: st.Accepted, Done: st.Done,
		Stages: depthDocs(st.depths, s.Env.Wall()), InHand: st.Claimed + st.Sealed, status: st}
	t.looks = append(t.looks, topLook{now, st.Accepted, st.Done, st.census.ended})
	for len(t.looks) > 2 && now-t.looks[0].at > topOver {
		t.looks = t.looks[1:]
	}
	first, over := t.looks[0], now-t.looks[0].at
	perMinute := func(before, after int) float64 { return float64(after-before) / over.Minutes() }
	if over > 0 {
		d.Rates = &rateDoc{Over: seconds(over), Accepted: perMinute(first.accepted, st.Accepted), Done: perMinute(first.done, st.Done)}
	}
	sealed := map[string]int{}
	for _, f := range st.census.hand {
		if f.Place == spool.PlaceSealed {
			sealed[f.Name.Host]++
		}
	}
	for _, h := range st.Hosts {
		one := topHost{hostDoc: h, Sealed: sealed[h.Host]}
		if over > 0 {
			rate := perMinute(first.ended[h.Host], st.census.ended[h.Host])
			one.Done = &rate
		}
		d.Hosts = append(d.Hosts, one)
	}
	d.Jobs = t.hand(st.census.hand, now)
	return d, nil
}

// hand lists the jobs in hand, those that were seen the longest first.
func (t *top) hand(hand []spool.Found, now time.Duration) []topJob {
	seen := map[string]time.Duration{}
	jobs := []topJob{}
	for _, f := range hand {
		since, known := t.seen[f.Path]
		if !known {
			since = now
		}
		seen[f.Path] = since
		jobs = append(jobs, topJob{newJobDoc(f), seconds(now - since)})
	}
	t.seen = seen
	slices.SortFunc(jobs, func(a, b topJob) int {
		return cmp.Or(cmp.Compare(b.Seconds, a.Seconds), strings.Compare(a.Job, b.Job))
	})
	return jobs[:min(len(jobs), topJobs)]
}

func printTop(o *show.Out, d *topDoc, hint ...string) {
	word, severity := d.status.verdict()
	o.Cells(severity, word, append([]string{"spool " + d.Spool, d.Time}, hint...)...)
	printProblems(o, d.Problems[:min(len(d.Problems), topProblems)])
	rates := "rates come with the second look"
	if r := d.Rates; r != nil {
		rates = fmt.Sprintf("%.0f a minute accepted, %.0f a minute done, over %s", r.Accepted, r.Done, human(r.Over))
	}
	o.Cells(show.Fine, "jobs", fmt.Sprintf("%d accepted, %d done, %d in hand", d.Accepted, d.Done, d.InHand), rates)
	o.Gap()
	printDepth(o, d.Stages)
	o.Gap()
	t := o.Table("HOST", "STATE", "HEARTBEAT", "STAGES", "IN HAND", "SEALED", "DONE/MIN", "REASON")
	for _, h := range d.Hosts {
		rate := "-"
		if h.Done != nil {
			rate = fmt.Sprintf("%.0f", *h.Done)
		}
		t.MarkedRow(h.severity(), h.Host, h.words(), age(h.hostDoc), dash(strings.Join(h.Stages, ",")), itoa(h.Claims), itoa(h.Sealed),
			rate, dash(h.Reason))
	}
	t.End()
	o.Gap()
	t = o.Table("IN HAND OF", "JOB", "STAGE", "STATE", "SEEN FOR", "TRY", "FAULTS", "CLUSTER ID")
	for _, j := range d.Jobs {
		t.Row(fmt.Sprintf("%s/%d", j.Host, j.Epoch), j.Job, j.Stage, j.State, human(j.Seconds), itoa(j.Gen+1), itoa(j.Faults), dash(j.Cluster))
	}
	t.End()
}
