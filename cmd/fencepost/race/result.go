package race

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"fencepost/cmd/fencepost/race/history"
	"fencepost/spool/env/simenv"
)

// Class says what kind of promise was broken.
type Class string

// The classes.
const (
	Safety   Class = "safety"
	Liveness Class = "liveness"
)

// Violation is a broken promise.
type Violation struct {
	Class  Class
	Kind   string // "twice", "lost", ...
	Job    string // may be empty
	Text   string
	At     time.Duration
	Detail string // the state at that moment, several lines
}

func (v *Violation) String() string {
	return fmt.Sprintf("%s: %s: %s (at %v)", v.Class, v.Kind, v.Text, v.At.Round(time.Microsecond))
}

// Result is how a run went.
type Result struct {
	Options   Options
	Hash      uint64
	Steps     uint64
	Time      time.Duration // virtual
	Accepted  int
	Done      int
	Parked    int
	Failed    int
	Stolen    int
	Faults    Counts // that happened, by kind
	Seen      Counts // events of the journals, and marks
	Violation *Violation
	Entries   []simenv.Entry  // of the tape
	History   []history.Event // if recorded
}

// Counts counts by name.
type Counts map[string]int

// Add adds another's.
func (c Counts) Add(o Counts) {
	for k, n := range o {
		c[k] += n
	}
}

// String is name=number, sorted.
func (c Counts) String() string {
	var parts []string
	for k, n := range c {
		parts = append(parts, fmt.Sprintf("%s=%d", k, n))
	}
	slices.SortFunc(parts, cmp.Compare[string])
	return strings.Join(parts, " ")
}
