package trial

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"fencepost/cmd/fencepost/nfslab"
)

// Ops counts a host's RPCs by operation.
type Ops map[string]float64

// ParseMountstats reads /proc/self/mountstats: how often each operation was
// asked for on one mount (Linux, net/sunrpc/stats.c and fs/nfs/super.c).
func ParseMountstats(text, mount string) (Ops, error) {
	ops := Ops{}
	here, table := false, false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "device ") {
			here, table = strings.Contains(line, " mounted on "+mount+" "), false
			continue
		}
		if strings.TrimSpace(line) == "per-op statistics" {
			table = here
			continue
		}
		name, numbers, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !table || !ok {
			continue
		}
		f := strings.Fields(numbers)
		if len(f) == 0 {
			return nil, fmt.Errorf("mountstats: line %q", line)
		}
		n, err := strconv.ParseFloat(f[0], 64)
		if err != nil {
			return nil, fmt.Errorf("mountstats: line %q: %w", line, err)
		}
		if n > 0 {
			ops[name] += n
		}
	}
	if len(ops) == 0 {
		return nil, fmt.Errorf("mountstats: nothing of %s", mount)
	}
	return ops, nil
}

// ops is the sum over the site's hosts, without the office.
func (s *Site) ops(ctx context.Context) (Ops, error) {
	sum := Ops{}
	for _, m := range s.Hosts {
		text, err := m.Command("cat", "/proc/self/mountstats").Output(ctx)
		if err != nil {
			return nil, err
		}
		ops, err := ParseMountstats(string(text), nfslab.Mount)
		if err != nil {
			return nil, err
		}
		sum.add(ops, 1)
	}
	return sum, nil
}

func (o Ops) add(more Ops, times float64) {
	for name, n := range more {
		o[name] += n * times
	}
}

// Cost is what work costs in RPCs.
type Cost struct {
	Jobs int
	Time time.Duration // that the jobs took
	Job  Ops           // for a job, on all hosts together, with what they do when idle
	Idle Ops           // of an idle host, in a second
}

// cost measures, first idle and then with n jobs, in quiet.
func (t *Trial) cost(ctx context.Context, n int, run func() error) (*Cost, error) {
	s := t.site
	const settle, idle = 5 * time.Second, 10 * time.Second
	time.Sleep(settle)
	first, err := s.ops(ctx)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	time.Sleep(idle)
	second, err := s.ops(ctx)
	if err != nil {
		return nil, err
	}
	quiet := time.Since(began).Seconds() * float64(len(s.Hosts))
	began = time.Now()
	if err := run(); err != nil {
		return nil, err
	}
	c := &Cost{Jobs: n, Time: time.Since(began), Job: Ops{}, Idle: Ops{}}
	third, err := s.ops(ctx)
	if err != nil {
		return nil, err
	}
	c.Idle.add(second, 1/quiet)
	c.Idle.add(first, -1/quiet)
	c.Job.add(third, 1/float64(n))
	c.Job.add(second, -1/float64(n))
	return c, nil
}

// String is a table, the most frequent first.
func (c *Cost) String() string {
	var b strings.Builder
	var names []string
	var job, idle float64
	for name := range c.Job {
		if c.Job[name] > 0.05 || c.Idle[name] > 0.05 {
			names = append(names, name)
		}
		job += c.Job[name]
		idle += c.Idle[name]
	}
	slices.SortFunc(names, func(a, b string) int {
		if c.Job[a] != c.Job[b] {
			if c.Job[a] > c.Job[b] {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	fmt.Fprintf(&b, "RPCs of %d jobs in %.0f s\n%-20s %12s %22s\n", c.Jobs, c.Time.Seconds(), "RPC", "for a job", "idle host, a second")
	for _, name := range names {
		fmt.Fprintf(&b, "%-20s %12.1f %22.1f\n", name, c.Job[name], c.Idle[name])
	}
	fmt.Fprintf(&b, "%-20s %12.1f %22.1f\n", "all", job, idle)
	return b.String()
}
