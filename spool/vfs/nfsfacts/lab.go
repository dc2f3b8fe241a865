package nfsfacts

import "time"

// Lab is one server with hosts. The experiment is its only user.
//
// Names are slash-separated and relative to the mount, which is the same
// directory on all hosts.
type Lab interface {
	// Version is the mounts' version of NFS: "4.2", "4.1", "4.0" or "3".
	Version() string
	// Lease is the server's lease time; its grace time is as long or twice
	// that.
	Lease() time.Duration

	// Host is the i-th host, from 0. There are two or more.
	Host(i int) Host

	// AddHost adds a host for one experiment, which closes it. Errors match
	// errors.ErrUnsupported for options that can't be had.
	AddHost(o HostOptions) (Host, error)

	// Sleep lets time go by for all.
	Sleep(d time.Duration)

	// RestartServer ends the server's process and starts it again: what was on
	// stable storage stays, its memory of replies doesn't. Grace begins.
	RestartServer() error

	// Close ends all hosts and the server.
	Close() error
}

// HostOptions are how an added host differs from the others.
type HostOptions struct {
	// Mount are options of its mount: "soft,timeo=30,retrans=1", "nolock",
	// "local_lock=flock".
	Mount string
	// Twin is a host whose hostname it has, too, and none of them has an NFS
	// client identifier. nil = a hostname of its own.
	Twin Host
	// Lossy: LoseReply will be used. Other hosts need not have it.
	Lossy bool
}

// Host is a machine with an NFS client of its own.
type Host interface {
	// Close switches the host off, without a word to the server.
	Close() error

	// Start starts a process.
	Start() (Process, error)

	// Cut cuts the host off from the server, Join ends it. Nothing is lost but
	// what is on its way: clients send it again.
	Cut() error
	Join() error

	// LoseReply has the server's reply to this host's next call of an
	// operation ("rename", "link", "mkdir", "rmdir", "remove", "create") get
	// lost after the server has done it, and the connection cut. The client
	// reconnects only after Join, so that the server can be restarted first.
	LoseReply(op string) error

	// Pause stops the whole machine, its clocks included; Resume ends it.
	// Errors match errors.ErrUnsupported where that can't be done.
	Pause() error
	Resume() error
}

// Process makes system calls on a host, one after the other. Errors are
// syscall.Errno values.
type Process interface {
	// Open opens a file; flags are those of package unix (O_RDONLY, O_RDWR,
	// O_CREAT, O_EXCL, ...). It returns a descriptor.
	Open(name string, flags int) (fd int, err error)
	Read(fd int, n int) ([]byte, error) // from offset 0
	Write(fd int, data []byte) error    // at offset 0
	Fsync(fd int) error
	Close(fd int) error
	// Flock: how is LOCK_EX, LOCK_SH or LOCK_UN, with or without LOCK_NB.
	Flock(fd int, how int) error

	// Stat returns the inode's number, as the client's cache has it.
	Stat(name string) (ino uint64, err error)
	// List is opendir, readdir, closedir.
	List(dir string) ([]string, error)

	Rename(from, to string) error
	// RenameNoReplace is renameat2 with RENAME_NOREPLACE.
	RenameNoReplace(from, to string) error
	Link(from, to string) error
	Mkdir(dir string) error
	Rmdir(dir string) error
	Remove(name string) error

	// Begin starts a call that may not come back; f makes one call of this
	// process. While it hasn't ended no other call may be made.
	Begin(f func(Process) error) Pending

	// Stop is SIGSTOP, Continue SIGCONT, Kill SIGKILL (it doesn't wait until
	// the process is gone: a call in the kernel may take it its time).
	Stop() error
	Continue() error
	Kill() error
}

// Pending is a call under way.
type Pending interface {
	// Wait waits for its end, at most d of the Lab's time; done is false if it
	// hasn't ended.
	Wait(d time.Duration) (err error, done bool)
}
