package clustertest

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// InstallGridEngine is what a machine needs for StartGridEngine.
const InstallGridEngine = "apt-get install -y --no-install-recommends gridengine-master gridengine-exec gridengine-client"

const (
	sgePrograms = "/usr/lib/gridengine" // without Debian's wrapper scripts
	sgeShare    = "/var/lib/gridengine"
)

// GridEngine is a running one-node Grid Engine in a network namespace of its
// own, since its daemons listen on all addresses, and with an SGE_ROOT of its
// own.
type GridEngine struct {
	Dir string // SGE_ROOT

	holder, master, execd *daemon
}

// StartGridEngine starts a Grid Engine that ends with the test. Without the
// programs the test is skipped, and fails in CI.
func StartGridEngine(t testing.TB) *GridEngine {
	t.Helper()
	missing := ""
	for _, p := range []string{"sge_qmaster", "sge_execd", "sge_shepherd", "qsub", "qconf", "spoolinit"} {
		if _, err := os.Stat(filepath.Join(sgePrograms, p)); err != nil {
			missing = p + " is missing: " + InstallGridEngine
		}
	}
	if missing == "" && os.Geteuid() != 0 {
		missing = "a Grid Engine for tests needs root, for its network namespace"
	}
	switch {
	case missing != "" && os.Getenv("CI") != "":
		t.Fatal(missing)
	case missing != "":
		t.Skip(missing)
	}
	dir, err := os.MkdirTemp("", "sge")
	if err != nil {
		t.Fatal(err)
	}
	g := &GridEngine{Dir: dir}
	t.Cleanup(func() { g.stop(t) })
	if err := g.prepare(); err != nil {
		t.Fatal(err)
	}
	g.holder = start(t, dir, os.Environ(), "unshare", "-n", "sh", "-c", "ip link set lo up && exec sleep 86400")
	g.await(t, "network namespace", func() bool {
		return g.try("ip", "-o", "addr", "show", "lo") != "" && strings.Contains(g.try("ip", "-o", "addr", "show", "lo"), "127.0.0.1")
	})
	g.StartMaster(t)
	g.configure(t)
	g.execd = g.daemon(t, "sge_execd")
	g.await(t, "execution host", func() bool { return strings.Contains(g.try("qconf", "-sel"), hostname()) })
	g.configureQueue(t)
	g.await(t, "a queue without a fault", func() bool {
		return regexp.MustCompile(`(?m)^main@\S+\s+\S+\s+\S+\s+[\d.]+\s+\S+\s*$`).MatchString(g.try("qstat", "-f"))
	})
	return g
}

func (g *GridEngine) path(name string) string { return filepath.Join(g.Dir, name) }

// Env is the environment of programs that are to use this Grid Engine.
func (g *GridEngine) Env() []string {
	return []string{"PATH=" + g.Programs() + ":" + os.Getenv("PATH"), "HOME=/root", "LC_ALL=C", "SGE_ROOT=" + g.Dir,
		"SGE_CELL=default", "SGE_ND=1"}
}

// Programs is a directory for PATH: qsub and so on, each in the namespace.
func (g *GridEngine) Programs() string { return g.path("programs") }

