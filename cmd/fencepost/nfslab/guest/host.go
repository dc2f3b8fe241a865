package guest

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"syscall"
)

// runHost is the first process of a host, in namespaces of its own: NAME
// ADDRESS VERSION PORT OPTIONS. The first byte of its input says that its
// network cable is there. It names the host, connects it, mounts the export,
// says that it is ready, and serves the stream.
func runHost(args []string) error {
	if len(args) != 5 {
		return fmt.Errorf("host: %d arguments", len(args))
	}
	if err := ownFiles(); err != nil {
		return err
	}
	if err := syscall.Sethostname([]byte(args[0])); err != nil {
		return err
	}
	addr, err := netip.ParseAddr(args[1])
	if err != nil {
		return err
	}
	if _, err := io.ReadFull(os.Stdin, make([]byte, 1)); err != nil {
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
	if err := mountExport(args[2], args[3], args[4]); err != nil {
		return err
	}
	if _, err := os.Stdout.WriteString(Ready); err != nil {
		return err
	}
	return runServe(0, 1)
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
