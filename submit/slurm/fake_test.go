package slurm_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fencepost/codec"
	"fencepost/submit"
	"fencepost/submit/clustertest"
	"fencepost/submit/slurm"
)

// fakePrograms puts programs that say what was recorded in front of PATH.
func fakePrograms(t *testing.T, programs map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range programs {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestSbatchThatMisbehaves(t *testing.T) {
	tests := []struct {
		name, script string
		id           string
		want         submit.Outcome
	}{
		{"plain", "cat >/dev/null; echo 17", "17", 0},
		{"noise on standard error", "echo 'sbatch: warning: something' >&2; echo 17", "17", 0},
		{"other cluster", "echo '17;far'", "17", 0},
		{"ambiguous error", "echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2; exit 1", "", submit.Unknown},
		{"error although there is an id", "echo 17; echo 'sbatch: error: Batch job submission failed: Invalid partition name specified' >&2; exit 1", "", submit.Unknown},
		{"hang", "sleep 60", "", submit.Unknown},
		{"hang after an id", "echo 17; sleep 60", "", submit.Unknown},
		{"killed", "kill -9 $$", "", submit.Unknown},
		{"killed after words of refusal", "echo 'Invalid partition name specified' >&2; kill -9 $$", "", submit.Unknown},
		{"garbage", "echo 'Submitted batch job 17'", "", submit.Unknown},
		{"nothing", "exit 0", "", submit.Unknown},
		{"two ids", "echo 17; echo 18", "", submit.Unknown},
		{"endless", "yes", "", submit.Unknown},
		{"full, waits", "echo 'sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying' >&2; sleep 60; echo 17", "", submit.Unavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fakePrograms(t, map[string]string{"sbatch": tt.script})
			c := newCluster(t, slurm.Config{SlurmConf: "/dev/null", SubmitTimeout: 2 * time.Second})
			id, err := c.Submit(t.Context(), clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"}))
			if id != tt.id || (err == nil) != (tt.id != "") || submit.OutcomeOf(err) != tt.want {
				t.Errorf("got %q, %v, want %q, %v", id, err, tt.id, tt.want)
			}
		})
	}
}

func TestListingMustBeComplete(t *testing.T) {
	whole := `printf '17\037RUNNING\037None\037vm\037fp-x\037t\036\n'`
	for name, tt := range map[string]struct {
		script string
		want   error
		jobs   int
	}{
		"whole":        {whole, nil, 1},
		"fails at end": {whole + "; exit 1", &submit.Error{Outcome: submit.Unavailable}, 0},
		"killed":       {whole + "; kill -9 $$", &submit.Error{Outcome: submit.Unavailable}, 0},
		"cut off":      {"printf '17\\037RUNNING\\037None\\037vm\\037fp'", &submit.Error{Outcome: submit.Unknown}, 0},
		"hangs":        {whole + "; sleep 60", &submit.Error{Outcome: submit.Unavailable}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			fakePrograms(t, map[string]string{"squeue": tt.script})
			c := newCluster(t, slurm.Config{SlurmConf: "/dev/null", CallTimeout: time.Second})
			jobs, err := c.List(t.Context())
			if len(jobs) != tt.jobs || (err == nil) != (tt.want == nil) || tt.want != nil && submit.OutcomeOf(err) != submit.OutcomeOf(tt.want) {
				t.Errorf("got %v, %v", jobs, err)
			}
		})
	}
}

// What 22.05 says of a release, recorded.
func TestReleaseOfWhatIsOver(t *testing.T) {
	for name, tt := range map[string]struct {
		script string
		ok     bool
	}{
		"done":             {"exit 0", true},
		"unknown":          {"printf 'Invalid job id specified for job 99999\nslurm_suspend error: Invalid job id specified\n' >&2; exit 1", true},
		"finished":         {"echo 'Job has already finished for job 17' >&2; exit 1", true},
		"denied":           {"echo 'Access/permission denied for job 17' >&2; exit 1", false},
		"unknown and more": {"printf 'Invalid job id specified for job 9\nAccess/permission denied for job 17\n' >&2; exit 1", false},
		"controller down":  {"printf 'Unexpected message received for job 1\nslurm_suspend error: Unexpected message received\n' >&2; exit 1", false},
		"silent":           {"exit 1", false},
		"killed":           {"echo 'Invalid job id specified' >&2; kill -9 $$", false},
	} {
		t.Run(name, func(t *testing.T) {
			fakePrograms(t, map[string]string{"scontrol": tt.script})
			c := newCluster(t, slurm.Config{SlurmConf: "/dev/null"})
			if err := c.Release(t.Context(), []string{"17", "18"}); (err == nil) != tt.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestReleaseSaysWhatEachCameTo: what scontrol of 22.05 says of several ids,
// recorded, and what isn't sure is unknown.
func TestReleaseSaysWhatEachCameTo(t *testing.T) {
	const unknown, unfit = submit.Unknown, submit.Unfit
	for name, tt := range map[string]struct {
		script string
		want   map[string]submit.Outcome // of those that failed
	}{
		"one is unknown": {"printf 'Invalid job id specified for job 99\nslurm_suspend error: Invalid job id specified\n' >&2; exit 1", nil},
		"one is denied":  {"printf 'Access/permission denied for job 18\nslurm_suspend error: Access/permission denied\n' >&2; exit 1", map[string]submit.Outcome{"18": unfit}},
		"one is denied, one is unknown": {"printf 'Invalid job id specified for job 99\nAccess/permission denied for job 18\nslurm_suspend error: Access/permission denied\n' >&2; exit 1",
			map[string]submit.Outcome{"18": unfit}},
		"one with an answer that is none": {"printf 'Unexpected message received for job 18\nslurm_suspend error: Unexpected message received\n' >&2; exit 1",
			map[string]submit.Outcome{"18": unknown}},
		"a line about nobody": {"printf 'Access/permission denied for job 18\nsomething else\n' >&2; exit 1",
			map[string]submit.Outcome{"17": unknown, "18": unfit, "99": unknown}},
		"another reason": {"printf 'Access/permission denied for job 18\nslurm_suspend error: Socket timed out\n' >&2; exit 1",
			map[string]submit.Outcome{"17": unknown, "18": unfit, "99": unknown}},
		"a job that isn't ours": {"printf 'Access/permission denied for job 1\n' >&2; exit 1",
			map[string]submit.Outcome{"17": unfit, "18": unfit, "99": unfit}},
		"silent": {"exit 1", map[string]submit.Outcome{"17": unknown, "18": unknown, "99": unknown}},
		"killed": {"echo 'Invalid job id specified for job 99' >&2; kill -9 $$", map[string]submit.Outcome{"17": unknown, "18": unknown}},
	} {
		t.Run(name, func(t *testing.T) {
			fakePrograms(t, map[string]string{"scontrol": tt.script})
			c := newCluster(t, slurm.Config{SlurmConf: "/dev/null"})
			err := c.Release(t.Context(), []string{"17", "18", "99"})
			for _, id := range []string{"17", "18", "99"} {
				want, fails := tt.want[id]
				if got := submit.Released(err, id); (got != nil) != fails || fails && submit.OutcomeOf(got) != want {
					t.Errorf("%s: got %v, want failed %v: %v", id, got, fails, want)
				}
			}
		})
	}
}

func TestReleaseOfManyGoesInChunks(t *testing.T) {
	out := filepath.Join(t.TempDir(), "args")
	fakePrograms(t, map[string]string{"scontrol": `echo "$@" >>'` + out + "'"})
	c := newCluster(t, slurm.Config{SlurmConf: "/dev/null"})
	ids := strings.Split(strings.TrimSuffix(strings.Repeat("17,", 450), ","), ",")
	if err := c.Release(t.Context(), ids); err != nil {
		t.Fatal(err)
	}
	got, _ := os.ReadFile(out)
	if n := strings.Count(string(got), "\n"); n != 5 || strings.Count(string(got), "17") != 450 {
		t.Errorf("got %d calls: %s", n, got)
	}
}

func TestNamesThatSlurmCouldTakeApart(t *testing.T) {
	fakePrograms(t, map[string]string{"sbatch": "echo 17"})
	c := newCluster(t, slurm.Config{SlurmConf: "/dev/null"})
	for name, change := range map[string]func(*submit.Request){
		"comma in the name":     func(r *submit.Request) { r.Name += ",x" },
		"no name":               func(r *submit.Request) { r.Name = "" },
		"blank in the token":    func(r *submit.Request) { r.Token += " x" },
		"no token":              func(r *submit.Request) { r.Token = "" },
		"neither script nor so": func(r *submit.Request) { r.Record.Job.Script = "" },
	} {
		r := clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"})
		change(&r)
		if _, err := c.Submit(t.Context(), r); submit.OutcomeOf(err) != submit.Rejected {
			t.Errorf("%s: got %v, want rejected", name, err)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, cfg := range []slurm.Config{{Guard: "maybe"}, {Guard: slurm.GuardStrict}, {Guard: slurm.GuardStrict, SpoolRoot: "spool"}, {Workdir: "x"}} {
		if _, err := slurm.New(cfg); err == nil {
			t.Errorf("%+v: no error", cfg)
		}
	}
}

func TestTheJobsOptionsCountAfterTheSites(t *testing.T) {
	out := filepath.Join(t.TempDir(), "args")
	fakePrograms(t, map[string]string{"sbatch": `echo "$@" >'` + out + `'; echo 17`})
	c := newCluster(t, slurm.Config{SlurmConf: "/dev/null", Args: []string{"--partition=site", "--account=physics", "--requeue"}})
	if _, err := c.Submit(t.Context(), clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n", Queue: "main"})); err != nil {
		t.Fatal(err)
	}
	got, _ := os.ReadFile(out)
	for _, order := range [][2]string{{"--partition=site", "--partition=main"}, {"--requeue", "--no-requeue"}, {"--account=physics", "--hold"}} {
		if a, b := strings.Index(string(got), order[0]), strings.Index(string(got), order[1]); a < 0 || b < a {
			t.Errorf("want %s before %s in %s", order[0], order[1], got)
		}
	}
}
