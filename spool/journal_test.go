package spool_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fencepost/spool"
	"fencepost/spool/vfs/memfs"
)

// events are all that readers find, as "host/epoch/n event".
func (w *world) events(t *testing.T) []string {
	t.Helper()
	var out []string
	w.m.Quiet(func() {
		s := must(spool.Open(newEnv(w.m.View("reader"))))
		if err := s.Events(nil, func(e spool.Event) {
			out = append(out, fmt.Sprintf("%s/%d/%d %s", e.Host, e.Epoch, e.N, e.Event))
		}); err != nil {
			t.Error(err)
		}
	})
	return out
}

func add(in *spool.Instance, n int) {
	for range n {
		in.Journal.Add(spool.Event{Event: "test", Job: jobA})
	}
}

// TestJournalGoesOn: after an append or an fsync that failed, done or not, in
// part or whole, the next flush writes in a new segment what isn't proven to be
// on stable storage, and readers see each event once, in order.
func TestJournalGoesOn(t *testing.T) {
	bad := map[string]memfs.Verdict{
		"append not done": {Err: syscall.EIO},
		"append done":     {Apply: true, Err: syscall.EIO},
		"append torn":     {Apply: true, Torn: true, Err: syscall.ENOSPC},
		"fsync not done":  {Err: syscall.EIO},
		"fsync done":      {Apply: true, Err: syscall.EIO},
		"handle stale":    {Err: syscall.ESTALE},
	}
	for name, verdict := range bad {
		for times := 1; times <= 2; times++ {
			t.Run(fmt.Sprint(name, times), func(t *testing.T) {
				w := memWorld(t)
				a := w.start("a")
				add(a, 2)
				mustDo(a.Journal.Flush())
				left := times
				w.m.Inject = func(op memfs.Op) memfs.Verdict {
					kind, _, _ := strings.Cut(name, " ")
					if left > 0 && (op.Kind == kind || op.Kind == memfs.LogSync && kind == "fsync" || op.Kind == memfs.Append && kind == "handle") {
						left--
						return verdict
					}
					return memfs.Verdict{}
				}
				add(a, 3)
				err := a.Journal.Flush()
				if got, want := err != nil, times == 2; got != want {
					t.Errorf("flush after %d failures: %v", times, err)
				}
				add(a, 1)
				if err := a.Journal.Flush(); err != nil {
					t.Errorf("the journal is broken for ever: %v", err)
				}
				w.m.Crash(0) // only what was synced is left
				var want []string
				for n := range 6 {
					want = append(want, fmt.Sprintf("a/1/%d test", n+1))
				}
				if got := w.events(t); fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("got %v, want %v", got, want)
				}
			})
		}
	}
}

// TestJournalMemory: a share that takes nothing for long costs bounded memory,
// and the gap is told.
func TestJournalMemory(t *testing.T) {
	w := memWorld(t)
	a := w.start("a")
	w.m.Inject = func(op memfs.Op) memfs.Verdict {
		if op.Kind == memfs.Append || op.Kind == memfs.OpenLog {
			return memfs.Verdict{Err: syscall.EIO}
		}
		return memfs.Verdict{}
	}
	big := strings.Repeat("x", 1<<16)
	for range 300 { // 19 MiB
		a.Journal.Add(spool.Event{Event: "big", Detail: big})
	}
	if a.Journal.Flush() == nil {
		t.Error("flush was fine")
	}
	if got := a.Journal.Unwritten(); got > 9<<20 {
		t.Errorf("%d bytes are held", got)
	}
	w.m.Inject = nil
	mustDo(a.Journal.Flush())
	add(a, 1)
	mustDo(a.Journal.Flush())
	got := strings.Join(w.events(t), "\n")
	if !strings.Contains(got, " journal-gap\n") || !strings.HasSuffix(got, " test") {
		t.Errorf("no gap is told: %s", got[len(got)-200:])
	}
}

// TestJournalSegments: a journal that grows is split, so that a reader never
// holds more than a segment.
func TestJournalSegments(t *testing.T) {
	w := memWorld(t)
	a := w.start("a")
	big := strings.Repeat("x", 1<<20)
	for range 20 {
		a.Journal.Add(spool.Event{Event: "big", Detail: big})
		mustDo(a.Journal.Flush())
	}
	for _, name := range []string{"hosts/a/journal/1.jsonl", "hosts/a/journal/1.1.jsonl", "hosts/a/journal/1.2.jsonl"} {
		if data, err := w.read(name); err == nil || len(data) > 10<<20 {
			t.Errorf("%s: %d bytes, want the reader's limit of this test to refuse it", name, len(data))
		}
		if !w.has("\n" + name + "  #") {
			t.Errorf("no %s", name)
		}
	}
	if got := len(w.events(t)); got != 20 {
		t.Errorf("%d events, want 20", got)
	}
}

