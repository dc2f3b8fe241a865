package command

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"sync"
	"time"

	"fencepost/submit"
	"fencepost/submit/internal/probe"
	"fencepost/submit/internal/run"
	"fencepost/submit/internal/word"
)

// Config says which programs to run. Only Submit is required.
type Config struct {
	Submit  []string
	Release []string // with it, Submit submits held
	Cancel  []string
	Find    []string
	Probe   []string

	SubmitTimeout  time.Duration // 0 = 30 s
	ReleaseTimeout time.Duration // 0 = 30 s
	CancelTimeout  time.Duration // 0 = 30 s
	FindTimeout    time.Duration // 0 = 60 s
	ProbeTimeout   time.Duration // 0 = 30 s

	ID  string            // tells two clusters apart in the pin; may be ""
	Env map[string]string // added to the daemon's environment

	NamePrefix string        // what stands before the key in Request.Name
	SpoolID    string        // for find, cancel, release and probe
	Host       string        // likewise
	Epoch      func() uint64 // of the running instance, for the canary; nil = 0
}

func (c Config) validate() error {
	for _, p := range []struct {
		name string
		argv []string
	}{{"submit", c.Submit}, {"release", c.Release}, {"cancel", c.Cancel}, {"find", c.Find}, {"probe", c.Probe}} {
		if len(p.argv) > 0 && p.argv[0] == "" {
			return errors.New("command backend: " + p.name + ": empty program name")
		}
	}
	if len(c.Submit) == 0 {
		return errors.New("command backend: no submit program")
	}
	return nil
}

// maxListing bounds what find may print: some 400,000 jobs.
const maxListing = 64 << 20

// releases is how many release programs run at once.
const releases = 4

// Cluster is a cluster behind programs.
type Cluster struct {
	cfg   Config
	probe probe.Prober
}

var _ submit.Cluster = (*Cluster)(nil)

// New makes the backend. It runs nothing yet.
func New(cfg Config) (*Cluster, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Cluster{cfg: cfg, probe: probe.Prober{Prefix: cfg.NamePrefix, Spool: cfg.SpoolID,
		Host: cfg.Host, Epoch: cfg.Epoch}}, nil
}

// Caps depends on the programs given.
func (c *Cluster) Caps() submit.Caps {
	return submit.Caps{Hold: len(c.cfg.Release) > 0, List: len(c.cfg.Find) > 0}
}

// Pin never contains the programs: two hosts may keep them in different
// places.
func (c *Cluster) Pin(context.Context) (map[string]string, error) {
	pin := map[string]string{"backend": "command"}
	if c.cfg.ID != "" {
		pin["id"] = c.cfg.ID
	}
	return pin, nil
}

// Slots is unlimited.
func (c *Cluster) Slots(context.Context) (int, error) { return -1, nil }

// Past is not supported: find lists ended jobs.
func (c *Cluster) Past(context.Context, string) (submit.Past, error) {
	return submit.Past{}, submit.ErrNotSupported
}

// Submit runs the submit program.
func (c *Cluster) Submit(ctx context.Context, r submit.Request) (string, error) {
	out, err := c.call(ctx, "submit", c.cfg.Submit, c.cfg.SubmitTimeout, r.Document, map[string]string{
		"FENCEPOST_JOB_ID": r.Key, "FENCEPOST_TOKEN": r.Token,
		"FENCEPOST_HOST": r.Host, "FENCEPOST_SPOOL_ID": r.SpoolID})
	if err != nil {
		return "", err
	}
	id, err := word.ID(out)
	if err == nil && len(c.cfg.Find) > 0 {
		err = checkWord(id)
	}
	if err != nil {
		// It said "done" and nothing that could be acted on.
		return "", &submit.Error{Outcome: submit.Unknown, Op: "submit", Detail: word.Message(out), Err: err}
	}
	return id, nil
}

