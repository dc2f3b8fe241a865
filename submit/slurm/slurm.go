package slurm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"fencepost/submit"
	"fencepost/submit/internal/batch"
	"fencepost/submit/internal/probe"
	"fencepost/submit/internal/run"
	"fencepost/submit/internal/word"
)

// Guard says what a job does that finds that it has been started before.
type Guard = batch.Guard

// The guards.
const (
	GuardOff     = batch.Off
	GuardLenient = batch.Lenient
	GuardStrict  = batch.Strict
)

// Config is how Slurm is used here. Zero values are defaults.
type Config struct {
	NamePrefix string // what stands before the key in Request.Name
	SpoolID    string
	Host       string
	Epoch      func() uint64 // of the running instance, for the canary; nil = 0

	Guard     Guard  // "" = off
	SpoolRoot string // the spool's path on compute nodes; needed by the guard

	Workdir string   // for jobs that name none; "" = HOME, or /tmp
	Output  string   // sbatch --output, its patterns allowed; "" = slurm-%j.out in the work directory
	Args    []string // more options for sbatch, such as --account=physics

	SlurmConf string   // "" = SLURM_CONF of the daemon's environment, if it is set
	PassEnv   []string // more variables of the daemon's environment for Slurm's programs

	// Past looks into a record of jobs that ended: the file of jobcomp/filetxt,
	// or sacct. Without either, Caps.Past is false.
	JobCompFile string
	Sacct       bool

	SubmitTimeout time.Duration // 0 = 30 s
	CallTimeout   time.Duration // for the other programs; 0 = 30 s
}

func (c *Config) fill() error {
	if c.Guard == "" {
		c.Guard = GuardOff
	}
	if err := c.Guard.Check(c.SpoolRoot); err != nil {
		return fmt.Errorf("slurm backend: %w", err)
	}
	if c.Workdir != "" && !filepath.IsAbs(c.Workdir) {
		return errors.New("slurm backend: work directory must be absolute")
	}
	if c.Workdir == "" {
		c.Workdir = os.Getenv("HOME")
	}
	if !filepath.IsAbs(c.Workdir) {
		c.Workdir = "/tmp"
	}
	if c.SubmitTimeout <= 0 {
		c.SubmitTimeout = 30 * time.Second
	}
	if c.CallTimeout <= 0 {
		c.CallTimeout = 30 * time.Second
	}
	return nil
}

// maxListing bounds what squeue may print: some 400,000 jobs.
const maxListing = 64 << 20

// How many ids one scontrol gets, which asks the controller for each of them, one
// after the other; and how many of them run at once.
const (
	leastChunk    = 25
	releaseChunk  = 200
	releaseAtOnce = 4
)

// Cluster is a Slurm.
type Cluster struct {
	cfg   Config
	batch batch.Maker
	probe probe.Prober
}

var _ submit.Cluster = (*Cluster)(nil)

// New makes the backend. It runs nothing yet.
func New(cfg Config) (*Cluster, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	return &Cluster{cfg: cfg, batch: batch.Maker{IDVar: "SLURM_JOB_ID", Guard: cfg.Guard, SpoolRoot: cfg.SpoolRoot}, probe: probe.Prober{Prefix: cfg.NamePrefix, Spool: cfg.SpoolID,
		Host: cfg.Host, Epoch: cfg.Epoch}}, nil
}

// Caps: holds and lists; no idempotency key.
func (c *Cluster) Caps() submit.Caps {
	return submit.Caps{Hold: true, List: true, Past: c.cfg.Sacct || c.cfg.JobCompFile != ""}
}

// Slots is unlimited: a full Slurm says so.
func (c *Cluster) Slots(context.Context) (int, error) { return -1, nil }

// Pin names the cluster, its controllers and our user there: another user sees
// other jobs, and may release none of ours.
func (c *Cluster) Pin(ctx context.Context) (map[string]string, error) {
	out, err := c.call(ctx, "scontrol show config", nil, "scontrol", "show", "config")
	if err != nil {
		return nil, err
	}
	pin, err := parseConfig(out)
	if err != nil {
		return nil, &submit.Error{Outcome: submit.Unavailable, Op: "scontrol show config", Err: err}
	}
	u, err := user.Current()
	if err != nil {
		return nil, &submit.Error{Outcome: submit.Unfit, Op: "look up our user", Err: err}
	}
	// The number: the name may be unknown on one host and known on another.
	pin["backend"], pin["user"] = "slurm", u.Uid
	return pin, nil
}

// Submit runs sbatch. Only an exit status of 0 with an id is success, whatever
// stands on standard error.
func (c *Cluster) Submit(ctx context.Context, r submit.Request) (string, error) {
	text, err := c.batch.Make(r)
	if err != nil {
		return "", &submit.Error{Outcome: submit.Rejected, Op: "sbatch", Err: err}
	}
	argv, err := c.sbatch(r)
	if err != nil {
		return "", &submit.Error{Outcome: submit.Rejected, Op: "sbatch", Err: err}
	}
	res, err := run.Run(ctx, run.Spec{Argv: argv, Env: c.env(), Stdin: []byte(text), Timeout: c.cfg.SubmitTimeout,
		Dir: "/", StopOn: refusals})
	if err != nil {
		return "", notStarted("sbatch", err)
	}
	if !res.OK() {
		return "", submitError(res)
	}
	id, err := parseSubmitted(res.Stdout)
	if err != nil {
		return "", &submit.Error{Outcome: submit.Unknown, Op: "sbatch", Detail: word.Message(res.Stdout), Err: err}
	}
	return id, nil
}

