package bench_test

import (
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"fencepost/cmd/fencepost/bench"
	"fencepost/spool/vfs/mountstats"
)

// TestMember: a member does what it is told, says what it saw, and says why not.
func TestMember(t *testing.T) {
	cfg := config(t)
	cfg.Calls = func() (mountstats.Counts, error) { return mountstats.Counts{"RENAME": 7}, nil }
	orders, tell := io.Pipe()
	hear, answers := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := bench.Member(context.Background(), cfg, "one", orders, answers)
		_ = answers.CloseWithError(err)
		ended <- err
	}()
	heard := json.NewDecoder(hear)
	do := func(order string) (s bench.Seen) {
		t.Helper()
		if _, err := io.WriteString(tell, order+"\n"); err != nil {
			t.Fatal(err)
		}
		if err := heard.Decode(&s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, bad := range []string{`{"do":"sing"}`, `{`} {
		if s := do(bad); s.Error == "" {
			t.Errorf("%s: no error", bad)
		}
	}
	before := do(`{"do":"start"}`)
	if before.Error != "" || before.Calls["RENAME"] != 7 {
		t.Fatalf("%+v", before)
	}
	if s := do(`{"do":"send","jobs":5,"clients":2}`); s.Error != "" {
		t.Fatal(s.Error)
	}
	var s bench.Seen
	for end := time.Now().Add(time.Minute); s.Done < 5 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		s = do(`{"do":"look"}`)
	}
	d := s.Since(before)
	if d.Done != 5 || d.Won != 10 || d.Lost != 0 || len(d.Calls) != 0 {
		t.Errorf("%+v", d)
	}
	for _, c := range []struct {
		purpose, kind string
		n             float64
	}{{"accept", "create", 5}, {"accept", "link", 5}, {"translate", "create", 5}, {"submit", "link", 5}} {
		// One more where the first one finds that its bucket has to be made.
		if got := d.Ops[c.purpose][c.kind]; got < c.n || got > c.n+1 {
			t.Errorf("%s: %v of %s, want %v", c.purpose, got, c.kind, c.n)
		}
	}
	for purpose := range s.Ops {
		if !slices.Contains(bench.Purposes(), purpose) {
			t.Errorf("purpose %q isn't shown", purpose)
		}
	}
	if err := tell.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestPurposes: what an operation is for, by its name.
func TestPurposes(t *testing.T) {
	for name, want := range map[string]string{
		"write hosts/a/heartbeat": "heartbeat", "read hosts/a/heartbeat": "heartbeat", "read hosts/b/heartbeat": "others",
		"list hosts/a/fenced": "flags", "list hosts/a": "flags", "read roster/a.json": "flags", "read roster/b.json": "epochs",
		"list roster": "epochs", "list claims": "epochs", "list sealed/b": "epochs", "list claims/a": "epochs", "list hosts/a/blamed": "epochs",
		"list claims/a/1x": "own", "list xml": "stages", "list json": "stages", "list requests": "requests",
		"read intruders/audit.json": "audit", "list done/0192000": "audit", "list claims/b/1x": "audit",
		"append hosts/a/journal/1.jsonl": "journal", "rename claims/a/1x/translate~1~ID.xml": "jobs", "read claims/a/1x/translate~1~ID.xml": "jobs",
	} {
		kind, file, _ := strings.Cut(name, " ")
		if got := bench.PurposeOf("a", kind, file); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}
