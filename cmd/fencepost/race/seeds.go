package race

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// Campaign is many runs.
type Campaign struct {
	Options  Options
	From, To uint64 // seeds, both included
	Workers  int
	Budget   time.Duration // 0 = none
	// TwiceEvery has every so-many-th seed run twice, to see that it is the
	// same run; 0 = none.
	TwiceEvery uint64
	// KeepGoing goes on after a violation, up to so many.
	KeepGoing int
	// Progress is told now and then; may be nil.
	Progress func(Summary)
}

// Summary is how a campaign went, so far or in all.
type Summary struct {
	Seeds    uint64
	Last     uint64 // the highest seed that was begun
	Steps    uint64
	Virtual  time.Duration
	Real     time.Duration
	Accepted int
	Done     int
	Parked   int
	Failed   int
	Stolen   int
	Faults   Counts
	Seen     Counts
	Bad      []*Result // by seed
	Twice    uint64    // seeds that were run twice
	Differ   []uint64  // of them, those that were two different runs
}

// Run makes the runs. It ends early when ctx does.
func (c Campaign) Run(ctx context.Context) Summary {
	r := &campaign{Campaign: c, next: c.From, start: time.Now(), sum: Summary{Faults: Counts{}, Seen: Counts{}}}
	var wg sync.WaitGroup
	for range max(c.Workers, 1) {
		wg.Go(func() { r.work(ctx) })
	}
	wg.Wait()
	return r.summary()
}

type campaign struct {
	Campaign
	start time.Time

	mu   sync.Mutex
	next uint64
	done bool
	told time.Time
	sum  Summary
}

func (c *campaign) work(ctx context.Context) {
	for {
		seed, ok := c.take(ctx)
		if !ok {
			return
		}
		o := c.Options
		o.Seed = seed
		res := Run(o)
		same := true
		twice := c.TwiceEvery > 0 && seed%c.TwiceEvery == 0
		if twice {
			same = Run(o).Hash == res.Hash
		}
		c.add(seed, res, twice, same)
	}
}

func (c *campaign) take(ctx context.Context) (uint64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	over := c.done || ctx.Err() != nil || c.next > c.To || c.next < c.From || c.Budget > 0 && time.Since(c.start) > c.Budget
	if over {
		return 0, false
	}
	seed := c.next
	c.next++
	c.sum.Last = seed
	return seed, true
}

func (c *campaign) add(seed uint64, res *Result, twice, same bool) {
	c.mu.Lock()
	s := &c.sum
	s.Seeds++
	s.Steps += res.Steps
	s.Virtual += res.Time
	s.Accepted += res.Accepted
	s.Done += res.Done
	s.Parked += res.Parked
	s.Failed += res.Failed
	s.Stolen += res.Stolen
	s.Faults.Add(res.Faults)
	s.Seen.Add(res.Seen)
	if res.Violation != nil {
		s.Bad = append(s.Bad, res)
		c.done = c.done || len(s.Bad) > c.KeepGoing
	}
	if twice {
		s.Twice++
		if !same {
			s.Differ = append(s.Differ, seed)
		}
	}
	tell := c.Progress != nil && time.Since(c.told) > 500*time.Millisecond
	if tell {
		c.told = time.Now()
	}
	c.mu.Unlock()
	if tell {
		c.Progress(c.summary())
	}
}

func (c *campaign) summary() Summary {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sum
	s.Bad = slices.SortedFunc(slices.Values(s.Bad), func(a, b *Result) int { return cmp.Compare(a.Options.Seed, b.Options.Seed) })
	s.Real = time.Since(c.start)
	s.Faults, s.Seen = Counts{}, Counts{}
	s.Faults.Add(c.sum.Faults)
	s.Seen.Add(c.sum.Seen)
	return s
}
