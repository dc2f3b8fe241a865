package clustertest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fencepost/codec"
	"fencepost/submit"

	"github.com/google/uuid"
)

// What requests made here bear.
const (
	Spool  = "0196e9f4-1111-7000-8000-000000000000"
	Prefix = "fp-0196e9f4-"
	Host   = "test-host"
)

var seq atomic.Int64

// Request makes a request for a job, whose name it fills in.
func Request(t testing.TB, job codec.Job) submit.Request {
	t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	if job.Name == "" {
		job.Name = "test"
	}
	rec := codec.Record{ID: id.String(), Job: job, Client: "test", ReceivedAt: time.Now().UTC().Truncate(time.Millisecond),
		ReceivedBy: Host, Digest: codec.Digest(job)}
	if err := rec.Validate(); err != nil {
		t.Fatal(err)
	}
	doc, err := codec.EncodeJSON(rec)
	if err != nil {
		t.Fatal(err)
	}
	n := seq.Add(1)
	return submit.Request{Key: rec.ID, Name: Prefix + rec.ID, Token: fmt.Sprintf("%s/%s/3/%d/0", Spool, Host, n),
		Host: Host, SpoolID: Spool, Entry: fmt.Sprintf("sealed/%s/3/submit~%d~%s+0.0.json", Host, n, rec.ID),
		Record: rec, Document: doc}
}

// Marks is a directory in which jobs leave a line each time they start.
type Marks struct{ Dir string }

// NewMarks makes one.
func NewMarks(t testing.TB) Marks { return Marks{t.TempDir()} }

// Job is a job that marks its start, then runs the rest of a shell script.
func (m Marks) Job(name, rest string) codec.Job {
	return codec.Job{Name: name, Script: "#!/bin/sh\necho started >>'" + filepath.Join(m.Dir, name) + "'\n" + rest}
}

// Path is where a job may leave a file of its own.
func (m Marks) Path(name string) string { return filepath.Join(m.Dir, name) }

// Starts is how often a job has started.
func (m Marks) Starts(name string) int {
	b, _ := os.ReadFile(filepath.Join(m.Dir, name))
	return strings.Count(string(b), "\n")
}

// Await fails the test unless cond comes true soon enough.
func Await(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !cond(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}
