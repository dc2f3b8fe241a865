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

// chained is a spool on disk with logs of two epochs of host a, and one of b.
type chained struct {
	*spool.Spool
	t   *testing.T
	dir string
}

func newChained(t *testing.T, key []byte) *chained {
	t.Helper()
	c := &chained{t: t, dir: t.TempDir()}
	fs := must(vfs.OpenOS(c.dir))
	t.Cleanup(func() { fs.Close() })
	f := must(spool.NewFormat())
	if _, _, err := spool.Init(fs, f); err != nil {
		t.Fatal(err)
	}
	c.Spool = must(spool.Open(env.NewReal(fs)))
	for _, host := range []string{"a", "b"} {
		mustDo(os.MkdirAll(filepath.Join(c.dir, "hosts", host, "journal"), 0o700))
	}
	c.log("a", 9, key, 3)
	c.log("a", 10, key, 4)
	c.log("b", 1, key, 2)
	return c
}

func (c *chained) log(host string, epoch uint64, key []byte, n int) {
	j := must(spool.OpenJournal(c.Env, spool.Stamp{Host: host, Epoch: epoch, Version: "1", Prev: c.LastLink(host), Key: key}, nil))
	for i := range n {
		j.Add(spool.Event{Event: "test", Job: jobA, Detail: fmt.Sprintf(`event %d "},"chain":"x`, i)})
		mustDo(j.Flush())
	}
	mustDo(j.Close())
}

func (c *chained) file(name string) string { return filepath.Join(c.dir, "hosts", name) }

// edit changes a log as an editor would.
func (c *chained) edit(name string, change func(lines []string) []string) {
	c.t.Helper()
	data := must(os.ReadFile(c.file(name)))
	lines := strings.SplitAfter(string(data), "\n")
	lines = change(lines[:len(lines)-1])
	mustDo(os.WriteFile(c.file(name), []byte(strings.Join(lines, "")), 0o600))
}

func (c *chained) verify(key []byte, known ...spool.LogHead) spool.ChainReport {
	c.t.Helper()
	return must(c.VerifyJournals(key, known))
}

const a9, a10 = "a/journal/9.jsonl", "a/journal/10.jsonl"

// TestChain: each way to edit a log is seen, whoever does it without the key.
func TestChain(t *testing.T) {
	for _, key := range [][]byte{nil, []byte("a key")} {
		for _, c := range []struct {
			what string
			do   func(*chained)
			want string
		}{
			{"nothing", func(*chained) {}, ""},
			{"a word", func(c *chained) {
				c.edit(a9, func(l []string) []string { l[1] = strings.Replace(l[1], "event 1", "event 7", 1); return l })
			}, "9.jsonl:2: event 2, or the one before, is not as it was written"},
			{"a line left out", func(c *chained) { c.edit(a9, func(l []string) []string { return append(l[:1], l[2:]...) }) },
				"9.jsonl:2: event 3 follows event 1"},
			{"the first line left out", func(c *chained) { c.edit(a10, func(l []string) []string { return l[1:] }) }, "10.jsonl:1: event 2 follows event 0"},
			{"two lines changed places", func(c *chained) { c.edit(a10, func(l []string) []string { l[1], l[2] = l[2], l[1]; return l }) }, "event 3 follows event 1"},
			{"a line of another log", func(c *chained) {
				other := string(must(os.ReadFile(c.file(a9))))
				c.edit(a10, func(l []string) []string { l[1] = strings.SplitAfter(other, "\n")[1]; return l })
			}, "10.jsonl:2"},
			{"the end of a log", func(c *chained) { c.edit(a9, func(l []string) []string { return l[:2] }) }, "the end of the log before, hosts/a/journal/9.jsonl, is missing"},
			{"a log", func(c *chained) { mustDo(os.Remove(c.file(a9))) }, "the log before, hosts/a/journal/9.jsonl, is missing"},
			{"a line that is none", func(c *chained) { c.edit(a9, func(l []string) []string { l[1] = "hello\n"; return l }) }, "9.jsonl:2: no event"},
			{"a line without a link", func(c *chained) {
				c.edit(a9, func(l []string) []string {
					return append(l, `{"n":4,"host":"a","event":"x"}`+"\n")
				})
			}, "some events of this log have links and others not"},
			{"a line twice", func(c *chained) { c.edit(a9, func(l []string) []string { return append(l[:2:2], l[1], l[2]) }) }, ""}, // as after a failed fsync
			{"another line twice", func(c *chained) {
				c.edit(a9, func(l []string) []string {
					return append(l[:2:2], strings.Replace(l[1], `"chain":"`, `"chain":"`+"", 1), strings.Replace(l[0], `"n":1`, `"n":2`, 1), l[2])
				})
			}, "event 2 is there twice, and differs"},
			{"a torn end", func(c *chained) { c.edit(a10, func(l []string) []string { return append(l, `{"n":5,"ho`) }) }, ""},
		} {
			t.Run(fmt.Sprint(key != nil, " ", c.what), func(t *testing.T) {
				s := newChained(t, key)
				c.do(s)
				var found []string
				for _, b := range s.verify(key).Broken {
					found = append(found, fmt.Sprintf("%s:%d: %s", b.File, b.Line, b.Why))
				}
				got := strings.Join(found, "\n")
				if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
					t.Errorf("got %q, want %q", got, c.want)
				}
			})
		}
	}
}

