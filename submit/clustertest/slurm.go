package clustertest

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// InstallSlurm is what a machine needs for StartSlurm.
const InstallSlurm = "apt-get install -y --no-install-recommends slurmctld slurmd slurm-client munge slurm-wlm-basic-plugins"

// SlurmOptions change the one-node Slurm; zero values are Slurm's defaults, or
// nearly.
type SlurmOptions struct {
	MaxJobCount    int // 0 = 10,000
	MinJobAge      int // seconds that an ended job is listed; 0 = 300
	MessageTimeout int // seconds; 0 = 10
	CPUs           int // declared, not real; 0 = 32
	NoNode         bool
	JWT            bool // tokens are taken, too; needs their plugin
}

// Slurm is a running one-node Slurm: munged, slurmctld and slurmd on loopback,
// as children of the test.
type Slurm struct {
	Dir  string
	opts SlurmOptions
	port int
	node int

	munged, ctld, slurmd *daemon
	rest                 []*daemon
}

// StartSlurm starts a Slurm that ends with the test. Without the programs the
// test is skipped, and fails in CI.
func StartSlurm(t testing.TB, o SlurmOptions) *Slurm {
	t.Helper()
	for _, p := range []string{"munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue", "scancel"} {
		if _, err := exec.LookPath(p); err == nil {
			continue
		}
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is missing, and CI needs it: %s", p, InstallSlurm)
		}
		t.Skipf("%s is missing: %s", p, InstallSlurm)
	}
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("a Slurm for tests needs root, and CI must have it")
		}
		t.Skip("a Slurm for tests needs root: slurmd starts jobs as their users")
	}
	// Not t.TempDir: its path has the test's name in it, too long for a socket.
	dir, err := os.MkdirTemp("", "slurm")
	if err != nil {
		t.Fatal(err)
	}
	s := &Slurm{Dir: dir, opts: o, port: freePort(t), node: freePort(t)}
	t.Cleanup(func() { s.stop(t) })
	if err := s.prepare(); err != nil {
		t.Fatal(err)
	}
	s.munged = start(t, dir, s.Env(), "munged", "--foreground", "--force", "--key-file="+s.path("munge.key"),
		"--socket="+s.path("munge.sock"), "--pid-file="+s.path("munged.pid"), "--seed-file="+s.path("munge.seed"),
		"--log-file="+s.path("munged.log"), "--num-threads=2")
	s.await(t, "munged", func() bool { _, err := os.Stat(s.path("munge.sock")); return err == nil })
	s.StartController(t)
	if !o.NoNode {
		s.slurmd = start(t, dir, s.Env(), "slurmd", "-D", "-N", hostname())
		s.await(t, "an idle node", func() bool { return strings.TrimSpace(s.try("sinfo", "-h", "-o", "%T")) == "idle" })
	}
	return s
}

func (s *Slurm) path(name string) string { return filepath.Join(s.Dir, name) }

// Conf is the path of slurm.conf.
func (s *Slurm) Conf() string { return s.path("slurm.conf") }

// JobcompFile is the path of the job completion log.
func (s *Slurm) JobcompFile() string { return s.path("jobcomp.txt") }

// Jobcomp is the job completion log: a line for each job that ended.
func (s *Slurm) Jobcomp() string {
	b, _ := os.ReadFile(s.JobcompFile())
	return string(b)
}

// Env is the environment of programs that are to use this Slurm.
func (s *Slurm) Env() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=/root", "LC_ALL=C", "SLURM_CONF=" + s.Conf()}
}

func hostname() string {
	h, _ := os.Hostname()
	h, _, _ = strings.Cut(h, ".")
	return h
}

func or(n, def int) int {
	if n == 0 {
		return def
	}
	return n
}

