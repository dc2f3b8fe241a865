package picture

import (
	"cmp"
	"slices"
	"strings"
)

// tableRow is a row of the table that is there without JavaScript.
type tableRow struct {
	Time, Where, What, Job, Result string
	Kind                           string
}

// table are the rows that tell the story: of one job, or if there is none, all
// that matter. more counts those that didn't fit.
func (r *run) table(story string, limit int) (rows []tableRow, more int) {
	ordered := slices.Clone(r.rows)
	slices.SortStableFunc(ordered, func(a, b row) int { return cmp.Compare(a.moment(), b.moment()) })
	for _, w := range ordered {
		if !w.matters() || story != "" && w.job != "" && w.job != story {
			continue
		}
		if len(rows) == limit {
			more++
			continue
		}
		where := w.proc
		if where == "" {
			where = w.host
		}
		rows = append(rows, tableRow{Time: span(r.times[w.moment()]), Where: where, What: w.what(), Job: w.job, Result: w.result(),
			Kind: []string{"operation", "fault", "note", "step", "violation"}[w.kind]})
	}
	return rows, more
}

// moment is where a row stands in the order: its first effect, if it has one.
func (w row) moment() int {
	switch {
	case len(w.effects) > 0:
		return w.effects[0].at
	case w.kind == operation && w.to0 >= 0:
		return w.to0
	}
	return w.from0
}

func (w row) what() string {
	out := w.op
	if w.kind == violation {
		out = strings.TrimSpace("VIOLATION " + out)
	}
	if w.kind == fault {
		out = strings.TrimSpace("fault: " + out)
	}
	if w.kind == note {
		out = strings.TrimSuffix("note: "+out, ": ")
	}
	switch {
	case w.from != "" && w.to != "":
		out += " " + w.from + " to " + w.to
	case w.from != "" || w.to != "":
		out += " " + w.from + w.to
	}
	return out
}

// result is what became of it, in words.
func (w row) result() string {
	var out []string
	if w.kind == operation {
		switch {
		case w.to0 >= 0 && w.err != "":
			out = append(out, "answer "+w.err)
		case w.to0 >= 0:
			out = append(out, "done")
		default:
			out = append(out, "no answer")
		}
		for i, e := range w.effects {
			word := "effect"
			if i > 0 {
				word = "again"
			}
			switch {
			case e.err != "" && e.err != w.err:
				out = append(out, word+" "+e.err)
			case e.err == "" && (w.err != "" || i > 0 || w.to0 < 0):
				out = append(out, word+" done")
			}
		}
	}
	if w.words != "" {
		out = append(out, w.words)
	}
	return strings.Join(out, ", ")
}
