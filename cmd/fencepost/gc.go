package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// heapFloor is how large the heap may grow before garbage is collected, however
// little of it is in use.
const heapFloor = 16 << 20

// memoryFloor is what the program may have of the system before collections come
// early and what is free is given back; more only if that much is in use.
const memoryFloor = 32 << 20

// tuneGC has garbage collected less often while little is in use: a host's own data
// are a few megabytes, and each job leaves 20 KB, so that Go's rule, when as much
// garbage as data has gathered, means a hundred collections a second under load.
// With more data Go's rule is back. An administrator's GOGC comes first.
func tuneGC() {
	if os.Getenv("GOGC") == "" {
		tune(&collected{percent: 100})
	}
}

// collected is garbage at once: its finalizer runs after each collection. It is too
// large to share its memory with others, which would keep it.
type collected struct {
	percent int
	_       [32]byte
}

func tune(c *collected) {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(max(memoryFloor, 5*int64(live[0].Value.Uint64())/2))
	}
	if want := gcPercent(live[0].Value.Uint64()); want != c.percent {
		c.percent = want
		debug.SetGCPercent(want)
	}
	runtime.SetFinalizer(&collected{percent: c.percent}, tune)
}

// gcPercent is how much may be added to what is live, in steps: to change it stops
// the program for a moment.
func gcPercent(live uint64) int {
	percent := 100
	for percent < 400 && live*uint64(percent+100) < heapFloor*100*7/8 {
		percent *= 2
	}
	return percent
}
