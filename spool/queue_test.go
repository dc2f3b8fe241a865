package spool_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"fencepost/spool"
	"fencepost/spool/vfs"
)

// waiting puts n entries into xml/, all of one bucket.
func (w *world) waiting(n int) []string {
	var ids []string
	w.m.Quiet(func() {
		fs := w.m.View("setup")
		for i := range n {
			id := fmt.Sprintf("01890a5d-%04x-7000-8000-%012x", i%7, i*2654435761%(1<<40))
			ids = append(ids, id)
			must(fs.Create("xml/"+id+".xml", nil))
		}
	})
	return ids
}

func (w *world) queue(host string) (*spool.Queue, *testEnv) {
	e := newEnv(w.m.View(host))
	return spool.NewQueue(must(spool.Open(e)), spool.Translate, host), e
}

// drain is everything that a queue gives without another listing.
func drain(t *testing.T, q *spool.Queue) (names []spool.Name) {
	t.Helper()
	for fresh := true; ; fresh = false {
		n, ok, err := q.Next(fresh)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return names
		}
		names = append(names, n)
		if len(names) > 10_000 {
			t.Fatal("the queue has no end")
		}
	}
}

// TestQueueShuffle: hosts don't walk a listing side by side.
func TestQueueShuffle(t *testing.T) {
	w := memWorld(t)
	w.waiting(200)
	orders := map[string][]spool.Name{}
	for _, host := range []string{"a", "b", "c", "host-1.example", "host-2.example"} {
		q, _ := w.queue(host)
		orders[host] = drain(t, q)
		if got := len(orders[host]); got != 200 {
			t.Fatalf("%s was given %d of 200", host, got)
		}
	}
	for a, x := range orders {
		for b, y := range orders {
			same := 0
			for i := range x {
				if x[i] == y[i] {
					same++
				}
			}
			if a < b && same > 20 {
				t.Errorf("%s and %s agree about %d of 200 places", a, b, same)
			}
		}
	}
}

// TestQueueOldestFirst: a newer minute waits for an older one.
func TestQueueOldestFirst(t *testing.T) {
	w := memWorld(t)
	fs := w.m.View("setup")
	for _, id := range []string{"01890a60-0000-7000-8000-000000000001", "01890a5d-0000-7000-8000-000000000002", "01890a5e-0000-7000-8000-000000000003"} {
		must(fs.Create("xml/"+id+".xml", nil))
	}
	q, _ := w.queue("a")
	var got []string
	for _, n := range drain(t, q) {
		got = append(got, n.ID[:8])
	}
	if !slices.IsSorted(got) || len(got) != 3 {
		t.Errorf("order %v", got)
	}
}

// TestHole_25_ListsSeldom: one listing serves until it is used up, or half of it
// misses.
func TestHole_25_ListsSeldom(t *testing.T) {
	w := memWorld(t)
	w.waiting(200)
	q, _ := w.queue("a")
	drain(t, q)
	if got := w.m.Count("a", "list"); got != 1 {
		t.Errorf("%d listings for 200 entries", got)
	}
	if _, ok, _ := q.Next(false); ok {
		t.Error("something out of nothing")
	}
	if got := w.m.Count("a", "list"); got != 1 {
		t.Errorf("a listing was made although none was asked for")
	}
	for i := range 20 {
		if _, ok, err := q.Next(i == 0); !ok || err != nil {
			t.Fatal(ok, err)
		}
		q.Missed()
	}
	if got := w.m.Count("a", "list"); got < 3 {
		t.Errorf("20 misses in a row, and %d listings", got)
	}
}

