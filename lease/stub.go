package lease

import (
	"context"
	"errors"
	"time"

	"fencepost/spool/env"
)

var errStub = errors.New("lease: not written yet")

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
