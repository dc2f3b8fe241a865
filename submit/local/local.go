package local

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"fencepost/codec"
	"fencepost/spool"
	"fencepost/spool/vfs"
	"fencepost/submit"
	"fencepost/submit/internal/run"
	"fencepost/submit/internal/word"
)

// Config is what the embedded cluster needs to know.
type Config struct {
	FS   vfs.FS // the spool
	Root string // the spool's absolute path, for the wrappers

	Host      string
	SpoolID   string
	MachineID string
	BootID    string

	// RunDir is a directory of this machine, not of the share; what is there
	// must stay while wrappers run. Hosts and spools have their own below it.
	RunDir string
	Slots  int // jobs at once; 0 = number of processors

	// Wrapper starts WrapperMain; nil = this very binary, even if its file has
	// been replaced: /proc/self/exe job-wrapper.
	Wrapper []string

	// PassEnv names the variables of the daemon's environment that jobs get;
	// a name may end in "*". nil = PATH HOME USER LOGNAME SHELL LANG LC_* TZ
	// TMPDIR.
	PassEnv []string

	SubmitTimeout time.Duration // for a wrapper's answer; 0 = 30 s
	KillGrace     time.Duration // between SIGTERM and SIGKILL; 0 = 5 s
}

var passEnv = []string{"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_*", "TZ", "TMPDIR"}

func (c *Config) fill() error {
	for _, f := range []struct{ what, value string }{
		{"root", c.Root}, {"host", c.Host}, {"spool id", c.SpoolID}, {"machine id", c.MachineID},
		{"boot id", c.BootID}, {"run directory", c.RunDir},
	} {
		if f.value == "" {
			return errors.New("local backend: no " + f.what)
		}
	}
	if !filepath.IsAbs(c.Root) || !filepath.IsAbs(c.RunDir) {
		return errors.New("local backend: root and run directory must be absolute")
	}
	if c.Slots <= 0 {
		c.Slots = runtime.NumCPU()
	}
	if c.Wrapper == nil {
		c.Wrapper = []string{"/proc/self/exe", "job-wrapper"}
	}
	if c.PassEnv == nil {
		c.PassEnv = passEnv
	}
	if c.SubmitTimeout <= 0 {
		c.SubmitTimeout = 30 * time.Second
	}
	if c.KillGrace <= 0 {
		c.KillGrace = 5 * time.Second
	}
	return nil
}

// Cluster is the embedded cluster, as one host sees it.
type Cluster struct {
	cfg   Config
	slots *slots
}

var _ submit.Cluster = (*Cluster)(nil)

// New opens the embedded cluster. Recover should be called next.
func New(cfg Config) (*Cluster, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	s, err := openSlots(filepath.Join(cfg.RunDir, cfg.SpoolID+"~"+cfg.Host), cfg.Slots, rand.Text())
	if err != nil {
		return nil, fmt.Errorf("local backend: %w", err)
	}
	return &Cluster{cfg: cfg, slots: s}, nil
}

// Caps: the job id is the key.
func (c *Cluster) Caps() submit.Caps { return submit.Caps{Key: true} }

// Pin is the same for all hosts: they are one cluster.
func (c *Cluster) Pin(context.Context) (map[string]string, error) {
	return map[string]string{"backend": "local"}, nil
}

// Slots counts the wrappers that live, an earlier daemon's included.
func (c *Cluster) Slots(context.Context) (int, error) {
	n, err := c.slots.free()
	if err != nil {
		return 0, &submit.Error{Outcome: submit.Unfit, Op: "count slots", Err: err}
	}
	return n, nil
}

// List is not supported: nobody needs it of a backend with a key.
func (c *Cluster) List(context.Context) ([]submit.Job, error) { return nil, submit.ErrNotSupported }

// Release is not supported.
func (c *Cluster) Release(context.Context, []string) error { return submit.ErrNotSupported }

// Cancel is not supported.
func (c *Cluster) Cancel(context.Context, string) error { return submit.ErrNotSupported }

// Past is not supported: Read tells.
func (c *Cluster) Past(context.Context, string) (submit.Past, error) {
	return submit.Past{}, submit.ErrNotSupported
}

// Probe starts a wrapper that does nothing, counts the slots and looks at the
// spool.
func (c *Cluster) Probe(ctx context.Context) error {
	if _, err := c.Slots(ctx); err != nil {
		return err
	}
	argv := append(append([]string{}, c.cfg.Wrapper...), checkArg)
	res, err := run.Run(ctx, run.Spec{Argv: argv, Env: os.Environ(), Timeout: c.cfg.SubmitTimeout})
	if err == nil && !res.OK() {
		err = errors.New(res.Why())
	}
	if err != nil {
		return &submit.Error{Outcome: submit.Unfit, Op: "start a wrapper", Detail: word.Message(res.Stderr), Err: err}
	}
	if err := makeDir(c.cfg.FS, openDir(c.cfg.Host)); err != nil {
		return &submit.Error{Outcome: submit.Unavailable, Op: "use the spool", Err: err}
	}
	return nil
}

