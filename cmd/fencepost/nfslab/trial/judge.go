package trial

import (
	"fmt"
	"slices"
	"strings"
)

// Verdict is what a cluster's log says.
type Verdict struct {
	Submitted int // held jobs, by their ids
	Started   int // jobs, by their keys
	Cancelled int
	Held      []string // ids that are neither released nor cancelled
	Wrong     []string // a line each: started twice, never, without having been accepted
}

// Judge reads a cluster's log. accepted are the ids of all jobs that must have
// been started, once each, and of no others.
func Judge(log string, accepted []string) Verdict {
	var v Verdict
	keys := map[string]string{} // by the cluster's id
	over := map[string]bool{}   // released or cancelled: the first counts
	starts := map[string][]string{}
	var ids []string
	for line := range strings.Lines(log) {
		f := strings.Fields(line)
		if len(f) < 3 || !strings.HasSuffix(line, "\n") {
			v.Wrong = append(v.Wrong, fmt.Sprintf("the log has the line %q", line))
			continue
		}
		what, id := f[0], f[1]
		key, known := keys[id]
		switch {
		case what == "submit" && known:
			v.Wrong = append(v.Wrong, fmt.Sprintf("the cluster gave the id %s to %s and to %s", id, key, f[2]))
		case what == "submit":
			keys[id] = f[2]
			ids = append(ids, id)
			v.Submitted++
		case !known:
			v.Wrong = append(v.Wrong, fmt.Sprintf("%s of %s, which was never submitted", what, id))
		case over[id]:
		case what == "release":
			over[id] = true
			starts[key] = append(starts[key], id)
		case what == "cancel":
			over[id] = true
			v.Cancelled++
		}
	}
	for _, id := range ids {
		if !over[id] {
			v.Held = append(v.Held, id)
		}
	}
	v.Started = len(starts)
	v.Wrong = append(v.Wrong, once(starts, accepted)...)
	return v
}

// once compares what was started with what was accepted.
func once(starts map[string][]string, accepted []string) (wrong []string) {
	for _, job := range accepted {
		if n := len(starts[job]); n == 0 {
			wrong = append(wrong, fmt.Sprintf("job %s was accepted and never started", job))
		}
	}
	for job, ids := range starts {
		if len(ids) > 1 {
			wrong = append(wrong, fmt.Sprintf("job %s was started %d times, as %s", job, len(ids), strings.Join(ids, ", ")))
		}
		if !slices.Contains(accepted, job) {
			wrong = append(wrong, fmt.Sprintf("job %s was started and never accepted", job))
		}
	}
	slices.Sort(wrong)
	return wrong
}
