package nfslab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"fencepost/cmd/fencepost/nfslab/guest"
	"fencepost/cmd/fencepost/nfslab/line"
)

const (
	kernel = "/usr/bin/linux.uml"
	mkfs   = "/usr/sbin/mkfs.ext4"
)

// needs are the programs that a laboratory needs, and the packages with them.
func needs() map[string]string {
	return map[string]string{
		kernel:                 "user-mode-linux",
		"/usr/sbin/rpc.nfsd":   "nfs-kernel-server",
		"/usr/sbin/nfsdcld":    "nfs-kernel-server",
		"/sbin/mount.nfs":      "nfs-common",
		"/sbin/rpcbind":        "rpcbind",
		mkfs:                   "e2fsprogs",
		"/usr/sbin/modprobe":   "kmod",
		"/usr/bin/ip":          "iproute2",
		"/usr/lib/uml/modules": "user-mode-linux",
	}
}

// Missing names the packages that have to be installed first.
func Missing() (packages []string) {
	for file, name := range needs() {
		if _, err := os.Stat(file); err != nil && !slices.Contains(packages, name) {
			packages = append(packages, name)
		}
	}
	slices.Sort(packages)
	return packages
}

// Config is a laboratory to boot.
type Config struct {
	// Log gets what the kernel says. nil = only errors show it.
	Log io.Writer
	// Memory is the guest's, in MiB. 0 = 1024.
	Memory int
}

// Lease is the server's lease time: the shortest that its kernel allows. Grace
// is how long it waits for lost clients after a restart; it ends sooner when
// all have come back, so a longer one costs nothing and leaves time to look.
const (
	Lease = 10 * time.Second
	Grace = 20 * time.Second
)

// diskSize is that of the exported file system, in bytes.
const diskSize = 512 << 20

// Lab is a booted laboratory: a server, without hosts at first.
type Lab struct {
	// Server starts commands where the server runs, outside of all hosts.
	Server *line.Client

	agent *Agent // at the server
	dir   string
	uml   *exec.Cmd
	lines *serials
	ended chan struct{} // closed when the kernel has ended
	log   *lockedBuffer

	mu    sync.Mutex
	hosts []*Host // guarded by mu; by number, less 1

	closing sync.Mutex
	closed  bool // guarded by closing
}

// Boot boots a laboratory. It takes about 10 seconds.
func Boot(ctx context.Context, c Config) (_ *Lab, err error) {
	if missing := Missing(); len(missing) > 0 {
		return nil, fmt.Errorf("not installed: %s", strings.Join(missing, " "))
	}
	dir, err := os.MkdirTemp("", "nfslab")
	if err != nil {
		return nil, err
	}
	l := &Lab{dir: dir, ended: make(chan struct{}), log: &lockedBuffer{more: c.Log}}
	if err := l.start(ctx, c); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	server := l.Server.Command(guest.Program, guest.RoleServer, fmt.Sprint(int(Lease.Seconds())), fmt.Sprint(int(Grace.Seconds())))
	_, err = server.Output(ctx)
	if err == nil {
		l.agent, err = l.StartAgent(l.Server)
	}
	if err != nil {
		err = fmt.Errorf("start the server: %w\n%s", err, l.log)
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// start builds what runs inside and starts the kernel.
func (l *Lab) start(ctx context.Context, c Config) error {
	program := filepath.Join(l.dir, "guest")
	if err := Build(ctx, program, "fencepost/cmd/nfslab"); err != nil {
		return err
	}
	code, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	ram, disk := filepath.Join(l.dir, "ramdisk"), filepath.Join(l.dir, "disk")
	if err := os.WriteFile(ram, ramDisk(code), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		return err
	}
	if err := os.Truncate(disk, diskSize); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, mkfs, "-q", "-m", "0", disk).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", mkfs, err, out)
	}
	if err := os.Mkdir(l.Share(), 0o755); err != nil {
		return err
	}
	lines, err := newSerials()
	if err != nil {
		return err
	}
	l.lines = lines
	if err := l.startKernel(c, ram, disk); err != nil {
		return errors.Join(err, lines.close())
	}
	first, err := lines.take(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	if err := first.await(ctx); err != nil {
		return errors.Join(fmt.Errorf("boot: %w\n%s", err, l.log), l.Close())
	}
	l.Server = line.NewClient(first.r, first.w)
	return nil
}

// bootTime is how long the kernel may take until it can be spoken to.
const bootTime = 2 * time.Minute

func (l *Lab) startKernel(c Config, ram, disk string) error {
	if c.Memory == 0 {
		c.Memory = 1024
	}
	args := append(l.lines.arguments(), fmt.Sprintf("mem=%dM", c.Memory), "initrd="+ram, "uml_dir="+l.dir+"/", "umid=uml",
		"con=null", "con0=null,fd:1", "ssl=null", "ubd0="+disk, "quiet", "panic=-1", "noreboot", guest.ShareVar+"="+l.Share())
	uml := exec.Command(kernel, args...)
	uml.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + l.dir, "TMPDIR=" + memoryDir(l.dir)}
	uml.Dir = l.dir
	uml.Stdout, uml.Stderr = l.log, l.log
	uml.ExtraFiles = l.lines.files
	uml.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := uml.Start(); err != nil {
		return err
	}
	l.uml = uml
	l.lines.started()
	go func() {
		_ = uml.Wait()
		// Its processes are the kernel's children and would stay if it was killed.
		_ = syscall.Kill(-uml.Process.Pid, syscall.SIGKILL)
		close(l.ended)
	}()
	return nil
}

// memoryDir is where the guest's memory is: a file that nobody sees.
func memoryDir(otherwise string) string {
	const shm = "/dev/shm"
	if info, err := os.Stat(shm); err == nil && info.IsDir() {
		return shm
	}
	return otherwise
}

// Build builds a program of this module that runs in the guest: a static one.
func Build(ctx context.Context, output, pkg string) error {
	return build(ctx, "build", "-o", output, pkg)
}

// BuildTest builds a package's tests as a program that runs in the guest.
func BuildTest(ctx context.Context, output, pkg string) error {
	return build(ctx, "test", "-c", "-o", output, pkg)
}

func build(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// Share is a directory of the machine that the guest has, too, and all of its
// hosts: at Shared. It ends with the laboratory.
func (l *Lab) Share() string { return filepath.Join(l.dir, "share") }

// Shared is Share as seen from inside.
const Shared = guest.Share

// Log is what the kernel and its first process have said.
func (l *Lab) Log() string { return l.log.String() }

// closeTime is how long the guest may take to stop its server and itself. Only a
// hung one takes this long: on a busy machine the last step alone took over 10 s.
const closeTime = 2 * time.Minute

// Close ends everything. It can be called again.
func (l *Lab) Close() error {
	l.closing.Lock()
	defer l.closing.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	_ = l.lines.all[0].w.Close() // the guest switches itself off
	var err error
	select {
	case <-l.ended:
	case <-time.After(closeTime):
		err = fmt.Errorf("the laboratory didn't end by itself within %v and was killed", closeTime)
		_ = syscall.Kill(-l.uml.Process.Pid, syscall.SIGKILL)
		<-l.ended
	}
	_ = l.lines.close()
	return errors.Join(err, os.RemoveAll(l.dir))
}

// lockedBuffer keeps what is written to it, for several writers.
type lockedBuffer struct {
	more io.Writer // gets it, too; nil = nobody

	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.more != nil {
		_, _ = b.more.Write(p)
	}
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
