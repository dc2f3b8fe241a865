package command_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fencepost/codec"
	"fencepost/submit"
	"fencepost/submit/clustertest"
	"fencepost/submit/command"
)

func TestMain(m *testing.M) { os.Exit(clustertest.Main(m)) }

func newCluster(t *testing.T, cfg command.Config) *command.Cluster {
	t.Helper()
	cfg.NamePrefix, cfg.SpoolID, cfg.Host = clustertest.Prefix, clustertest.Spool, clustertest.Host
	c, err := command.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConformanceWithHold(t *testing.T) {
	clustertest.Suite{Cluster: newCluster(t, clustertest.FakeCommand(t, t.TempDir()))}.Run(t)
}

func TestConformancePlain(t *testing.T) {
	cfg := clustertest.FakeCommand(t, t.TempDir(), "nohold")
	clustertest.Suite{Cluster: newCluster(t, command.Config{Submit: cfg.Submit})}.Run(t)
}

func script(t *testing.T, text string) []string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "prog")
	if err := os.WriteFile(name, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return []string{name}
}

func TestOutcomes(t *testing.T) {
	tests := []struct {
		name, script string
		want         submit.Outcome
	}{
		{"65", "echo 1; exit 65", submit.Rejected},
		{"69", "exit 69", submit.Unavailable},
		{"75", "exit 75", submit.Unavailable},
		{"77", "exit 77", submit.Unfit},
		{"78", "exit 78", submit.Unfit},
		{"1", "echo 1; exit 1", submit.Unknown},
		{"127", "exit 127", submit.Unknown},
		{"signal", "kill -9 $$", submit.Unknown},
		{"time-out", "echo 1; sleep 60", submit.Unknown},
		{"no id", "exit 0", submit.Unknown},
		{"empty line", "echo", submit.Unknown},
		{"two lines", "echo noise; echo 17", submit.Unknown},
		{"too long", "printf '%0101d' 1", submit.Unknown},
		{"too long once encoded", "printf '%%%034d' 1 | tr 0 /", submit.Unknown},
		{"control characters", `printf '\033[31m17'`, submit.Unknown},
		{"endless", "yes", submit.Unknown},
	}
	job := clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newCluster(t, command.Config{Submit: script(t, tt.script), SubmitTimeout: 2 * time.Second})
			id, err := c.Submit(t.Context(), job)
			if err == nil || submit.OutcomeOf(err) != tt.want || id != "" {
				t.Errorf("got %q, %v, want %v", id, err, tt.want)
			}
			if err != nil && strings.ContainsAny(err.Error(), "\x1b\n") {
				t.Errorf("control characters in %q", err)
			}
		})
	}
}

func TestMissingProgramIsUnfit(t *testing.T) {
	c := newCluster(t, command.Config{Submit: []string{"/no/such/program"}})
	if _, err := c.Submit(t.Context(), clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"})); submit.OutcomeOf(err) != submit.Unfit {
		t.Errorf("submit: got %v, want unfit", err)
	}
	if err := c.Probe(t.Context()); submit.OutcomeOf(err) != submit.Unfit {
		t.Errorf("probe: got %v, want unfit", err)
	}
}

func TestProbeProgramDecides(t *testing.T) {
	dir := t.TempDir()
	for status, want := range map[string]submit.Outcome{"78": submit.Unfit, "75": submit.Unavailable, "1": submit.Unknown} {
		cfg := clustertest.FakeCommand(t, dir)
		cfg.Probe = script(t, "exit "+status)
		if err := newCluster(t, cfg).Probe(t.Context()); err == nil || submit.OutcomeOf(err) != want {
			t.Errorf("probe exit %s: got %v, want %v", status, err, want)
		}
	}
	cfg := clustertest.FakeCommand(t, dir)
	cfg.Probe = script(t, "exit 0")
	if err := newCluster(t, cfg).Probe(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "jobs.json")); err == nil {
		t.Error("a canary was submitted although there is a probe program")
	}
}

