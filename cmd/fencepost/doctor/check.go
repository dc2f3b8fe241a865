package doctor

import (
	"context"
	"io/fs"
	"os/exec"
	"slices"
	"strings"
	"time"

	"fencepost/cmd/fencepost/fstest"
	"fencepost/lease"
	"fencepost/spool"
	"fencepost/submit"
)

// Verdict is what a check found, in one word.
type Verdict string

// The verdicts, the good ones first.
const (
	OK      Verdict = "ok"
	Skipped Verdict = "skipped" // it doesn't apply here, or couldn't be made; the evidence says why
	Ignored Verdict = "ignored" // found something that the caller doesn't want to hear
	Note    Verdict = "note"    // to know
	Warn    Verdict = "warn"    // works, but a person should act
	Refuse  Verdict = "refuse"  // unsafe
)

func rank(v Verdict) int {
	return slices.Index([]Verdict{OK, Skipped, Ignored, Note, Warn, Refuse}, v)
}

// Finding is what a check found.
type Finding struct {
	Verdict  Verdict
	Evidence []string // what was seen, a line each
	Fix      string   // what exactly to do; "" if there is nothing to do
}

// add makes the verdict worse, if v is, and keeps the evidence and the fix of
// what is worst.
func (f *Finding) add(v Verdict, fix string, evidence ...string) {
	f.Evidence = append(f.Evidence, evidence...)
	if rank(v) > rank(f.Verdict) || f.Fix == "" {
		f.Fix = fix
	}
	if rank(v) > rank(f.Verdict) {
		f.Verdict = v
	}
}

func good(evidence ...string) Finding    { return Finding{Verdict: OK, Evidence: evidence} }
func skipped(evidence ...string) Finding { return Finding{Verdict: Skipped, Evidence: evidence} }

// unable is a check that couldn't be made.
func unable(err error) Finding {
	return Finding{Verdict: Warn, Evidence: []string{"can't be checked: " + err.Error()},
		Fix: "make this possible for the user that runs fencepost, or --ignore the check"}
}

// Result is one check's outcome, as it is shown.
type Result struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	Verdict  Verdict  `json:"verdict"`
	Evidence []string `json:"evidence"`
	Means    string   `json:"means"` // what it is about: why anyone should care
	Fix      string   `json:"fix"`
}

// Config is what is examined.
type Config struct {
	Dir       string       // the spool's directory, absolute
	Spool     *spool.Spool // nil: only the mount is examined
	Host      string       // this host's name on the spool
	MachineID string
	Digest    string // of this host's configuration
	Heartbeat time.Duration
	Lease     time.Duration
	Ignore    []string // ids of checks whose findings don't count

	// Machine is the machine's own files, from its root. MountID is the
	// mount that Dir is on, 0 if that isn't known; see MountOf.
	Machine fs.FS
	MountID int

	// Begin announces a call that may hang on the share; the func it returns
	// ends it. Required.
	Begin func(what, name string) (done func())

	// Locker is a command, in a process of its own, that tries the flock on a
	// file of the spool; see RunLocker. nil: no such check.
	Locker func(ctx context.Context, name string) *exec.Cmd

	// Pair runs fstest with a second process of this host; nil: no such check.
	Pair func(ctx context.Context, phases []string) (*fstest.Report, error)

	// Door is what this host and its clients know each other by.
	Door Door

	// Cluster is the configured cluster; nil if none is configured.
	Cluster func() (submit.Cluster, error)
}

// patient is what the checks share.
type patient struct {
	Config
	mount  Mount
	known  bool // mount was found
	mounts []Mount
	err    error // of the mount table
	magic  int64 // of statfs, 0 if that failed

	real string // Dir without symbolic links

	probe    *probe
	probeErr error         // why there is no probe
	offset   time.Duration // of the server's clock to this machine's
	slack    time.Duration // how far that may be off
	members  []lease.Member
	hosts    []lease.HostState
	hostsErr error
}

// check is one named check.
type check struct {
	id    string
	name  string
	means string
	nfs   bool // only NFS can have it
	run   func(context.Context, *patient) Finding
}

// IDs are the ids of all checks, in order.
func IDs() []string {
	var ids []string
	for _, c := range allChecks() {
		ids = append(ids, c.id)
	}
	return ids
}

// MountIDs are the ids of the checks that Start makes.
func MountIDs() []string {
	var ids []string
	for _, c := range mountChecks() {
		ids = append(ids, c.id)
	}
	return ids
}

func allChecks() []check {
	return slices.Concat(mountChecks(), shareChecks(), layoutChecks(), hostChecks(), machineChecks(), clusterChecks(), doorChecks())
}

// Start examines the mount alone: what decides whether an instance may start.
func Start(ctx context.Context, cfg Config) []Result {
	return examine(ctx, newPatient(cfg), mountChecks())
}

// Run makes all checks. The error is that of ctx.
func Run(ctx context.Context, cfg Config) ([]Result, error) {
	p := newPatient(cfg)
	p.look(ctx)
	defer p.probe.tidy()
	results := examine(ctx, p, allChecks())
	return results, context.Cause(ctx)
}

func examine(ctx context.Context, p *patient, checks []check) []Result {
	var out []Result
	for _, c := range checks {
		if ctx.Err() != nil {
			break
		}
		f := p.make(ctx, c)
		if slices.ContainsFunc(p.Ignore, func(id string) bool { return strings.EqualFold(id, c.id) }) && rank(f.Verdict) > rank(Ignored) {
			f.Verdict = Ignored
		}
		if rank(f.Verdict) <= rank(Skipped) {
			f.Fix = ""
		}
		out = append(out, Result{ID: c.id, Name: c.name, Verdict: f.Verdict, Evidence: append([]string{}, f.Evidence...), Means: c.means, Fix: f.Fix})
	}
	return out
}

func (p *patient) make(ctx context.Context, c check) Finding {
	if c.nfs && !p.onNFS() {
		if !p.known {
			return skipped("the mount isn't known")
		}
		if local(p.mount.Type) {
			return skipped(p.mount.Type + ": " + notShared)
		}
		return skipped(p.mount.Type + ": only NFS has this")
	}
	return c.run(ctx, p)
}

// Worst is the worst verdict of all.
func Worst(results []Result) Verdict {
	worst := OK
	for _, r := range results {
		if rank(r.Verdict) > rank(worst) {
			worst = r.Verdict
		}
	}
	return worst
}
