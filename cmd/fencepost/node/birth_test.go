package node_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"fencepost/cmd/fencepost/node"
	"fencepost/spool"
	"fencepost/spool/env"
	"fencepost/spool/vfs"
)

// slowBirths takes its time to rename a draft into the claims.
type slowBirths struct {
	vfs.FS
	env   env.Env
	takes time.Duration
	n     int
}

func (s *slowBirths) Rename(from, to string) error {
	if strings.HasPrefix(from, spool.DirDrafts) && strings.HasPrefix(to, spool.DirClaims) {
		s.n++
		_ = s.env.Sleep(context.Background(), s.takes)
	}
	return s.FS.Rename(from, to)
}

// TestStopDuringBirth: an instance is told to stop while a claim at birth is under
// way, of a job that comes in and so of its translation. It stops all the same,
// within its grace time or after it, and the job is in one place, which another
// instance ends.
func TestStopDuringBirth(t *testing.T) {
	for _, takes := range []time.Duration{4 * time.Second, 30 * time.Second} {
		for _, after := range []time.Duration{takes / 2, takes + takes/2} {
			w := newWorld(t, "a", "b")
			fs := &slowBirths{FS: w.m.View("a"), takes: takes}
			a := w.w.Host("a", fs)
			fs.env = a
			cfg := w.config(a, "a")
			n := node.New(cfg)
			ctx, stop := context.WithCancel(context.Background())
			stopped := false
			a.Go("node", func() { _ = n.Run(ctx, func(uint64) {}); stopped = true })
			w.w.RunFor(10 * time.Second)
			id, data := xmlJob(t, 0)
			w.jobs = append(w.jobs, id)
			a.Go("client", func() {
				if _, err := n.Accept(id, data, nil); err != nil {
					t.Error(err)
				}
			})
			w.w.RunFor(after)
			if fs.n == 0 {
				t.Fatal("nothing is taken at its birth")
			}
			stop()
			w.w.RunUntil(5*time.Minute, func() bool { return stopped })
			if !stopped {
				t.Errorf("births take %s, stopped after %s: it still runs", takes, after)
				continue
			}
			left := w.m.Tree()
			w.w.RunFor(time.Minute)
			if now := w.m.Tree(); now != left {
				t.Errorf("births take %s, stopped after %s: it went on after its end:\n%s\n%s", takes, after, left, now)
			}
			b := w.w.Host("b", w.m.View("b"))
			m := node.New(w.config(b, "b"))
			b.Go("node", func() { _ = m.Run(context.Background(), func(uint64) {}) })
			w.w.RunUntil(5*time.Minute, func() bool { return len(w.c.runs) == 1 })
			w.w.RunFor(time.Minute)
			w.check(b)
		}
	}
}

// TestBirthsStarveNobody: what another host put into a stage's directory has its turn
// while this one, never short of room, takes at birth what it makes.
func TestBirthsStarveNobody(t *testing.T) {
	w := newWorld(t, "a", "b")
	fs := &entries{w.m.View("a"), 0}
	a, b := w.w.Host("a", fs), w.w.Host("b", w.m.View("b"))
	n := node.New(w.config(a, "a"))
	cfg := w.config(b, "b")
	cfg.Stages = []spool.Stage{spool.Ingest}
	m := node.New(cfg)
	a.Go("node", func() { _ = n.Run(context.Background(), func(uint64) {}) })
	b.Go("node", func() { _ = m.Run(context.Background(), func(uint64) {}) })
	w.w.RunFor(10 * time.Second)
	w.send(b, m, 1)
	theirs := w.jobs[0]
	for range 60 {
		w.send(a, n, 1)
		w.w.RunFor(50 * time.Millisecond)
	}
	if w.c.runs[theirs] != 1 {
		t.Errorf("the other host's job waits still, after %d of this one's", len(w.c.runs))
	}
	if fs.n > 10 {
		t.Errorf("%d of 60 jobs were no births", fs.n)
	}
}