// List runs the find program.
func (c *Cluster) List(ctx context.Context) ([]submit.Job, error) {
	if len(c.cfg.Find) == 0 {
		return nil, submit.ErrNotSupported
	}
	timeout := c.cfg.FindTimeout
	if timeout <= 0 {
		timeout = time.Minute
	}
	out, err := c.call(ctx, "find", c.cfg.Find, timeout, nil, nil)
	if err != nil {
		return nil, err
	}
	jobs, err := parseListing(out, c.cfg.NamePrefix)
	if err != nil {
		return nil, &submit.Error{Outcome: submit.Unknown, Op: "find", Err: err}
	}
	return jobs, nil
}

// Release runs the release program once for each id, a few at a time. It goes
// on after an error; the error returned is the first one's. A program that runs
// is left to end, whatever becomes of ctx: killed half-way it may have released
// the job and not have written that down.
func (c *Cluster) Release(ctx context.Context, ids []string) error {
	if len(c.cfg.Release) == 0 {
		return submit.ErrNotSupported
	}
	errs := make([]error, len(ids))
	turn := make(chan struct{}, releases)
	var wg sync.WaitGroup
	for i, id := range ids {
		turn <- struct{}{}
		if ctx.Err() != nil {
			errs[i] = &submit.Error{Outcome: submit.Unavailable, Op: "release " + id, Err: context.Cause(ctx)}
			<-turn
			continue
		}
		wg.Go(func() {
			defer func() { <-turn }()
			_, errs[i] = c.call(context.WithoutCancel(ctx), "release "+id, c.cfg.Release, c.cfg.ReleaseTimeout, nil,
				map[string]string{"FENCEPOST_CLUSTER_ID": id})
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Cancel runs the cancel program.
func (c *Cluster) Cancel(ctx context.Context, id string) error {
	if len(c.cfg.Cancel) == 0 {
		return submit.ErrNotSupported
	}
	_, err := c.call(ctx, "cancel "+id, c.cfg.Cancel, c.cfg.CancelTimeout, nil,
		map[string]string{"FENCEPOST_CLUSTER_ID": id})
	return err
}

// Probe runs the probe program. Without one, it looks whether the programs are
// there and, if they can hold, find and cancel a job, does so with a canary.
func (c *Cluster) Probe(ctx context.Context) error {
	for _, argv := range [][]string{c.cfg.Submit, c.cfg.Release, c.cfg.Cancel, c.cfg.Find, c.cfg.Probe} {
		if len(argv) == 0 {
			continue
		}
		if _, err := exec.LookPath(argv[0]); err != nil {
			return &submit.Error{Outcome: submit.Unfit, Op: "probe", Err: err}
		}
	}
	if len(c.cfg.Probe) > 0 {
		_, err := c.call(ctx, "probe", c.cfg.Probe, c.cfg.ProbeTimeout, nil, nil)
		return err
	}
	if len(c.cfg.Release) == 0 || len(c.cfg.Find) == 0 || len(c.cfg.Cancel) == 0 {
		return nil
	}
	return c.probe.Run(ctx, c)
}

// call runs one program and translates its end into an outcome.
func (c *Cluster) call(ctx context.Context, op string, argv []string, timeout time.Duration, stdin []byte,
	vars map[string]string) ([]byte, error) {
	env := os.Environ()
	for k, v := range c.cfg.Env {
		env = append(env, k+"="+v)
	}
	env = append(env, "FENCEPOST_HOST="+c.cfg.Host, "FENCEPOST_SPOOL_ID="+c.cfg.SpoolID)
	for k, v := range vars {
		env = append(env, k+"="+v)
	}
	spec := run.Spec{Argv: argv, Env: env, Stdin: stdin, Timeout: timeout}
	if op == "find" {
		spec.Limit = maxListing
	}
	res, err := run.Run(ctx, spec)
	if err != nil {
		return nil, notStarted(op, err)
	}
	if res.OK() {
		return res.Stdout, nil
	}
	return nil, &submit.Error{Outcome: outcome(res), Op: op, Detail: word.Message(res.Stderr),
		Err: errors.New(res.Why())}
}

func notStarted(op string, err error) error {
	e := &submit.Error{Outcome: submit.Unfit, Op: op, Err: err}
	var ns *run.NotStarted
	if errors.As(err, &ns) && ns.Passing {
		e.Outcome = submit.Unavailable
	}
	return e
}
