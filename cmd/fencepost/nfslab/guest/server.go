package guest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Addresses in the laboratory.
const (
	ServerAddr = "10.9.0.1" // the server's; hosts are in the same /24

	// Proxies connect to the server from addresses of this network, which are
	// all the server's own.
	proxyNet = "10.9.1.1/24"
)

// pipes is where the kernel and its daemons speak: Debian's place.
const pipes = "/run/rpc_pipefs"

// HostAddr is the address of the host with a number, from 1.
func HostAddr(number int) string { return fmt.Sprintf("10.9.0.%d", 10+number) }

// Export is the exported directory, where the server runs.
const Export = "/run/export"

// Restart are the commands that restart the NFS server. Its threads are the
// server: with the last of them goes all that it remembers.
func Restart() [][]string {
	return [][]string{{"rpc.nfsd", "0"}, {"rpc.nfsd", "8"}}
}

// runServer makes the guest an NFS server, with a LEASE and a GRACE in seconds:
// once, after the boot. Starting a
// process takes a tenth of a second or more here, so there are few.
func runServer(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("server: %d arguments", len(args))
	}
	const nfs = "/var/lib/nfs/"
	if err := os.Mkdir(pipes, 0o755); err != nil {
		return err
	}
	for _, dir := range []string{"sm", "sm.bak", "nfsdcld"} {
		if err := os.MkdirAll(nfs+dir, 0o755); err != nil {
			return err
		}
	}
	for _, file := range []string{"etab", "rmtab"} {
		if err := os.WriteFile(nfs+file, nil, 0o644); err != nil {
			return err
		}
	}
	// modprobe looks in lib/modules of a directory; the machine may have none.
	if err := os.MkdirAll("/run/modules/lib", 0o755); err != nil {
		return err
	}
	if err := os.Symlink("/usr/lib/uml/modules", "/run/modules/lib/modules"); err != nil {
		return err
	}
	if err := run("modprobe -d /run/modules -a nfsd nfs nfsv4 nfsv3 veth bridge"); err != nil {
		return err
	}
	if err := os.Mkdir(Export, 0o755); err != nil {
		return err
	}
	err := mountAll([]mounted{{"nfsd", "/proc/fs/nfsd", "nfsd", ""}, {"rpc_pipefs", pipes, "rpc_pipefs", ""},
		{"/dev/ubda", Export, "ext4", ""}})
	if err != nil {
		return err
	}
	if err := errors.Join(os.Chmod(Export, 0o777|os.ModeSticky), os.Remove(Export+"/lost+found")); err != nil {
		return err
	}
	if err := names(); err != nil {
		return err
	}
	network := exec.Command("ip", "-batch", "-")
	network.Stdin = strings.NewReader("link set lo up\nlink add br0 type bridge\naddr add " + ServerAddr + "/24 dev br0\n" +
		"link set br0 up\naddr add " + proxyNet + " dev lo\n")
	if out, err := network.CombinedOutput(); err != nil {
		return fmt.Errorf("network: %w: %s", err, out)
	}
	for _, c := range []string{"rpcbind -w", "nfsdcld",
		"exportfs -i -o rw,sync,no_root_squash,no_subtree_check,fsid=0 *:" + Export} {
		if err := run(c); err != nil {
			return err
		}
	}
	for i, file := range []string{"nfsv4leasetime", "nfsv4gracetime"} {
		if err := os.WriteFile("/proc/fs/nfsd/"+file, []byte(args[i]), 0); err != nil {
			return err
		}
	}
	return errors.Join(run("rpc.nfsd 8"), run("rpc.mountd"), run("rpc.statd --no-notify"))
}

// names are the laboratory's own, so that nobody waits for a name server: that
// of the machine can't be reached from here.
func names() error {
	var hosts strings.Builder
	hosts.WriteString("127.0.0.1 localhost\n" + ServerAddr + " server\n")
	for i := 1; i < 100; i++ {
		fmt.Fprintf(&hosts, "%s host%d\n", HostAddr(i), i)
	}
	for file, text := range map[string]string{"hosts": hosts.String(), "resolv.conf": ""} {
		ours, theirs := "/mnt/"+file, "/etc/"+file
		if err := os.WriteFile(ours, []byte(text), 0o644); err != nil {
			return err
		}
		if _, err := os.Stat(theirs); err != nil {
			continue
		}
		if err := syscall.Mount(ours, theirs, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s: %w", theirs, err)
		}
	}
	return nil
}

// run runs a command with plain arguments. A daemon stays.
func run(command string) error {
	args := strings.Fields(command)
	cmd := exec.Command(args[0], args[1:]...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.WaitDelay = 100 * time.Millisecond // a daemon keeps its parent's descriptors
	if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return fmt.Errorf("%s: %w: %s", command, err, said.Bytes())
	}
	return nil
}

// linkUp switches a network interface on or off.
func linkUp(name string, up bool) error {
	return onInterface(name, func(fd int, r *unix.Ifreq) error {
		if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, r); err != nil {
			return err
		}
		flags := r.Uint16() &^ unix.IFF_UP
		if up {
			flags |= unix.IFF_UP
		}
		r.SetUint16(flags)
		return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r)
	})
}

// setAddr gives a network interface an address in a /24.
func setAddr(name string, addr [4]byte) error {
	return onInterface(name, func(fd int, r *unix.Ifreq) error {
		if err := r.SetInet4Addr(addr[:]); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(fd, unix.SIOCSIFADDR, r); err != nil {
			return err
		}
		if err := r.SetInet4Addr([]byte{255, 255, 255, 0}); err != nil {
			return err
		}
		return unix.IoctlIfreq(fd, unix.SIOCSIFNETMASK, r)
	})
}

func onInterface(name string, do func(fd int, r *unix.Ifreq) error) error {
	r, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	if err := do(fd, r); err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	return nil
}
