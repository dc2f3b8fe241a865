package slurm

import (
	"context"
	"errors"
	"strings"

	"fencepost/submit"
	"fencepost/submit/internal/slurmjob"
)

// Past asks the job completion log, then the accounting.
func (c *Cluster) Past(ctx context.Context, id string) (submit.Past, error) {
	if c.cfg.JobCompFile != "" {
		p, err := slurmjob.ReadLog(ctx, c.cfg.JobCompFile, id)
		if err != nil || p.Known || !c.cfg.Sacct {
			return p, err
		}
	}
	if !c.cfg.Sacct {
		return submit.Past{}, submit.ErrNotSupported
	}
	// Without a start time sacct begins at midnight.
	out, err := c.call(ctx, "sacct", nil, "sacct", "-n", "-P", "-X", "-D", "-j", id, "-S", "1970-01-02",
		"-o", "JobID,JobName,State,NodeList")
	if err != nil {
		return submit.Past{}, err
	}
	return parseSacct(out, id)
}

// parseSacct reads JobID|JobName|State|NodeList; the last record counts.
func parseSacct(out []byte, id string) (submit.Past, error) {
	var p submit.Past
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimRight(line, "\n"), "|")
		if len(f) < 4 {
			return submit.Past{}, &submit.Error{Outcome: submit.Unknown, Op: "sacct", Err: errors.New("line of other fields than asked for")}
		}
		if f[0] != id {
			continue
		}
		st, _, _ := strings.Cut(f[2], " ") // CANCELLED by 0
		p = submit.Past{Known: true, Name: strings.Join(f[1:len(f)-2], "|"), Started: slurmjob.Nodes(f[len(f)-1]), State: slurmjob.State(st, "")}
	}
	return p, nil
}
