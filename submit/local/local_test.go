package local_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fencepost/codec"
	"fencepost/spool"
	"fencepost/spool/vfs"
	"fencepost/submit"
	"fencepost/submit/clustertest"
	"fencepost/submit/local"
)

// submitAndDie makes this binary a daemon that submits and is killed.
const submitAndDie = "submit-and-die"

func TestMain(m *testing.M) {
	switch {
	case len(os.Args) > 1 && os.Args[1] == "job-wrapper":
		os.Exit(local.WrapperMain(os.Args[2:]))
	case len(os.Args) > 1 && os.Args[1] == submitAndDie:
		os.Exit(daemon(os.Args[2]))
	}
	os.Exit(clustertest.Main(m))
}

// newSpool makes the directories that init makes.
func newSpool(t testing.TB) string {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{spool.DirLocal, spool.DirStarted} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o770); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func config(t testing.TB, root string) local.Config {
	t.Helper()
	fs, err := vfs.OpenOS(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fs.Close() })
	return local.Config{FS: fs, Root: root, Host: clustertest.Host, SpoolID: clustertest.Spool,
		MachineID: "machine-1", BootID: "boot-1", RunDir: filepath.Join(root, "run"), Slots: 4,
		KillGrace: 500 * time.Millisecond}
}

func open(t testing.TB, cfg local.Config) *local.Cluster {
	t.Helper()
	c, err := local.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConformance(t *testing.T) {
	clustertest.Suite{Cluster: open(t, config(t, newSpool(t)))}.Run(t)
}

// ended waits for a job's status.
func ended(t *testing.T, cfg local.Config, job string) local.Status {
	t.Helper()
	var s local.Status
	clustertest.Await(t, "the status of "+job, func() bool {
		var err error
		if s, err = local.Read(cfg.FS, job); err != nil {
			t.Fatal(err)
		}
		return s.State == local.Done || s.State == local.Interrupted
	})
	return s
}

func start(t *testing.T, c *local.Cluster, r submit.Request) string {
	t.Helper()
	id, err := c.Submit(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestStatus(t *testing.T) {
	code := func(n int) *int { return &n }
	tests := []struct {
		name   string
		job    codec.Job
		code   *int
		signal string
		reason string
		stdout string
		stderr string
	}{
		{"output", codec.Job{Script: "#!/bin/sh\necho out; echo err >&2\n"}, code(0), "", "", "out\n", "err\n"},
		{"exit status", codec.Job{Script: "#!/bin/sh\nexit 3\n"}, code(3), "", "", "", ""},
		{"signal", codec.Job{Script: "#!/bin/sh\nkill -USR1 $$\n"}, nil, "SIGUSR1", "", "", ""},
		{"interpreter with argument", codec.Job{Script: "#!/bin/sh -e\nfalse\necho not here\n"}, code(1), "", "", "", ""},
		{"no interpreter", codec.Job{Script: "#!/no/such/interpreter\n"}, code(127), "", "no such file", "", ""},
		{"no command", codec.Job{Command: []string{"/no/such/program"}}, code(127), "", "no such file", "", ""},
		{"no directory", codec.Job{Script: "#!/bin/sh\n", Workdir: "/no/such/dir"}, code(127), "", "no such file", "", ""},
		{"command from PATH", codec.Job{Command: []string{"printf", "%s"}, Args: []string{"x"}}, code(0), "", "", "x", ""},
		{"time limit", codec.Job{Script: "#!/bin/sh\nsleep 60 & sleep 60\n", Resources: codec.Resources{TimeLimitSeconds: 1}}, nil, "SIGTERM", "time limit of 1s", "", ""},
		{"time limit, ignored at first", codec.Job{Script: "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n", Resources: codec.Resources{TimeLimitSeconds: 1}}, nil, "SIGKILL", "time limit of 1s", "", ""},
	}
	cfg := config(t, newSpool(t))
	cfg.Slots = len(tests)
	c := open(t, cfg)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := clustertest.Request(t, tt.job)
			id := start(t, c, r)
			s := ended(t, cfg, r.Key)
			if s.State != local.Done || s.ClusterID != id || fmt.Sprint(deref(s.ExitCode)) != fmt.Sprint(deref(tt.code)) ||
				s.Signal != tt.signal || !strings.Contains(s.Reason, tt.reason) || tt.reason == "" && s.Reason != "" {
				t.Errorf("got %+v, exit %v", s, deref(s.ExitCode))
			}
			for name, want := range map[string]string{local.StdoutPath(r.Key): tt.stdout, local.StderrPath(r.Key): tt.stderr} {
				if got, err := os.ReadFile(filepath.Join(cfg.Root, name)); err != nil || string(got) != want {
					t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
				}
			}
		})
	}
	clustertest.Await(t, "all open starts to be closed", func() bool { return c.OpenStarts() == 0 })
}

func deref(p *int) any {
	if p == nil {
		return nil
	}
	return *p
}

