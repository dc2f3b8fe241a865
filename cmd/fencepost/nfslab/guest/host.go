package guest

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"syscall"
)

// runHost is the first process of a host, in namespaces of its own: TERMINAL
// NAME ADDRESS VERSION PORT OPTIONS. When its input ends its network cable is
// there. It names the host, connects it, mounts the export, and serves.
func runHost(args []string) error {
	if len(args) != 6 {
		return fmt.Errorf("host: %d arguments", len(args))
	}
	if err := ownFiles(); err != nil {
		return err
	}
	if err := syscall.Sethostname([]byte(args[1])); err != nil {
		return err
	}
	addr, err := netip.ParseAddr(args[2])
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	if err := setAddr("eth0", addr.As4()); err != nil {
		return err
	}
	for _, link := range []string{"lo", "eth0"} {
		if err := linkUp(link, true); err != nil {
			return err
		}
	}
	if err := mountExport(args[3], args[4], args[5]); err != nil {
		return err
	}
	return runServe(args[0])
}

// ownFiles gives the host the directories that hosts don't share.
func ownFiles() error {
	if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	mounts := []mounted{{"proc", "/proc", "proc", ""}, {"sysfs", "/sys", "sysfs", ""}}
	for _, dir := range []string{"/run", "/tmp", "/var/tmp", "/var/lib/nfs", "/dev/shm"} {
		mounts = append(mounts, mounted{"tmpfs", dir, "tmpfs", "mode=1777"})
	}
	if err := mountAll(mounts); err != nil {
		return err
	}
	for _, dir := range []string{pipes, "/var/lib/nfs/sm", "/var/lib/nfs/sm.bak"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	return mountAll([]mounted{{"rpc_pipefs", pipes, "rpc_pipefs", ""}})
}

func mountExport(version, port, options string) error {
	kind, export := "4 ", "/"
	if version == "3" {
		kind, export = " ", Export
		locks := !strings.Contains(","+options+",", ",nolock,")
		for _, daemon := range []string{"rpcbind -w", "rpc.statd --no-notify"} {
			if !locks {
				break
			}
			if err := run(daemon); err != nil {
				return err
			}
		}
	}
	if options != "" {
		options = "," + options
	}
	return run("mount.nfs" + kind + ServerAddr + ":" + export + " " + Mount + " -o vers=" + version +
		",proto=tcp,sec=sys,port=" + port + options)
}
