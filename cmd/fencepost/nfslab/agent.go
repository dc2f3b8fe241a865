package nfslab

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"fencepost/cmd/fencepost/nfslab/guest"
	"fencepost/cmd/fencepost/nfslab/line"
)

// Agent is a process that makes system calls, one at a time. It has a serial
// line for itself: every process between would cost several system calls more,
// and these are slow in user-mode Linux.
type Agent struct {
	*line.Cmd // of which the output is what it says of its own failures

	killed chan struct{} // closed by Kill
	once   sync.Once     // closes killed

	mu   sync.Mutex // held during a call
	line *serial
}

// startTime is how long a process may take to start.
const startTime = time.Minute

// StartAgent starts an agent where c's commands run.
func (l *Lab) StartAgent(c *line.Client) (*Agent, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	s, err := l.lines.take(ctx)
	if err != nil {
		return nil, err
	}
	cmd := c.Command(guest.Program, guest.RoleAgent, s.terminal())
	cmd.Stdout, cmd.Stderr = l.log, l.log
	if err := cmd.Start(); err != nil {
		l.lines.put(s)
		return nil, err
	}
	ctx, ended := context.WithCancelCause(ctx)
	defer ended(nil)
	a := &Agent{Cmd: cmd, line: s, killed: make(chan struct{})}
	go func() {
		select {
		case <-cmd.Ended():
		case <-a.killed:
			select {
			case <-cmd.Ended():
			case <-time.After(dying):
			}
		}
		ended(fmt.Errorf("the agent ended: %w", os.ErrProcessDone))
		_ = s.out.SetReadDeadline(time.Now()) // whoever waits for an answer
		a.mu.Lock()
		defer a.mu.Unlock()
		_ = s.out.SetReadDeadline(time.Time{})
		a.line = nil
		l.lines.put(s)
	}()
	if err := s.await(ctx); err != nil {
		return nil, fmt.Errorf("start an agent: %w", err)
	}
	return a, nil
}

// dying is how long an agent that was killed may still use its line. It may stay
// in the kernel for ever, if its host's server can't be reached; but what was
// killed reads and writes no more.
const dying = 2 * time.Second

// Kill kills the agent. It doesn't wait until it is gone.
func (a *Agent) Kill() error {
	err := a.Signal(syscall.SIGKILL)
	a.once.Do(func() { close(a.killed) })
	return err
}

// Call makes a call. An error of the call is a syscall.Errno; others mean that
// the agent has ended.
func (a *Agent) Call(c guest.Call) (answer guest.Answer, err error) {
	data, err := json.Marshal(c)
	if err != nil {
		return answer, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.line == nil {
		return answer, os.ErrProcessDone
	}
	if _, err := a.line.w.Write(append(data, '\n')); err != nil {
		return answer, err
	}
	data, err = a.line.r.ReadBytes('\n')
	if err != nil {
		return answer, fmt.Errorf("%w: %w", os.ErrProcessDone, err)
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return answer, err
	}
	if answer.Errno != 0 {
		return answer, answer.Errno
	}
	return answer, nil
}
