package fstest

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"fencepost/spool/vfs/mountstats"
)

// Who is one of the two processes.
type Who struct {
	Host    string `json:"host"`
	BootID  string `json:"boot_id"` // of the kernel it runs on
	Mount   string `json:"mount"`   // where its share comes from, and how it is mounted
	Version string `json:"version"`
}

// Sizes say how much is done. Those of the first of the two count for both.
type Sizes struct {
	Names  int           `json:"names"`  // that are raced for by rename; by others half as many
	Rounds int           `json:"rounds"` // of what is measured, and of kills
	Pages  int           `json:"pages"`  // of a file
	Hammer time.Duration `json:"hammer"` // how long both fight for one lock
	Limit  time.Duration `json:"limit"`  // how long a host may take to see what the other did
}

// DefaultSizes take a minute or so on an NFS mount with default options. The
// limit is above the longest that a client keeps attributes by default, 60 s.
func DefaultSizes() Sizes {
	return Sizes{Names: 1000, Rounds: 3, Pages: 64, Hammer: 2 * time.Second, Limit: 75 * time.Second}
}

// Config is one side of a run.
type Config struct {
	FS    FS
	Me    Who
	Alone bool   // the other side is a process that this one starts
	Key   string // sides with the same key meet; Run draws one if Alone

	// Wait bounds how long the other side may take to come, and Patience how
	// long it may then say nothing.
	Wait, Patience time.Duration

	Sizes Sizes
	Only  []string // names of phases; none = all

	// Child is a command that runs RunChild with args, in a process of its own.
	Child func(ctx context.Context, args ...string) *exec.Cmd

	// Calls counts what was asked of the server so far; nil if that isn't known.
	Calls func() (mountstats.Counts, error)

	// Say tells a person how it goes.
	Say func(format string, args ...any)
}

// Result is what a phase found. Both sides have the same verdict.
type Result struct {
	Name     string            `json:"name"`
	Proves   string            `json:"proves"`
	Pass     bool              `json:"pass"`
	Evidence []string          `json:"evidence"`
	Problems []string          `json:"problems"`
	Seconds  float64           `json:"seconds"`
	Calls    mountstats.Counts `json:"calls,omitempty"` // of this host's mount to its server
}

// Report is what a run found.
type Report struct {
	Pass   bool     `json:"pass"`
	Me     Who      `json:"me"`
	Peer   Who      `json:"peer"`
	Hosts  int      `json:"hosts"` // 1: both sides run on one kernel
	Proves string   `json:"proves"`
	Phases []Result `json:"phases"`
}

// ErrNoPeer: nobody came.
var ErrNoPeer = errors.New("no other fstest --peer came to this directory")

// ErrPeerLost: the other side fell silent, or gave up.
var ErrPeerLost = errors.New("the other side is gone")

type phase struct {
	name   string
	proves string
	run    func(context.Context, *pair) ([]string, error)
}

func allPhases() []phase {
	return []phase{
		{"writes", "Two hosts write files of their own in one directory at the same time; each then reads the other's whole.", writes},
		{"create", "Of two hosts that make one name exclusively one succeeds: that is how an instance gets its number.", raceCreate},
		{"mkdir", "The same for directories.", raceMkdir},
		{"link", "Of two hosts that link one name one succeeds, and the link tells whose it is: that is how a job comes in once, and out once.", raceLink},
		{"rename", "Of two hosts that rename one file one succeeds, and the other is told ENOENT: that is how a job is claimed.", raceRename},
		{"fence", "A directory that one host has removed takes nothing more from the other, and is removed only when it is empty: that is how a dead instance is shut out.", fence},
		{"lock", "A lock that one host holds is refused to the other, and comes over when it is given back.", lockPhase},
		{"kill", "The lock of a process that was killed with SIGKILL comes free for the other host.", killPhase},
		{"crash", "What a writer had synced before it was killed in the middle of its work is whole for the other host, and a file under its final name is never seen in part.", crash},
		{"record", "A small file that is rewritten in place shows its changes to the other host: that is how a heartbeat is seen.", record},
		{"delays", "How long this mount's caches hide from one host what the other did. Only a listing has to be in time; the rest is measured.", delays},
	}
}

