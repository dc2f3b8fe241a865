package main_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestStopUnderLoad: told to stop while it works, a host finishes or returns
// what it has, leaves nothing in its epoch's claims, and exits with 0; it starts
// again at once.
func TestStopUnderLoad(t *testing.T) {
	rounds := pick(15, 4, 2)
	s := newSite(t, []string{"a"})
	held, log := s.heldCluster()
	s.args = append(s.args, held...)
	port := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	n := 60 * rounds
	p := s.start("a", "--listen", port)
	sent := s.sending(n, 0, "#!/bin/sh\ntrue\n", []string{"--to", port})
	var stops, starts []time.Duration
	for range rounds {
		time.Sleep(200*time.Millisecond + time.Duration(rand.Int64N(int64(1500*time.Millisecond))))
		epoch := s.epoch("a")
		begin := time.Now()
		if code := p.stop(t); code != 0 {
			t.Errorf("got exit %d, want 0:\n%s", code, tail(p.log))
		}
		stops = append(stops, time.Since(begin))
		for _, dir := range []string{"claims", "drafts"} {
			if left := s.entries(dir, "a", fmt.Sprint(epoch)); len(left) > 0 {
				t.Errorf("left in %s/a/%d: %v", dir, epoch, left)
			}
		}
		begin = time.Now()
		p = s.start("a", "--listen", port)
		starts = append(starts, time.Since(begin))
	}
	ids := sent()
	s.await(90*time.Second, n)
	wantEachOnce(t, ids, log)
	slices.Sort(stops)
	slices.Sort(starts)
	t.Logf("%d stops: median %s, worst %s; ready again: median %s, worst %s", rounds, stops[rounds/2], stops[rounds-1], starts[rounds/2], starts[rounds-1])
	if stops[rounds-1] > 15*time.Second || starts[rounds-1] > 10*time.Second {
		t.Errorf("too slow")
	}
}

// TestUsage: mistakes in flags and configuration are 2, no spool is 3, a port
// that is taken is 1; each message says what to do.
func TestUsage(t *testing.T) {
	t.Parallel()
	s := newSite(t, []string{"a"})
	s.args = []string{"--stages", "ingest,translate"}
	conf := func(text string) string {
		file := filepath.Join(s.dir, fmt.Sprintf("c%d.toml", rand.Int64()))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	port := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	a := s.start("a", "--listen", port)
	for _, tt := range []struct {
		want int
		says string
		args []string
	}{
		{2, "did you mean --listen", []string{"--lisen", "x"}},
		{2, "submitt", []string{"--stages", "ingest,submitt"}},
		{2, "four heartbeats", []string{"--heartbeat", "1s", "--lease", "2s"}},
		{2, "insecure", []string{"--listen", "0.0.0.0:0"}},
		{2, "workers", []string{"--workers", "0"}},
		{2, "which program submits", []string{"--stages", "submit", "--cluster", "command"}},
		{2, "lurm", []string{"--stages", "submit", "--cluster", "slrum"}},
		{2, "3:1", []string{"--config", conf("host = \"a\"\n\nworkerz = 3\n")}},
		{2, "", []string{"--config", conf("workers = [\n")}},
		{2, "", []string{"--config", conf("lease = \"soon\"\n")}},
		{2, "nothere", []string{"--config", filepath.Join(s.dir, "nothere.toml")}},
		{3, "fencepost init", []string{"--spool", filepath.Join(s.dir, "nospool")}},
		{3, "fencepost init", []string{"--spool", s.t.TempDir()}},
		{1, "address already in use", []string{"--listen", port}},
	} {
		out, took := s.refused("a", tt.want, tt.args...)
		if !strings.Contains(out, tt.says) || strings.Contains(out, "panic") || took > 10*time.Second {
			t.Errorf("%v: after %s: got %q, want it to say %q", tt.args, took, out, tt.says)
		}
	}
	if s.epoch("a") != 1 {
		t.Errorf("a refused start cost an epoch: %d", s.epoch("a"))
	}
	if code := a.stop(t); code != 0 {
		t.Errorf("got exit %d, want 0", code)
	}
}
