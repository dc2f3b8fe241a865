package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"fencepost/cmd/fencepost/bench"
	"fencepost/cmd/fencepost/nfslab"
	"fencepost/cmd/fencepost/nfslab/guest"
	"fencepost/cmd/fencepost/nfslab/line"
	"fencepost/spool/vfs/mountstats"
)

// roleMember is this program on a host of a measurement.
const roleMember = "member"

// member is one host of a measurement, on its machine.
func member(ctx context.Context, name string) error {
	calls := func() (mountstats.Counts, error) {
		data, err := os.ReadFile(mountstats.File)
		if err != nil {
			return nil, err
		}
		all, err := mountstats.Parse(data)
		if err != nil {
			return nil, err
		}
		m, ok := mountstats.At(all, nfslab.Mount)
		if !ok {
			return nil, fmt.Errorf("%s has nothing of %s", mountstats.File, nfslab.Mount)
		}
		return m.Counts(), nil
	}
	return bench.Member(ctx, bench.Config{Dir: nfslab.Mount, Jobs: 1, Rounds: 1, Clients: 4, Workers: 4, Hosts: 1, Size: 1024,
		Version: "nfslab", Calls: calls, Progress: func(int, int, string) {}, Warn: func(what string) { fmt.Fprintln(os.Stderr, name+":", what) }},
		name, os.Stdin, os.Stdout)
}

// hosts measures what the server is asked by hosts with a client each: without
// work, and for a job; alone, and together.
func hosts(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("nfslab hosts", flag.ExitOnError)
	n := flags.Int("hosts", 2, "hosts, each with an NFS client of its own")
	jobs := flags.Int("jobs", 300, "jobs of a round")
	clients := flags.Int("clients", 4, "jobs on their way in at a time, to each host that takes some in")
	rounds := flags.Int("rounds", 3, "rounds; their mean is shown")
	idle := flags.Duration("idle", 40*time.Second, "how long to look at hosts without work")
	version := flags.String("version", "4.2", "version of NFS")
	_ = flags.Parse(args)
	l, err := nfslab.Boot(ctx, nfslab.Config{})
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer func() {
		stop()
		err = errors.Join(err, l.Close())
	}()
	c := &crew{out: out, jobs: *jobs, clients: *clients, rounds: *rounds, idle: *idle}
	for i := range *n {
		h, err := l.AddHost(ctx, nfslab.HostConfig{Version: *version})
		if err != nil {
			return err
		}
		if err := c.join(h); err != nil {
			return err
		}
		if i == 0 || i == *n-1 {
			if err := c.measure(); err != nil {
				return err
			}
		}
	}
	return nil
}

// crew are the hosts of a measurement.
type crew struct {
	out                   io.Writer
	jobs, rounds, clients int
	idle                  time.Duration
	members               []*hand
}

// hand is one of them, as the conductor has it.
type hand struct {
	cmd     *line.Cmd
	answers *json.Decoder
}

// join starts a member on a host.
func (c *crew) join(h *nfslab.Host) error {
	r, w := io.Pipe()
	cmd := h.Command(guest.Program, roleMember, h.Name)
	cmd.Input, cmd.Stdout, cmd.Stderr, cmd.Dir = true, w, os.Stderr, "/tmp"
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		<-cmd.Ended()
		_ = w.CloseWithError(fmt.Errorf("host %s: the member ended", h.Name))
	}()
	m := &hand{cmd: cmd, answers: json.NewDecoder(bufio.NewReader(r))}
	c.members = append(c.members, m)
	_, err := m.do(bench.Order{Do: bench.DoStart})
	return err
}

func (m *hand) do(o bench.Order) (s bench.Seen, err error) {
	data, err := json.Marshal(o)
	if err == nil {
		_, err = m.cmd.Write(append(data, '\n'))
	}
	if err == nil {
		err = m.answers.Decode(&s)
	}
	if err == nil && s.Error != "" {
		err = errors.New(s.Error)
	}
	return s, err
}

