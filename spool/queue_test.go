package spool_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"fencepost/spool"
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
