package line

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Serve runs the commands that it is told on r, and answers on w, until r ends.
// Then it kills what still runs.
func Serve(r io.Reader, w io.Writer) error {
	s := server{out: &frameWriter{w: w}, procs: map[uint32]*process{}}
	defer s.killAll()
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		f, err := readFrame(in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		s.take(f)
	}
}

type server struct {
	out   *frameWriter
	mu    sync.Mutex
	procs map[uint32]*process // guarded by mu
}

type process struct {
	cmd   *exec.Cmd
	stdin chan []byte // nil in it = the end
}

// stdinQueue is how many frames a command may leave unread before the whole
// stream waits for it.
const stdinQueue = 1024

func (s *server) take(f frame) {
	s.mu.Lock()
	p := s.procs[f.id]
	s.mu.Unlock()
	switch {
	case f.kind == kindStart:
		s.start(f)
	case p == nil: // ended meanwhile
	case f.kind == kindStdin:
		p.stdin <- f.data
	case f.kind == kindStdinEnd:
		p.stdin <- nil
	case f.kind == kindSignal && len(f.data) == 2:
		pid := p.cmd.Process.Pid
		if f.data[1] == 1 {
			pid = -pid
		}
		_ = syscall.Kill(pid, syscall.Signal(f.data[0]))
	}
}

func (s *server) start(f frame) {
	var order Order
	if err := json.Unmarshal(f.data, &order); err != nil || len(order.Args) == 0 {
		s.exit(f.id, Exit{Code: -1, Err: "bad order"})
		return
	}
	cmd := exec.Command(order.Args[0], order.Args[1:]...)
	cmd.Env = append(os.Environ(), order.Env...)
	cmd.Dir = order.Dir
	cmd.Stdout = &stream{s.out, f.id, kindStdout}
	cmd.Stderr = &stream{s.out, f.id, kindStderr}
	// A daemon keeps its parent's descriptors; the parent's end is what counts.
	cmd.WaitDelay = 300 * time.Millisecond
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if order.Namespaces {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC |
			syscall.CLONE_NEWPID | syscall.CLONE_NEWNET
	}
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.exit(f.id, Exit{Code: -1, Err: err.Error()})
		return
	}
	p := &process{cmd: cmd, stdin: make(chan []byte, stdinQueue)}
	s.mu.Lock()
	s.procs[f.id] = p
	s.mu.Unlock()
	data, _ := json.Marshal(started{cmd.Process.Pid})
	_ = s.out.write(f.id, kindStarted, data)
	ended := make(chan struct{})
	go feed(stdin, p.stdin, ended)
	go func() {
		_ = cmd.Wait()
		close(ended)
		s.mu.Lock()
		delete(s.procs, f.id)
		s.mu.Unlock()
		e := Exit{Code: cmd.ProcessState.ExitCode()}
		if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			e.Signal = int(ws.Signal())
		}
		s.exit(f.id, e)
	}()
}

// feed writes to a command's standard input what comes, until the command has
// ended. What comes later is thrown away, so that nobody waits.
func feed(stdin io.WriteCloser, data <-chan []byte, ended <-chan struct{}) {
	defer stdin.Close()
	for {
		select {
		case b := <-data:
			if b == nil {
				_ = stdin.Close()
			} else {
				_, _ = stdin.Write(b)
			}
		case <-ended:
			for {
				select {
				case <-data:
				default:
					return
				}
			}
		}
	}
}

func (s *server) exit(id uint32, e Exit) {
	data, _ := json.Marshal(e)
	_ = s.out.write(id, kindExit, data)
}

func (s *server) killAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.procs {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	}
}

// stream is a command's output as frames.
type stream struct {
	out  *frameWriter
	id   uint32
	kind kind
}

func (s *stream) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	return len(b), s.out.write(s.id, s.kind, b)
}
