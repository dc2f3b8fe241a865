package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fencepost/submit/clustertest"
)

// status is what the command of that name says.
type status struct {
	OK                            bool
	Intruders, Vanished           int
	Parked, Failed, Done, Waiting any
	Hosts                         []struct {
		Host, State, Reason string
		Enrolled            bool
	}
	Problems []struct {
		Code, Text string
		Exit       int
	}
}

func (s *site) status() (st status, code int) {
	s.t.Helper()
	out, errs, code := s.try("status", "--json", "--spool", s.spool)
	if err := json.Unmarshal([]byte(out), &st); err != nil {
		s.t.Fatalf("status: exit %d: %v\n%s%s", code, err, out, errs)
	}
	return st, code
}

// problem finds the first problem of a kind that mentions all words.
func (st status) problem(code string, words ...string) string {
	for _, p := range st.Problems {
		if p.Code == code && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(p.Text, w) }) {
			return p.Text
		}
	}
	return ""
}

// refused runs a serve that is to end by itself.
func (s *site) refused(host string, want int, more ...string) (stderr string, took time.Duration) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	args := slices.Concat([]string{"serve", "--spool", s.spool, "--host", host, "--listen", "127.0.0.1:0"}, s.args, more)
	cmd := exec.CommandContext(ctx, s.bin, args...)
	cmd.Env = slices.Concat(os.Environ(), s.env, s.own[host])
	begin := time.Now()
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || cmd.ProcessState.ExitCode() != want {
		s.t.Errorf("serve as %s %v: got %v, want exit %d\n%s", host, more, err, want, out)
	}
	return string(out), time.Since(begin)
}

// doneBy says which host ended how many jobs; faults are those of all.
func (s *site) doneBy() (by map[string]int, faults int) {
	s.t.Helper()
	var doc struct {
		Jobs []struct {
			Host   string
			Faults int
		}
	}
	if err := json.Unmarshal([]byte(s.run(0, "jobs", "--json", "--state", "done", "--spool", s.spool)), &doc); err != nil {
		s.t.Fatal(err)
	}
	by = map[string]int{}
	for _, j := range doc.Jobs {
		by[j.Host]++
		faults += j.Faults
	}
	return by, faults
}

// cripple is a way in which host b can't submit.
type cripple struct {
	name   string
	args   func(s *site) []string // of host b
	reason string                 // that status gives
	repair func(s *site)          // nil = not while it runs
}

// TestStory replays what fencepost is for: host b, a copy of host a, can't
// submit. Nothing it takes is dropped; it is shown with its reason; taken off
// the roster it stops, and is shown as an intruder.
func TestStory(t *testing.T) {
	good := func(s *site) string {
		return fmt.Sprintf("cat >/dev/null\necho $FENCEPOST_JOB_ID >> %[1]s/submitted\necho $FENCEPOST_HOST >> %[1]s/who\necho c-$FENCEPOST_JOB_ID\n", s.dir)
	}
	for _, c := range []cripple{
		{"submit exits 77", func(s *site) []string {
			return []string{"--cluster-command", "submit=" + s.program("bad", "test -e "+s.dir+"/repaired || { echo no permission >&2; exit 77; }\n"+good(s))}
		}, "no permission", func(s *site) { s.program("repaired", "") }},
		{"probe exits 78", func(s *site) []string {
			return []string{"--cluster-command", "submit=" + s.program("unused", good(s)),
				"--cluster-command", "probe=" + s.program("probe", "test -e "+s.dir+"/repaired || { echo not set up >&2; exit 78; }\n")}
		}, "not set up", func(s *site) { s.program("repaired", "") }},
		{"submit is missing", func(s *site) []string {
			return []string{"--cluster-command", "submit=" + filepath.Join(s.dir, "late")}
		}, "late", func(s *site) { s.program("late", good(s)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, []string{"a", "b"}, "--cluster", "command")
			prog := s.program("good", good(s))
			a, b := s.start("a", "--cluster-command", "submit="+prog), s.start("b", c.args(s)...)
			crippled(t, s, a, b, c)
			wantEachOnce(t, crippledIDs(t, s), filepath.Join(s.dir, "submitted"))
			revoked(t, s, b)
		})
	}
}

// crippledIDs are all ids that the spool ever accepted.
func crippledIDs(t *testing.T, s *site) (ids []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.spool, "gate", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		ids = append(ids, filepath.Base(f))
	}
	return ids
}

// crippled sends jobs to both hosts, and wants a to do them all.
func crippled(t *testing.T, s *site, a, b *proc, c cripple) {
	t.Helper()
	const n = 60
	wantUnfit := func() string {
		st, code := s.status()
		for _, h := range st.Hosts {
			if h.Host == "b" && (h.State != "unfit" || !strings.Contains(h.Reason, c.reason) || code != 4) {
				return fmt.Sprintf("status: exit %d, host b %s (%s), want exit 4, unfit (%s)", code, h.State, h.Reason, c.reason)
			}
		}
		return ""
	}
	for i, p := range []*proc{a, b} {
		s.run(0, "send", "--to", p.addr, "--jsonl", s.jobs(n/2, "#!/bin/sh\ntrue\n"))
		if i == 0 {
			continue
		}
		eventually(t, 5*time.Second, wantUnfit)
	}
	s.await(time.Minute, n)
	for range 8 {
		if wrong := wantUnfit(); wrong != "" {
			t.Error(wrong)
		}
		time.Sleep(300 * time.Millisecond)
	}
	if by, faults := s.doneBy(); by["a"] != n || faults != 0 {
		t.Errorf("got jobs by %v, %d faults; want all %d by a, none", by, faults, n)
	}
	c.repair(s)
	total := n
	begin := time.Now()
	eventually(t, time.Minute, func() string {
		s.run(0, "send", "--to", b.addr, "--jsonl", s.jobs(10, "#!/bin/sh\ntrue\n"))
		total += 10
		s.await(20*time.Second, total)
		if by, _ := s.doneBy(); by["b"] > 0 {
			return ""
		}
		return "host b takes no part, though repaired"
	})
	t.Logf("host b took part %s after its repair", time.Since(begin).Round(100*time.Millisecond))
	eventually(t, 10*time.Second, func() string {
		st, code := s.status()
		if code == 0 {
			return ""
		}
		return fmt.Sprintf("status: exit %d, %+v", code, st)
	})
}

