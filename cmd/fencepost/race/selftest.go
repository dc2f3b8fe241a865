package race

import (
	"context"
	"time"

	"fencepost/spool/env/drill"
)

// Caught is how the search for a seeded bug went.
type Caught struct {
	Bug   drill.Seeded
	Seeds uint64
	Took  time.Duration
	// Result is the run that broke a promise; nil: none did in time.
	Result *Result
}

// Search looks for a seeded bug in the runs of the default mix, for so much
// time at most.
func Search(ctx context.Context, b drill.Seeded, workers int, budget time.Duration) Caught {
	o := Defaults()
	o.Bugs = append([]drill.Bug{b.Bug}, b.With...)
	o.Where = b.Where
	if b.Focus != "" {
		o.Faults, _ = ParseFaults(b.Focus) // a test parses them all
	}
	start := time.Now()
	s := Campaign{Options: o, From: 1, To: 1 << 40, Workers: workers, Budget: budget}.Run(ctx)
	c := Caught{Bug: b, Seeds: s.Seeds, Took: time.Since(start)}
	if len(s.Bad) > 0 {
		c.Result = s.Bad[0]
	}
	return c
}
