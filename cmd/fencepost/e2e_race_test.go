package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fencepost/cmd/fencepost/race/history"
)

// raceReal runs race --real on a directory of its own; more are its flags.
func raceReal(t *testing.T, more ...string) (stdout, stderr string, code int, dir string) {
	t.Helper()
	dir = t.TempDir()
	s := &site{t: t, bin: binary(t)}
	t.Setenv("TMPDIR", t.TempDir()) // what is kept outside of dir goes with the test, too
	stdout, stderr, code = s.try(append([]string{"race", "--real", dir, "--hosts", "2", "--jobs", "16", "--time", "10s"}, more...)...)
	return stdout, stderr, code, dir
}

// TestRaceReal: real processes are killed, stopped and restarted; all is well;
// nothing is left; the events have what was done, and what the cluster did.
func TestRaceReal(t *testing.T) {
	events := filepath.Join(t.TempDir(), "events")
	page := filepath.Join(t.TempDir(), "page.html")
	flags := []string{"--faults", "kill,stop", "--events", events, "--html", page}
	out, errs, code, dir := raceReal(t, flags...)
	t.Log(out)
	if code == 4 { // a machine that is too busy for any takeover, say
		out, errs, code, dir = raceReal(t, append(flags, "--time", "25s")...)
		t.Log(out)
	}
	if code != 0 || !strings.HasPrefix(out, "pass: ") {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	for _, d := range []string{dir, os.TempDir()} {
		if left, _ := filepath.Glob(filepath.Join(d, "fencepost-race-*")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
	f, err := os.Open(events)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h, err := history.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, e := range h {
		if e.Kind == history.Fault || e.Host == "cluster" {
			seen[e.Op]++
		}
	}
	for _, op := range []string{"kill", "stop", "reclaim", "start"} {
		if seen[op] == 0 {
			t.Errorf("no %s in the events: %v", op, seen)
		}
	}
	if html, err := os.ReadFile(page); err != nil || !strings.Contains(string(html), "pass: seed") {
		t.Errorf("the picture: %v", err)
	}
}

// TestRaceRealJudge: a cluster that starts a job twice, and one that loses one,
// are found out by what is outside of the program; all is kept, and the job's
// trace is shown.
func TestRaceRealJudge(t *testing.T) {
	for bug, want := range map[string]string{"start-twice": "safety: twice: job ", "lose-job": "the cluster started it 0 times"} {
		t.Run(bug, func(t *testing.T) {
			out, errs, code, dir := raceReal(t, "--bug", bug, "--faults", "kill")
			if code != 1 || !strings.HasPrefix(out, "FAIL (safety)") || !strings.Contains(out, want) {
				t.Fatalf("exit %d\n%s%s", code, out, errs)
			}
			if !strings.Contains(out, "TIME\tHOST\tEPOCH") || !strings.Contains(out, "kept: the spool in "+dir) {
				t.Errorf("got no trace, or nothing kept:\n%s", out)
			}
			if kept, _ := filepath.Glob(filepath.Join(dir, "fencepost-race-*", "fencepost.toml")); len(kept) != 1 {
				t.Errorf("kept: %v", kept)
			}
		})
	}
}