// TestQueueBackoff: what came back waits, from when this host saw it first, on
// its own clock; it holds up nothing else, and is forgotten when it is gone.
func TestQueueBackoff(t *testing.T) {
	w := memWorld(t)
	fs := w.m.View("setup")
	must(fs.Create("xml/"+jobA+"+3.1.xml", nil))
	must(fs.Create("xml/"+jobB+".xml", nil))
	q, e := w.queue("a")
	for _, step := range []struct {
		pass time.Duration
		want int
	}{{0, 1}, {7 * time.Second, 1}, {time.Second, 2}, {0, 2}} {
		e.pass(step.pass)
		if got := len(drain(t, q)); got != step.want {
			t.Errorf("at %v: %d entries, want %d", e.Now(), got, step.want)
		}
	}
	mustDo(fs.Rename("xml/"+jobA+"+3.1.xml", "xml/"+jobA+"+4.1.xml"))
	if got := len(drain(t, q)); got != 1 {
		t.Errorf("a new generation didn't wait")
	}
	if got := q.Seen(); got != 1 {
		t.Errorf("%d names are remembered, want those that are there", got)
	}
	for gen, want := range map[int]time.Duration{-1: 0, 0: 0, 1: 2 * time.Second, 5: 32 * time.Second, 6: time.Minute, 1 << 30: time.Minute} {
		if got := spool.Backoff(gen); got != want {
			t.Errorf("Backoff(%d) = %v, want %v", gen, got, want)
		}
	}
}

// TestQueueStrays: what isn't ours is told, and left.
func TestQueueStrays(t *testing.T) {
	w := memWorld(t)
	fs := w.m.View("setup")
	strays := []string{".nfs0001", jobA + "+0.0.xml", jobA + ".json", "ORDER17.xml"}
	for _, name := range strays {
		must(fs.Create("xml/"+name, nil))
	}
	q, _ := w.queue("a")
	if got := drain(t, q); len(got) > 0 {
		t.Errorf("handed out %v", got)
	}
	slices.Sort(strays)
	slices.Sort(q.Strays)
	if !slices.Equal(q.Strays, strays) || q.Depth != 0 {
		t.Errorf("strays %v, depth %d, want %v, 0", q.Strays, q.Depth, strays)
	}
}

// TestQueueShares: hosts that know of each other begin with different entries,
// and take what another one leaves; nobody's is left for ever.
func TestQueueShares(t *testing.T) {
	w := memWorld(t)
	ids := w.waiting(240)
	hosts := []string{"a", "b", "c"}
	given := map[string]string{}
	for _, host := range hosts {
		q, e := w.queue(host)
		q.Peers = func() spool.Peers { return spool.Peers{Hosts: hosts} }
		first := drain(t, q)
		if len(first) < 45 || len(first) > 120 {
			t.Errorf("%s begins with %d of 240", host, len(first))
		}
		for _, n := range first {
			if other := given[n.ID]; other != "" {
				t.Errorf("%s falls to %s and %s", n.ID, other, host)
			}
			given[n.ID] = host
		}
		e.pass(700 * time.Millisecond)
		if got := len(drain(t, q)); got != len(first) {
			t.Errorf("%s takes the others' after 0.7 s: %d", host, got)
		}
		e.pass(200 * time.Millisecond)
		all := drain(t, q)
		if len(all) != len(first)+8 {
			t.Errorf("%s takes %d that fall to others, want a few", host, len(all)-len(first))
		}
		for i, n := range all[1:] {
			was, is := all[i], n
			switch {
			case is.ID[:8] < was.ID[:8]:
				t.Errorf("%s before the older %s", was.ID, is.ID)
			case is.ID[:8] == was.ID[:8] && given[is.ID] == host && slices.Contains(ids, was.ID) && !slices.ContainsFunc(first, func(n spool.Name) bool { return n.ID == was.ID }):
				t.Errorf("another's %s before the own %s of the same minute", was.ID, is.ID)
			}
		}
	}
	// One that isn't of the peers, or alone, takes all.
	for _, peers := range []spool.Peers{{}, {Hosts: []string{"a"}}, {Hosts: []string{"x", "y"}}} {
		q, _ := w.queue("a")
		q.Peers = func() spool.Peers { return peers }
		if got := len(drain(t, q)); got != 240 {
			t.Errorf("peers %v: %d of 240", peers, got)
		}
	}
	// Where peers put entries themselves, even those that fall to us wait a moment.
	q, e := w.queue("a")
	q.Peers = func() spool.Peers { return spool.Peers{Hosts: hosts, Make: true} }
	if got := len(drain(t, q)); got != 0 {
		t.Errorf("%d were taken from those who put them there", got)
	}
	e.pass(400 * time.Millisecond)
	if got := len(drain(t, q)); got < 45 || got > 120 {
		t.Errorf("%d of 240 after a moment", got)
	}
}

