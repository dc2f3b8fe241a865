package gridengine

import (
	"context"
	"errors"
	"strings"

	"fencepost/submit"
)

// Past asks the accounting file. It has no record of a job that was deleted
// before it started.
func (c *Cluster) Past(ctx context.Context, id string) (submit.Past, error) {
	if !c.cfg.Accounting {
		return submit.Past{}, submit.ErrNotSupported
	}
	if !isNumber(id) {
		return submit.Past{}, nil
	}
	out, err := c.call(ctx, "qacct", []string{"not found"}, "qacct", "-j", id)
	if err != nil {
		return submit.Past{}, err
	}
	p, err := parseAccounting(string(out), id)
	if err != nil {
		return submit.Past{}, &submit.Error{Outcome: submit.Unknown, Op: "qacct", Err: err}
	}
	return p, nil
}

// parseAccounting reads qacct's blocks of NAME VALUE lines. The last one
// counts: ids are given out again after a long time.
func parseAccounting(out, id string) (submit.Past, error) {
	var p submit.Past
	for block := range strings.SplitSeq(out, "==============================================================") {
		f := make(map[string]string)
		for line := range strings.Lines(block) {
			k, v, _ := strings.Cut(strings.TrimSpace(line), " ")
			if _, ok := f[k]; !ok {
				f[k] = strings.TrimSpace(v)
			}
		}
		if len(f) < 5 {
			continue // before the first, and "not found"
		}
		if f["jobnumber"] != id || f["jobname"] == "" || f["start_time"] == "" {
			return submit.Past{}, errors.New("record without the fields expected")
		}
		p = submit.Past{Known: true, Name: f["jobname"], State: submit.Failed,
			Started: f["start_time"] != "-/-" && f["start_time"] != "UNKNOWN"}
		if failed, _, _ := strings.Cut(f["failed"], " "); failed == "0" && f["exit_status"] == "0" {
			p.State = submit.Done
		}
	}
	return p, nil
}
