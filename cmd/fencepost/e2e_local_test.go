package main_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// localStatus is local/ID/status.json.
type localStatus struct {
	State, Host, Reason string
	ExitCode            *int `json:"exit_code"`
}

func (s *site) localStatus(id string) (st localStatus) {
	data, _ := os.ReadFile(filepath.Join(s.spool, "local", id, "status.json"))
	_ = json.Unmarshal(data, &st)
	return st
}

// TestLocalKills: two hosts with embedded clusters, whose daemons are killed all
// the time. The jobs' processes outlive them: each script ran once, its output
// is kept, and no host ever ran more at once than it has slots. One whose
// wrapper is killed is recorded as interrupted, and never run again.
func TestLocalKills(t *testing.T) {
	n, span, slots := pick(300, 100, 30), pick(time.Minute, 12*time.Second, 4*time.Second), 3
	s := newSite(t, []string{"a", "b"}, "--heartbeat", "300ms", "--lease", "2s", "--cluster", "local", "--max-faults", "1000")
	s.env = []string{fmt.Sprintf("FENCEPOST_CLUSTER_LOCAL_SLOTS=%d", slots), "XDG_RUNTIME_DIR=" + s.dir, "TMPDIR=" + s.dir}
	events := filepath.Join(s.dir, "events")
	script := fmt.Sprintf("#!/bin/sh\necho $FENCEPOST_JOB_ID + $(date +%%s%%N) $PPID >> %[1]s\necho said by $1\nsleep 0.2\n"+
		"case $1 in 7) sleep 30;; esac\necho $FENCEPOST_JOB_ID - $(date +%%s%%N) >> %[1]s\n", events)
	ports, to := map[string]string{}, []string{}
	for _, h := range []string{"a", "b"} {
		ports[h] = fmt.Sprintf("127.0.0.1:%d", freePort(t))
		to = append(to, "--to", ports[h])
		s.start(h, "--listen", ports[h])
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	sent := s.sending(n, span/2, script, to)
	kills := 0
	for end := time.Now().Add(span); time.Now().Before(end); kills++ {
		time.Sleep(time.Duration(rnd.Int64N(int64(time.Second))))
		h := []string{"a", "b"}[rnd.IntN(2)]
		s.host(h).kill9()
		time.Sleep(time.Duration(rnd.Int64N(int64(300 * time.Millisecond))))
		s.start(h, "--listen", ports[h])
	}
	ids := sent()
	// The jobs with the argument 7 run for long: their wrappers are killed.
	interrupted := killWrappers(t, s, ids, events)
	s.await(2*time.Minute, n)
	for _, h := range []string{"a", "b"} { // a new start finds out what happened
		s.host(h).stop(t)
		s.start(h, "--listen", ports[h])
	}
	wantLocalEnds(t, s, ids, interrupted)
	wantSlots(t, s, events, ids, interrupted, slots)
	t.Logf("%d kills, %d jobs interrupted", kills, len(interrupted))
}

// killWrappers kills what runs the jobs that sleep, by the process ids that
// they wrote down, one after the other as they start.
func killWrappers(t *testing.T, s *site, ids []string, events string) map[string]bool {
	t.Helper()
	killed := map[string]bool{}
	eventually(t, 2*time.Minute, func() string {
		open := map[string]int{}
		data, _ := os.ReadFile(events)
		ended := strings.Count(string(data), " - ")
		for l := range strings.Lines(string(data)) {
			w := strings.Fields(l)
			if len(w) == 4 {
				open[w[0]], _ = strconv.Atoi(w[3])
			} else if len(w) == 3 {
				delete(open, w[0])
			}
		}
		for id, pid := range open {
			text, _ := os.ReadFile(filepath.Join(s.spool, "local", id, "stdout"))
			if strings.TrimSpace(string(text)) == "said by 7" && !killed[id] && pid > 1 {
				killed[id] = true
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		if ended+len(killed) >= len(ids) {
			return ""
		}
		return fmt.Sprintf("%d ended, %d killed, of %d", ended, len(killed), len(ids))
	})
	return killed
}

// wantLocalEnds wants a status and the output of each job.
func wantLocalEnds(t *testing.T, s *site, ids []string, interrupted map[string]bool) {
	t.Helper()
	eventually(t, 20*time.Second, func() string {
		for _, id := range ids {
			want := "done"
			if interrupted[id] {
				want = "interrupted"
			}
			if st := s.localStatus(id); st.State != want || want == "done" && (st.ExitCode == nil || *st.ExitCode != 0) {
				return fmt.Sprintf("job %s: status %+v, want %s", id, st, want)
			}
		}
		return ""
	})
	for _, id := range ids {
		out, err := os.ReadFile(filepath.Join(s.spool, "local", id, "stdout"))
		if err != nil || !strings.HasPrefix(string(out), "said by ") || strings.Count(string(out), "\n") != 1 {
			t.Errorf("job %s: output %q, %v", id, out, err)
		}
	}
}

// wantSlots reads the jobs' own account: each began once, and at no time more
// of one host's were under way than it has slots. A job that was interrupted
// counts up to its death only, which isn't written down: it is left out.
func wantSlots(t *testing.T, s *site, events string, ids []string, interrupted map[string]bool, slots int) {
	t.Helper()
	type edge struct {
		at   int64
		step int
		host string
	}
	var edges []edge
	starts := map[string]int{}
	data, err := os.ReadFile(events)
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(data)) {
		w := strings.Fields(l)
		at, _ := strconv.ParseInt(w[2], 10, 64)
		step := -1
		if w[1] == "+" {
			starts[w[0]]++
			step = 1
		}
		if !interrupted[w[0]] {
			edges = append(edges, edge{at, step, s.localStatus(w[0]).Host})
		}
	}
	for _, id := range ids {
		if starts[id] != 1 {
			t.Errorf("job %s: got %d starts, want 1", id, starts[id])
		}
	}
	slices.SortFunc(edges, func(a, b edge) int { return int(a.at - b.at) })
	now, most := map[string]int{}, map[string]int{}
	for _, e := range edges {
		now[e.host] += e.step
		most[e.host] = max(most[e.host], now[e.host])
	}
	t.Logf("most jobs at once, by host: %v", most)
	for h, m := range most {
		if m > slots || h == "" {
			t.Errorf("host %q ran %d jobs at once, and has %d slots", h, m, slots)
		}
	}
}