// TestQueueLeavesTheSlow: a host that found another one alive and only slow leaves
// it its entries for longer, and comes back to its patience of before.
func TestQueueLeavesTheSlow(t *testing.T) {
	w := memWorld(t)
	w.waiting(240)
	hosts := []string{"a", "b", "c"}
	q, e := w.queue("a")
	q.Peers = func() spool.Peers { return spool.Peers{Hosts: hosts} }
	own := len(drain(t, q))
	others := func(after time.Duration) int {
		e.pass(after)
		return len(drain(t, q)) - own
	}
	lose := func() {
		t.Helper()
		for i := 0; ; i++ {
			if _, ok, err := q.Next(i == 0); !ok || err != nil {
				t.Fatal("there is nothing of the others", err)
			}
			if i >= own {
				break
			}
		}
		q.Missed()
		if got := q.Left(); got != 0 {
			t.Errorf("%d more of the others are tried after one that was lost", got)
		}
	}
	if got := others(900 * time.Millisecond); got != 8 {
		t.Fatalf("%d of the others, want 8", got)
	}
	lose()
	if got := others(400 * time.Millisecond); got != 0 {
		t.Errorf("%d of the others 1.3 s after they were seen, and 0.4 s after one was lost", got)
	}
	if got := others(400 * time.Millisecond); got != 8 {
		t.Errorf("%d of the others 1.7 s after they were seen, want 8", got)
	}
	for range 5 { // it doesn't grow without end
		lose()
		if got := others(5 * time.Second); got != 8 {
			t.Fatalf("%d of the others 5 s after one was lost, want 8", got)
		}
	}
	if q.Leave() != 6400*time.Millisecond {
		t.Errorf("the others are given %v", q.Leave())
	}
	others(11 * time.Second)
	if q.Leave() != 800*time.Millisecond {
		t.Errorf("the others are given %v long after one was lost", q.Leave())
	}
}

// manyFS has a directory of very many entries, newest first, and counts what
// was told.
type manyFS struct {
	vfs.FS
	n    int
	told int
}

func (f *manyFS) Each(dir string, do func(string)) error {
	for i := f.n; i > 0; i-- {
		f.told++
		do(fmt.Sprintf("01890a%02x-%04x-7000-8000-%012x.xml", i>>20, i>>4&0xffff, i*2654435761%(1<<40)))
	}
	return nil
}

// TestQueueDeep: of a backlog that is too long to be held, the oldest are.
func TestQueueDeep(t *testing.T) {
	w := memWorld(t)
	many := &manyFS{FS: w.m.View("a"), n: 3 << 20 >> 2}
	q := spool.NewQueue(must(spool.Open(newEnv(many))), spool.Translate, "a")
	n, ok, err := q.Next(true)
	if !ok || err != nil || q.Depth != many.n {
		t.Fatal(ok, err, q.Depth)
	}
	if q.Left() != spool.Keep-1 || many.told != many.n {
		t.Errorf("%d are kept, %d were told", q.Left(), many.told)
	}
	if n.ID[:8] != "01890a00" {
		t.Errorf("%s isn't of the oldest minute", n.ID)
	}
	was := n.ID[:8]
	for q.Left() > 0 {
		n, _, err := q.Next(false)
		if err != nil || n.ID[:8] < was {
			t.Fatalf("%s after %s: %v", n.ID, was, err)
		}
		was = n.ID[:8]
	}
}
