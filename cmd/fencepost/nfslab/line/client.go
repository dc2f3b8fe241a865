package line

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
)

// ErrGone is what is said of commands whose stream has ended.
var ErrGone = errors.New("the other side is gone")

// Client starts commands on the side that serves the stream.
type Client struct {
	out  *frameWriter
	mu   sync.Mutex
	next uint32          // guarded by mu
	cmds map[uint32]*Cmd // guarded by mu; nil = the stream has ended
}

// NewClient speaks on a stream that somebody serves. It reads r until its end.
func NewClient(r io.Reader, w io.Writer) *Client {
	c := &Client{out: &frameWriter{w: w}, cmds: map[uint32]*Cmd{}}
	go c.read(bufio.NewReaderSize(r, 64<<10))
	return c
}

// Command is a command that can be started.
func (c *Client) Command(args ...string) *Cmd {
	return &Cmd{Order: Order{Args: args}, client: c, started: make(chan struct{}), ended: make(chan struct{})}
}

// Cmd is a command, in the manner of exec.Cmd: fill in, Start, Wait.
type Cmd struct {
	Order
	Stdout io.Writer // must not block; nil = away with it
	Stderr io.Writer // the same; may be the same as Stdout
	// Input keeps its standard input open for Write. Without, it is empty.
	Input bool

	client  *Client
	id      uint32
	started chan struct{} // closed when pid is set, or it couldn't be started
	once    sync.Once     // closes started
	ended   chan struct{} // closed when exit and err are set
	pid     int
	exit    Exit
	err     error
}

// Start starts it and waits until it has started.
func (c *Cmd) Start() error {
	data, err := json.Marshal(c.Order)
	if err != nil {
		return err
	}
	if len(data) > maxPayload {
		return fmt.Errorf("start %s: an order of %d bytes", c.Args[0], len(data))
	}
	if err := c.client.enter(c); err != nil {
		return err
	}
	if err := c.client.out.write(c.id, kindStart, data); err != nil {
		return err
	}
	if !c.Input {
		if err := c.client.out.write(c.id, kindStdinEnd, nil); err != nil {
			return err
		}
	}
	<-c.started
	if c.pid == 0 {
		return fmt.Errorf("start %s: %w", c.Args[0], c.Wait())
	}
	return nil
}

func (c *Client) enter(cmd *Cmd) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmds == nil {
		return ErrGone
	}
	c.next++
	cmd.id = c.next
	c.cmds[cmd.id] = cmd
	return nil
}

// Pid is its number on the other side.
func (c *Cmd) Pid() int { return c.pid }

// Write writes to its standard input.
func (c *Cmd) Write(b []byte) (int, error) {
	select {
	case <-c.ended:
		return 0, io.ErrClosedPipe
	default:
	}
	return len(b), c.client.out.write(c.id, kindStdin, b)
}

// CloseInput ends its standard input.
func (c *Cmd) CloseInput() error { return c.client.out.write(c.id, kindStdinEnd, nil) }

// Signal signals the process alone; SignalGroup all that it started, too. Of a
// process that has ended nothing is said.
func (c *Cmd) Signal(s syscall.Signal) error {
	return c.client.out.write(c.id, kindSignal, []byte{byte(s), 0})
}

func (c *Cmd) SignalGroup(s syscall.Signal) error {
	return c.client.out.write(c.id, kindSignal, []byte{byte(s), 1})
}

// Ended is closed at its end.
func (c *Cmd) Ended() <-chan struct{} { return c.ended }

// Wait waits for its end. The error is an ExitError if it ended badly.
func (c *Cmd) Wait() error {
	<-c.ended
	if c.err == nil && (c.exit.Code != 0 || c.exit.Signal != 0) {
		return &ExitError{Args: c.Args, Exit: c.exit}
	}
	return c.err
}

// Run starts it and waits for its end; if ctx ends first it is killed.
func (c *Cmd) Run(ctx context.Context) error {
	if err := c.Start(); err != nil {
		return err
	}
	select {
	case <-c.ended:
	case <-ctx.Done():
		_ = c.SignalGroup(syscall.SIGKILL)
		// A process that hangs in the kernel doesn't die: don't wait.
		return fmt.Errorf("%s: %w", strings.Join(c.Args, " "), context.Cause(ctx))
	}
	return c.Wait()
}

// Output runs it and returns what it wrote to its standard output; what it
// wrote to the other is part of the error.
func (c *Cmd) Output(ctx context.Context) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run(ctx)
	if err == nil {
		return stdout.Bytes(), nil
	}
	if said := strings.TrimSpace(c.said(&stderr)); said != "" {
		err = fmt.Errorf("%w: %s", err, said)
	}
	return []byte(c.said(&stdout)), err
}

// said is what is in a command's buffer, if nobody writes to it any more.
func (c *Cmd) said(b *bytes.Buffer) string {
	select {
	case <-c.ended:
		return b.String()
	default:
		return ""
	}
}

// ExitError is a command that ended badly.
type ExitError struct {
	Args []string
	Exit Exit
}

func (e *ExitError) Error() string {
	how := fmt.Sprintf("exit status %d", e.Exit.Code)
	if e.Exit.Signal != 0 {
		how = syscall.Signal(e.Exit.Signal).String()
	}
	return strings.Join(e.Args, " ") + ": " + how
}

func (c *Client) read(r io.Reader) {
	for {
		f, err := readFrame(r)
		if err != nil {
			c.hangUp()
			return
		}
		c.mu.Lock()
		cmd := c.cmds[f.id]
		if f.kind == kindExit {
			delete(c.cmds, f.id)
		}
		c.mu.Unlock()
		if cmd != nil {
			cmd.take(f)
		}
	}
}

func (c *Client) hangUp() {
	c.mu.Lock()
	cmds := c.cmds
	c.cmds = nil
	c.mu.Unlock()
	for _, cmd := range cmds {
		cmd.end(Exit{Code: -1}, ErrGone)
	}
}

func (c *Cmd) take(f frame) {
	switch f.kind {
	case kindStarted:
		var s started
		_ = json.Unmarshal(f.data, &s)
		c.pid = s.Pid
		c.once.Do(func() { close(c.started) })
	case kindStdout:
		if c.Stdout != nil {
			_, _ = c.Stdout.Write(f.data)
		}
	case kindStderr:
		if c.Stderr != nil {
			_, _ = c.Stderr.Write(f.data)
		}
	case kindExit:
		var e Exit
		err := json.Unmarshal(f.data, &e)
		if e.Err != "" {
			err = errors.New(e.Err)
		}
		c.end(e, err)
	}
}

// end is the last thing that happens to a command. A pipe that its output goes
// to is ended, too.
func (c *Cmd) end(e Exit, err error) {
	c.exit, c.err = e, err
	for _, w := range []io.Writer{c.Stdout, c.Stderr} {
		if p, ok := w.(*io.PipeWriter); ok {
			_ = p.Close()
		}
	}
	close(c.ended)
	c.once.Do(func() { close(c.started) })
}
