package picture

import (
	"fmt"
	"slices"
	"strings"

	"fencepost/cmd/fencepost/race/history"
	"fencepost/cmd/fencepost/show"
)

// What a row is; the script knows the numbers.
const (
	operation = iota
	fault
	note
	step // in a job's life
	violation
)

// row is one thing to be drawn: an operation from call to answer, or a moment.
// Its moments are positions in run.times.
type row struct {
	kind                                            int
	host, proc, task, op, from, to, job, err, words string
	from0, to0                                      int // first moment, and the answer or the fault's end; -1 = none
	called                                          bool
	effects                                         []effect
}

// effect is one time at which an operation was done, or refused. A request that
// was sent again has several.
type effect struct {
	at  int
	err string
}

// run is a history, joined.
type run struct {
	times []int64 // of each moment, ascending
	rows  []row
}

// moment is an event, or the end of a fault that lasted.
type moment struct {
	t   int64
	ev  int
	end bool
}

// newRun joins calls with their effects and answers.
func newRun(h []history.Event) *run {
	moments := make([]moment, 0, len(h))
	for i, e := range h {
		moments = append(moments, moment{t: e.T, ev: i})
		if e.Kind == history.Fault && e.Until > e.T {
			moments = append(moments, moment{t: e.Until, ev: i, end: true})
		}
	}
	slices.SortStableFunc(moments, func(a, b moment) int {
		switch {
		case a.t != b.t && a.t < b.t:
			return -1
		case a.t != b.t:
			return 1
		case a.end != b.end && b.end: // an end comes after what happened at its time
			return -1
		case a.end != b.end:
			return 1
		}
		return 0
	})
	r := &run{times: make([]int64, 0, len(moments))}
	calls := map[int64]int{} // the row of an operation
	faults := map[int]int{}  // the row of a fault, by its event
	for at, m := range moments {
		r.times = append(r.times, m.t)
		e := h[m.ev]
		switch {
		case m.end:
			r.rows[faults[m.ev]].to0 = at
		case e.Kind == history.Call || e.Kind == history.Effect || e.Kind == history.Answer:
			r.join(calls, e, at)
		default:
			faults[m.ev] = len(r.rows)
			r.rows = append(r.rows, newRow(kindOf(e.Kind), e, at))
		}
	}
	return r
}

func kindOf(kind string) int {
	switch kind {
	case history.Fault:
		return fault
	case history.Job:
		return step
	case history.Violation:
		return violation
	}
	return note
}

// join adds an event to its operation's row. A call always begins one: a number
// that is used again is another operation.
func (r *run) join(calls map[int64]int, e history.Event, at int) {
	i, ok := calls[e.Call]
	if !ok || e.Kind == history.Call {
		i = len(r.rows)
		calls[e.Call] = i
		r.rows = append(r.rows, newRow(operation, e, at))
		r.rows[i].err = ""
	}
	o := &r.rows[i]
	if o.from0 != at {
		more := newRow(operation, e, at)
		for _, f := range []struct{ has, get *string }{{&o.host, &more.host}, {&o.proc, &more.proc}, {&o.task, &more.task},
			{&o.op, &more.op}, {&o.from, &more.from}, {&o.to, &more.to}, {&o.job, &more.job}} {
			if *f.has == "" {
				*f.has = *f.get
			}
		}
		if more.words != "" && more.words != o.words {
			o.words = strings.TrimPrefix(o.words+"; "+more.words, "; ")
		}
	}
	switch e.Kind {
	case history.Call:
		o.called = true
	case history.Effect:
		o.effects = append(o.effects, effect{at, show.Clean(e.Err)})
	case history.Answer:
		o.to0, o.err = at, show.Clean(e.Err)
	}
}

// maxText bounds the words of one event, bytes.
const maxText = 2000

func newRow(kind int, e history.Event, at int) row {
	c := show.Clean
	words := c(e.Text)
	if len(words) > maxText {
		words = strings.ToValidUTF8(words[:maxText], "") + "..."
	}
	return row{kind: kind, host: c(e.Host), proc: c(e.Proc), task: c(e.Task), op: c(e.Op), from: c(e.From), to: c(e.To),
		job: c(e.Job), err: c(e.Err), words: words, from0: at, to0: -1}
}

// matters: what is shown at first. Polls and heartbeats concern no job.
func (w row) matters() bool { return w.kind != operation || w.job != "" || w.ofEpoch() }

// ofEpoch: instances come and go by making and removing names of their own.
func (w row) ofEpoch() bool {
	switch w.op {
	case "mkdir", "rmdir", "create", "link":
	default:
		return false
	}
	for _, p := range []string{w.from, w.to} {
		top, _, _ := strings.Cut(p, "/")
		if strings.Contains(p, "/epochs/") || strings.Contains(p, "/fenced/") ||
			slices.Contains([]string{"claims", "sealed", "drafts"}, top) {
			return true
		}
	}
	return false
}

func (r *run) count(kind int) (n int) {
	for _, w := range r.rows {
		if w.kind == kind {
			n++
		}
	}
	return n
}

// story is the job that explains: of the first violation that names one.
func (r *run) story() string {
	for _, w := range r.rows {
		if w.kind == violation && w.job != "" {
			return w.job
		}
	}
	return ""
}

// counts says how much there is, in words.
func (r *run) counts() string {
	hosts, jobs := map[string]bool{}, map[string]bool{}
	for _, w := range r.rows {
		if w.host != "" {
			hosts[w.host] = true
		}
		if w.job != "" {
			jobs[w.job] = true
		}
	}
	var out []string
	for _, c := range []struct {
		n         int
		one, many string
	}{{len(hosts), "lane", "lanes"}, {len(jobs), "job", "jobs"}, {r.count(operation), "operation", "operations"},
		{r.count(fault), "fault", "faults"}, {r.count(violation), "violation", "violations"}} {
		word := c.many
		if c.n == 1 {
			word = c.one
		}
		out = append(out, fmt.Sprintf("%d %s", c.n, word))
	}
	if len(r.times) > 0 {
		out = append(out, "over "+span(r.times[len(r.times)-1]-r.times[0]))
	}
	return strings.Join(out, ", ")
}
