package gridengine

import (
	"errors"
	"strings"

	"fencepost/submit"
	"fencepost/submit/internal/run"
	"fencepost/submit/internal/word"
)

// exitTryLater is qsub's exit status when a job limit is reached.
const exitTryLater = 25

// outcomes is what the words of qsub mean; the first match counts.
var outcomes = []struct {
	words   string
	outcome submit.Outcome
}{
	{"jobs are allowed per", submit.Unavailable}, // per user, per cluster
	{"Connection refused", submit.Unavailable},   // no qmaster: nothing was sent
	{"can't connect to service", submit.Unavailable},

	{"Unable to initialize environment", submit.Unfit},
	{"SGE_ROOT directory", submit.Unfit},
	{"cell directory", submit.Unfit},
	{"is no submit host", submit.Unfit},
	{"is not a submit host", submit.Unfit},
	{"neither submit nor admin host", submit.Unfit},
	{"Unknown option", submit.Unfit}, // Config.Args
	{"Invalid option", submit.Unfit},

	{"Job was rejected because", submit.Rejected}, // unknown queue
	{"job rejected:", submit.Rejected},            // parallel environment, project
	{"unknown resource", submit.Rejected},
	{"job name too long", submit.Rejected},
	{"is not a valid object name", submit.Rejected},
}

func judge(said string) submit.Outcome {
	for _, o := range outcomes {
		if strings.Contains(said, o.words) {
			return o.outcome
		}
	}
	return submit.Unknown
}

// submitError judges a qsub that didn't succeed. One that printed an id, or
// that was ended, may have submitted.
func submitError(r run.Result) error {
	e := &submit.Error{Op: "qsub", Detail: word.Message(r.Stderr), Err: errors.New(r.Why())}
	switch {
	case r.Code <= 0 || len(strings.TrimSpace(string(r.Stdout))) > 0:
	case r.Code == exitTryLater:
		e.Outcome = submit.Unavailable
	default:
		e.Outcome = judge(string(r.Stderr))
	}
	return e
}

// callError judges the programs that only ask; what qrls and qdel did remains
// unknown unless they say that they did nothing.
func callError(op string, r run.Result) error {
	said := string(r.Stderr) + "\n" + string(r.Stdout)
	e := &submit.Error{Op: op, Detail: word.Message([]byte(said)), Err: errors.New(r.Why())}
	e.Outcome = judge(said)
	if e.Outcome == submit.Unknown && !strings.HasPrefix(op, "qrls") && !strings.HasPrefix(op, "qdel") {
		e.Outcome = submit.Unavailable
	}
	return e
}

func notStarted(op string, err error) error {
	e := &submit.Error{Outcome: submit.Unfit, Op: op, Err: err}
	var ns *run.NotStarted
	if errors.As(err, &ns) && ns.Passing {
		e.Outcome = submit.Unavailable
	}
	return e
}
