package slurm

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"regexp"
	"strings"

	"fencepost/submit"
)

// Past asks the job completion log, then the accounting.
func (c *Cluster) Past(ctx context.Context, id string) (submit.Past, error) {
	if c.cfg.JobCompFile != "" {
		f, err := os.Open(c.cfg.JobCompFile)
		if err != nil {
			return submit.Past{}, &submit.Error{Outcome: submit.Unavailable, Op: "read job completion log", Err: err}
		}
		defer f.Close()
		p, err := scanJobComp(ctx, f, id)
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

// field finds NAME=VALUE in a line of jobcomp/filetxt. Values may have blanks
// in them, and end where the next field begins.
var field = regexp.MustCompile(`(?:^| )(JobId|Name|JobState|NodeList)=(.*?)(?: [A-Z][A-Za-z_]*=|$)`)

// scanJobComp looks for the last record of an id: after a crash of the
// scheduler ids are given out again.
func scanJobComp(ctx context.Context, r io.Reader, id string) (submit.Past, error) {
	var p submit.Past
	want := []byte("JobId=" + id + " ")
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		if ctx.Err() != nil {
			return submit.Past{}, &submit.Error{Outcome: submit.Unavailable, Op: "read job completion log", Err: context.Cause(ctx)}
		}
		if bytes.HasPrefix(s.Bytes(), want) {
			p = parseJobComp(s.Text())
		}
	}
	if err := s.Err(); err != nil {
		return submit.Past{}, &submit.Error{Outcome: submit.Unavailable, Op: "read job completion log", Err: err}
	}
	return p, nil
}

// parseJobComp reads one line.
func parseJobComp(line string) submit.Past {
	f := make(map[string]string)
	for rest := line; ; {
		m := field.FindStringSubmatchIndex(rest)
		if m == nil {
			break
		}
		k := rest[m[2]:m[3]]
		if _, ok := f[k]; !ok {
			f[k] = rest[m[4]:m[5]]
		}
		rest = rest[m[5]:]
	}
	return submit.Past{Known: f["Name"] != "" && f["JobState"] != "", Name: f["Name"],
		Started: nodes(f["NodeList"]), State: state(f["JobState"], "")}
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
		p = submit.Past{Known: true, Name: strings.Join(f[1:len(f)-2], "|"), Started: nodes(f[len(f)-1]), State: state(st, "")}
	}
	return p, nil
}
