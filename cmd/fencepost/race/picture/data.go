package picture

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// data is what the script gets. Texts are numbers into Texts, of which the first
// is empty; times are differences; a row is an array, to be small:
// kind, host, proc, task, op, from, to, job, err, words, first moment, answer or
// end (-1 = none), flags (1 matters, 2 called), then two for each effect: its
// moment and its error.
type data struct {
	Texts []string `json:"texts"`
	Times []int64  `json:"times"`
	Rows  [][]int  `json:"rows"`
	Story int      `json:"story"`
}

const (
	flagMatters = 1 << iota
	flagCalled
)

func (r *run) encode() data {
	numbers := map[string]int{"": 0}
	d := data{Texts: []string{""}, Times: make([]int64, len(r.times)), Rows: make([][]int, 0, len(r.rows))}
	number := func(s string) int {
		n, ok := numbers[s]
		if !ok {
			n = len(d.Texts)
			numbers[s] = n
			d.Texts = append(d.Texts, s)
		}
		return n
	}
	for i, t := range r.times {
		d.Times[i] = t
		if i > 0 {
			d.Times[i] = t - r.times[i-1]
		}
	}
	for _, w := range r.rows {
		flags := 0
		if w.matters() {
			flags |= flagMatters
		}
		if w.called {
			flags |= flagCalled
		}
		out := []int{w.kind}
		for _, s := range []string{w.host, w.proc, w.task, w.op, w.from, w.to, w.job, w.err, w.words} {
			out = append(out, number(s))
		}
		out = append(out, w.from0, w.to0, flags)
		for _, e := range w.effects {
			out = append(out, e.at, number(e.err))
		}
		d.Rows = append(d.Rows, out)
	}
	d.Story = number(r.story())
	return d
}

// fit leaves out as much as must be: first what isn't shown at first, then whole
// jobs, those without a violation and the later ones first, then whatever is
// over. It says what.
func (r *run) fit(limit int) (*run, []string) {
	total := 0
	for _, w := range r.rows {
		total += w.cost()
	}
	if total <= limit {
		return r, nil
	}
	var left []string
	keep := func(w row) bool { return w.matters() }
	sum, dropped := 0, 0
	for _, w := range r.rows {
		if keep(w) {
			sum += w.cost()
		} else {
			dropped++
		}
	}
	if dropped > 0 {
		left = append(left, fmt.Sprintf("%d operations that concern no job are left out.", dropped))
	}
	if sum <= limit {
		return r.only(keep), left
	}
	fits, jobs := r.jobsThatFit(limit)
	keepJob := func(w row) bool { return keep(w) && (w.job == "" || fits[w.job]) }
	if len(fits) < jobs {
		left = append(left, fmt.Sprintf("%d of %d jobs are shown, the others are left out whole.", len(fits), jobs))
	}
	rest := r.only(keepJob)
	room, cut := limit, 0
	short := rest.only(func(w row) bool {
		room -= w.cost()
		if room < 0 && w.kind != violation {
			cut++
			return false
		}
		return true
	})
	if cut > 0 {
		left = append(left, fmt.Sprintf("The last %d events are left out.", cut))
	}
	return short, left
}

// jobsThatFit chooses jobs as long as there is room: those of violations, then
// in order of appearance.
func (r *run) jobsThatFit(limit int) (fits map[string]bool, jobs int) {
	cost := map[string]int{}
	var order, urgent []string
	for _, w := range r.rows {
		if w.matters() {
			if _, ok := cost[w.job]; !ok && w.job != "" {
				order = append(order, w.job)
			}
			cost[w.job] += w.cost()
		}
		if w.kind == violation && w.job != "" {
			urgent = append(urgent, w.job)
		}
	}
	fits = map[string]bool{}
	room := limit - cost[""]
	for _, j := range append(urgent, order...) {
		if fits[j] || len(fits) > 0 && room < cost[j] {
			continue
		}
		room -= cost[j]
		fits[j] = true
	}
	return fits, len(order)
}

// cost is about how many bytes a row takes, texts that others have too counted
// half.
func (w row) cost() int {
	n := 60 + 20*len(w.effects) + len(w.words)
	for _, s := range []string{w.from, w.to, w.task} {
		n += len(s) / 2
	}
	return n
}

// only is the run without the rows that keep refuses, and without the moments
// that nothing needs any more.
func (r *run) only(keep func(row) bool) *run {
	var rows []row
	used := make([]bool, len(r.times))
	for _, w := range r.rows {
		if !keep(w) {
			continue
		}
		rows = append(rows, w)
		used[w.from0] = true
		if w.to0 >= 0 {
			used[w.to0] = true
		}
		for _, e := range w.effects {
			used[e.at] = true
		}
	}
	out := &run{}
	now := make([]int, len(r.times))
	for i, t := range r.times {
		now[i] = len(out.times)
		if used[i] {
			out.times = append(out.times, t)
		}
	}
	for _, w := range rows {
		w.from0 = now[w.from0]
		if w.to0 >= 0 {
			w.to0 = now[w.to0]
		}
		effects := make([]effect, len(w.effects))
		for i, e := range w.effects {
			effects[i] = effect{now[e.at], e.err}
		}
		w.effects = effects
		out.rows = append(out.rows, w)
	}
	return out
}

// span is a time in its largest units, as the script writes it.
func span(ns int64) string {
	trim := func(x float64, digits int) string {
		s := strconv.FormatFloat(x, 'f', digits, 64)
		if strings.Contains(s, ".") {
			s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
		}
		return s
	}
	switch x := float64(ns); {
	case ns < 1e3:
		return trim(x, 0) + " ns"
	case ns < 1e6:
		return trim(x/1e3, 1) + " µs"
	case ns < 1e9:
		return trim(x/1e6, 3) + " ms"
	case ns < 60e9:
		return trim(x/1e9, 4) + " s"
	}
	return time.Duration(ns).Round(time.Millisecond).String()
}