func TestProbeSeesAClusterThatChangesTokens(t *testing.T) {
	cfg := clustertest.FakeCommand(t, t.TempDir())
	cfg.Find = script(t, strings.Join(quote(cfg.Find), " ")+" | sed 's,/0/0 ,/9/0 ,'")
	if err := newCluster(t, cfg).Probe(t.Context()); submit.OutcomeOf(err) != submit.Unfit {
		t.Errorf("got %v, want unfit", err)
	}
}

// A release that has begun is left to end by itself; none begins after that.
func TestReleaseIsNotKilledByAStop(t *testing.T) {
	dir := t.TempDir()
	cfg := clustertest.FakeCommand(t, dir)
	cfg.Release = script(t, "cd "+dir+" && echo >> begun-$FENCEPOST_CLUSTER_ID && sleep 0.5 && echo >> ended-$FENCEPOST_CLUSTER_ID")
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(250*time.Millisecond, cancel)
	ids := []string{"1", "2", "3", "4", "5", "6"}
	err := newCluster(t, cfg).Release(ctx, ids)
	for _, id := range ids {
		_, begun := os.Stat(filepath.Join(dir, "begun-"+id))
		_, ended := os.Stat(filepath.Join(dir, "ended-"+id))
		if wantEnd := id < "5"; (begun == nil) != wantEnd || (ended == nil) != wantEnd {
			t.Errorf("release of %s: begun %v, ended %v", id, begun, ended)
		}
	}
	if err == nil {
		t.Error("got no error, though two weren't released")
	}
}

func quote(argv []string) (out []string) {
	for _, a := range argv {
		out = append(out, "'"+a+"'")
	}
	return out
}

func TestProbeSweepsItsOwnCanaries(t *testing.T) {
	dir := t.TempDir()
	cfg := clustertest.FakeCommand(t, dir)
	cfg.Cancel = script(t, "exit 1") // crashed, as it were, before the cancel
	if err := newCluster(t, cfg).Probe(t.Context()); err == nil {
		t.Fatal("cancel failed, but the probe passed")
	}
	c := newCluster(t, clustertest.FakeCommand(t, dir))
	if err := c.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	jobs, err := c.List(t.Context())
	if err != nil || len(jobs) != 2 {
		t.Fatalf("got %v, %v, want 2 canaries", jobs, err)
	}
	for _, j := range jobs {
		if j.State != submit.Cancelled || j.Key != "" {
			t.Errorf("got %+v, want it cancelled and no job's", j)
		}
	}
}

func TestEnvironment(t *testing.T) {
	out := filepath.Join(t.TempDir(), "env")
	t.Setenv("FENCEPOST_TOKEN", "the daemon's own")
	t.Setenv("SITE", "kept")
	prog := script(t, `echo "$FENCEPOST_JOB_ID|$FENCEPOST_TOKEN|$FENCEPOST_HOST|$FENCEPOST_SPOOL_ID|$FENCEPOST_CLUSTER_ID|$SITE|$ADDED" >'`+out+`'; echo 17`)
	c := newCluster(t, command.Config{Submit: prog, Release: prog, Env: map[string]string{"ADDED": "yes"}})
	r := clustertest.Request(t, codec.Job{Script: "#!/bin/sh\n"})
	if _, err := c.Submit(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{r.Key, r.Token, r.Host, r.SpoolID, "", "kept", "yes"}, "|") + "\n"
	if got, _ := os.ReadFile(out); string(got) != want {
		t.Errorf("submit: got %q, want %q", got, want)
	}
	if err := c.Release(t.Context(), []string{"4;x"}); err != nil {
		t.Fatal(err)
	}
	want = strings.Join([]string{"", "the daemon's own", r.Host, r.SpoolID, "4;x", "kept", "yes"}, "|") + "\n"
	if got, _ := os.ReadFile(out); string(got) != want {
		t.Errorf("release: got %q, want %q", got, want)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, cfg := range []command.Config{{}, {Submit: []string{""}}, {Submit: []string{"x"}, Find: []string{""}}} {
		if _, err := command.New(cfg); err == nil {
			t.Errorf("%+v: no error", cfg)
		}
	}
}
