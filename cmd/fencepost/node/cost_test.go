package node_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fencepost/cmd/fencepost/node"
	"fencepost/spool/env/envtest"
	"fencepost/spool/vfs"
	"fencepost/spool/vfs/memfs"
)

// costs is a host's view of the share that counts what an NFS client would ask the
// server: a listing is a GETATTR while nothing changes, a read OPEN, READ and CLOSE.
type costs struct {
	vfs.FS
	calls, lists, reads int // all, listings of the stages' directories, reads of jobs' files
}

func (c *costs) List(dir string) ([]string, error) {
	c.calls++
	if dir == "xml" || dir == "json" {
		c.lists++
	}
	return c.FS.List(dir)
}

func (c *costs) Read(name string, limit int64) ([]byte, vfs.ID, error) {
	c.calls += 3
	if strings.HasPrefix(name, "claims/") {
		c.reads++
	}
	return c.FS.Read(name, limit)
}

func (c *costs) Identify(name string) (vfs.ID, error) {
	c.calls += 2
	return c.FS.Identify(name)
}

func (c *costs) Create(name string, data []byte) (vfs.ID, error) {
	c.calls += 3
	return c.FS.Create(name, data)
}

func (c *costs) Rename(from, to string) error { c.calls++; return c.FS.Rename(from, to) }
func (c *costs) Link(from, to string) error   { c.calls += 2; return c.FS.Link(from, to) }
func (c *costs) Remove(name string) error     { c.calls++; return c.FS.Remove(name) }

func (c *costs) OpenRecord(name string) (vfs.Record, error) {
	r, err := c.FS.OpenRecord(name)
	return costRecord{r, c}, err
}

type costRecord struct {
	vfs.Record
	c *costs
}

func (r costRecord) Write(data []byte) error { r.c.calls++; return r.Record.Write(data) }

// costly is a host whose calls are counted, each of which takes a while.
type costly struct {
	*envtest.Host
	*costs
	node *node.Node
}

func (w *world) costly(name string) *costly {
	c := &costs{FS: w.m.View(name)}
	h := w.w.Host(name, c)
	n := node.New(w.config(h, name))
	ready := false
	h.Go("node", func() { _ = n.Run(context.Background(), func(uint64) { ready = true }) })
	if !w.w.RunUntil(time.Minute, func() bool { return ready }) {
		w.t.Fatal("not ready")
	}
	return &costly{h, c, n}
}

// TestIdleCalls: what hosts without work ask of the server in a second.
func TestIdleCalls(t *testing.T) {
	const minutes = 3
	w := newWorld(t, "a")
	a := w.costly("a")
	w.w.RunFor(30 * time.Second)
	look := func(who string, h *costly, most float64) {
		before := *h.costs
		w.w.RunFor(minutes * time.Minute)
		calls := float64(h.calls-before.calls) / (60 * minutes)
		lists := float64(h.lists-before.lists) / (60 * minutes)
		t.Logf("%s: %.2f calls a second, of them %.2f listings of the stages' directories", who, calls, lists)
		if calls > most || calls < 2 {
			t.Errorf("%s: %.2f calls a second, want %v at most, and a heartbeat and a look for a fence at least", who, calls, most)
		}
		// 2 a second and stage are what is promised.
		if lists > 2*0.7 {
			t.Errorf("%s: %.2f listings of two stages' directories a second", who, lists)
		}
	}
	look("alone", a, 8.5)
	w.enroll("b")
	b := w.costly("b")
	w.w.RunFor(30 * time.Second)
	// Another host's record is read every second, in three calls; its directories
	// are listed every five seconds.
	look("one of two, and it audits", a, 8.5+3+0.6+0.4)
	look("the other one", b, 8.5+3+0.6)
}

