package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// thief takes files out of a stage's directory as a legacy consumer would: by
// their pattern, whatever is there first. It stops after so many jobs.
type thief struct {
	dir, ext string
	want     int

	mu    sync.Mutex
	taken []string // job ids
	first time.Time
}

func (s *site) steal(dir string, want int) *thief {
	th := &thief{dir: filepath.Join(s.spool, dir), ext: "." + dir, want: want}
	loot := s.t.TempDir()
	end := make(chan struct{})
	var run sync.WaitGroup
	s.t.Cleanup(func() { close(end); run.Wait() })
	run.Go(func() {
		for i := 0; len(th.loot()) < want; i++ {
			select {
			case <-end:
				return
			case <-time.After(time.Millisecond):
			}
			th.grab(loot, i%2 == 0)
		}
	})
	return th
}

// grab takes what is there, by rm or by mv.
func (th *thief) grab(loot string, move bool) {
	names, _ := os.ReadDir(th.dir)
	for _, e := range names {
		name := filepath.Join(th.dir, e.Name())
		if !strings.HasSuffix(name, th.ext) || len(th.loot()) >= th.want {
			continue
		}
		err := os.Remove
		if move {
			err = func(name string) error { return os.Rename(name, filepath.Join(loot, filepath.Base(name))) }
		}
		if err(name) != nil {
			continue // claimed before
		}
		th.mu.Lock()
		if th.first.IsZero() {
			th.first = time.Now()
		}
		if id, _, _ := strings.Cut(strings.TrimSuffix(e.Name(), th.ext), "+"); len(id) == 36 {
			th.taken = append(th.taken, id)
		}
		th.mu.Unlock()
	}
}

func (th *thief) loot() []string {
	th.mu.Lock()
	defer th.mu.Unlock()
	return slices.Clone(th.taken)
}

// TestThief: a foreign program takes files out of xml/ and json/. Within a
// minute each job that it took is named, with its stage, and recovered it is
// submitted once.
func TestThief(t *testing.T) {
	t.Parallel()
	n, each := 120, 6
	args := []string{"--lease", "4s"}
	if inFull() {
		n, args = 400, nil
	}
	s := newSite(t, []string{"a", "b"}, args...)
	// One worker and a slow program: something waits at both stages.
	log := filepath.Join(s.dir, "submitted")
	prog := s.program("submit", fmt.Sprintf("cat >/dev/null\nsleep 0.05\necho $FENCEPOST_JOB_ID >> %s\necho c-$FENCEPOST_JOB_ID\n", log))
	s.args = append(s.args, "--workers", "2", "--cluster", "command", "--cluster-command", "submit="+prog)
	a, _ := s.start("a"), s.start("b")
	fromXML, fromJSON := s.steal("xml", each), s.steal("json", each)
	ids := strings.Fields(s.run(0, "send", "--to", a.addr, "--jsonl", s.jobs(n, "#!/bin/sh\ntrue\n")))
	eventually(t, 30*time.Second, func() string {
		if x, j := len(fromXML.loot()), len(fromJSON.loot()); x < each || j < each {
			return fmt.Sprintf("stole %d files from xml/ and %d from json/, want %d of each", x, j, each)
		}
		return ""
	})
	stages := map[string]string{}
	for _, id := range fromXML.loot() {
		stages[id] = "translate"
	}
	for _, id := range fromJSON.loot() {
		stages[id] = "submit"
	}
	wantAlarms(t, s, stages, fromXML.first)
	if out, _, code := s.try("audit", "--wait", "1s", "--spool", s.spool); code != 5 || !containsAll(out, stages) {
		t.Errorf("audit: exit %d, want 5 and all that was taken:\n%s", code, out)
	}
	out := s.run(0, "audit", "--recover", "--wait", "1s", "--host", "a", "--json", "--spool", s.spool)
	if !containsAll(out, stages) {
		t.Errorf("audit --recover doesn't name all that was taken:\n%s", out)
	}
	s.await(time.Minute, n)
	wantEachOnce(t, ids, log)
	// What it took of the canaries stays for a person.
	s.run(0, "intruders", "--acknowledge", "--reason", "a test", "--spool", s.spool)
	eventually(t, 30*time.Second, func() string {
		st, code := s.status()
		if code == 0 {
			return ""
		}
		return fmt.Sprintf("status after all is well: exit %d, %+v", code, st.Problems)
	})
}

func containsAll(text string, ids map[string]string) bool {
	for id := range ids {
		if !strings.Contains(text, id) {
			return false
		}
	}
	return true
}

// wantAlarms wants each stolen job named with its stage: by a file that status
// reads, a journal, a host's log.
func wantAlarms(t *testing.T, s *site, stages map[string]string, since time.Time) {
	t.Helper()
	eventually(t, 70*time.Second, func() string {
		for id := range stages {
			if _, err := os.Stat(filepath.Join(s.spool, "intruders", "vanished~"+id+".json")); err != nil {
				return "no alarm: " + err.Error()
			}
		}
		return ""
	})
	took := time.Since(since)
	t.Logf("alarms for all %d stolen jobs %s after the first was taken", len(stages), took.Round(100*time.Millisecond))
	if took > time.Minute {
		t.Errorf("the alarm took %s, want a minute at most", took)
	}
	st, code := s.status()
	if code != 5 || st.Vanished != len(stages) || st.problem("vanished") == "" {
		t.Errorf("status: exit %d, %+v, want 5 and %d vanished jobs", code, st, len(stages))
	}
	journal := map[string]string{}
	for _, h := range []string{"a", "b"} {
		for e := uint64(1); e <= s.epoch(h); e++ {
			for _, ev := range s.journal(h, e) {
				if ev.Event == "vanished" {
					journal[ev.Job] = ev.Stage
				}
			}
		}
	}
	logs := tail(s.host("a").log) + tail(s.host("b").log)
	for id, stage := range stages {
		if journal[id] != stage {
			t.Errorf("job %s, taken at stage %s: the journal says %q", id, stage, journal[id])
		}
		if !strings.Contains(logs, `"event":"vanished","job":"`+id) {
			t.Errorf("job %s: no log names it", id)
		}
	}
	if out := s.run(0, "intruders", "--spool", s.spool); !containsAll(out, stages) {
		t.Errorf("intruders doesn't name all:\n%s", out)
	}
}
