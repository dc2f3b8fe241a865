package slurmrest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"fencepost/submit"
	"fencepost/submit/internal/batch"
	"fencepost/submit/internal/probe"
	"fencepost/submit/internal/slurmjob"
)

// Guard says what a job does that finds that it has been started before.
type Guard = batch.Guard

// The guards.
const (
	GuardOff     = batch.Off
	GuardLenient = batch.Lenient
	GuardStrict  = batch.Strict
)

// Config is how slurmrestd is used here. Zero values are defaults.
type Config struct {
	NamePrefix string // what stands before the key in Request.Name
	SpoolID    string
	Host       string
	Epoch      func() uint64 // of the running instance, for the canary; nil = 0

	// Address is unix:/PATH, http://HOST:PORT or https://HOST:PORT.
	Address string
	TLS     *tls.Config // for https; nil = the system's certificates
	// Insecure lets a token be sent by http to another machine.
	Insecure bool
	// Version is that of the API, v0.0.38 for example; "" = ask the daemon.
	Version string

	// Token is asked for each request; nil = none, the socket says who we are.
	// Its error says why no newer token could be read.
	Token func() (string, error)
	User  string // whose jobs they are; "" = the token's, or who runs this process

	// ClusterName is what each listed job must say of its cluster; "" = that
	// isn't looked at.
	ClusterName string

	Guard     Guard  // "" = off
	SpoolRoot string // the spool's path on compute nodes; needed by the guard

	Workdir    string            // for jobs that name none; "" = HOME, or /tmp
	Output     string            // standard_output, Slurm's patterns allowed; "" = slurm-%j.out in the work directory
	Partition  string            // for jobs that name no queue
	Properties map[string]string // more of a job's properties, such as account; JSON numbers and booleans are sent as such

	// JobCompFile is the file of jobcomp/filetxt. Without it Caps.Past is false.
	JobCompFile string

	SubmitTimeout time.Duration // 0 = 30 s
	CallTimeout   time.Duration // for the other requests; 0 = 30 s
	Parallel      int           // releases of one call at a time; 0 = 8
}

func (c *Config) fill() error {
	if c.Guard == "" {
		c.Guard = GuardOff
	}
	if err := c.Guard.Check(c.SpoolRoot); err != nil {
		return fmt.Errorf("slurmrest backend: %w", err)
	}
	if c.Workdir != "" && !filepath.IsAbs(c.Workdir) {
		return errors.New("slurmrest backend: work directory must be absolute")
	}
	if c.Workdir == "" {
		c.Workdir = os.Getenv("HOME")
	}
	if !filepath.IsAbs(c.Workdir) {
		c.Workdir = "/tmp"
	}
	if c.Version != "" && versionNumber(c.Version) == 0 {
		return fmt.Errorf("slurmrest backend: %q is not a version such as v0.0.38", c.Version)
	}
	for k := range c.Properties {
		if slices.Contains(ownProperties, k) {
			return fmt.Errorf("slurmrest backend: the property %s is set by fencepost itself", k)
		}
	}
	if c.SubmitTimeout <= 0 {
		c.SubmitTimeout = 30 * time.Second
	}
	if c.CallTimeout <= 0 {
		c.CallTimeout = 30 * time.Second
	}
	if c.Parallel <= 0 {
		c.Parallel = 8
	}
	return nil
}

// Cluster is a Slurm behind its REST daemon.
type Cluster struct {
	cfg   Config
	door  *door
	local string // who runs this process
	batch batch.Maker
	probe probe.Prober

	mu      sync.Mutex
	version int // of the API, its last number; 0 = not known yet
}

var _ submit.Cluster = (*Cluster)(nil)

// New makes the backend. It connects to nothing yet.
func New(cfg Config) (*Cluster, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	d, err := newDoor(cfg)
	if err != nil {
		return nil, fmt.Errorf("slurmrest backend: %w", err)
	}
	c := &Cluster{cfg: cfg, door: d, version: versionNumber(cfg.Version),
		batch: batch.Maker{IDVar: "SLURM_JOB_ID", Guard: cfg.Guard, SpoolRoot: cfg.SpoolRoot},
		probe: probe.Prober{Prefix: cfg.NamePrefix, Spool: cfg.SpoolID, Host: cfg.Host, Epoch: cfg.Epoch}}
	if u, err := user.Current(); err == nil {
		c.local = u.Username
	}
	if cfg.Token == nil && c.user("") == "" {
		return nil, errors.New("slurmrest backend: this process's user has no name: give the user's")
	}
	return c, nil
}

// user is whose jobs a request is about.
func (c *Cluster) user(token string) string {
	switch {
	case c.cfg.User != "":
		return c.cfg.User
	case token != "":
		return claimsOf(token).User
	}
	return c.local
}

// Caps: holds and lists; no idempotency key.
func (c *Cluster) Caps() submit.Caps {
	return submit.Caps{Hold: true, List: true, Past: c.cfg.JobCompFile != ""}
}

// Slots is unlimited: a full Slurm says so.
func (c *Cluster) Slots(context.Context) (int, error) { return -1, nil }