// revoked takes b off the roster while it runs.
func revoked(t *testing.T, s *site, b *proc) {
	t.Helper()
	begin := time.Now()
	s.run(0, "revoke", "b", "--spool", s.spool)
	select {
	case <-b.ended:
	case <-time.After(20 * time.Second):
		t.Fatalf("host b goes on without a roster entry:\n%s", tail(b.log))
	}
	took := time.Since(begin)
	if code := b.cmd.ProcessState.ExitCode(); code != 7 {
		t.Errorf("got exit %d, want 7:\n%s", code, tail(b.log))
	}
	st, code := s.status()
	if code != 5 || st.problem("intruder", "host b") == "" {
		t.Errorf("status right after: exit %d, %+v, want exit 5 and an intruder", code, st.Problems)
	}
	t.Logf("host b stopped %s after its revocation; the intruder was seen %s after it", took.Round(10*time.Millisecond),
		time.Since(begin).Round(10*time.Millisecond))
	if took > 4*time.Second {
		t.Errorf("it took %s, want two heartbeats or so", took)
	}
}

// TestStrangers: who isn't on the roster, runs on another machine, or finds the
// name taken, is refused, and it is recorded or named.
func TestStrangers(t *testing.T) {
	t.Parallel()
	s := newSite(t, []string{"a"}, "--heartbeat", "500ms", "--lease", "2s")
	s.args = append(s.args, "--stages", "ingest,translate")
	a := s.start("a")
	if out, took := s.refused("c", 7); !strings.Contains(out, "roster") || took > 5*time.Second {
		t.Errorf("unlisted host: after %s: %s", took, out)
	}
	if st, code := s.status(); code != 5 || st.problem("intruder", "host c") == "" {
		t.Errorf("status: exit %d, %+v, want 5 and host c", code, st.Problems)
	}
	out, took := s.refused("a", 6)
	if want := fmt.Sprintf("pid %d", a.cmd.Process.Pid); !strings.Contains(out, want) || took > 6*time.Second {
		t.Errorf("second daemon of a host: after %s: got %q, want it to name %q", took, out, want)
	}
	t.Logf("the second daemon gave up after %s: %s", took.Round(10*time.Millisecond), out)
	if out, _ := s.refused("a", 7, "--machine-id", "another"); !strings.Contains(out, "pinned to machine") {
		t.Errorf("other machine: got %q", out)
	}
	st, code := s.status()
	if code != 5 || st.problem("intruder", "machine another") == "" {
		t.Errorf("status: exit %d, %+v, want 5 and the other machine", code, st.Problems)
	}
	if code := a.stop(t); code != 0 {
		t.Errorf("host a: got exit %d, want 0", code)
	}
}

// The same with a real Slurm: host b has no sbatch, or another munge key.
func TestStoryWithSlurm(t *testing.T) {
	for _, c := range []struct {
		name    string
		cripple func(t *testing.T, s *site, sl *clustertest.Slurm)
		reason  string
	}{
		{"no sbatch", func(t *testing.T, s *site, _ *clustertest.Slurm) {
			dir := filepath.Join(s.dir, "bin")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			for _, p := range []string{"scontrol", "squeue", "scancel", "sh"} {
				path, err := exec.LookPath(p)
				if err == nil {
					err = os.Symlink(path, filepath.Join(dir, p))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			s.own["b"] = []string{"PATH=" + dir}
		}, "sbatch"},
		{"another munge key", func(t *testing.T, s *site, sl *clustertest.Slurm) {
			s.own["b"] = []string{"SLURM_CONF=" + sl.OtherMungeKey(t)}
		}, "munge key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "another munge key" && !inFull() {
				t.Skip("takes over a minute; submit/slurm tests the probe itself: FENCEPOST_TEST_LONG=1 runs it")
			}
			n := 20
			s, sl, script := slurmSite(t, []string{"a", "b"})
			c.cripple(t, s, sl)
			a := s.start("a")
			b := s.start("b")
			wantUnfit := func() string {
				st, code := s.status()
				for _, h := range st.Hosts {
					if h.Host == "b" && (h.State != "unfit" || code != 4 || !strings.Contains(h.Reason, c.reason)) {
						return fmt.Sprintf("status: exit %d, host b %s (%s), want exit 4, unfit (%s)", code, h.State, h.Reason, c.reason)
					}
				}
				return ""
			}
			ids := strings.Fields(s.run(0, "send", "--to", b.addr, "--jsonl", s.jobs(n, script)))
			eventually(t, 30*time.Second, wantUnfit)
			s.await(time.Minute, n)
			if by, faults := s.doneBy(); by["a"] != n || faults != 0 {
				t.Errorf("got jobs by %v, %d faults; want all %d by a, none", by, faults, n)
			}
			if wrong := wantUnfit(); wrong != "" {
				t.Error(wrong)
			}
			st, _ := s.status()
			t.Logf("status: %s", st.problem("unfit"))
			wantRuns(t, filepath.Join(s.dir, "out"), sl, ids)
			revoked(t, s, b)
			_ = a
		})
	}
}