func (g *GridEngine) prepare() error {
	admin, err := user.Lookup("sgeadmin")
	if err != nil {
		return err
	}
	uid, _ := strconv.Atoi(admin.Uid)
	gid, _ := strconv.Atoi(admin.Gid)
	for _, d := range []string{"default/common", "spool/qmaster/job_scripts", "spool/spooldb", "spool/execd", "programs"} {
		if err := os.MkdirAll(g.path(d), 0o755); err != nil {
			return err
		}
	}
	for _, l := range []string{"bin", "lib", "util", "utilbin"} {
		if err := os.Symlink(filepath.Join(sgeShare, l), g.path(l)); err != nil {
			return err
		}
	}
	files := map[string]string{
		// The host's own name may resolve to localhost: it must be an alias.
		"default/common/host_aliases": hostname() + " localhost\n",
		"default/common/act_qmaster":  hostname() + "\n",
		"default/common/bootstrap": fmt.Sprintf(`admin_user sgeadmin
default_domain none
ignore_fqdn false
spooling_method berkeleydb
spooling_lib libspoolb
spooling_params %[1]s/spool/spooldb
binary_path /usr/sbin
qmaster_spool_dir %[1]s/spool/qmaster
security_mode none
listener_threads 2
worker_threads 2
scheduler_threads 1
`, g.Dir),
	}
	for name, text := range files {
		if err := os.WriteFile(g.path(name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	err = filepath.WalkDir(g.Dir, func(name string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(name, uid, gid)
	})
	if err != nil {
		return err
	}
	if err := os.Chmod(g.Dir, 0o755); err != nil {
		return err
	}
	init := exec.Command("/usr/share/gridengine/scripts/init_cluster", g.Dir, "default", g.path("spool/spooldb"), "sgeadmin")
	init.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	if out, err := init.CombinedOutput(); err != nil {
		return fmt.Errorf("make the cell: %w: %s", err, out)
	}
	return nil
}

// inside is the argv of a program in the namespace.
func (g *GridEngine) inside(args ...string) []string {
	return append([]string{"nsenter", "-n", "-t", strconv.Itoa(g.holder.cmd.Process.Pid), "--"}, args...)
}

func (g *GridEngine) daemon(t testing.TB, name string) *daemon {
	t.Helper()
	return start(t, g.Dir, g.Env(), g.inside(filepath.Join(sgePrograms, name))...)
}

// StartMaster starts sge_qmaster and waits until it answers.
func (g *GridEngine) StartMaster(t testing.TB) {
	t.Helper()
	for _, p := range []string{"qsub", "qstat", "qrls", "qdel", "qconf", "qacct", "qhold", "qmod"} {
		text := "#!/bin/sh\nexec " + strings.Join(g.inside(filepath.Join(sgePrograms, p)), " ") + " \"$@\"\n"
		if err := os.WriteFile(filepath.Join(g.Programs(), p), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	g.master = g.daemon(t, "sge_qmaster")
	g.await(t, "sge_qmaster", func() bool { return strings.Contains(g.try("qconf", "-sconf"), "execd_spool_dir") })
}

// StopMaster stops sge_qmaster.
func (g *GridEngine) StopMaster(t testing.TB, kill bool) {
	t.Helper()
	sig := syscall.SIGTERM
	if kill {
		sig = syscall.SIGKILL
	}
	g.master.end(sig)
}

// configure lets root submit, and makes the scheduler quick.
func (g *GridEngine) configure(t testing.TB) {
	t.Helper()
	for _, args := range [][]string{{"-am", "root"}, {"-ah", hostname()}, {"-as", hostname()}} {
		g.try(append([]string{"qconf"}, args...)...)
	}
	g.change(t, "-sconf", "-Mconf", "global", map[string]string{"min_uid": "0", "min_gid": "0", "shell_start_mode": "unix_behavior",
		"execd_spool_dir": g.path("spool/execd"), "mailer": "/bin/true", "max_unheard": "00:01:00", "load_report_time": "00:00:05"})
	g.change(t, "-ssconf", "-Msconf", "", map[string]string{"schedule_interval": "0:0:1", "flush_submit_sec": "1", "flush_finish_sec": "1"})
}

// change edits one of Grid Engine's configurations: NAME VALUE lines.
func (g *GridEngine) change(t testing.TB, show, modify, object string, values map[string]string) {
	t.Helper()
	args := []string{"qconf", show}
	if object != "" {
		args = append(args, object)
	}
	text := g.Run(t, args...)
	for k, v := range values {
		text = regexp.MustCompile(`(?m)^`+k+`\s.*$`).ReplaceAllString(text, k+" "+v)
	}
	name := g.path("global")
	if object == "" {
		name = g.path("sched")
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	g.Run(t, "qconf", modify, name)
}

func (g *GridEngine) configureQueue(t testing.TB) {
	t.Helper()
	text := sgeQueue + "hostlist " + hostname() + "\n"
	for _, l := range []string{"rt", "cpu", "fsize", "data", "stack", "core", "rss", "vmem"} {
		text += "s_" + l + " INFINITY\nh_" + l + " INFINITY\n"
	}
	if err := os.WriteFile(g.path("queue"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	g.Run(t, "qconf", "-Aq", g.path("queue"))
}

const sgeQueue = `qname main
seq_no 0
load_thresholds NONE
suspend_thresholds NONE
nsuspend 1
suspend_interval 00:05:00
priority 0
min_cpu_interval 00:05:00
processors UNDEFINED
qtype BATCH
ckpt_list NONE
pe_list NONE
rerun FALSE
slots 32
tmpdir /tmp
shell /bin/sh
prolog NONE
epilog NONE
shell_start_mode unix_behavior
starter_method NONE
suspend_method NONE
resume_method NONE
terminate_method NONE
notify 00:00:60
owner_list NONE
user_lists NONE
xuser_lists NONE
subordinate_list NONE
complex_values NONE
projects NONE
xprojects NONE
calendar NONE
initial_state default
`

// Run runs a program for this Grid Engine; a failure fails the test.
func (g *GridEngine) Run(t testing.TB, args ...string) string {
	t.Helper()
	out, err := g.command(args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (g *GridEngine) command(args ...string) *exec.Cmd {
	if _, err := os.Stat(filepath.Join(sgePrograms, args[0])); err == nil {
		args = append([]string{filepath.Join(sgePrograms, args[0])}, args[1:]...)
	}
	args = g.inside(args...)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = g.Env()
	return cmd
}

func (g *GridEngine) try(args ...string) string {
	out, _ := g.command(args...).CombinedOutput()
	return string(out)
}

func (g *GridEngine) await(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !cond(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("grid engine: no %s after 60 s\n%s\n%s", what, g.try("qstat", "-f"), g.logs())
		}
	}
}

func (g *GridEngine) logs() string {
	out := ""
	for _, name := range []string{"spool/qmaster/messages", "spool/execd/" + hostname() + "/messages", "nsenter.out"} {
		b, err := os.ReadFile(g.path(name))
		if err == nil {
			out += "--- " + name + "\n" + string(b[max(0, len(b)-1500):]) + "\n"
		}
	}
	return out
}

func (g *GridEngine) stop(t testing.TB) {
	if t.Failed() {
		t.Log(g.logs())
	}
	if g.master != nil && g.master.alive() {
		g.try("qdel", "-f", "-u", "*")
		time.Sleep(200 * time.Millisecond)
	}
	for _, d := range []*daemon{g.execd, g.master, g.holder} {
		if d != nil {
			d.end(syscall.SIGTERM)
		}
	}
	if err := os.RemoveAll(g.Dir); err != nil {
		t.Log(err)
	}
}

// LimitJobs sets the number of jobs that the cluster takes; 0 = no limit.
func (g *GridEngine) LimitJobs(t testing.TB, n int) {
	t.Helper()
	g.change(t, "-sconf", "-Mconf", "global", map[string]string{"max_jobs": strconv.Itoa(n)})
}
