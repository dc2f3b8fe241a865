package spool_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestChainStrange: something that is no log, under a log's name, hides neither an
// edit elsewhere nor what the other logs tell; and is reported itself.
func TestChainStrange(t *testing.T) {
	log := written(t)
	l := newLogOnly(t)
	hosts := filepath.Dir(filepath.Dir(filepath.Dir(l.file)))
	outside := filepath.Join(t.TempDir(), "outside")
	mustDo(os.WriteFile(outside, log, 0o600))
	mustDo(os.Symlink(outside, filepath.Join(hosts, "a/journal/2.jsonl")))
	mustDo(syscall.Mkfifo(filepath.Join(hosts, "a/journal/3.jsonl"), 0o600))
	mustDo(os.Mkdir(filepath.Join(hosts, "a/journal/4.jsonl"), 0o700))
	mustDo(os.WriteFile(filepath.Join(hosts, "a/journal/5.jsonl"), nil, 0o600))
	mustDo(os.Truncate(filepath.Join(hosts, "a/journal/5.jsonl"), 100<<20))
	mustDo(os.WriteFile(filepath.Join(hosts, "b"), nil, 0o600))
	mustDo(os.Symlink(t.TempDir(), filepath.Join(hosts, "c")))
	events, r := l.read(t, bytes.Replace(log, []byte("xxxxxxx"), []byte("yyyyyyy"), 1))
	if len(events) != 4 {
		t.Errorf("%d events are read, want 4", len(events))
	}
	found := map[string]string{}
	for _, b := range r.Broken {
		found[b.File] = b.Why
	}
	for file, why := range map[string]string{"hosts/a/journal/1.jsonl": "not as it was written", "hosts/a/journal/2.jsonl": "not a regular file",
		"hosts/a/journal/3.jsonl": "not a regular file", "hosts/a/journal/4.jsonl": "not a regular file", "hosts/a/journal/5.jsonl": "too large",
		"hosts/b/journal": "", "hosts/c/journal": ""} {
		if got, ok := found[file]; !ok || !strings.Contains(got, why) {
			t.Errorf("%s: got %q, want %q", file, got, why)
		}
	}
	if _, err := l.Trace(jobA); err != nil {
		t.Errorf("trace: %v", err)
	}
	if link := l.LastLink("a"); !strings.HasPrefix(link, "1 ") {
		t.Errorf("the next log of the host would follow %q: its chain is cut", link)
	}
}
