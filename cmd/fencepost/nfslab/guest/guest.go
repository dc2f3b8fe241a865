package guest

import (
	"fmt"
	"os"

	"fencepost/cmd/fencepost/nfslab/line"
)

// Program is where the guest's own program is, in the guest.
const Program = "/mnt/nfslab"

// The guest's roles, as first argument of Program.
const (
	RoleServe  = "serve"  // runs commands
	RoleServer = "server" // starts the NFS server
	RoleHost   = "host"   // first process of a host
	RoleAgent  = "agent"  // makes system calls
	RoleProxy  = "proxy"  // loses replies
)

// IsInit says whether this process is the first one of a guest.
func IsInit() bool { return os.Getpid() == 1 && len(os.Args) > 0 && os.Args[0] == "/init" }

// Main is the guest's program, after IsInit or with a role as first argument.
// ok is false if there was nothing to do.
func Main(args []string) (code int, ok bool) {
	var err error
	switch {
	case IsInit():
		err = bootUp()
	case len(args) == 0:
		return 0, false
	case args[0] == RoleServer:
		err = runServer(args[1:])
	case args[0] == RoleHost:
		err = runHost(args[1:])
	case args[0] == RoleServe:
		err = line.Serve(os.Stdin, os.Stdout)
	case args[0] == RoleAgent:
		err = runAgent(args[1:])
	case args[0] == RoleProxy:
		err = runProxy(args[1:])
	default:
		return 0, false
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "nfslab:", err)
		return 1, true
	}
	return 0, true
}
