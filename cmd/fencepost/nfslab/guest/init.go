package guest

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// ShareVar is the environment variable that names the directory of the
	// machine that is shared with the guest; the guest has it at Share.
	ShareVar = "nfslab_share"
	Share    = "/mnt/share"

	// Mount is where a host has the server's export.
	Mount = "/mnt/spool"

	// Ready is the first that the outside hears. What is sent before, the
	// terminal may take for a person's typing.
	Ready = "ready\n"
)

// Terminals is how many serial lines a guest has: one for commands, and one for
// each agent. Each takes two of the kernel's 64 interrupts.
const Terminals = 20

// Terminal is the serial line with a number, from 0.
func Terminal(number int) string { return fmt.Sprintf("/dev/ttyS%d", number) }

// bootUp is process 1: it changes over to the machine's own root directory,
// has a child serve the outside, and switches off when that has ended.
func bootUp() error {
	err := prepare()
	if err == nil {
		err = holdTerminals()
	}
	if err == nil {
		err = serveTerminal(Terminal(0))
	}
	if err != nil {
		fmt.Println("nfslab: init:", err)
		time.Sleep(100 * time.Millisecond) // the console is slow
	}
	return syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
}

// holdTerminals opens all serial lines and keeps them open: the kernel closes
// its end for good when a line's last user has closed it.
func holdTerminals() error {
	for i := range Terminals {
		fd, err := syscall.Open(Terminal(i), syscall.O_RDWR|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("%s: %w", Terminal(i), err)
		}
		if err := makeRaw(fd); err != nil {
			return fmt.Errorf("%s: %w", Terminal(i), err)
		}
	}
	return nil
}

type mounted struct{ what, where, kind, options string }

func prepare() error {
	if err := os.Mkdir("/machine", 0o700); err != nil {
		return err
	}
	if err := syscall.Mount("none", "/machine", "hostfs", syscall.MS_RDONLY, "/"); err != nil {
		return fmt.Errorf("mount the machine's root: %w", err)
	}
	self, err := os.ReadFile("/init")
	if err != nil {
		return err
	}
	if err := switchRoot("/machine"); err != nil {
		return err
	}
	mounts := []mounted{
		{"proc", "/proc", "proc", ""}, {"sysfs", "/sys", "sysfs", ""}, {"devtmpfs", "/dev", "devtmpfs", ""},
	}
	for _, dir := range []string{"/run", "/tmp", "/var/tmp", "/var/lib/nfs", "/mnt"} {
		mounts = append(mounts, mounted{"tmpfs", dir, "tmpfs", "mode=1777"})
	}
	if err := mountAll(mounts); err != nil {
		return err
	}
	for _, dir := range []string{Share, Mount, "/dev/shm", "/dev/pts"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	err = mountAll([]mounted{
		{"none", Share, "hostfs", os.Getenv(ShareVar)},
		{"tmpfs", "/dev/shm", "tmpfs", "mode=1777"}, {"devpts", "/dev/pts", "devpts", ""},
	})
	if err != nil {
		return err
	}
	return os.WriteFile(Program, self, 0o755)
}

func switchRoot(dir string) error {
	if err := os.Chdir(dir); err != nil {
		return err
	}
	if err := syscall.Mount(".", "/", "", syscall.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the root: %w", err)
	}
	if err := syscall.Chroot("."); err != nil {
		return err
	}
	return os.Chdir("/")
}

func mountAll(mounts []mounted) error {
	for _, m := range mounts {
		if err := syscall.Mount(m.what, m.where, m.kind, 0, m.options); err != nil && !errors.Is(err, syscall.EBUSY) {
			return fmt.Errorf("mount %s on %s: %w", m.kind, m.where, err)
		}
	}
	return nil
}

func serveTerminal(name string) error {
	fd, err := openTerminal(name)
	if err != nil {
		return err
	}
	return runServe(uintptr(fd), uintptr(fd))
}

// runServe has a child serve a stream and buries what dies meanwhile, since
// orphans become this process's children.
func runServe(in, out uintptr) error {
	child, err := syscall.ForkExec(Program, []string{Program, RoleServe}, &syscall.ProcAttr{Env: environment(), Files: []uintptr{in, out, 2}, Dir: "/"})
	if err != nil {
		return fmt.Errorf("start %s: %w", Program, err)
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return err
		case pid == child:
			return nil
		}
	}
}

// environment is what commands see, whatever the kernel was started with.
func environment() []string {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/tmp", "LC_ALL=C.UTF-8",
		"GODEBUG=asyncpreemptoff=1"} // signals are slow in user-mode Linux
	for _, e := range os.Environ() {
		if strings.HasPrefix(e, "GO") && !strings.HasPrefix(e, "GODEBUG=") {
			env = append(env, e)
		}
	}
	return env
}

// openTerminal opens a serial line for bytes as they are, and says so.
func openTerminal(name string) (fd int, err error) {
	fd, err = syscall.Open(name, syscall.O_RDWR|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("%s: %w", name, err)
	}
	if err := makeRaw(fd); err != nil {
		return -1, fmt.Errorf("%s: %w", name, err)
	}
	// What came before was for another process, or garbled.
	if err := unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCIFLUSH); err != nil {
		return -1, fmt.Errorf("%s: %w", name, err)
	}
	if _, err := syscall.Write(fd, []byte(Ready)); err != nil {
		return -1, fmt.Errorf("%s: %w", name, err)
	}
	return fd, nil
}

func makeRaw(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}
