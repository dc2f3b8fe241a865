package clustertest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// InstallSlurmrestd is what a machine needs for StartRest beside InstallSlurm.
const InstallSlurmrestd = "apt-get install -y --no-install-recommends slurmrestd slurm-wlm-jwt-plugin"

// NeedRest skips a test without slurmrestd, and fails it in CI.
func NeedRest(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("slurmrestd"); err == nil {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("slurmrestd is missing, and CI needs it: %s", InstallSlurmrestd)
	}
	t.Skipf("slurmrestd is missing: %s", InstallSlurmrestd)
}

// Rest is a slurmrestd.
type Rest struct {
	Address string
	daemon  *daemon
}

// Stop ends it, and Signal sends it a signal.
func (r *Rest) Stop() { r.daemon.end(syscall.SIGTERM) }

// Pause stops it with SIGSTOP: it takes what is sent and doesn't answer. The
// function returned wakes it.
func (r *Rest) Pause() (wake func()) {
	r.daemon.signal(syscall.SIGSTOP)
	return func() { r.daemon.signal(syscall.SIGCONT) }
}

// StartRest starts a slurmrestd on a Unix socket, which acts as who it runs as.
// It ends with the Slurm.
func (s *Slurm) StartRest(t testing.TB) *Rest {
	t.Helper()
	NeedRest(t)
	socket := s.path(fmt.Sprintf("rest%d.sock", len(s.rest)))
	env := append(s.Env(), "SLURMRESTD_SECURITY=disable_user_check") // else it won't run as root
	d := start(t, s.Dir, env, "slurmrestd", "-a", "rest_auth/local", "-s", "openapi/v0.0.38", "unix:"+socket)
	s.rest = append(s.rest, d)
	s.await(t, "slurmrestd", func() bool { return answers("unix", socket) })
	return &Rest{Address: "unix:" + socket, daemon: d}
}

// StartRestTCP starts one on a port of loopback, which takes tokens. It runs as
// nobody: a token for a user isn't taken by a slurmrestd of root's. JWT must be
// among the options of the Slurm.
func (s *Slurm) StartRestTCP(t testing.TB) *Rest {
	t.Helper()
	NeedRest(t)
	const nobody, nogroup = 65534, 65534
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	d := startAs(t, &syscall.Credential{Uid: nobody, Gid: nogroup}, s.Dir, append(s.Env(), "SLURM_JWT=daemon"),
		"slurmrestd", "-a", "rest_auth/jwt", "-s", "openapi/v0.0.38", address)
	s.rest = append(s.rest, d)
	s.await(t, "slurmrestd", func() bool { return answers("tcp", address) })
	return &Rest{Address: "http://" + address, daemon: d}
}

func answers(network, address string) bool {
	c, err := net.Dial(network, address)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// Token makes a token for a user that is good for some seconds.
func (s *Slurm) Token(t testing.TB, user string, seconds int) string {
	t.Helper()
	out := s.Run(t, "scontrol", "token", "username="+user, fmt.Sprintf("lifespan=%d", seconds))
	return strings.TrimSpace(strings.TrimPrefix(out, "SLURM_JWT="))
}