func (s *Slurm) prepare() error {
	key := make([]byte, 128)
	_, _ = rand.Read(key)
	if err := os.Chmod(s.Dir, 0o755); err != nil { // munge's clients check the way to the socket
		return err
	}
	if err := os.WriteFile(s.path("munge.key"), key, 0o400); err != nil {
		return err
	}
	for _, d := range []string{"state", "spool"} {
		if err := os.Mkdir(s.path(d), 0o755); err != nil {
			return err
		}
	}
	conf := fmt.Sprintf(`ClusterName=fencetest
SlurmctldHost=%[1]s(127.0.0.1)
SlurmUser=root
SlurmctldPort=%[2]d
SlurmdPort=%[3]d
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
AuthInfo=socket=%[4]s/munge.sock,cred_expire=300
StateSaveLocation=%[4]s/state
SlurmdSpoolDir=%[4]s/spool
SlurmctldPidFile=%[4]s/slurmctld.pid
SlurmdPidFile=%[4]s/slurmd.pid
SlurmctldLogFile=%[4]s/slurmctld.log
SlurmdLogFile=%[4]s/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0
SlurmdParameters=config_overrides
JobCompType=jobcomp/filetxt
JobCompLoc=%[4]s/jobcomp.txt
AccountingStorageType=accounting_storage/none
AccountingStoreFlags=job_comment
MinJobAge=%[5]d
MaxJobCount=%[6]d
MessageTimeout=%[7]d
SwitchType=switch/none
NodeName=%[1]s NodeAddr=127.0.0.1 CPUs=%[8]d State=UNKNOWN
PartitionName=main Nodes=%[1]s Default=YES MaxTime=INFINITE State=UP
`, hostname(), s.port, s.node, s.Dir, or(s.opts.MinJobAge, 300), or(s.opts.MaxJobCount, 10000),
		or(s.opts.MessageTimeout, 10), or(s.opts.CPUs, 32))
	if s.opts.JWT {
		conf += "AuthAltTypes=auth/jwt\nAuthAltParameters=jwt_key=" + s.path("jwt.key") + "\n"
		if err := os.WriteFile(s.path("jwt.key"), key[:32], 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(s.Conf(), []byte(conf), 0o644)
}

// StartController starts slurmctld and waits until it answers.
func (s *Slurm) StartController(t testing.TB) {
	t.Helper()
	s.ctld = start(t, s.Dir, s.Env(), "slurmctld", "-D", "-i")
	s.await(t, "slurmctld", func() bool { return strings.Contains(s.try("scontrol", "ping"), "is UP") })
}

// StopController stops slurmctld; kill = with SIGKILL, so that what it hasn't
// saved (up to 5 s) is lost, job ids included.
func (s *Slurm) StopController(t testing.TB, kill bool) {
	t.Helper()
	sig := syscall.SIGTERM
	if kill {
		sig = syscall.SIGKILL
	}
	s.ctld.end(sig)
}

// RestartController stops slurmctld and starts it again.
func (s *Slurm) RestartController(t testing.TB, kill bool) {
	t.Helper()
	s.StopController(t, kill)
	s.StartController(t)
}

// PauseController stops slurmctld with SIGSTOP: it takes what is sent and
// doesn't answer. The function returned wakes it.
func (s *Slurm) PauseController(t testing.TB) (wake func()) {
	t.Helper()
	s.ctld.signal(syscall.SIGSTOP)
	return func() { s.ctld.signal(syscall.SIGCONT) }
}

// CPU is the processor time that its daemons have used.
func (s *Slurm) CPU() (sum time.Duration) {
	const tick = time.Second / 100 // USER_HZ, on all that Go runs on
	for _, d := range append([]*daemon{s.ctld, s.slurmd, s.munged}, s.rest...) {
		if d == nil {
			continue
		}
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.cmd.Process.Pid))
		_, rest, _ := strings.Cut(string(stat), ") ")
		f := strings.Fields(rest)
		for i := 11; i < 13 && i < len(f); i++ { // utime and stime
			n, _ := strconv.Atoi(f[i])
			sum += time.Duration(n) * tick
		}
	}
	return sum
}

// ResumeNode undoes a drain: after a crash Slurm drains a node that still runs
// a job under an id that it has given again.
func (s *Slurm) ResumeNode() { s.try("scontrol", "update", "nodename="+hostname(), "state=resume") }

// Command is a program set up for this Slurm.
func (s *Slurm) Command(args ...string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = s.Env()
	return cmd
}

