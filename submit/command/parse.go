package command

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"fencepost/codec"
	"fencepost/submit"
	"fencepost/submit/internal/run"
	"fencepost/submit/internal/word"
)

// outcome is what the exit status of any of the five programs means; the
// numbers are those of sysexits.h.
func outcome(r run.Result) submit.Outcome {
	if r.Stopped != nil || r.Signal != 0 {
		return submit.Unknown
	}
	switch r.Code {
	case 65: // EX_DATAERR
		return submit.Rejected
	case 69, 75: // EX_UNAVAILABLE, EX_TEMPFAIL
		return submit.Unavailable
	case 77, 78: // EX_NOPERM, EX_CONFIG
		return submit.Unfit
	}
	return submit.Unknown
}

// states maps find's words. Started of a cancelled job is false: see the
// package's assumptions.
var states = map[string]struct {
	state   submit.State
	started bool
}{
	"held":      {submit.Held, false},
	"pending":   {submit.Pending, false},
	"running":   {submit.Running, true},
	"done":      {submit.Done, true},
	"failed":    {submit.Failed, true},
	"cancelled": {submit.Cancelled, false},
}

// parseListing reads find's output. One bad line spoils it all: a listing
// that isn't complete would let "absent" be taken for "never was".
func parseListing(out []byte, prefix string) ([]submit.Job, error) {
	var jobs []submit.Job
	seen := make(map[string]int)
	line := 0
	for text := range bytes.SplitSeq(out, []byte("\n")) {
		line++
		text = bytes.TrimSuffix(text, []byte("\r"))
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		j, err := parseLine(string(text), prefix)
		if err != nil {
			return nil, fmt.Errorf("line %d (%s): %w", line, word.Message(text), err)
		}
		if first, ok := seen[j.ID]; ok {
			return nil, fmt.Errorf("line %d: id %s again, first in line %d", line, j.ID, first)
		}
		seen[j.ID] = line
		jobs = append(jobs, j)
	}
	return jobs, nil
}

func parseLine(text, prefix string) (submit.Job, error) {
	if !utf8.ValidString(text) {
		return submit.Job{}, errors.New("not UTF-8")
	}
	f := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\t' })
	if len(f) != 4 {
		return submit.Job{}, fmt.Errorf("%d words, not CLUSTER_ID KEY TOKEN STATE", len(f))
	}
	for _, w := range f {
		if err := checkWord(w); err != nil {
			return submit.Job{}, err
		}
	}
	if err := word.Check(f[0]); err != nil {
		return submit.Job{}, err
	}
	s, ok := states[f[3]]
	if !ok {
		return submit.Job{}, fmt.Errorf("no such state: %s", word.Message([]byte(f[3])))
	}
	j := submit.Job{ID: f[0], Name: prefix + f[1], Token: f[2], State: s.state, Started: s.started, Detail: f[3]}
	if id, err := codec.CanonicalID(f[1]); err == nil && id == f[1] {
		j.Key = id
	}
	return j, nil
}

// checkWord refuses what can't stand in a listing as one word.
func checkWord(s string) error {
	for _, r := range s {
		if r <= ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return errors.New("white space or a control character where one word was expected")
		}
	}
	return nil
}
