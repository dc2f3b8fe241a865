package clustertest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"fencepost/codec"
	"fencepost/submit/command"
)

// fakeArg is the argument that turns a test binary into a program of the fake
// cluster: BINARY fakeArg DIR VERB [FLAG...].
const fakeArg = "fencepost-fake-cluster"

// Main stands in TestMain of every package that uses the fake cluster: it runs
// the tests, unless this process is one of the fake's programs.
func Main(m *testing.M) int {
	if len(os.Args) >= 4 && os.Args[1] == fakeArg {
		return (&fake{dir: os.Args[2], flags: os.Args[4:]}).run(os.Args[3])
	}
	return m.Run()
}

// FakeCommand is the configuration of a cluster behind five programs whose
// state is in dir. It really runs jobs. Flags given to submit change what it
// does: "nohold" runs a job at once.
func FakeCommand(t testing.TB, dir string, flags ...string) command.Config {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	argv := func(verb string) []string { return append([]string{self, fakeArg, dir, verb}, flags...) }
	return command.Config{Submit: argv("submit"), Release: argv("release"), Cancel: argv("cancel"), Find: argv("find")}
}

// fakeJob is a job in the fake's state file.
type fakeJob struct {
	ID    int
	Key   string
	Token string
	State string // held, running, cancelled; a file ID.exit makes running done or failed
	Doc   json.RawMessage
}

// fake is one call of one program.
type fake struct {
	dir   string
	flags []string
}

func (f *fake) flag(s string) bool {
	return slices.Contains(f.flags, s)
}

func (f *fake) run(verb string) int {
	if err := f.do(verb); err != nil {
		fmt.Fprintln(os.Stderr, verb+":", err)
		return 1
	}
	return 0
}

func (f *fake) do(verb string) error {
	if verb == "job" {
		return f.job(f.flags[0])
	}
	unlock, err := f.lock()
	if err != nil {
		return err
	}
	defer unlock()
	jobs, err := f.load()
	if err != nil {
		return err
	}
	switch verb {
	case "submit":
		doc, err := io.ReadAll(os.Stdin)
		if err != nil {
			return err
		}
		j := fakeJob{ID: 100 + len(jobs), Key: os.Getenv("FENCEPOST_JOB_ID"), Token: os.Getenv("FENCEPOST_TOKEN"),
			State: "held", Doc: doc}
		if f.flag("nohold") {
			err = f.start(&j)
		}
		fmt.Println(j.ID)
		return errors.Join(err, f.save(append(jobs, j)))
	case "find":
		for _, j := range jobs {
			fmt.Println(j.ID, j.Key, j.Token, f.state(j))
		}
		return nil
	}
	id, err := strconv.Atoi(os.Getenv("FENCEPOST_CLUSTER_ID"))
	if err != nil || id-100 < 0 || id-100 >= len(jobs) {
		return nil // unknown: success, by the contract
	}
	j := &jobs[id-100]
	switch {
	case j.State != "held":
	case verb == "cancel":
		j.State = "cancelled"
	case verb == "release":
		err = f.start(j)
	}
	return errors.Join(err, f.save(jobs))
}

func (f *fake) state(j fakeJob) string {
	b, err := os.ReadFile(filepath.Join(f.dir, strconv.Itoa(j.ID)+".exit"))
	switch {
	case j.State != "running" || err != nil:
		return j.State
	case string(b) == "0":
		return "done"
	}
	return "failed"
}

// start runs this binary again, in a session of its own, as the job.
func (f *fake) start(j *fakeJob) error {
	j.State = "running"
	self, err := os.Executable()
	if err != nil {
		return err
	}
	name := filepath.Join(f.dir, strconv.Itoa(j.ID)+".json")
	if err := os.WriteFile(name, j.Doc, 0o600); err != nil {
		return err
	}
	cmd := exec.Command(self, fakeArg, f.dir, "job", strconv.Itoa(j.ID))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd.Start()
}

// job runs a job to its end.
func (f *fake) job(id string) error {
	b, err := os.ReadFile(filepath.Join(f.dir, id+".json"))
	if err != nil {
		return err
	}
	rec, err := codec.DecodeJSON(b)
	if err != nil {
		return err
	}
	job := rec.Job
	argv := slices.Clone(job.Command)
	if len(argv) == 0 {
		script := filepath.Join(f.dir, id+".script")
		if err := os.WriteFile(script, []byte(job.Script), 0o700); err != nil {
			return err
		}
		argv = []string{script}
	}
	argv = append(argv, job.Args...)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env, cmd.Dir = os.Environ(), job.Workdir
	for k, v := range job.Env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	err = cmd.Run()
	for i := 0; errors.Is(err, syscall.ETXTBSY) && i < 50; i++ { // another fork still had it open for writing
		time.Sleep(10 * time.Millisecond)
		again := exec.Command(argv[0], argv[1:]...)
		again.Env, again.Dir = cmd.Env, cmd.Dir
		err = again.Run()
	}
	code := "0"
	if err != nil {
		code = strings.ReplaceAll(err.Error(), "\n", " ")
	}
	return os.WriteFile(filepath.Join(f.dir, id+".exit"), []byte(code), 0o600)
}

func (f *fake) lock() (func(), error) {
	file, err := os.OpenFile(filepath.Join(f.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return nil, err
	}
	return func() { file.Close() }, nil
}

func (f *fake) load() (jobs []fakeJob, err error) {
	b, err := os.ReadFile(filepath.Join(f.dir, "jobs.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return jobs, json.Unmarshal(b, &jobs)
}

func (f *fake) save(jobs []fakeJob) error {
	b, err := json.Marshal(jobs)
	if err != nil {
		return err
	}
	tmp := filepath.Join(f.dir, "jobs.tmp")
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(f.dir, "jobs.json"))
}