// The last log's end can be cut without a trace in it: who noted the ends sees it.
func TestChainHeads(t *testing.T) {
	s := newChained(t, nil)
	before := s.verify(nil)
	if len(before.Heads) != 3 || before.Lines != 9 || before.Heads[1].Log != "hosts/a/journal/10.jsonl" || before.Heads[1].Events != 4 {
		t.Fatalf("got %+v", before)
	}
	s.log("a", 11, nil, 1) // what comes later changes nothing
	if r := s.verify(nil, before.Heads...); len(r.Broken) > 0 {
		t.Errorf("got %+v", r.Broken)
	}
	mustDo(os.Remove(s.file("a/journal/11.jsonl")))
	s.edit(a10, func(l []string) []string { return l[:3] })
	mustDo(os.Remove(s.file("b/journal/1.jsonl")))
	if r := s.verify(nil); len(r.Broken) > 0 {
		t.Errorf("without the heads: got %+v", r.Broken)
	}
	r := s.verify(nil, before.Heads...)
	if len(r.Broken) != 2 || !strings.Contains(r.Broken[0].Why, "event 4, noted earlier") || !strings.Contains(r.Broken[1].Why, "the log is missing") {
		t.Errorf("got %+v", r.Broken)
	}
}

// With a key nobody without it can make a chain anew, or check one.
func TestChainKey(t *testing.T) {
	s := newChained(t, []byte("a key"))
	if r := s.verify(nil); r.Unknown != 9 || len(r.Broken) > 0 {
		t.Errorf("without the key: got %+v", r)
	}
	if r := s.verify([]byte("another")); len(r.Broken) == 0 {
		t.Error("another key fits")
	}
	forged := newChained(t, nil)
	mustDo(os.WriteFile(s.file(a10), must(os.ReadFile(forged.file(a10))), 0o600))
	if r := s.verify([]byte("a key")); !strings.Contains(fmt.Sprint(r.Broken), "without the key") || r.Plain != 4 {
		t.Errorf("a chain made without the key: got %+v", r)
	}
	mustDo(os.WriteFile(s.file(a9), must(os.ReadFile(forged.file(a9))), 0o600))
	if r := s.verify([]byte("a key")); r.Plain != 7 {
		t.Errorf("all of a host's: got %+v", r)
	}
}

// A log from before there were links is read and counted.
func TestChainOfOldLogs(t *testing.T) {
	s := newChained(t, nil)
	mustDo(os.WriteFile(s.file("b/journal/1.jsonl"), bytes.Repeat([]byte(`{"n":1,"host":"b","event":"x"}`+"\n"), 2), 0o600))
	if r := s.verify(nil); r.Bare != 2 || len(r.Broken) > 0 {
		t.Errorf("got %+v", r)
	}
}
