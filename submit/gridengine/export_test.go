package gridengine

import (
	"fencepost/submit"
	"fencepost/submit/internal/run"
)

// Listing merges recorded answers.
func Listing(prefix, states, details, userHold, otherHold string) ([]submit.Job, error) {
	list, err := parseStates([]byte(states))
	if err != nil {
		return nil, err
	}
	tokens, err := parseDetails([]byte(details))
	if err != nil {
		return nil, err
	}
	set := func(ids string) map[string]bool {
		m := map[string]bool{}
		for _, c := range ids {
			m[string(c)] = true
		}
		return m
	}
	return (&Cluster{cfg: Config{NamePrefix: prefix}}).merge(list, tokens, set(userHold), set(otherHold)), nil
}

// Judge judges a qsub that exited with a status.
func Judge(status int, stderr string) submit.Outcome {
	return submit.OutcomeOf(submitError(run.Result{Code: status, Stderr: []byte(stderr)}))
}

// The pure parts.
var (
	ParseAccounting = parseAccounting
	ParseStates     = parseStates
	ParseDetails    = parseDetails
)
