package slurmjob

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"regexp"

	"fencepost/submit"
)

// ReadLog looks for a job in a file that jobcomp/filetxt writes.
func ReadLog(ctx context.Context, name, id string) (submit.Past, error) {
	f, err := os.Open(name)
	if err != nil {
		return submit.Past{}, &submit.Error{Outcome: submit.Unavailable, Op: "read job completion log", Err: err}
	}
	defer f.Close()
	return ScanLog(ctx, f, id)
}

// field finds NAME=VALUE in a line of jobcomp/filetxt. Values may have blanks
// in them, and end where the next field begins.
var field = regexp.MustCompile(`(?:^| )(JobId|Name|JobState|NodeList)=(.*?)(?: [A-Z][A-Za-z_]*=|$)`)

// ScanLog looks for the last record of an id: after a crash of the
// scheduler ids are given out again.
func ScanLog(ctx context.Context, r io.Reader, id string) (submit.Past, error) {
	var p submit.Past
	want := []byte("JobId=" + id + " ")
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		if ctx.Err() != nil {
			return submit.Past{}, &submit.Error{Outcome: submit.Unavailable, Op: "read job completion log", Err: context.Cause(ctx)}
		}
		if bytes.HasPrefix(s.Bytes(), want) {
			p = ParseLog(s.Text())
		}
	}
	if err := s.Err(); err != nil {
		return submit.Past{}, &submit.Error{Outcome: submit.Unavailable, Op: "read job completion log", Err: err}
	}
	return p, nil
}

// ParseLog reads one line.
func ParseLog(line string) submit.Past {
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
		Started: Nodes(f["NodeList"]), State: State(f["JobState"], "")}
}