// look asks all.
func (c *crew) look() (all []bench.Seen, err error) {
	for _, m := range c.members {
		s, err := m.do(bench.Order{Do: bench.DoLook})
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// settleTime is how long hosts take to know each other, and to have nothing left
// to do.
const settleTime = 8 * time.Second

func (c *crew) measure() error {
	time.Sleep(settleTime)
	before, err := c.look()
	if err != nil {
		return err
	}
	time.Sleep(c.idle)
	after, err := c.look()
	if err != nil {
		return err
	}
	c.showIdle(before, after)
	if err := c.load("warm-up", 20, len(c.members), 1, false); err != nil {
		return err
	}
	for fed := len(c.members); fed > 0; fed -= max(1, len(c.members)-1) {
		what := fmt.Sprintf("%d hosts, jobs come in at %d", len(c.members), fed)
		if err := c.load(what, c.jobs, fed, c.rounds, true); err != nil {
			return err
		}
	}
	return nil
}

// loadTime bounds a round.
const loadTime = 5 * time.Minute

// load sends jobs to the first hosts, and waits for the end of all of them.
func (c *crew) load(what string, jobs, fed, rounds int, show bool) error {
	before, err := c.look()
	if err != nil {
		return err
	}
	for range rounds {
		if err := c.round(jobs, fed); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	after, err := c.look()
	if err == nil && show {
		c.showLoad(what, jobs*rounds, before, after)
	}
	return err
}

func (c *crew) round(jobs, fed int) error {
	start, err := c.look()
	if err != nil {
		return err
	}
	errs := make(chan error, fed)
	for i := range fed {
		share := jobs / fed
		if i == 0 {
			share += jobs % fed
		}
		go func() {
			_, err := c.members[i].do(bench.Order{Do: bench.DoSend, Jobs: share, Clients: c.clients})
			errs <- err
		}()
	}
	for range fed {
		err = errors.Join(err, <-errs)
	}
	for deadline := time.Now().Add(loadTime); err == nil; time.Sleep(100 * time.Millisecond) {
		now, lerr := c.look()
		if lerr != nil {
			return lerr
		}
		done := 0
		for i, s := range now {
			done += s.Done - start[i].Done
		}
		if done >= jobs {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d of %d jobs have ended", done, jobs)
		}
	}
	return err
}

func (c *crew) showIdle(before, after []bench.Seen) {
	for i := range after {
		d := after[i].Since(before[i])
		spent := after[i].At.Sub(before[i].At).Seconds()
		fmt.Fprintf(c.out, "\nhost %d of %d without work, a second: %.1f RPCs: %s\n", i+1, len(after), float64(d.Calls.Total())/spent, rates(d.Calls, spent))
		for _, p := range bench.Purposes() {
			if ops := d.Ops[p]; ops.Total() > 0 {
				fmt.Fprintf(c.out, "    %-10s %5.2f operations: %s\n", p, ops.Total()/spent, rates(ops, spent))
			}
		}
	}
}

func (c *crew) showLoad(what string, jobs int, before, after []bench.Seen) {
	n := float64(jobs)
	sum, ops := mountstats.Counts{}, map[string]bench.Ops{}
	lost, spent := 0, 0.0
	var shares []string
	for i := range after {
		d := after[i].Since(before[i])
		spent = max(spent, after[i].At.Sub(before[i].At).Seconds())
		lost += d.Lost
		shares = append(shares, fmt.Sprintf("%.0f %%", 100*float64(d.Done)/n))
		for kind, k := range d.Calls {
			sum[kind] += k
		}
		for p, all := range d.Ops {
			if ops[p] == nil {
				ops[p] = bench.Ops{}
			}
			for kind, k := range all {
				ops[p][kind] += k
			}
		}
	}
	fmt.Fprintf(c.out, "\n%s: %.1f RPCs a job: %s\n    %.0f jobs a second, done by %s, %.2f lost claims a job\n", what,
		float64(sum.Total())/n, rates(sum, n), n/spent, strings.Join(shares, " and "), float64(lost)/n)
	for _, p := range bench.Purposes() {
		if ops[p].Total() > 0 {
			fmt.Fprintf(c.out, "    %-10s %5.2f operations: %s\n", p, ops[p].Total()/n, rates(ops[p], n))
		}
	}
}

// rates lists counts for one of n, the most first.
func rates[V uint64 | float64](m map[string]V, n float64) string {
	type rate struct {
		name string
		v    float64
	}
	var all []rate
	for name, v := range m {
		if float64(v)/n >= 0.005 {
			all = append(all, rate{name, float64(v) / n})
		}
	}
	slices.SortFunc(all, func(a, b rate) int { return cmp.Or(cmp.Compare(b.v, a.v), cmp.Compare(a.name, b.name)) })
	var text []string
	for _, r := range all {
		text = append(text, fmt.Sprintf("%s %.2f", r.name, r.v))
	}
	return strings.Join(text, ", ")
}