// List asks for all jobs of this user.
func (c *Cluster) List(ctx context.Context) ([]submit.Job, error) {
	out, err := c.call(ctx, "squeue", nil, "squeue", "-h", "--me", "-t", "all", "-o", listFormat)
	if err != nil {
		return nil, err
	}
	jobs, err := parseListing(out, c.cfg.NamePrefix)
	if err != nil {
		return nil, &submit.Error{Outcome: submit.Unknown, Op: "squeue", Err: err}
	}
	return jobs, nil
}

// Release releases by id, many in one call. Ids that are unknown or over are no
// error; what is wrong with another one, a listing shows.
func (c *Cluster) Release(ctx context.Context, ids []string) error {
	size := min(max(len(ids)/releaseAtOnce, leastChunk), releaseChunk)
	chunks := slices.Collect(slices.Chunk(ids, size))
	failed := make([][]submit.IDError, len(chunks))
	room := make(chan struct{}, releaseAtOnce)
	var wg sync.WaitGroup
	for i, chunk := range chunks {
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			failed[i] = c.release(ctx, chunk)
		})
	}
	wg.Wait()
	if all := slices.Concat(failed...); len(all) > 0 {
		return &submit.ReleaseError{Failed: all}
	}
	return nil
}

// release runs one scontrol.
func (c *Cluster) release(ctx context.Context, ids []string) (failed []submit.IDError) {
	const op = "scontrol release"
	res, err := run.Run(ctx, run.Spec{Argv: []string{"scontrol", "release", strings.Join(ids, ",")}, Env: c.env(),
		Timeout: c.cfg.CallTimeout, Limit: maxListing, Dir: "/", StopOn: refusals})
	if err != nil {
		err = notStarted(op, err)
		for _, id := range ids {
			failed = append(failed, submit.IDError{ID: id, Err: err})
		}
		return failed
	}
	if res.OK() {
		return nil
	}
	return releaseErrors(op, res, ids)
}

// Cancel looks, then cancels: scancel's own filter spares what runs, but not
// what has been released and waits.
func (c *Cluster) Cancel(ctx context.Context, id string) error {
	out, err := c.call(ctx, "squeue "+id, benignUnknown, "squeue", "-h", "-j", id, "-t", "all", "-o", listFormat)
	if err != nil {
		return err
	}
	jobs, err := parseListing(out, c.cfg.NamePrefix)
	if err != nil {
		return &submit.Error{Outcome: submit.Unknown, Op: "squeue " + id, Err: err}
	}
	held := slices.ContainsFunc(jobs, func(j submit.Job) bool {
		return j.ID == id && (j.State == submit.Held || j.State == submit.HeldOther)
	})
	if !held {
		return nil
	}
	_, err = c.call(ctx, "scancel "+id, benignUnknown, "scancel", "--state=PENDING", id)
	return err
}

// Probe looks for the programs, asks the controller who it is, and submits a
// canary.
func (c *Cluster) Probe(ctx context.Context) error {
	for _, p := range []string{"sbatch", "scontrol", "squeue", "scancel"} {
		if _, err := exec.LookPath(p); err != nil {
			return &submit.Error{Outcome: submit.Unfit, Op: "probe", Err: err}
		}
	}
	// This rather than "scontrol ping": DOWN may mean anything.
	if _, err := c.Pin(ctx); err != nil {
		return err
	}
	return c.probe.Run(ctx, c)
}

// call runs one of Slurm's programs. A failure that said nothing but benign
// words is none.
func (c *Cluster) call(ctx context.Context, op string, benign []string, argv ...string) ([]byte, error) {
	res, err := run.Run(ctx, run.Spec{Argv: argv, Env: c.env(), Timeout: c.cfg.CallTimeout, Limit: maxListing,
		Dir: "/", StopOn: refusals})
	if err != nil {
		return nil, notStarted(op, err)
	}
	if res.OK() || res.Said(benign...) {
		return res.Stdout, nil
	}
	return nil, callError(op, res)
}

// env is all that Slurm's programs see of the daemon's environment.
func (c *Cluster) env() []string {
	env := []string{"LC_ALL=C"}
	for _, k := range append([]string{"PATH", "HOME", "USER", "LOGNAME", "TZ", "SLURM_CONF"}, c.cfg.PassEnv...) {
		if v, ok := os.LookupEnv(k); ok {
			env = append(env, k+"="+v)
		}
	}
	if c.cfg.SlurmConf != "" {
		env = append(env, "SLURM_CONF="+c.cfg.SlurmConf)
	}
	return env
}