// TestTwoHostsCalls: that there is another host costs a job a tenth more at most,
// whether jobs come in at both or at one. Each has as much to do as it can.
func TestTwoHostsCalls(t *testing.T) {
	const jobs = 800
	run := func(hosts, fed int) (calls float64, reads, lost int) {
		names := []string{"a", "b"}[:hosts]
		w := newWorld(t, names...)
		w.m.Before = func(op memfs.Op) {
			if h := w.hosts[op.View]; h != nil {
				_ = h.Sleep(context.Background(), time.Millisecond)
			}
		}
		var all []*costly
		for _, name := range names {
			h := w.costly(name)
			all = append(all, h)
		}
		w.w.RunFor(30 * time.Second)
		w.hosts = map[string]*envtest.Host{}
		before, spent := make([]costs, hosts), w.w.Now()
		for i, h := range all {
			w.hosts[h.Name()] = h.Host
			before[i] = *h.costs
		}
		left := 0
		for i, h := range all[:fed] {
			for client := range 4 {
				left++
				h.Go("client", func() {
					defer func() { left-- }()
					for j := range jobs / fed / 4 {
						id, data := xmlJob(t, i*4000+client*1000+j)
						if _, err := h.node.Accept(id, data, nil); err != nil {
							t.Error(err)
						}
						w.jobs = append(w.jobs, id)
					}
				})
			}
		}
		if !w.w.RunUntil(5*time.Minute, func() bool { return left == 0 && len(w.c.runs) == jobs }) {
			t.Fatalf("%d of %d jobs", len(w.c.runs), jobs)
		}
		w.m.Before = nil
		spent = w.w.Now() - spent
		for i, h := range all {
			calls += float64(h.calls - before[i].calls)
			reads += h.reads - before[i].reads
			for _, c := range h.node.Stats().Claims {
				lost += c.Lost
			}
		}
		t.Logf("%d hosts, fed %d: %.2f calls a job in %v, %d files of others read, %d claims lost", hosts, fed, calls/jobs, spent, reads, lost)
		return calls / jobs, reads, lost
	}
	one, _, _ := run(1, 1)
	for _, fed := range []int{2, 1} {
		two, reads, lost := run(2, fed)
		if two > 1.1*one {
			t.Errorf("two hosts, jobs come in at %d: %.2f calls a job, one host %.2f", fed, two, one)
		}
		// A host that takes in alone has some of its jobs wait: the other one may take those.
		if reads > jobs/3 || lost > jobs/20 {
			t.Errorf("two hosts, jobs come in at %d: %d files read, %d claims lost", fed, reads, lost)
		}
	}
}

// TestNobodysEntries: on hosts that have more of their own than they can do, entries
// that neither of them put there don't wait for the end of it; older ones go first.
func TestNobodysEntries(t *testing.T) {
	for _, c := range []struct {
		what    string
		clients int // of each host; two workers don't keep up with two
		format  string
		most    time.Duration
	}{
		{"of the same minute", 2, "0190a1b2-c3d4-7000-9000-%012x", 8 * time.Second},
		{"of an older minute", 6, "0190a1b1-0000-7000-8000-%012x", 6 * time.Second},
	} {
		t.Run(c.what, func(t *testing.T) {
			w := newWorld(t, "a", "b")
			w.m.Before = func(op memfs.Op) {
				if h := w.hosts[op.View]; h != nil {
					_ = h.Sleep(context.Background(), 2*time.Millisecond)
				}
			}
			a, b := w.costly("a"), w.costly("b")
			w.w.RunFor(10 * time.Second)
			w.hosts = map[string]*envtest.Host{"a": a.Host, "b": b.Host}
			feeding := true
			for i, h := range []*costly{a, b} {
				for client := range c.clients {
					h.Go("client", func() {
						for j := 0; feeding; j++ {
							id, data := xmlJob(t, (8*i+client)<<32|j)
							if _, err := h.node.Accept(id, data, nil); err != nil {
								t.Error(err)
							}
						}
					})
				}
			}
			w.w.RunFor(3 * time.Second)
			var ids []string
			for i := range 20 {
				id := fmt.Sprintf(c.format, i)
				if _, err := w.m.View("else").Create("xml/"+id+".xml", jobData(t, id)); err != nil {
					t.Fatal(err)
				}
				ids = append(ids, id)
			}
			began, before := w.w.Now(), len(w.c.runs)
			if !w.w.RunUntil(c.most, func() bool {
				return !slices.ContainsFunc(ids, func(id string) bool { return w.c.runs[id] == 0 })
			}) {
				t.Errorf("not all were taken after %v, in which %d others were", c.most, len(w.c.runs)-before)
			}
			t.Logf("taken after %v", w.w.Now()-began)
			feeding = false
			w.m.Before = nil
		})
	}
}
