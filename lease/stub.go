package lease

import (
	"context"
	"errors"
	"time"

	"fencepost/spool"
	"fencepost/spool/env"
	"fencepost/spool/vfs"
)

var errStub = errors.New("lease: not written yet")

// Identity says which process this is.
type Identity struct {
	Host         string // a spool.ValidHost
	MachineID    string
	BootID       string
	PID          int
	Nonce        string // fresh for each process
	Started      time.Time
	Version      string
	ConfigDigest string
}

// Local is this process's identity. host and machineID override what the
// machine says of itself; Version and ConfigDigest are the caller's to fill in.
func Local(host, machineID string) (Identity, error) { return Identity{}, errStub }

// Member is an enrolled host: roster/HOST.json.
type Member struct {
	Host      string
	ID        string        // of this enrolment: a pin belongs to one
	MachineID string        // as enrolled; empty = pinned at the first start
	Stages    []spool.Stage // that it may serve; nil = all
	By        string
	At        time.Time
	Pinned    string // the machine id in force, once it is known; not in the file
}

// Enroll puts a host on the roster. Again with the same data it changes nothing;
// with other data it is an *EnrolledError. ID and At are filled in if empty.
func Enroll(ctx context.Context, e env.Env, m Member) (changed bool, err error) {
	return false, errStub
}

// Pin binds an enrolled host to a machine and returns the machine id that it is
// bound to, which is another one's if that came first.
func Pin(ctx context.Context, e env.Env, m Member, machineID string) (string, error) {
	return "", errStub
}

// Revoke takes a host off the roster; changed is false if it wasn't on it.
func Revoke(ctx context.Context, e env.Env, host string) (changed bool, err error) {
	return false, errStub
}

// Roster lists the enrolled hosts, by name.
func Roster(fs vfs.FS) ([]Member, error) { return nil, errStub }

// Intruder is one machine that was refused, on one day.
type Intruder struct {
	Host, MachineID, BootID, Version, Reason string
	PID                                      int
	First, Last                              time.Time
	Count                                    int
}

// RecordIntruder notes in intruders/ that this process was refused.
func RecordIntruder(ctx context.Context, e env.Env, id Identity, reason string) error { return errStub }

// Intruders lists what RecordIntruder noted.
func Intruders(fs vfs.FS) ([]Intruder, error) { return nil, errStub }

// StageState is what a host says of one of its stages.
type StageState struct {
	Stage  spool.Stage
	Fit    bool
	Reason string // why not
}

// Record is a heartbeat.
type Record struct {
	Host         string
	Epoch        uint64
	Counter      uint64
	Nonce        string
	MachineID    string
	BootID       string
	PID          int
	Since        time.Time // wall clock of the host: for people
	At           time.Time // the same
	Goodbye      bool
	Draining     bool
	Unfit        string // why the host as a whole takes no work
	Version      string
	ConfigDigest string
	Listen       string
	HTTP         string
	Stages       []StageState
	Claims       int
	Interval     time.Duration
	TTL          time.Duration
}

// ReadRecord reads a host's heartbeat through a fresh open.
func ReadRecord(fs vfs.FS, host string) (Record, error) { return Record{}, errStub }

// Config is what Acquire needs.
type Config struct {
	Env       env.Env
	Identity  Identity
	Heartbeat time.Duration // default 1 s
	TTL       time.Duration // default 10 s
	// Fill sets what changes: Unfit, Listen, HTTP, Stages, Claims. It is called
	// on the heartbeat's task and must not block.
	Fill func(*Record)
	// Warn tells of what deserves a line in the log. It must not block.
	Warn func(event string, kv ...any)
	// History is what the process remembers from one lease to the next; nil
	// for a process that never starts over.
	History *History
	// MaxRestarts is how often within an hour an instance may start over
	// before it is shown as unfit; default 3.
	MaxRestarts int
}

// History is what a process remembers of its earlier leases. The zero value is
// ready for use.
type History struct{}

// Acquire gets a lease and starts its heartbeat. It retries a flock that is
// held for two TTL, then returns a *HeldError; other errors are *RefusedError,
// *FencedByPersonError, or the system's. The lease outlives ctx.
func Acquire(ctx context.Context, cfg Config) (*Lease, error) { return nil, errStub }

// Lease is a live instance's hold on its host's name.
type Lease struct{}

// Host is the host's name.
func (l *Lease) Host() string { return "" }

// Epoch is the instance's number.
func (l *Lease) Epoch() uint64 { return 0 }

// Member is the roster's entry, as of the start.
func (l *Lease) Member() Member { return Member{} }

// Context is cancelled when the lease ends, with the cause.
func (l *Lease) Context() context.Context { return nil }

