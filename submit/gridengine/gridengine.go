package gridengine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"fencepost/codec"
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

// Config is how Grid Engine is used here. Zero values are defaults.
type Config struct {
	NamePrefix string // what stands before the key in Request.Name
	SpoolID    string
	Host       string
	Epoch      func() uint64 // of the running instance, for the canary; nil = 0

	Guard     Guard  // "" = off
	SpoolRoot string // the spool's path on compute nodes; needed by the guard

	Workdir string   // for jobs that name none; "" = HOME, or /tmp
	Output  string   // qsub -o, with its pseudo variables; "" = NAME.oID in the work directory
	Args    []string // more options for qsub, such as -P physics

	PE             string // parallel environment for jobs with more than one processor; "" = such jobs are rejected
	MemoryResource string // -l NAME=...M for a job's memory; "" = not asked for

	ID      string   // tells two clusters apart in the pin, instead of the qmaster's host: for sites with a shadow master
	PassEnv []string // more variables of the daemon's environment for Grid Engine's programs

	Accounting bool // qacct can read the accounting file here: Caps.Past

	SubmitTimeout time.Duration // 0 = 30 s
	CallTimeout   time.Duration // for the other programs; 0 = 30 s
}

func (c *Config) fill() error {
	if c.Guard == "" {
		c.Guard = GuardOff
	}
	if err := c.Guard.Check(c.SpoolRoot); err != nil {
		return fmt.Errorf("gridengine backend: %w", err)
	}
	if c.Workdir != "" && !filepath.IsAbs(c.Workdir) {
		return errors.New("gridengine backend: work directory must be absolute")
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

const (
	maxListing   = 256 << 20 // XML of many jobs
	releaseChunk = 200
	tokenName    = "fencepost_token" // the job's context variable
)

// Cluster is a Grid Engine.
type Cluster struct {
	cfg   Config
	user  string
	batch batch.Maker
	probe probe.Prober
}

var _ submit.Cluster = (*Cluster)(nil)

// New makes the backend. It runs nothing yet.
func New(cfg Config) (*Cluster, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	u, err := user.Current()
	if err != nil {
		return nil, fmt.Errorf("gridengine backend: look up our user: %w", err)
	}
	return &Cluster{cfg: cfg, user: u.Username,
		batch: batch.Maker{IDVar: "JOB_ID", Guard: cfg.Guard, SpoolRoot: cfg.SpoolRoot},
		probe: probe.Prober{Prefix: cfg.NamePrefix, Spool: cfg.SpoolID, Host: cfg.Host, Epoch: cfg.Epoch}}, nil
}

// Caps: holds and lists; no idempotency key.
func (c *Cluster) Caps() submit.Caps {
	return submit.Caps{Hold: true, List: true, Past: c.cfg.Accounting}
}

// Slots is unlimited: a full Grid Engine says so.
func (c *Cluster) Slots(context.Context) (int, error) { return -1, nil }

// Pin names the cluster and our user there.
func (c *Cluster) Pin(ctx context.Context) (map[string]string, error) {
	out, err := c.call(ctx, "qconf -sss", nil, "qconf", "-sss")
	if err != nil {
		return nil, err
	}
	pin := map[string]string{"backend": "gridengine", "cell": "default", "user": strconv.Itoa(os.Getuid())}
	if cell := os.Getenv("SGE_CELL"); cell != "" {
		pin["cell"] = cell
	}
	if c.cfg.ID != "" {
		pin["id"] = c.cfg.ID
	} else {
		pin["master"] = word.Message(out)
	}
	return pin, nil
}

// Submit runs qsub.
func (c *Cluster) Submit(ctx context.Context, r submit.Request) (string, error) {
	text, err := c.batch.Make(r)
	if err != nil {
		return "", &submit.Error{Outcome: submit.Rejected, Op: "qsub", Err: err}
	}
	argv, err := c.qsub(r)
	if err != nil {
		return "", &submit.Error{Outcome: submit.Rejected, Op: "qsub", Err: err}
	}
	res, err := run.Run(ctx, run.Spec{Argv: argv, Env: c.env(), Stdin: []byte(text), Timeout: c.cfg.SubmitTimeout, Dir: "/"})
	if err != nil {
		return "", notStarted("qsub", err)
	}
	if !res.OK() {
		return "", submitError(res)
	}
	id, err := word.ID(res.Stdout)
	if err == nil && !isNumber(id) {
		err = errors.New("not a job id where one was expected")
	}
	if err != nil {
		return "", &submit.Error{Outcome: submit.Unknown, Op: "qsub", Detail: word.Message(res.Stdout), Err: err}
	}
	return id, nil
}

// qsub is the argv of a submission.
func (c *Cluster) qsub(r submit.Request) ([]string, error) {
	if !word.Plain(r.Name) || r.Name[0] >= '0' && r.Name[0] <= '9' || len(r.Name) > 200 {
		return nil, fmt.Errorf("job name %q is not fit for Grid Engine", r.Name)
	}
	if r.Token == "" || !word.Plain(strings.ReplaceAll(r.Token, "/", "")) {
		return nil, fmt.Errorf("token %q is not fit for a job's context", r.Token)
	}
	job := r.Record.Job
	argv := append([]string{"qsub"}, c.cfg.Args...) // first: the last one counts
	argv = append(argv, "-terse", "-h", "-r", "n", "-b", "n", "-C", "", "-S", "/bin/sh", "-N", r.Name,
		"-ac", tokenName+"="+r.Token, "-j", "y", "-wd", c.workdir(job))
	if c.cfg.Output != "" {
		argv = append(argv, "-o", c.cfg.Output)
	}
	if job.Queue != "" {
		argv = append(argv, "-q", job.Queue)
	}
	switch n := job.Resources.CPUs; {
	case n > 1 && c.cfg.PE == "":
		return nil, fmt.Errorf("job wants %d processors, but no parallel environment is configured", n)
	case n > 1:
		argv = append(argv, "-pe", c.cfg.PE, strconv.Itoa(n))
	}
	if n := job.Resources.MemoryMB; n > 0 && c.cfg.MemoryResource != "" {
		argv = append(argv, "-l", c.cfg.MemoryResource+"="+strconv.FormatInt(n, 10)+"M")
	}
	if n := job.Resources.TimeLimitSeconds; n > 0 {
		argv = append(argv, "-l", "h_rt="+strconv.FormatInt(n, 10))
	}
	return argv, nil
}

func (c *Cluster) workdir(job codec.Job) string {
	if job.Workdir != "" {
		return job.Workdir
	}
	return c.cfg.Workdir
}

// Release releases user holds by id. Ids that are unknown or over are no error.
func (c *Cluster) Release(ctx context.Context, ids []string) error {
	for _, id := range ids {
		if !isNumber(id) { // anything else is a name, or a pattern, to qrls
			return &submit.Error{Outcome: submit.Rejected, Op: "qrls", Detail: "not a job id: " + word.Message([]byte(id))}
		}
	}
	var first error
	for chunk := range slices.Chunk(ids, releaseChunk) {
		_, err := c.call(ctx, "qrls", []string{"does not exist", "modified hold of job"}, "qrls", "-h", "u", strings.Join(chunk, ","))
		if first == nil {
			first = err
		}
	}
	return first
}

// Cancel looks, then deletes: see what the package does not.
func (c *Cluster) Cancel(ctx context.Context, id string) error {
	if !isNumber(id) {
		return &submit.Error{Outcome: submit.Rejected, Op: "qdel", Detail: "not a job id: " + word.Message([]byte(id))}
	}
	list, err := c.states(ctx)
	if err != nil {
		return err
	}
	for _, q := range list {
		if q.ID == id && q.held() {
			_, err := c.call(ctx, "qdel "+id, []string{"does not exist", "has deleted job", "has registered the job"}, "qdel", id)
			return err
		}
	}
	return nil
}

// Probe looks for the programs, asks the qmaster who it is, and submits a
// canary.
func (c *Cluster) Probe(ctx context.Context) error {
	for _, p := range []string{"qsub", "qrls", "qdel", "qstat", "qconf"} {
		if _, err := exec.LookPath(p); err != nil {
			return &submit.Error{Outcome: submit.Unfit, Op: "probe", Err: err}
		}
	}
	if _, err := c.Pin(ctx); err != nil {
		return err
	}
	return c.probe.Run(ctx, c)
}

// call runs one of Grid Engine's programs. A failure that said nothing but
// benign words is none.
func (c *Cluster) call(ctx context.Context, op string, benign []string, argv ...string) ([]byte, error) {
	res, err := run.Run(ctx, run.Spec{Argv: argv, Env: c.env(), Timeout: c.cfg.CallTimeout, Limit: maxListing, Dir: "/"})
	if err != nil {
		return nil, notStarted(op, err)
	}
	if res.OK() || res.Said(benign...) {
		return res.Stdout, nil
	}
	return nil, callError(op, res)
}

// env is all that Grid Engine's programs see of the daemon's environment.
func (c *Cluster) env() []string {
	env := []string{"LC_ALL=C"}
	for _, k := range append([]string{"PATH", "HOME", "USER", "LOGNAME", "TZ", "SGE_ROOT", "SGE_CELL", "SGE_CLUSTER_NAME",
		"SGE_QMASTER_PORT", "SGE_EXECD_PORT", "SGE_ARCH"}, c.cfg.PassEnv...) {
		if v, ok := os.LookupEnv(k); ok {
			env = append(env, k+"="+v)
		}
	}
	return env
}
