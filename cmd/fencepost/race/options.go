package race

import (
	"fmt"
	"time"

	"fencepost/spool/env/drill"
	"fencepost/spool/env/simenv"
)

// Protocols that can be raced.
const (
	ProtocolFencepost = "fencepost"
	ProtocolLegacy    = "legacy"
)

// Options are what a run is like. With the same ones, and the same tape, it is
// the same run.
type Options struct {
	Seed     uint64
	Hosts    int
	Jobs     int
	Faults   []Fault
	Protocol string
	Bugs     []drill.Bug
	// Where are the calls that faults strike, and then often; empty = any.
	Where string

	// Tape has the decisions; nil: they are drawn, by the seed.
	Tape []simenv.Entry
	// Replay: Tape counts, even if it is empty.
	Replay bool
	// Record keeps the history.
	Record bool
}

// Defaults are a run's options unless told otherwise.
func Defaults() Options {
	return Options{Hosts: 3, Jobs: 6, Faults: AllFaults(), Protocol: ProtocolFencepost}
}

// Limits of what can be asked for.
const (
	MaxHosts = 64
	MaxJobs  = 10000
)

// Validate says what is wrong with options.
func (o Options) Validate() error {
	switch {
	case o.Hosts < 1 || o.Hosts > MaxHosts:
		return fmt.Errorf("%d hosts: want 1 to %d", o.Hosts, MaxHosts)
	case o.Jobs < 1 || o.Jobs > MaxJobs:
		return fmt.Errorf("%d jobs: want 1 to %d", o.Jobs, MaxJobs)
	case o.Protocol != ProtocolFencepost && o.Protocol != ProtocolLegacy:
		return fmt.Errorf("protocol %q: want %s or %s", o.Protocol, ProtocolFencepost, ProtocolLegacy)
	}
	return nil
}

func (o Options) tape() *simenv.Tape {
	if o.Replay {
		return simenv.Replay(o.Seed, o.Tape)
	}
	return simenv.Draw(o.Seed)
}

// The times of a run. They are shorter than a daemon's, in proportion: a run is
// over sooner, and meets as many rare moments.
const (
	heartbeat    = 500 * time.Millisecond
	ttl          = 3 * time.Second
	serverLease  = 3 * time.Second
	poll         = 200 * time.Millisecond
	maxPoll      = 2 * time.Second
	claimMax     = 20 * time.Second
	sealMax      = 20 * time.Second
	grace        = 5 * time.Second
	auditEvery   = 8 * time.Second
	confirmAfter = 2 * time.Second
	listEvery    = time.Second
	pastFor      = 6 * time.Second
	keyWindow    = 60 * time.Second
	probeEvery   = 10 * time.Second
	sweepEvery   = 8 * time.Second

	// longestLate bounds how late a request may land.
	longestLate = 12 * time.Second
	// healing bounds how long it may take, once all faults are over, until all
	// jobs have ended and what the dead left is gone. The longest wait of the
	// protocol is a back-off of a minute.
	healing = 5 * time.Minute
	// quietBefore is how long nothing must have been wrong for a fence to be
	// a false one.
	quietBefore = 2 * ttl
	// stepLimit ends a run that goes on for ever.
	stepLimit = 3_000_000
)
