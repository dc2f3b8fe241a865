package node_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"fencepost/cmd/fencepost/node"
	"fencepost/lease"
	"fencepost/spool/vfs"
)

// listed counts the listings of the stages' directories.
type listed struct {
	vfs.FS
	n map[string]int
}

func (l *listed) List(dir string) ([]string, error) {
	l.n[dir]++
	return l.FS.List(dir)
}

// entries counts renames into the stages' directories.
type entries struct {
	vfs.FS
	n int
}

func (e *entries) Rename(from, to string) error {
	if strings.HasPrefix(to, "xml/") || strings.HasPrefix(to, "json/") {
		e.n++
	}
	return e.FS.Rename(from, to)
}

// TestTakenAtBirth: a host that has room takes what it accepts and translates
// without putting it into a stage's directory; one that hasn't, or is drained, puts
// it there for whoever has.
func TestTakenAtBirth(t *testing.T) {
	w := newWorld(t, "a")
	fs := &entries{w.m.View("a"), 0}
	a := w.w.Host("a", fs)
	n := node.New(w.config(a, "a"))
	a.Go("node", func() { _ = n.Run(context.Background(), func(uint64) {}) })
	w.w.RunFor(10 * time.Second)
	for i := range 10 {
		w.send(a, n, 1)
		w.w.RunUntil(time.Minute, func() bool { return len(w.c.runs) == i+1 })
		w.w.RunFor(3 * time.Second)
	}
	if fs.n != 0 {
		t.Errorf("%d entries were made for 10 jobs of an idle host", fs.n)
	}
	w.check(a)
	id, data := xmlJob(t, len(w.jobs))
	w.w.Do(a, "drain and send", func() {
		if err := lease.Drain(context.Background(), a, "a", "test", "test"); err != nil {
			t.Fatal(err)
		}
	})
	w.w.RunFor(10 * time.Second)
	w.w.Do(a, "send", func() {
		if _, err := n.Accept(id, data, nil); err != nil {
			t.Error(err)
		}
	})
	w.w.RunFor(10 * time.Second)
	if fs.n != 1 || len(w.c.runs) != 10 {
		t.Errorf("a drained host made %d entries, and %d jobs ran, want 1 and 10", fs.n, len(w.c.runs))
	}
}

// TestOwnIsOffered: what a host puts into a stage's directory its own next stage
// needn't list to find; what another host puts there, it finds all the same.
func TestOwnIsOffered(t *testing.T) {
	w := newWorld(t, "a")
	fs := &listed{w.m.View("a"), map[string]int{}}
	a := w.w.Host("a", fs)
	n := node.New(w.config(a, "a"))
	a.Go("node", func() { _ = n.Run(context.Background(), func(uint64) {}) })
	w.w.RunFor(30 * time.Second)
	idle := fs.n["xml"] + fs.n["json"]
	w.w.RunFor(30 * time.Second)
	// A look in two seconds, in each stage, and the audit's and the canary's.
	idle = fs.n["xml"] + fs.n["json"] - idle
	if idle > 2*60 {
		t.Errorf("%d listings in 30 s of nothing", idle)
	}
	before := fs.n["xml"] + fs.n["json"]
	w.send(a, n, 40)
	w.w.RunUntil(time.Minute, func() bool { return len(w.c.runs) == 40 })
	if got := fs.n["xml"] + fs.n["json"] - before; got > 10 || len(w.c.runs) != 40 {
		t.Errorf("%d listings for %d jobs", got, len(w.c.runs))
	}
	// Somebody else's.
	w.w.Do(w.w.Host("else", w.m.View("else")), "put", func() {
		id, data := xmlJob(t, 1000)
		if _, err := w.m.View("else").Create("xml/"+id+".xml", data); err != nil {
			t.Error(err)
		}
	})
	if !w.w.RunUntil(5*time.Second, func() bool { return len(w.c.runs) == 41 }) {
		t.Errorf("another's job isn't found: %d runs, jobs %d", len(w.c.runs), len(slices.Compact(w.jobs)))
	}
}
