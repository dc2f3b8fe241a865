package main_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// inFull says that the tests have the size of an acceptance test: minutes, not
// seconds.
func inFull() bool { return os.Getenv("FENCEPOST_TEST_LONG") != "" }

// pick is the size of something in full, in general, and with -short.
func pick[T any](full, usual, short T) T {
	switch {
	case inFull():
		return full
	case testing.Short():
		return short
	}
	return usual
}

// chaos kills, stops and restarts the hosts of a site, each on its own.
type chaos struct {
	s      *site
	hosts  []string
	ports  map[string]string
	silent time.Duration // a host that is stopped for longer is fenced
	seed   uint64

	mu                     sync.Mutex
	kills, stops, restarts int
	woken                  []woken
}

// woken is an instance that was stopped for longer than its lease.
type woken struct {
	host  string
	epoch uint64
	when  time.Time
}

func (s *site) chaos(hosts []string, silent time.Duration) *chaos {
	s.t.Helper()
	c := &chaos{s: s, hosts: hosts, ports: map[string]string{}, silent: silent, seed: uint64(time.Now().UnixNano())}
	s.t.Logf("seed %d", c.seed)
	for _, h := range hosts {
		c.ports[h] = fmt.Sprintf("127.0.0.1:%d", freePort(s.t))
		s.start(h, "--listen", c.ports[h])
	}
	return c
}

// to are send's flags that name all hosts.
func (c *chaos) to() (args []string) {
	for _, h := range c.hosts {
		args = append(args, "--to", c.ports[h])
	}
	return args
}

// run goes on for a while; at its end all hosts run.
func (c *chaos) run(span time.Duration) {
	var all sync.WaitGroup
	end := time.Now().Add(span)
	for i, h := range c.hosts {
		rnd := rand.New(rand.NewPCG(c.seed, uint64(i)))
		all.Go(func() {
			for time.Now().Before(end) {
				time.Sleep(time.Duration(rnd.Int64N(int64(3 * time.Second))))
				if !c.strike(h, rnd) {
					return
				}
			}
		})
	}
	all.Wait()
	c.s.t.Logf("%d kills, %d stops, %d restarts", c.kills, c.stops, c.restarts)
}

// strike does one thing to one host.
func (c *chaos) strike(host string, rnd *rand.Rand) bool {
	p := c.s.host(host)
	switch rnd.IntN(5) {
	case 0, 1:
		p.kill9()
		c.count(&c.kills)
		time.Sleep(time.Duration(rnd.Int64N(int64(c.silent))))
	case 2, 3:
		epoch := c.s.epoch(host)
		p.signal(syscall.SIGSTOP)
		time.Sleep(c.silent + time.Duration(rnd.Int64N(int64(c.silent/2))))
		p.signal(syscall.SIGCONT)
		c.count(&c.stops)
		c.mu.Lock()
		c.woken = append(c.woken, woken{host, epoch, time.Now()})
		c.mu.Unlock()
		return true
	case 4:
		if code := p.stop(c.s.t); code != 0 {
			c.s.t.Errorf("host %s: SIGTERM: got exit %d, want 0:\n%s", host, code, tail(p.log))
		}
		c.count(&c.restarts)
	}
	// After a kill the lock may be held by a watcher for a moment.
	if _, err := c.s.tryStart(host, time.Minute, "--listen", c.ports[host]); err != nil {
		c.s.t.Error(err)
		return false
	}
	return true
}

func (c *chaos) count(n *int) {
	c.mu.Lock()
	*n++
	c.mu.Unlock()
}

// wantStartedOver wants each woken instance to have said that its epoch is
// over, and why, unless it was killed before it could.
func (c *chaos) wantStartedOver() {
	c.s.t.Helper()
	said := 0
	for _, w := range c.woken {
		why := ""
		for _, e := range c.s.journal(w.host, w.epoch) {
			if e.Event == "stopped" {
				why = e.Detail
			}
		}
		switch {
		case strings.Contains(why, "fenced") || strings.Contains(why, "no renewal was proven") || strings.Contains(why, "writes the heartbeat"):
			said++
		case why != "":
			c.s.t.Errorf("host %s, epoch %d, woken: got the journal's last word %q, want that it was fenced or lost", w.host, w.epoch, why)
		}
		eventually(c.s.t, time.Minute, func() string {
			if c.s.epoch(w.host) > w.epoch {
				return ""
			}
			return fmt.Sprintf("host %s: woken at epoch %d and still there", w.host, w.epoch)
		})
	}
	c.s.t.Logf("%d of %d woken instances said why they ended, and began a new epoch", said, len(c.woken))
	if len(c.woken) >= 4 && said*2 < len(c.woken) {
		c.s.t.Errorf("only %d of %d woken instances said so in their journals", said, len(c.woken))
	}
}

