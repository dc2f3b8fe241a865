package nfslab

import (
	"encoding/json"
	"io"
	"sync"

	"fencepost/cmd/fencepost/nfslab/guest"
	"fencepost/cmd/fencepost/nfslab/line"
)

// Agent is a process that makes system calls, one at a time.
type Agent struct {
	*line.Cmd

	mu  sync.Mutex // held during a call
	in  *json.Encoder
	out *json.Decoder
}

// StartAgent starts an agent where c's commands run.
func StartAgent(c *line.Client) (*Agent, error) {
	cmd := c.Command(guest.Program, guest.RoleAgent)
	r, w := io.Pipe()
	cmd.Input, cmd.Stdout = true, w
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &Agent{Cmd: cmd, in: json.NewEncoder(cmd), out: json.NewDecoder(r)}, nil
}

// Call makes a call. An error of the call is a syscall.Errno; others mean that
// the agent has ended.
func (a *Agent) Call(c guest.Call) (guest.Answer, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var answer guest.Answer
	if err := a.in.Encode(c); err != nil {
		return answer, err
	}
	if err := a.out.Decode(&answer); err != nil {
		return answer, err
	}
	if answer.Errno != 0 {
		return answer, answer.Errno
	}
	return answer, nil
}