// Submit starts the job, unless it has been started by anybody before, and
// returns the id of that start.
func (c *Cluster) Submit(ctx context.Context, r submit.Request) (string, error) {
	// A redo needs no slot, and usually no wrapper.
	if s, _, err := readStart(c.cfg.FS, spool.StartedPath(r.Key)); err == nil {
		return s.ClusterID, nil
	}
	if err := ctx.Err(); err != nil {
		return "", &submit.Error{Outcome: submit.Unavailable, Op: "start", Err: context.Cause(ctx)}
	}
	o, err := c.order(r)
	if err != nil {
		return "", &submit.Error{Outcome: submit.Rejected, Op: "start", Err: err}
	}
	slot, err := c.slots.acquire(o.Start.Job + " " + o.Start.Nonce)
	if err != nil {
		return "", &submit.Error{Outcome: submit.Unfit, Op: "take a slot", Err: err}
	}
	if slot == nil {
		return "", &submit.Error{Outcome: submit.Unavailable, Op: "take a slot", Detail: "all in use"}
	}
	o.Start.Slot = slot.Name()
	defer slot.Close() // the wrapper has its own by then
	answer, err := c.launch(o, slot)
	if err != nil {
		return "", err
	}
	defer answer.Close()
	return c.await(ctx, answer)
}

// order is all that a wrapper needs to know.
func (c *Cluster) order(r submit.Request) (order, error) {
	doc, err := codec.EncodeJSON(r.Record)
	if err != nil {
		return order{}, err
	}
	if r.Record.ID != r.Key {
		return order{}, fmt.Errorf("record of job %s under key %s", r.Record.ID, r.Key)
	}
	return order{Root: c.cfg.Root, Document: doc, Env: c.jobEnv(), SpoolID: c.cfg.SpoolID, Grace: c.cfg.KillGrace,
		Start: start{Schema: startSchema, Job: r.Key, ClusterID: clusterID(r), Token: r.Token, Host: c.cfg.Host,
			MachineID: c.cfg.MachineID, BootID: c.cfg.BootID, RunDirID: c.slots.id, Nonce: rand.Text()}}, nil
}

// clusterID is HOST.EPOCH.SEQ: unique for all time, and it says where to look.
func clusterID(r submit.Request) string {
	if t, ok := spool.ParseToken(r.Token); ok {
		id := fmt.Sprintf("%s.%d.%d", t.Host, t.Epoch, t.Seq)
		if word.Plain(id) && len(id) <= word.MaxID {
			return id
		}
	}
	return r.Key
}

func (c *Cluster) jobEnv() []string {
	var env []string
	for _, kv := range os.Environ() {
		k, _, _ := strings.Cut(kv, "=")
		for _, pass := range c.cfg.PassEnv {
			head, star := strings.CutSuffix(pass, "*")
			if k == pass || star && strings.HasPrefix(k, head) {
				env = append(env, kv)
				break
			}
		}
	}
	return env
}

// launch starts a wrapper: its order on standard input, the locked slot as
// descriptor 3, the pipe for its answer as 4.
func (c *Cluster) launch(o order, slot *os.File) (*os.File, error) {
	unavailable := func(err error) error {
		return &submit.Error{Outcome: submit.Unavailable, Op: "start a wrapper", Err: err}
	}
	in, err := c.orderFile(o)
	if err != nil {
		return nil, unavailable(err)
	}
	defer in.Close()
	answer, w, err := os.Pipe()
	if err != nil {
		return nil, unavailable(err)
	}
	defer w.Close()
	cmd := exec.Command(c.cfg.Wrapper[0], append(c.cfg.Wrapper[1:len(c.cfg.Wrapper):len(c.cfg.Wrapper)], o.Start.Job)...)
	cmd.Stdin = in
	cmd.ExtraFiles = []*os.File{slot, w}
	cmd.Dir = "/"
	// A session of its own: neither a terminal nor the daemon's end reaches it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		answer.Close()
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
			return nil, &submit.Error{Outcome: submit.Unfit, Op: "start a wrapper", Err: err}
		}
		return nil, unavailable(err)
	}
	go func() { _ = cmd.Wait() }() // ends with the wrapper; only so that no zombie is left
	return answer, nil
}

// orderFile is a file rather than a pipe, and complete before the wrapper
// starts: a daemon that dies can't leave a wrapper with half an order. It has
// no name any more: nobody else reads the job's environment, nothing is left.
func (c *Cluster) orderFile(o order) (*os.File, error) {
	data, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(c.slots.dir, "order.")
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.Remove(f.Name()), writeAt(f, string(data))); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// await reads the wrapper's answer. No answer is "unknown": the wrapper goes
// on by itself, and a redo finds what it did.
func (c *Cluster) await(ctx context.Context, answer *os.File) (string, error) {
	_ = answer.SetReadDeadline(time.Now().Add(c.cfg.SubmitTimeout))
	stop := context.AfterFunc(ctx, func() { _ = answer.SetReadDeadline(time.Now()) })
	defer stop()
	data, err := io.ReadAll(io.LimitReader(answer, maxRecord))
	var a reply
	if err == nil {
		err = json.NewDecoder(bytes.NewReader(data)).Decode(&a)
	}
	switch {
	case err != nil:
		return "", &submit.Error{Outcome: submit.Unknown, Op: "wait for the wrapper", Err: errors.Join(err, context.Cause(ctx))}
	case a.ClusterID == "":
		return "", &submit.Error{Outcome: a.Outcome, Op: "start", Detail: word.Message([]byte(a.Error))}
	}
	return a.ClusterID, nil
}
