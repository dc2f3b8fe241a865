package realrun

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"fencepost/cmd/fencepost/race"
)

// Options are what a run is like.
type Options struct {
	Dir    string // that the hosts share; the spool is made in it
	Self   string // the program that is started again, as serve and as the cluster
	Seed   uint64
	Hosts  int
	Jobs   int
	Time   time.Duration // how long faults go on
	Lease  time.Duration
	Faults []race.Fault
	Bug    Bug // of the cluster: to see that the judge can fail
	Keep   bool

	// Say is told now and then how it goes; may be nil.
	Say func(string)
}

// Defaults are a run's options unless told otherwise.
func Defaults() Options {
	return Options{Hosts: 3, Jobs: 60, Time: 30 * time.Second, Lease: 2 * time.Second, Faults: Faults()}
}

// Limits of what can be asked for: each host is a process, each job some.
const (
	maxHosts = 16
	maxJobs  = 10_000
	minLease = 500 * time.Millisecond
)

// Validate says what is wrong with options.
func (o Options) Validate() error {
	switch {
	case o.Hosts < 1 || o.Hosts > maxHosts:
		return fmt.Errorf("%d hosts: want 1 to %d real ones", o.Hosts, maxHosts)
	case o.Jobs < 1 || o.Jobs > maxJobs:
		return fmt.Errorf("%d jobs: want 1 to %d", o.Jobs, maxJobs)
	case o.Time <= 0:
		return fmt.Errorf("--time %s: want more than 0", o.Time)
	case o.Lease < minLease:
		return fmt.Errorf("--lease %s: want at least %s", o.Lease, minLease)
	}
	return nil
}

// heartbeat of the hosts: eight in a lease time.
func (o Options) heartbeat() time.Duration { return o.Lease / 8 }

// The times of a run.
const (
	readyLimit = 90 * time.Second       // for a host to get ready, on a busy machine
	healing    = 4 * time.Minute        // until all is over, once no fault is; a back-off is up to a minute
	answer     = 2 * time.Minute        // for the share, for anything
	auditEvery = 4 * time.Second        // on the way
	look       = 500 * time.Millisecond // between two looks at the book
	stopLimit  = 20 * time.Second       // for a host to stop in order
	sweepEvery = 3 * time.Second        // of the hosts, for held jobs that nobody will release

	programLimit = 90 * time.Second // for a program of the cluster
)

// Faults are the kinds that can be done to real processes.
func Faults() []race.Fault { return []race.Fault{race.Kill, race.Stop, race.Restart} }

// ParseFaults reads a list of them: names, "all" or "none".
func ParseFaults(list string) ([]race.Fault, error) {
	var chosen []race.Fault
	for _, word := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' }) {
		switch {
		case word == "all":
			chosen = Faults()
		case word == "none":
			chosen = nil
		case !slices.Contains(Faults(), race.Fault(word)):
			return nil, fmt.Errorf("fault %q can't be done to real processes: there are kill, stop, restart, all and none", word)
		case !slices.Contains(chosen, race.Fault(word)):
			chosen = append(chosen, race.Fault(word))
		}
	}
	return chosen, nil
}

// Bug is something that the cluster does wrong.
type Bug string

// The bugs.
const (
	NoBug      Bug = ""
	StartTwice Bug = "start-twice" // the first job that is started is started again
	LoseJob    Bug = "lose-job"    // the first job that is released is forgotten
)

// ParseBug reads a bug's name; "" is none.
func ParseBug(name string) (Bug, error) {
	if b := Bug(name); b == NoBug || b == StartTwice || b == LoseJob {
		return b, nil
	}
	return NoBug, fmt.Errorf("the cluster of a real run has no bug %q: there are %s and %s", name, StartTwice, LoseJob)
}