func TestHole_2_9_LocalIsOneCluster(t *testing.T) {
	root := newSpool(t)
	m := clustertest.NewMarks(t)
	r := clustertest.Request(t, m.Job("one", ""))
	var wg sync.WaitGroup
	var mu sync.Mutex
	ids := make(map[string]bool)
	for h := range 3 {
		cfg := config(t, root)
		cfg.Host = fmt.Sprintf("host-%d", h)
		c := open(t, cfg)
		for try := range 4 {
			wg.Go(func() {
				r := r
				r.Token = spool.Token{Spool: clustertest.Spool, Host: cfg.Host, Epoch: 7, Seq: uint64(try + 1)}.String()
				id, err := c.Submit(t.Context(), r)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				ids[id] = true
				mu.Unlock()
			})
		}
	}
	wg.Wait()
	if len(ids) != 1 {
		t.Errorf("got ids %v, want one", ids)
	}
	ended(t, config(t, root), r.Key)
	if n := m.Starts("one"); n != 1 {
		t.Errorf("got %d starts, want 1", n)
	}
}

func TestSlotsOutliveTheDaemon(t *testing.T) {
	cfg := config(t, newSpool(t))
	cfg.Slots = 2
	c := open(t, cfg)
	m := clustertest.NewMarks(t)
	wait := "while [ ! -e '" + m.Path("go") + "' ]; do sleep 0.05; done\n"
	slots := func(c *local.Cluster, want int) {
		t.Helper()
		if n, err := c.Slots(t.Context()); n != want || err != nil {
			t.Errorf("got %d free slots, %v, want %d", n, err, want)
		}
	}
	slots(c, 2)
	a, b := clustertest.Request(t, m.Job("a", wait)), clustertest.Request(t, m.Job("b", wait))
	ida := start(t, c, a)
	start(t, c, b)
	slots(c, 0)
	c = open(t, cfg) // a daemon that was started again
	slots(c, 0)
	third := clustertest.Request(t, m.Job("c", ""))
	if _, err := c.Submit(t.Context(), third); submit.OutcomeOf(err) != submit.Unavailable {
		t.Errorf("third job: got %v, want unavailable", err)
	}
	if id, err := c.Submit(t.Context(), a); id != ida || err != nil {
		t.Errorf("redo: got %q, %v, want %q: it needs no slot", id, err, ida)
	}
	if found, err := c.Recover(t.Context()); len(found) != 0 || err != nil {
		t.Errorf("recover: got %v, %v: both wrappers live", found, err)
	}
	if err := os.WriteFile(m.Path("go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ended(t, cfg, a.Key)
	ended(t, cfg, b.Key)
	clustertest.Await(t, "free slots", func() bool { n, _ := c.Slots(t.Context()); return n == 2 })
	start(t, c, third)
	ended(t, cfg, third.Key)
}

// wrapperPID reads the start record of a job.
func wrapperPID(t *testing.T, cfg local.Config, job string) int {
	t.Helper()
	data, _, err := cfg.FS.Read(spool.StartedPath(job), 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		PID int `json:"pid"`
	}
	if err := json.Unmarshal(data, &r); err != nil || r.PID == 0 {
		t.Fatalf("start record %s: %v", data, err)
	}
	return r.PID
}

func TestRecoverAfterTheWrapperIsKilled(t *testing.T) {
	cfg := config(t, newSpool(t))
	c := open(t, cfg)
	m := clustertest.NewMarks(t)
	r := clustertest.Request(t, m.Job("killed", "sleep 2\n"))
	id := start(t, c, r)
	clustertest.Await(t, "its start", func() bool { return m.Starts("killed") == 1 })
	if err := syscall.Kill(wrapperPID(t, cfg, r.Key), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	clustertest.Await(t, "a free slot", func() bool { n, _ := c.Slots(t.Context()); return n == cfg.Slots })
	other := cfg
	other.MachineID = "machine-2"
	if found, err := open(t, other).Recover(t.Context()); len(found) != 0 || err != nil {
		t.Errorf("another machine under this host's name: got %v, %v, want nothing", found, err)
	}
	other = cfg
	other.RunDir = filepath.Join(cfg.Root, "run2")
	if found, err := open(t, other).Recover(t.Context()); len(found) != 0 || err != nil {
		t.Errorf("another run directory: got %v, %v, want nothing", found, err)
	}
	if s, err := local.Read(cfg.FS, r.Key); s.State != local.Running || err != nil {
		t.Errorf("got %+v, %v, want it running as far as anybody knows", s, err)
	}
	found, err := c.Recover(t.Context())
	if err != nil || len(found) != 1 || found[0].Job != r.Key || found[0].ClusterID != id {
		t.Errorf("got %+v, %v", found, err)
	}
	if s := ended(t, cfg, r.Key); s.State != local.Interrupted || s.Reason != "the wrapper died" {
		t.Errorf("got %+v", s)
	}
	if again, err := c.Submit(t.Context(), r); again != id || err != nil {
		t.Errorf("redo: got %q, %v", again, err)
	}
	if found, err := c.Recover(t.Context()); len(found) != 0 || err != nil || c.OpenStarts() != 0 {
		t.Errorf("second time: got %v, %v, %d open", found, err, c.OpenStarts())
	}
	if n := m.Starts("killed"); n != 1 {
		t.Errorf("got %d starts", n)
	}
}

func TestRecoverAfterAReboot(t *testing.T) {
	cfg := config(t, newSpool(t))
	c := open(t, cfg)
	m := clustertest.NewMarks(t)
	r := clustertest.Request(t, m.Job("rebooted", "sleep 1\n"))
	start(t, c, r)
	cfg2 := cfg
	cfg2.BootID = "boot-2"
	found, err := open(t, cfg2).Recover(t.Context())
	if err != nil || len(found) != 1 || found[0].Reason != "the machine was restarted" {
		t.Fatalf("got %+v, %v", found, err)
	}
	// It wasn't true: the wrapper lives, and its own word replaces ours.
	clustertest.Await(t, "the true status", func() bool { s, _ := local.Read(cfg.FS, r.Key); return s.State == local.Done })
}

func TestWrapperToldToEnd(t *testing.T) {
	cfg := config(t, newSpool(t))
	c := open(t, cfg)
	m := clustertest.NewMarks(t)
	r := clustertest.Request(t, m.Job("told", "sleep 60\n"))
	start(t, c, r)
	clustertest.Await(t, "its start", func() bool { return m.Starts("told") == 1 })
	if err := syscall.Kill(wrapperPID(t, cfg, r.Key), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if s := ended(t, cfg, r.Key); s.State != local.Interrupted || s.Signal != "SIGTERM" {
		t.Errorf("got %+v", s)
	}
}

func TestDeathBeforeTheLinkIsNoStart(t *testing.T) {
	root := newSpool(t)
	cfg := config(t, root)
	c := open(t, cfg)
	m := clustertest.NewMarks(t)
	r := clustertest.Request(t, m.Job("unlinked", ""))
	c.Announce(cfg.FS, r)
	if found, err := c.Recover(t.Context()); len(found) != 0 || err != nil || c.OpenStarts() != 1 {
		t.Errorf("got %v, %v, %d open: a link may yet land", found, err, c.OpenStarts())
	}
	start(t, c, r)
	if s := ended(t, cfg, r.Key); s.State != local.Done || m.Starts("unlinked") != 1 {
		t.Errorf("got %+v, %d starts", s, m.Starts("unlinked"))
	}
	clustertest.Await(t, "the leftover to go", func() bool { _, err := c.Recover(t.Context()); return err == nil && c.OpenStarts() == 0 })
}

func daemon(dir string) int {
	var r submit.Request
	data, err := os.ReadFile(filepath.Join(dir, "request"))
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil {
		panic(err)
	}
	fs, err := vfs.OpenOS(dir)
	if err != nil {
		panic(err)
	}
	c, err := local.New(local.Config{FS: fs, Root: dir, Host: clustertest.Host, SpoolID: clustertest.Spool,
		MachineID: "machine-1", BootID: "boot-1", RunDir: filepath.Join(dir, "run")})
	if err == nil {
		_, err = c.Submit(testContext(), r)
	}
	if err != nil {
		panic(err)
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	return 1
}

func TestJobOutlivesAKilledDaemon(t *testing.T) {
	root := newSpool(t)
	m := clustertest.NewMarks(t)
	r := clustertest.Request(t, m.Job("outlives", "sleep 1; echo end\n"))
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "request"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	self, _ := os.Executable()
	out, err := exec.Command(self, submitAndDie, root).CombinedOutput()
	if err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("got %v: %s", err, out)
	}
	cfg := config(t, root)
	c := open(t, cfg)
	if found, err := c.Recover(t.Context()); len(found) != 0 || err != nil {
		t.Errorf("got %v, %v: its wrapper lives", found, err)
	}
	if s := ended(t, cfg, r.Key); s.State != local.Done || m.Starts("outlives") != 1 {
		t.Errorf("got %+v", s)
	}
}

func TestChildrenLeftBehindAreKilled(t *testing.T) {
	cfg := config(t, newSpool(t))
	c := open(t, cfg)
	m := clustertest.NewMarks(t)
	r := clustertest.Request(t, m.Job("child", "(sleep 2; echo alive >'"+m.Path("late")+"') &\n"))
	start(t, c, r)
	ended(t, cfg, r.Key)
	time.Sleep(2500 * time.Millisecond)
	if _, err := os.Stat(m.Path("late")); err == nil {
		t.Error("a child outlived its job")
	}
}

func TestRunDirectoryMustBeGiven(t *testing.T) {
	cfg := config(t, newSpool(t))
	cfg.RunDir = ""
	if _, err := local.New(cfg); err == nil {
		t.Error("no error")
	}
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func reply(b *bytes.Buffer) (id string) {
	var r struct {
		ID string `json:"cluster_id"`
	}
	_ = json.Unmarshal(b.Bytes(), &r)
	return r.ID
}
