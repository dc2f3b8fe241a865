package slurm

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"fencepost/submit"
	"fencepost/submit/internal/run"
	"fencepost/submit/internal/word"
)

// refusals are words after which a program waits and tries again by itself, for
// a minute or two. What it was asked has been refused at that moment, so it is
// killed before its next try: otherwise the outcome would be unknown.
var refusals = []string{
	"sleeping and retrying",     // the job limit
	"disabled, retrying",        // "Job creation temporarily ..."
	"cannot stat file",          // no slurm.conf: up to 60 s
	"DNS SRV lookup failed",     // the same
	"_fetch_child: failed to",   // the same, from a controller
	"Munge encode failed",       // no munged
	"If munged is up, restart ", // the same, the line before
}

// benignUnknown is what is said of ids that are not known (any more).
var benignUnknown = []string{"Invalid job id specified"}

// benignRelease is also what is said of jobs that are over.
var benignRelease = []string{"Invalid job id specified", "already finished", "Job has already finished",
	"already completing or completed"}

// outcomes is what the words on standard error mean, the first match counts.
// Nothing that isn't known here is taken for a refusal: it may have been
// accepted.
var outcomes = []struct {
	words   string
	outcome submit.Outcome
}{
	// Surely not accepted, nobody's fault.
	{"sleeping and retrying", submit.Unavailable},
	{"disabled, retrying", submit.Unavailable},
	{"Unable to contact slurm controller (connect failure)", submit.Unavailable},
	{"Resource temporarily unavailable", submit.Unavailable},
	{"SubmitJobLimit", submit.Unavailable}, // AssocMaxSubmitJobLimit and its like, before "Job violates ..."
	{"MaxSubmitJob", submit.Unavailable},
	{"MaxJobsPerUser", submit.Unavailable},
	{"Required partition not available", submit.Unavailable},
	{"Requested operation is presently disabled", submit.Unavailable},

	// This host.
	{"Munge encode failed", submit.Unfit},
	{"If munged is up", submit.Unfit},
	{"Munge decode failed", submit.Unfit},
	{"Protocol authentication error", submit.Unfit},
	{"cannot stat file", submit.Unfit},
	{"Unable to process configuration file", submit.Unfit},
	{"DNS SRV lookup failed", submit.Unfit},
	{"Could not establish a configuration source", submit.Unfit},
	{"failed to fetch config", submit.Unfit},
	{"Incompatible versions of client and server code", submit.Unfit},
	{"Access/permission denied", submit.Unfit},
	{"Invalid user id", submit.Unfit},
	{"unrecognized option", submit.Unfit}, // an sbatch too old, or Config.Args

	// The job.
	{"invalid partition specified", submit.Rejected},
	{"Invalid partition name specified", submit.Rejected},
	{"Invalid account", submit.Rejected},
	{"Invalid qos", submit.Rejected},
	{"Invalid node name specified", submit.Rejected},
	{"Invalid feature specification", submit.Rejected},
	{"Invalid generic resource", submit.Rejected},
	{"Invalid Trackable RESource", submit.Rejected},
	{"Requested node configuration is not available", submit.Rejected},
	{"Requested partition configuration not available", submit.Rejected},
	{"Requested time limit is invalid", submit.Rejected},
	{"Memory specification can not be satisfied", submit.Rejected},
	{"CPU count per node can not be satisfied", submit.Rejected},
	{"CPU count specification invalid", submit.Rejected},
	{"Node count specification invalid", submit.Rejected},
	{"More processors requested than permitted", submit.Rejected},
	{"Job violates accounting/QOS policy", submit.Rejected},
	{"User's group not permitted to use this partition", submit.Rejected},
	{"other parameter too long", submit.Rejected},
	{"Batch script contains DOS line breaks", submit.Rejected},
	{"This does not look like a batch script", submit.Rejected},
	{"Batch script is empty", submit.Rejected},
}

// judge gives the outcome of what a program said before it failed.
func judge(stderr []byte) submit.Outcome {
	text := string(stderr)
	for _, o := range outcomes {
		if strings.Contains(text, o.words) {
			return o.outcome
		}
	}
	return submit.Unknown
}

// submitError judges an sbatch that didn't succeed. One that printed an id, or
// that was ended in any other way than after its own refusal, may have
// submitted.
func submitError(r run.Result) error {
	e := &submit.Error{Op: "sbatch", Detail: word.Message(r.Stderr), Err: errors.New(r.Why())}
	refused := r.Code > 0 || errors.Is(r.Stopped, run.ErrWords)
	if refused && len(r.Stdout) == 0 {
		e.Outcome = judge(r.Stderr)
	}
	return e
}

// callError judges the other programs: nothing was submitted, so that an answer
// which never came means that the cluster is not available, and one that the
// controller refuses to give means this host (a wrong munge key, a wrong clock).
func callError(op string, r run.Result) error {
	e := &submit.Error{Op: op, Detail: word.Message(r.Stderr), Err: errors.New(r.Why())}
	e.Outcome = judge(r.Stderr)
	switch {
	case e.Outcome != submit.Unknown || strings.HasPrefix(op, "scontrol release") || strings.HasPrefix(op, "scancel"):
	case strings.Contains(string(r.Stderr), "Zero Bytes were transmitted or received"):
		e.Outcome = submit.Unfit
		e.Detail += " (is this host's munge key another one, or its clock wrong?)"
	default:
		e.Outcome = submit.Unavailable
	}
	return e
}

// aboutJob is how scontrol names the job that a line is about, at its end.
var aboutJob = regexp.MustCompile(` for job ([0-9]+)$`)

// releaseErrors tells what a scontrol that failed says of each id. It goes on
// after one that it couldn't release, and at the end repeats one of the reasons;
// so an id without a line was released if every line is accounted for. If one
// isn't, or it was ended by force, such an id's outcome is unknown.
func releaseErrors(op string, r run.Result, ids []string) (failed []submit.IDError) {
	said, clear := map[string]string{}, r.Stopped == nil && r.Code > 0
	var rest []string
	for line := range strings.Lines(string(r.Stdout) + "\n" + string(r.Stderr)) {
		line = strings.TrimSpace(line)
		if m := aboutJob.FindStringSubmatch(line); m != nil && slices.Contains(ids, m[1]) {
			said[m[1]] = line
		} else if line != "" {
			rest = append(rest, line)
		}
	}
	for _, line := range rest {
		_, reason, ok := strings.Cut(line, " error: ")
		clear = clear && ok && slices.ContainsFunc(ids, func(id string) bool { return strings.HasPrefix(said[id], reason) })
	}
	if r.Said(benignRelease...) {
		return nil
	}
	for _, id := range ids {
		line, ok := said[id]
		switch {
		case ok && slices.ContainsFunc(benignRelease, func(w string) bool { return strings.Contains(line, w) }):
		case ok:
			failed = append(failed, submit.IDError{ID: id, Err: &submit.Error{Op: op, Outcome: judge([]byte(line)),
				Detail: word.Message([]byte(line)), Err: errors.New(r.Why())}})
		case len(said) == 0:
			failed = append(failed, submit.IDError{ID: id, Err: callError(op, r)})
		case !clear:
			failed = append(failed, submit.IDError{ID: id, Err: &submit.Error{Op: op, Detail: word.Message(r.Stderr), Err: errors.New(r.Why())}})
		}
	}
	return failed
}

func notStarted(op string, err error) error {
	e := &submit.Error{Outcome: submit.Unfit, Op: op, Err: err}
	var ns *run.NotStarted
	if errors.As(err, &ns) && ns.Passing {
		e.Outcome = submit.Unavailable
	}
	return e
}