// Valid is nil while renewal is proven, else the cause; it looks at the clock.
func (l *Lease) Valid() error { return errStub }

// Drained says whether a person asked for a drain, as of the last heartbeat.
func (l *Lease) Drained() bool { return false }

// Worn says why the instance must not claim although it has a lease: it started
// over too often. Empty = all is well.
func (l *Lease) Worn() string { return "" }

// Renewed says whether the last renewal worked: for Watcher.Round.
func (l *Lease) Renewed() bool { return false }

// Beat makes the heartbeat write soon: something that Fill reports has changed.
func (l *Lease) Beat() {}

// LowerEpochs are the earlier epochs of this host that still have directories:
// all over, to be reclaimed before ready.
func (l *Lease) LowerEpochs() ([]Over, error) { return nil, errStub }

// Goodbye writes the last record, closes it and lets go of the flock. On a lease
// that is lost or fenced it only waits until it is let go of.
func (l *Lease) Goodbye(ctx context.Context) error { return errStub }

// TakeEpoch makes an epoch with its directories for a command that writes
// drafts, as host HOST~cmd, without lease.
func TakeEpoch(ctx context.Context, e env.Env, id Identity) (owner string, epoch uint64, err error) {
	return "", 0, errStub
}

// LowerEpochs lists the epochs of a host below epoch that still have a
// directory under claims, sealed or drafts.
func LowerEpochs(fs vfs.FS, host string, epoch uint64) ([]uint64, error) { return nil, errStub }

// Over is an epoch to be reclaimed.
type Over struct {
	Host  string
	Epoch uint64
	Why   string
	// Deaths: it ended without goodbye while its flock was free: what it was
	// working on counts a fault.
	Deaths bool
}

// WatchConfig is what a watcher needs.
type WatchConfig struct {
	Env       env.Env
	Self      string
	Epoch     uint64 // own; 0 for an observer without a lease, which then fences nobody
	Heartbeat time.Duration
	TTL       time.Duration
	Margin    time.Duration // default TTL/2
	// CommandAge is how long the epoch of a command may live; default 10 min.
	CommandAge time.Duration
	Warn       func(event string, kv ...any)
}

// Watcher observes the other hosts. Its methods are for one task, but Hosts and
// Blamed may be called by any.
type Watcher struct{}

// NewWatcher starts without any knowledge.
func NewWatcher(cfg WatchConfig) *Watcher { return &Watcher{} }

// Round looks once; to be called every heartbeat, by a task that nobody waits
// for. It returns all epochs that are over and still have directories.
func (w *Watcher) Round(ctx context.Context, ownRenewalWorked bool) []Over { return nil }

// Hosts is what the watcher knows, by name.
func (w *Watcher) Hosts() []HostState { return nil }

// Blamed says why this watcher fences no more; empty = it does.
func (w *Watcher) Blamed() string { return "" }

// State is a host's state in one word.
type State string

// The states.
const (
	Live    State = "live"
	Stopped State = "stopped" // said goodbye, or never started
	Silent  State = "silent"
	Fenced  State = "fenced"
	Unfit   State = "unfit" // live, but takes no work of some stage
)

// HostState is what an observer knows of a host.
type HostState struct {
	Host     string
	Enrolled bool
	State    State
	Reason   string
	Record   Record // zero if there is none
	Seen     bool   // whether there is a record
	// Age of the heartbeat. Measured: on the observer's own clock, since it
	// saw the record change. Otherwise the difference of two hosts' wall
	// clocks: for people only.
	Age      time.Duration
	Measured bool
	Draining bool
}

// Look judges all hosts by reading their records for wait, or for a bit more
// than a heartbeat as the records say if wait is 0. Hosts that are stopped or
// fenced need no wait.
func Look(ctx context.Context, e env.Env, wait time.Duration) ([]HostState, error) {
	return nil, errStub
}

// Flag is what a person asked of a host.
type Flag struct {
	By, Reason string
	At         time.Time
}

// Fence stops a host's instances until Resume.
func Fence(ctx context.Context, e env.Env, host, by, reason string) error { return errStub }

// Drain asks a host to take no more work until Resume.
func Drain(ctx context.Context, e env.Env, host, by, reason string) error { return errStub }

// Resume takes Fence and Drain back; changed is false if there was neither.
func Resume(ctx context.Context, e env.Env, host string) (changed bool, err error) {
	return false, errStub
}

// Drained says whether a host is to be drained, by a fresh listing.
func Drained(fs vfs.FS, host string) (bool, error) { return false, errStub }

// FencedByPerson says whether a person fenced a host, by a fresh listing.
func FencedByPerson(fs vfs.FS, host string) (bool, error) { return false, errStub }
