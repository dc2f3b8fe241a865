package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// entries are the names in one of the spool's directories.
func (s *site) entries(dir ...string) (names []string) {
	all, _ := os.ReadDir(filepath.Join(append([]string{s.spool}, dir...)...))
	for _, e := range all {
		names = append(names, e.Name())
	}
	return names
}

// claimsOf is how much an epoch of a host has claimed, and whether the
// directory is there: it is gone once it was taken over.
func (s *site) claimsOf(host string, epoch uint64) (n int, there bool) {
	all, err := os.ReadDir(filepath.Join(s.spool, "claims", host, fmt.Sprint(epoch)))
	return len(all), err == nil
}

// takeover measures how long an instance's claims stay where they are after
// something was done to it. Each time it has claims when it happens.
func takeover(t *testing.T, rounds int, limit time.Duration, do func(*proc), undo func(*proc)) time.Duration {
	s := newSite(t, []string{"a", "b"})
	// The submission outlives both: it isn't measured.
	s.args = []string{"--max-faults", "1000"}
	held, _ := s.heldCluster()
	slow := s.program("slow", "cat >/dev/null\nexec sleep 25\n")
	s.start("b", "--stages", "translate")
	var took []time.Duration
	for range rounds {
		p := s.start("a", append(held, "--cluster-command", "submit="+slow)...)
		epoch := s.epoch("a")
		s.run(0, "send", "--to", p.addr, "--jsonl", s.jobs(4, "#!/bin/sh\ntrue\n"))
		eventually(t, 20*time.Second, func() string {
			if n, _ := s.claimsOf("a", epoch); n < 4 {
				return fmt.Sprintf("host a has %d claims", n)
			}
			return ""
		})
		begin := time.Now()
		do(p)
		for there := true; there; time.Sleep(20 * time.Millisecond) {
			_, there = s.claimsOf("a", epoch)
			if time.Since(begin) > limit+20*time.Second {
				t.Fatalf("no takeover after %s:\n%s", time.Since(begin), tail(s.host("b").log))
			}
		}
		took = append(took, time.Since(begin))
		undo(p)
		if b, code := s.audit(); code != 0 || b.Difference != 0 {
			t.Fatalf("audit: exit %d, %+v", code, b)
		}
	}
	slices.Sort(took)
	median := took[len(took)/2]
	t.Logf("takeover of %d instances: median %s, all %v", rounds, median.Round(10*time.Millisecond), took)
	if median > limit {
		t.Errorf("got a median of %s, want at most %s", median, limit)
	}
	return median
}

// With the default settings a killed instance's work moves on after three
// missed heartbeats, since its lock is free.
func TestTakeoverOfTheKilled(t *testing.T) {
	t.Parallel()
	takeover(t, pick(9, 3, 1), 6*time.Second, (*proc).kill9, func(*proc) {})
}

// That of a stopped one, whose lock is not free, after the lease time and half
// of it again. Woken, it begins a new epoch.
func TestTakeoverOfTheStopped(t *testing.T) {
	t.Parallel()
	takeover(t, pick(5, 1, 1), 18*time.Second, func(p *proc) { p.signal(syscall.SIGSTOP) }, func(p *proc) {
		p.signal(syscall.SIGCONT)
		eventually(t, 20*time.Second, func() string {
			if strings.Contains(tail(p.log), "ready again, under a new epoch") {
				return ""
			}
			return "a woken host doesn't start over:\n" + tail(p.log)
		})
		p.kill9()
	})
}
