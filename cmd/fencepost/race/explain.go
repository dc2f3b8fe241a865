package race

import (
	"fmt"
	"strings"
	"time"

	"fencepost/cmd/fencepost/race/history"
)

// Explain tells, in words and in the order of time, what led to a violation: a
// run with its history. Reads and heartbeats are left out, and so is what
// concerns other jobs.
func Explain(res *Result) []string {
	v := res.Violation
	if v == nil {
		return nil
	}
	var out []string
	if v.Job != "" {
		out = append(out, fmt.Sprintf("JOB is %s.", v.Job))
	}
	for _, e := range res.History {
		if line := explainEvent(e, v.Job); line != "" {
			line = fmt.Sprintf("%9.3f s  %-8s %s", time.Duration(e.T).Seconds(), e.Host, line)
			if v.Job != "" {
				line = strings.ReplaceAll(line, v.Job, "JOB")
			}
			out = append(out, line)
		}
	}
	return append(out, fmt.Sprintf("%9.3f s  %-8s VIOLATION (%s, %s): %s", v.At.Seconds(), "", v.Class, v.Kind, v.Text))
}

func explainEvent(e history.Event, job string) string {
	concerns := e.Job == job || job == ""
	switch e.Kind {
	case "fault":
		words := e.Text
		if e.Until > e.T {
			words += fmt.Sprintf(", for %s", short(time.Duration(e.Until-e.T)))
		}
		return "FAULT " + e.Op + ": " + words
	case "effect":
		if (!concerns || dullName(e)) && !epochName(e.From) && !epochName(e.To) {
			return ""
		}
		line := e.Op + " " + e.From
		if e.From == "" || e.From == e.To {
			line = e.Op + " " + e.To
		} else if e.To != "" {
			line += " -> " + e.To
		}
		if e.Text != "" {
			line += " (" + e.Text + ")"
		}
		return line
	case "answer":
		if e.Err == "" || !concerns || e.Job == "" || e.Op == "read" || e.Op == "open" {
			return ""
		}
		return fmt.Sprintf("is answered %s to %s %s", e.Err, e.Op, e.From)
	case "note":
		if e.Job != "" && e.Job != job {
			return ""
		}
		return e.Text
	case "job":
		if (e.Host == "cluster" || strings.HasPrefix(e.Op, "cluster ")) && e.Job != "" && concerns {
			return e.Op + " " + e.Text
		}
		if e.Job == job && job != "" && (e.Op == "returned" || e.Op == "reclaimed" || e.Op == "lost" || e.Op == "parked" || e.Op == "unclear" || e.Op == "dropped") {
			return fmt.Sprintf("says %q: %s", e.Op, e.Text)
		}
	}
	return ""
}

// dullName: it happens all the time, and says nothing about a job.
func dullName(e history.Event) bool {
	top, rest, _ := strings.Cut(e.To, "/")
	if e.To == "" {
		top, rest, _ = strings.Cut(e.From, "/")
	}
	switch top {
	case "hosts":
		return !strings.Contains(rest, "/fenced/")
	case "intruders", "roster":
		return true
	}
	return false
}

// epochName: a directory of an instance itself.
func epochName(name string) bool {
	top, rest, _ := strings.Cut(name, "/")
	switch top {
	case "claims", "sealed", "drafts":
		return strings.Count(rest, "/") == 1
	case "hosts":
		return strings.Contains(rest, "/epochs/") && strings.Count(rest, "/") == 2
	}
	return false
}
