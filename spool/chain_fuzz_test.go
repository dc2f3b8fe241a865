package spool_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fencepost/spool"
	"fencepost/spool/env"
	"fencepost/spool/vfs"
)

// logOnly is a spool on disk with one log, which is read from bytes.
type logOnly struct {
	*spool.Spool
	file string
}

func newLogOnly(t testing.TB) *logOnly {
	t.Helper()
	dir := t.TempDir()
	fs := must(vfs.OpenOS(dir))
	t.Cleanup(func() { fs.Close() })
	if _, _, err := spool.Init(fs, must(spool.NewFormat())); err != nil {
		t.Fatal(err)
	}
	mustDo(os.MkdirAll(filepath.Join(dir, "hosts/a/journal"), 0o700))
	return &logOnly{must(spool.Open(env.NewReal(fs))), filepath.Join(dir, "hosts/a/journal/1.jsonl")}
}

// read returns what readers see of a log, an event a text.
func (l *logOnly) read(t testing.TB, log []byte) (events []string, r spool.ChainReport) {
	t.Helper()
	mustDo(os.WriteFile(l.file, log, 0o600))
	if err := l.Events(nil, func(e spool.Event) { events = append(events, fmt.Sprint(e)) }); err != nil {
		t.Fatal(err)
	}
	return events, must(l.VerifyJournals(nil, nil))
}

// written is a good log.
func written(t testing.TB) []byte {
	t.Helper()
	l := newLogOnly(t)
	j := must(spool.OpenJournal(l.Env, spool.Stamp{Host: "a", Epoch: 1, Version: "1"}, nil))
	for i := range 4 {
		j.Add(spool.Event{Event: "test", Job: jobA, Detail: strings.Repeat("x", i*7) + "\n\"}"})
	}
	mustDo(j.Close())
	return must(os.ReadFile(l.file))
}

// TestJournalCutAnywhere: of a log that a crash cut at any byte, readers see the
// events that are whole, in order, and nothing else; its chain is right.
func TestJournalCutAnywhere(t *testing.T) {
	log := written(t)
	l := newLogOnly(t)
	all, _ := l.read(t, log)
	if len(all) != 4 {
		t.Fatalf("got %d events", len(all))
	}
	for n := range len(log) + 1 {
		events, r := l.read(t, log[:n])
		whole := bytes.Count(log[:n], []byte{'\n'})
		// A line without its end may be whole, but for the line break.
		if len(events) != whole && len(events) != whole+1 || fmt.Sprint(events) != fmt.Sprint(all[:len(events)]) {
			t.Fatalf("cut at %d: got %d events, want %d", n, len(events), whole)
		}
		if len(r.Broken) > 0 || r.Lines != whole {
			t.Fatalf("cut at %d: %+v", n, r)
		}
	}
}

// FuzzJournal: no bytes make a reader fail, and what was put behind a good log, or
// into it, is never taken for a part of its chain.
func FuzzJournal(f *testing.F) {
	log := written(f)
	l := newLogOnly(f)
	all, _ := l.read(f, log)
	for _, tail := range []string{"", "x", "{}\n", `{"n":5,"host":"a","event":"x","chain":"00000000000000000000000000000000"}` + "\n", string(log[:200]), string(log)} {
		f.Add(uint16(len(log)), []byte(tail))
		f.Add(uint16(len(log)/2), []byte(tail))
	}
	f.Fuzz(func(t *testing.T, at uint16, more []byte) {
		n := min(int(at), len(log))
		data := append(log[:n:n], more...)
		events, r := l.read(t, data)
		if whole := bytes.Count(log[:n], []byte{'\n'}); len(events) < whole || fmt.Sprint(events[:whole]) != fmt.Sprint(all[:whole]) {
			t.Fatalf("the %d whole events before the cut are not read: %q", whole, events)
		}
		// A chain that is right holds events of the good log only, or is its own: a
		// key is what it takes to tell the second from the first.
		if len(r.Broken) == 0 && len(events) > len(all) && bytes.HasPrefix(data, log) && r.Lines > len(all) && !bytes.Contains(more, []byte(`"chain":"`)) {
			t.Fatalf("taken for the log's: %q", more)
		}
	})
}