// host is the process that runs as a host.
func (s *site) host(name string) *proc {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hosts[name]
}

// epoch is the highest that a host ever made.
func (s *site) epoch(host string) (top uint64) {
	made, _ := os.ReadDir(filepath.Join(s.spool, "hosts", host, "epochs"))
	for _, e := range made {
		n, _ := strconv.ParseUint(e.Name(), 10, 64)
		top = max(top, n)
	}
	return top
}

// event is a line of a journal.
type event struct {
	Time                                                    time.Time
	Event, Job, Stage, Token, Host, Cluster, Result, Detail string
	Epoch                                                   uint64
	Gen, Faults                                             int
}

// journal is what one instance wrote.
func (s *site) journal(host string, epoch uint64) (all []event) {
	s.t.Helper()
	files, _ := filepath.Glob(filepath.Join(s.spool, "hosts", host, "journal", fmt.Sprintf("%d.*", epoch)))
	slices.Sort(files)
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			s.t.Error(err)
		}
		for line := range strings.Lines(string(data)) {
			var e event
			if json.Unmarshal([]byte(line), &e) == nil {
				all = append(all, e)
			}
		}
	}
	return all
}

// auditing audits all the time, and wants the balance to be right each time. The
// function returned ends it.
func (s *site) auditing() (stop func()) {
	end, ended, n := make(chan struct{}), make(chan struct{}), 0
	go func() {
		defer close(ended)
		for ; ; n++ {
			select {
			case <-end:
				return
			case <-time.After(50 * time.Millisecond):
			}
			out, errs, code := s.try("audit", "--json", "--wait", "1s", "--spool", s.spool)
			var b balance
			if err := json.Unmarshal([]byte(out), &b); err != nil || code != 0 || b.Difference != 0 {
				s.t.Errorf("audit on the way: exit %d, %v\n%s%s", code, err, out, errs)
				return
			}
		}
	}()
	return func() {
		s.t.Helper()
		close(end)
		<-ended
		s.t.Logf("%d audits on the way", n)
	}
}

// sending sends n jobs within a time, in portions. The function returned waits
// for their ids.
func (s *site) sending(n int, span time.Duration, script string, to []string) (wait func() []string) {
	const portions = 10
	ids := make(chan []string, 1)
	var files []string
	for i := range portions {
		files = append(files, s.jobs(n*(i+1)/portions-n*i/portions, script))
	}
	go func() {
		var all []string
		for _, f := range files {
			out, errs, code := s.try(slices.Concat([]string{"send", "--jsonl", "--timeout", "150s"}, to, []string{f})...)
			if code != 0 {
				s.t.Errorf("send: exit %d\n%s", code, errs)
			}
			all = append(all, strings.Fields(out)...)
			time.Sleep(span / portions)
		}
		ids <- all
	}()
	return func() []string {
		s.t.Helper()
		all := <-ids
		if len(all) != n {
			s.t.Fatalf("got %d ids, want %d", len(all), n)
		}
		return all
	}
}

// TestChaos: three hosts are killed, stopped for longer than their lease, and
// restarted at random. Each job's release takes effect once, nothing is lost,
// the balance is right all the time, and no held job is left behind.
func TestChaos(t *testing.T) {
	n, span := pick(1000, 120, 60), pick(2*time.Minute, 10*time.Second, 6*time.Second)
	hosts := []string{"a", "b", "c"}
	// In full with the default settings: a host is fenced after 15 s.
	times, silent := []string{"--heartbeat", "250ms", "--lease", "2s"}, 3500*time.Millisecond
	if inFull() {
		times, silent = nil, 17*time.Second
	}
	s := newSite(t, hosts, times...)
	args, log := s.heldCluster()
	s.args = append(s.args, args...)
	s.env = []string{"FENCEPOST_CLUSTER_SWEEP_EVERY=3s"}
	c := s.chaos(hosts, silent)
	audited := s.auditing()
	ids := s.sending(n, span, "#!/bin/sh\ntrue\n", c.to())
	c.run(span)
	all := ids()
	b := s.await(3*time.Minute, n)
	audited()
	t.Logf("%+v", b)
	wantEachOnce(t, all, log)
	eventually(t, time.Minute, func() string {
		left, _ := filepath.Glob(filepath.Join(s.dir, "cluster", "held", "*"))
		if len(left) == 0 {
			return ""
		}
		return fmt.Sprintf("%d held jobs are left: %v", len(left), left)
	})
	c.wantStartedOver()
}
