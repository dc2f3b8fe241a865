package guest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"syscall"

	"golang.org/x/sys/unix"
)

// Call is one system call for an agent.
type Call struct {
	Op       string
	Name, To string
	Fd       int
	Flags    int // of open and flock
	N        int // bytes to read
	Data     []byte
}

// Answer is what came of it.
type Answer struct {
	Errno syscall.Errno
	Fd    int
	Ino   uint64
	Data  []byte
	Names []string
}

// runAgent makes the calls that it reads from a terminal, a line each, one
// after the other. It uses as few system calls of its own as can be.
func runAgent(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("agent: %d arguments", len(args))
	}
	fd, err := openTerminal(args[0])
	if err != nil {
		return err
	}
	in := bufio.NewReaderSize(rawFile(fd), 64<<10)
	for {
		text, err := in.ReadBytes('\n')
		if err != nil {
			return err
		}
		var c Call
		if err := json.Unmarshal(text, &c); err != nil {
			return err
		}
		a, err := c.do()
		if err != nil && !errors.As(err, &a.Errno) {
			return err
		}
		out, err := json.Marshal(a)
		if err != nil {
			return err
		}
		if _, err := rawFile(fd).Write(append(out, '\n')); err != nil {
			return err
		}
	}
}

// rawFile is a descriptor that is read and written by system calls alone.
type rawFile int

func (f rawFile) Read(b []byte) (int, error) {
	for {
		n, err := syscall.Read(int(f), b)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

func (f rawFile) Write(b []byte) (done int, err error) {
	for done < len(b) {
		n, err := syscall.Write(int(f), b[done:])
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return done, err
		}
		done += max(n, 0)
	}
	return done, nil
}

func (c Call) do() (a Answer, err error) {
	switch c.Op {
	case "open":
		a.Fd, err = unix.Open(c.Name, c.Flags|unix.O_CLOEXEC, 0o644)
	case "read":
		a.Data = make([]byte, c.N)
		var n int
		n, err = unix.Pread(c.Fd, a.Data, 0)
		a.Data = a.Data[:max(n, 0)]
	case "write":
		var n int
		if n, err = unix.Pwrite(c.Fd, c.Data, 0); err == nil && n < len(c.Data) {
			err = unix.ENOSPC
		}
	case "fsync":
		err = unix.Fsync(c.Fd)
	case "close":
		err = unix.Close(c.Fd)
	case "flock":
		err = unix.Flock(c.Fd, c.Flags)
	case "stat":
		var st unix.Stat_t
		err = unix.Stat(c.Name, &st)
		a.Ino = st.Ino
	case "list":
		a.Names, err = list(c.Name)
	case "rename":
		err = unix.Rename(c.Name, c.To)
	case "renamenoreplace":
		err = unix.Renameat2(unix.AT_FDCWD, c.Name, unix.AT_FDCWD, c.To, unix.RENAME_NOREPLACE)
	case "link":
		err = unix.Link(c.Name, c.To)
	case "mkdir":
		err = unix.Mkdir(c.Name, 0o755)
	case "rmdir":
		err = unix.Rmdir(c.Name)
	case "remove":
		err = unix.Unlink(c.Name)
	case "link up", "link down":
		err = linkUp(c.Name, c.Op == "link up")
	case "fill":
		err = fill(c.Name)
	default:
		err = fmt.Errorf("unknown call %q", c.Op)
	}
	return a, err
}

// list is opendir, readdir, closedir, and nothing between.
func list(dir string) (names []string, err error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	buf := make([]byte, 32<<10)
	for {
		n, err := unix.ReadDirent(fd, buf)
		if err != nil {
			return nil, err
		}
		if n <= 0 {
			return names, nil
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
}

// fill makes a file that takes what space there is left.
func fill(name string) error {
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	const block = 4 << 10
	at := int64(0)
	for size := int64(1 << 30); size >= block; {
		switch err := unix.Fallocate(fd, 0, at, size); {
		case err == nil:
			at += size
		case errors.Is(err, unix.ENOSPC):
			size /= 2
		default:
			return err
		}
	}
	return unix.Fsync(fd)
}