// Pin names the cluster's controllers and our user there: another user may
// release none of our jobs. The daemon doesn't say what the cluster is called;
// only jobs do, so that the name is in the pin if it is configured.
func (c *Cluster) Pin(ctx context.Context) (map[string]string, error) {
	r, err := c.ask(ctx, request{op: "ping", method: "GET", path: "ping"})
	if err != nil {
		return nil, err
	}
	hosts, err := r.controllers()
	if err != nil {
		return nil, &submit.Error{Outcome: submit.Unavailable, Op: "ping", Err: err}
	}
	pin := map[string]string{"backend": "slurmrest", "controllers": strings.Join(hosts, " "), "user": c.user(c.token())}
	if c.cfg.ClusterName != "" {
		pin["cluster"] = c.cfg.ClusterName
	}
	return pin, nil
}

func (c *Cluster) token() string {
	if c.cfg.Token == nil {
		return ""
	}
	token, _ := c.cfg.Token() // ask looks at the error
	return token
}

// TokenExpires says when the token in force expires; zero = never, or there is
// none.
func (c *Cluster) TokenExpires() time.Time { return claimsOf(c.token()).Expires }

// Submit posts a job, held.
func (c *Cluster) Submit(ctx context.Context, r submit.Request) (string, error) {
	const op = "submit"
	version, err := c.api(ctx)
	if err != nil {
		return "", err
	}
	body, err := c.job(r, version)
	if err != nil {
		return "", &submit.Error{Outcome: submit.Rejected, Op: op, Err: err}
	}
	a, err := c.ask(ctx, request{op: op, method: "POST", path: "job/submit", body: body, timeout: c.cfg.SubmitTimeout, mutates: true})
	if err != nil {
		return "", err
	}
	if a.JobID <= 0 {
		return "", &submit.Error{Outcome: submit.Unknown, Op: op, Detail: a.words(), Err: errors.New("no id in the answer")}
	}
	return fmt.Sprint(a.JobID), nil
}

// List asks for all jobs, and keeps this user's.
func (c *Cluster) List(ctx context.Context) ([]submit.Job, error) {
	return c.jobs(ctx, request{op: "list jobs", method: "GET", path: "jobs"})
}

// jobs asks for jobs, and keeps this user's.
func (c *Cluster) jobs(ctx context.Context, r request) ([]submit.Job, error) {
	l := &listing{user: c.user(c.token()), cluster: c.cfg.ClusterName, prefix: c.cfg.NamePrefix}
	r.read, r.limit = l.read, maxListing
	if _, err := c.ask(ctx, r); err != nil {
		return nil, err
	}
	if l.other != "" {
		return nil, &submit.Error{Outcome: submit.Unfit, Op: r.op,
			Detail: fmt.Sprintf("jobs there are of cluster %q, not of %q", l.other, c.cfg.ClusterName)}
	}
	return l.jobs, nil
}

// Release releases by id, several at a time. Ids that are unknown or over are no
// error; what is wrong with another one, a listing shows.
func (c *Cluster) Release(ctx context.Context, ids []string) error {
	errs := make([]error, len(ids))
	room := make(chan struct{}, c.cfg.Parallel)
	var wg sync.WaitGroup
	for i, id := range ids {
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			errs[i] = c.release(ctx, id)
		})
	}
	wg.Wait()
	var failed []submit.IDError
	for i, err := range errs {
		if err != nil {
			failed = append(failed, submit.IDError{ID: ids[i], Err: err})
		}
	}
	if len(failed) > 0 {
		return &submit.ReleaseError{Failed: failed}
	}
	return nil
}

func (c *Cluster) release(ctx context.Context, id string) error {
	if !slurmjob.IsID(id) {
		return &submit.Error{Outcome: submit.Rejected, Op: "release " + id, Err: errors.New("not a job id")}
	}
	_, err := c.ask(ctx, request{op: "release " + id, method: "POST", path: "job/" + id, body: []byte(`{"hold":false}`),
		mutates: true, benign: over})
	return err
}

// Cancel looks, then cancels: what runs, or has been released and waits, is
// spared.
func (c *Cluster) Cancel(ctx context.Context, id string) error {
	if !slurmjob.IsID(id) {
		return &submit.Error{Outcome: submit.Rejected, Op: "cancel " + id, Err: errors.New("not a job id")}
	}
	jobs, err := c.jobs(ctx, request{op: "look at " + id, method: "GET", path: "job/" + id, benign: over})
	if err != nil {
		return err
	}
	held := slices.ContainsFunc(jobs, func(j submit.Job) bool {
		return j.ID == id && (j.State == submit.Held || j.State == submit.HeldOther)
	})
	if !held {
		return nil
	}
	_, err = c.ask(ctx, request{op: "cancel " + id, method: "DELETE", path: "job/" + id, mutates: true, benign: over})
	return err
}

// Past looks into the job completion log.
func (c *Cluster) Past(ctx context.Context, id string) (submit.Past, error) {
	if c.cfg.JobCompFile == "" {
		return submit.Past{}, submit.ErrNotSupported
	}
	return slurmjob.ReadLog(ctx, c.cfg.JobCompFile, id)
}

// Probe asks the controller who it is, and submits a canary.
func (c *Cluster) Probe(ctx context.Context) error {
	if _, err := c.Pin(ctx); err != nil {
		return err
	}
	return c.probe.Run(ctx, c)
}