// Run runs a program for this Slurm and returns its output; a failure fails
// the test.
func (s *Slurm) Run(t testing.TB, args ...string) string {
	t.Helper()
	out, err := s.Command(args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (s *Slurm) try(args ...string) string {
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = s.Env()
	out, _ := cmd.CombinedOutput()
	return string(out)
}

func (s *Slurm) await(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !cond(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("slurm: no %s after 30 s\n%s", what, s.logs())
		}
	}
}

func (s *Slurm) logs() string {
	var b strings.Builder
	for _, name := range []string{"munged.log", "slurmctld.log", "slurmd.log", "munged.out", "slurmctld.out", "slurmd.out", "slurmrestd.out"} {
		text, err := os.ReadFile(s.path(name))
		if err != nil {
			continue
		}
		lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
		fmt.Fprintf(&b, "--- %s\n%s\n", name, bytes.Join(lines[max(0, len(lines)-8):], []byte("\n")))
	}
	return b.String()
}

// stop ends the jobs first: slurmstepd outlives slurmd.
func (s *Slurm) stop(t testing.TB) {
	if t.Failed() {
		t.Log(s.logs())
	}
	if s.ctld != nil && s.ctld.alive() && s.slurmd != nil {
		s.try("scancel", "--quiet", "-u", "root")
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			if strings.TrimSpace(s.try("squeue", "-h", "-t", "running,completing", "-o", "%i")) == "" {
				break
			}
		}
	}
	for _, d := range append(s.rest, s.slurmd, s.ctld, s.munged) {
		if d != nil {
			d.end(syscall.SIGTERM)
		}
	}
	if err := os.RemoveAll(s.Dir); err != nil {
		t.Log(err)
	}
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// daemon is a program that runs in the foreground as a child of the test.
type daemon struct {
	cmd  *exec.Cmd
	done chan struct{}
}

func start(t testing.TB, dir string, env []string, args ...string) *daemon {
	t.Helper()
	return startAs(t, nil, dir, env, args...)
}

// startAs starts a program as another user; nil = as this one.
func startAs(t testing.TB, who *syscall.Credential, dir string, env []string, args ...string) *daemon {
	t.Helper()
	out, err := os.OpenFile(filepath.Join(dir, args[0]+".out"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	d := &daemon{cmd: exec.Command(args[0], args[1:]...), done: make(chan struct{})}
	d.cmd.Env, d.cmd.Stdout, d.cmd.Stderr, d.cmd.Dir = env, out, out, dir
	// A group of its own: ^C at the tests must not reach it before its turn.
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: who}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = d.cmd.Wait(); close(d.done) }()
	return d
}

func (d *daemon) alive() bool {
	select {
	case <-d.done:
		return false
	default:
		return true
	}
}

func (d *daemon) signal(sig syscall.Signal) {
	if d.alive() {
		_ = d.cmd.Process.Signal(sig)
	}
}

// end ends it, by force after 10 s.
func (d *daemon) end(sig syscall.Signal) {
	d.signal(syscall.SIGCONT)
	d.signal(sig)
	select {
	case <-d.done:
	case <-time.After(10 * time.Second):
		d.signal(syscall.SIGKILL)
		<-d.done
	}
}

// OtherMungeKey returns a slurm.conf for the same cluster and a munged of its
// own with another key: a host that was set up wrongly.
func (s *Slurm) OtherMungeKey(t testing.TB) (conf string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "munge")
	if err != nil {
		t.Fatal(err)
	}
	key := make([]byte, 128)
	_, _ = rand.Read(key)
	text, err := os.ReadFile(s.Conf())
	conf = filepath.Join(dir, "slurm.conf")
	text = bytes.ReplaceAll(text, []byte("socket="+s.Dir), []byte("socket="+dir))
	for _, err := range []error{err, os.Chmod(dir, 0o755), os.WriteFile(filepath.Join(dir, "key"), key, 0o400),
		os.WriteFile(conf, text, 0o644)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	d := start(t, dir, s.Env(), "munged", "--foreground", "--force", "--key-file="+dir+"/key", "--socket="+dir+"/munge.sock",
		"--pid-file="+dir+"/pid", "--seed-file="+dir+"/seed", "--log-file="+dir+"/log", "--num-threads=2")
	t.Cleanup(func() { d.end(syscall.SIGTERM); os.RemoveAll(dir) })
	s.await(t, "second munged", func() bool { _, err := os.Stat(filepath.Join(dir, "munge.sock")); return err == nil })
	return conf
}