// TestJournalTorn: cut off at any byte, or with any line damaged, the rest is
// read.
func TestJournalTorn(t *testing.T) {
	w := memWorld(t)
	a := w.start("a")
	add(a, 4)
	mustDo(a.Journal.Flush())
	whole := must(w.read("hosts/a/journal/1.jsonl"))
	fs := w.m.View("damage")
	for cut := range len(whole) {
		for _, data := range [][]byte{whole[:cut], append(append(bytes.Clone(whole[:cut]), 0), whole[cut+1:]...)} {
			w.m.Quiet(func() {
				mustDo(fs.Remove("hosts/a/journal/1.jsonl"))
				must(fs.Create("hosts/a/journal/1.jsonl", data))
			})
			got := len(w.events(t))
			if want := bytes.Count(whole[:cut], []byte{'\n'}); got < want || len(data) == len(whole) && got < 2 {
				t.Fatalf("cut at %d of %d: %d events, want %d", cut, len(whole), got, want)
			}
		}
	}
}

// TestJournalOpenReply: a lost reply at the making of a segment burns a number.
func TestJournalOpenReply(t *testing.T) {
	w := memWorld(t)
	left := 1
	w.m.Inject = func(op memfs.Op) memfs.Verdict {
		if left > 0 && op.Kind == memfs.OpenLog {
			left--
			return memfs.Verdict{Apply: true, Err: syscall.EEXIST}
		}
		return memfs.Verdict{}
	}
	mkdirs(w.m.View("a"), spool.HostDir("a"), spool.JournalDir("a"))
	in, err := w.open(newEnv(w.m.View("a")), "a", 1)
	if err != nil {
		t.Fatal(err)
	}
	add(in, 1)
	mustDo(in.Journal.Close())
	if got := w.events(t); len(got) != 1 {
		t.Errorf("events %v", got)
	}
}

// TestJournalGroupCommit: many who wait share an fsync.
func TestJournalGroupCommit(t *testing.T) {
	w := memWorld(t)
	a := w.start("a")
	gate := make(chan struct{})
	w.m.Before = func(op memfs.Op) {
		if op.Kind == memfs.LogSync {
			<-gate
		}
	}
	var wg sync.WaitGroup
	const clients = 8
	for range clients {
		wg.Go(func() {
			add(a, 1)
			if err := a.Journal.Flush(); err != nil {
				t.Error(err)
			}
		})
	}
	for a.Journal.Waiting() < clients-1 {
		time.Sleep(time.Millisecond)
	}
	close(gate)
	wg.Wait()
	if got := w.m.Count("a", memfs.LogSync); got >= clients || got < 1 {
		t.Errorf("%d fsyncs for %d clients", got, clients)
	}
	if got := len(w.events(t)); got != clients {
		t.Errorf("%d events, want %d", got, clients)
	}
}

// TestTraceOrder: the order of a job's hops doesn't come from clocks, which are
// hours off here.
func TestTraceOrder(t *testing.T) {
	w := memWorld(t)
	skewed := func(host string, skew time.Duration) *spool.Instance {
		e := newEnv(w.m.View(host))
		e.skew = skew
		return w.startOn(e, host)
	}
	a, b, c := skewed("a", 5*time.Hour), skewed("b", -7*time.Hour), skewed("c", 0)
	must(w.accept(a, jobA))
	must(claimIn(b, spool.Translate, jobA))
	must(c.Reclaim(spool.Over{Host: "b", Epoch: 1, Why: "silent", Death: true}, nil))
	cl := must(a.Claim(spool.Translate, spool.Name{ID: jobA, Gen: 1, Faults: 1}))
	mustDo(advance(cl))
	cl = must(c.Claim(spool.Submit, spool.Name{ID: jobA, Gen: 1}))
	must(cl.Once())
	mustDo(must(cl.Seal("7")).Done("7", ""))
	for _, in := range []*spool.Instance{a, b, c} {
		mustDo(in.Journal.Flush())
	}
	events := must(a.Trace(jobA))
	var got []string
	for _, e := range events {
		got = append(got, e.Host+" "+e.Event)
	}
	want := "[a accepted b claimed c reclaimed a claimed a sealed a published c claimed c sealed c done]"
	if fmt.Sprint(got) != want {
		t.Errorf("got %v\nwant %v", got, want)
	}
}