// PhaseNames are the names of all phases, in order.
func PhaseNames() []string {
	var names []string
	for _, ph := range allPhases() {
		names = append(names, ph.name)
	}
	return names
}

// Run meets the other side, runs all phases with it, and removes everything.
// An error says that there is no verdict: ErrNoPeer, ErrPeerLost, or that of
// ctx; the report then has what was found before.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	c := &camp{Config: cfg, nonce: newNonce(cfg.Alone)}
	if c.Alone {
		c.Key = c.nonce
	}
	stop, err := c.pitch(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	if cfg.Alone {
		end, err := c.startPeer(ctx)
		if err != nil {
			return nil, err
		}
		defer end()
	}
	p, err := c.meet(ctx)
	if err != nil {
		return nil, err
	}
	return p.all(ctx)
}

// all runs the phases.
func (p *pair) all(ctx context.Context) (rep *Report, err error) {
	defer func() { p.end(err) }()
	if err := p.agree(ctx); err != nil {
		return nil, err
	}
	rep = &Report{Pass: true, Me: p.Me, Peer: p.them, Hosts: p.hosts(), Proves: p.proves()}
	p.Say("with %s: %s", p.name(p.other()), rep.Proves)
	for _, ph := range allPhases() {
		if len(p.Only) > 0 && !slices.Contains(p.Only, ph.name) {
			continue
		}
		p.Say("%s", ph.name)
		r, err := p.phase(ctx, ph)
		if err != nil {
			return rep, err
		}
		rep.Phases = append(rep.Phases, r)
		rep.Pass = rep.Pass && r.Pass
	}
	return rep, nil
}

// hosts is 1 if both sides run on one kernel.
func (p *pair) hosts() int {
	if p.Me.BootID == p.them.BootID {
		return 1
	}
	return 2
}

func (p *pair) proves() string {
	switch {
	case p.Key != "":
		return "two processes of one host: this proves nothing about the share between hosts; for that run fstest --peer on two of them"
	case p.hosts() == 1:
		return "both sides run on one kernel: this proves the share between hosts only if each has an NFS client of its own"
	case p.Me.Mount != p.them.Mount:
		return fmt.Sprintf("two hosts that mount differently: %s, and %s", p.Me.Mount, p.them.Mount)
	}
	return "two hosts"
}

// verdict ends a phase: what one side found.
type verdict struct {
	Problem string `json:"problem"`
}

func (p *pair) phase(ctx context.Context, ph phase) (Result, error) {
	r := Result{Name: ph.name, Proves: ph.proves, Evidence: []string{}, Problems: []string{}}
	before, cerr := p.calls()
	start := time.Now()
	p.phaseName, p.dir = ph.name, p.session+"/"+ph.name
	if p.role == first {
		if err := p.FS.Mkdir(p.dir); err != nil {
			return r, err
		}
	}
	err := p.meetAt(ctx, "begin")
	var evidence []string
	if err == nil {
		evidence, err = ph.run(ctx, p)
	}
	if fatal(err) {
		return r, err
	}
	mine := verdict{}
	if err != nil && !errors.Is(err, errEnded) {
		mine.Problem = err.Error()
	}
	theirs, err := swap(ctx, p, stepEnd, mine)
	if err != nil {
		return r, err
	}
	for who, v := range ordered(p, mine, theirs) {
		if v.Problem != "" {
			r.Problems = append(r.Problems, p.name(who)+": "+v.Problem)
		}
	}
	r.Pass, r.Seconds = len(r.Problems) == 0, float64(time.Since(start).Milliseconds())/1000
	r.Evidence = append(r.Evidence, evidence...)
	if after, err := p.calls(); err == nil && cerr == nil {
		r.Calls = after.Since(before)
	}
	return r, nil
}

// fatal errors end the whole run; others are findings of a phase.
func fatal(err error) bool {
	return errors.Is(err, ErrPeerLost) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func (p *pair) calls() (mountstats.Counts, error) {
	if p.Calls == nil {
		return nil, errors.ErrUnsupported
	}
	return p.Calls()
}

// list is text for a few of many.
func list(items []string) string {
	const most = 3
	if len(items) > most {
		return strings.Join(items[:most], ", ") + fmt.Sprintf(" and %d more", len(items)-most)
	}
	return strings.Join(items, ", ")
}
