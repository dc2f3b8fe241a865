package simenv_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"fencepost/spool/env"
	"fencepost/spool/env/simenv"
)

const never = time.Hour

func newWorld(t testing.TB, seed uint64) *simenv.World {
	w := simenv.New(simenv.Draw(seed))
	t.Cleanup(w.Close)
	return w
}

func TestSleep(t *testing.T) {
	w := newWorld(t, 1)
	p := w.Machine("a").Start("p")
	var woke []string
	for _, s := range []int{3, 1, 2} {
		p.Go("sleeper", func() {
			if err := p.Sleep(context.Background(), time.Duration(s)*time.Second); err != nil {
				t.Error(err)
			}
			woke = append(woke, fmt.Sprint(s, p.Now()))
		})
	}
	if !w.Run(never) || w.Failure() != "" {
		t.Fatal(w.Failure())
	}
	if got, want := strings.Join(woke, ","), "1 1s,2 2s,3 3s"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestCancelWakes(t *testing.T) {
	w := newWorld(t, 1)
	p := w.Machine("a").Start("p")
	why := errors.New("fenced")
	ctx, cancel := context.WithCancelCause(context.Background())
	child, stop := context.WithCancel(ctx)
	defer stop()
	woke := 0
	for _, c := range []context.Context{ctx, child, context.Background()} {
		p.Go("sleeper", func() {
			err := p.Sleep(c, time.Minute)
			if c != context.Background() && (err != why || p.Now() != time.Second) {
				t.Errorf("got %v at %v", err, p.Now())
			}
			woke++
		})
	}
	p.Go("canceller", func() {
		_ = p.Sleep(context.Background(), time.Second)
		cancel(why)
	})
	w.Run(never)
	if woke != 3 {
		t.Errorf("%d woke", woke)
	}
}

func TestCancelFromOutside(t *testing.T) {
	w := newWorld(t, 1)
	p := w.Machine("a").Start("p")
	ctx, cancel := context.WithCancel(context.Background())
	var woke time.Duration
	p.Go("sleeper", func() {
		_ = p.Sleep(ctx, time.Minute)
		woke = w.Now()
	})
	w.After(time.Second, func() { cancel(); p.Poll() })
	w.Run(never)
	if woke != time.Second {
		t.Errorf("the sleeper woke at %v", woke)
	}
}

func TestSignalAndGroup(t *testing.T) {
	w := newWorld(t, 1)
	p := w.Machine("a").Start("p")
	s := p.NewSignal()
	var at []time.Duration
	g := env.NewGroup(p)
	s.Notify() // kept
	s.Notify() // as one
	g.Go("waiter", func() {
		for range 3 {
			s.Wait(context.Background(), time.Minute)
			at = append(at, p.Now())
		}
	})
	g.Go("notifier", func() {
		_ = p.Sleep(context.Background(), time.Second)
		s.Notify()
	})
	var ended time.Duration
	p.Go("main", func() {
		if err := g.Wait(context.Background()); err != nil {
			t.Error(err)
		}
		ended = p.Now()
	})
	w.Run(never)
	if got, want := fmt.Sprint(at, ended), "[0s 1s 1m1s] 1m1s"; got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestStopAndFreeze: a stopped process's clock goes on, a frozen machine's
// doesn't.
func TestStopAndFreeze(t *testing.T) {
	w := newWorld(t, 1)
	a, b := w.Machine("a"), w.Machine("b")
	pa, pb := a.Start("p"), b.Start("p")
	woke := map[string]string{}
	for name, p := range map[string]*simenv.Proc{"a": pa, "b": pb} {
		p.Go("sleeper", func() {
			_ = p.Sleep(context.Background(), 10*time.Second)
			woke[name] = fmt.Sprint(w.Now(), p.Now())
		})
	}
	w.After(4*time.Second, func() { a.Freeze(); pb.Stop() })
	w.After(34*time.Second, func() { a.Thaw(); pb.Continue() })
	w.Run(5 * time.Second)
	if a.Now() != 4*time.Second || b.Now() != 5*time.Second {
		t.Errorf("clocks say %v and %v", a.Now(), b.Now())
	}
	w.Run(never)
	if woke["a"] != "40s 10s" || woke["b"] != "34s 34s" {
		t.Errorf("woke at %v", woke)
	}
}

func TestKillUnwinds(t *testing.T) {
	w := newWorld(t, 1)
	p := w.Machine("a").Start("p")
	beats, unwound, told := 0, 0, 0
	p.OnDeath(func() { told++ })
	p.Go("beat", func() {
		defer func() {
			unwound++
			_ = p.Sleep(context.Background(), time.Second)
			t.Error("a dead task woke up")
		}()
		for p.Sleep(context.Background(), time.Second) == nil {
			beats++
		}
	})
	p.Go("own", func() {
		_ = p.Sleep(context.Background(), 10500*time.Millisecond)
		p.Kill()
		p.Go("ghost", func() { t.Error("a dead process started a task") })
		_ = p.Sleep(context.Background(), 0)
		t.Error("the killer lives")
	})
	w.Run(never)
	if beats != 10 || unwound != 1 || told != 1 || !p.Dead() || w.Failure() != "" {
		t.Errorf("%d beats, %d unwound, told %d times; %s", beats, unwound, told, w.Failure())
	}
}

func TestParkFromOutside(t *testing.T) {
	w := newWorld(t, 1)
	p := w.Machine("a").Start("p")
	var got []time.Duration
	p.Go("caller", func() {
		task := w.Current()
		for i := range 2 {
			task.Park(func(wait uint32) {
				if i == 1 {
					task.Wake(wait) // answered before it waits
					return
				}
				w.After(time.Second, func() { task.Wake(wait) })
				w.After(2*time.Second, func() {
					if task.Wake(wait) {
						t.Error("an old wait was ended twice")
					}
				})
			})
			got = append(got, w.Now())
		}
	})
	w.Run(never)
	if fmt.Sprint(got) != "[1s 1s]" {
		t.Errorf("answered at %v", got)
	}
}

func TestPanicStopsTheWorld(t *testing.T) {
	w := newWorld(t, 1)
	p := w.Machine("a").Start("p")
	p.Go("bad", func() { panic("boom") })
	p.Go("next", func() { t.Error("the world went on") })
	if w.Run(never) || !strings.Contains(w.Failure(), "panic in bad of p: boom") {
		t.Errorf("failure: %q", w.Failure())
	}
}

func TestLimit(t *testing.T) {
	w := newWorld(t, 1)
	w.Limit = 1000
	p := w.Machine("a").Start("p")
	p.Go("loop", func() {
		for p.Sleep(context.Background(), 0) == nil {
		}
	})
	if w.Run(never) || w.Steps() != 1000 || w.Failure() == "" {
		t.Errorf("%d steps, %q", w.Steps(), w.Failure())
	}
}

// toss is a run in which tasks decide how long they sleep.
func toss(tape *simenv.Tape) (hash uint64, history string) {
	w := simenv.New(tape)
	defer w.Close()
	var b strings.Builder
	for _, name := range []string{"a", "b", "c"} {
		p := w.Machine(name).Start("p")
		lane := tape.Lane("sleep/" + name)
		p.Go("t", func() {
			for range 20 {
				_ = p.Sleep(context.Background(), time.Duration(lane.Rare(1, 3, 50))*time.Millisecond)
				fmt.Fprintf(&b, "%s%v ", name, w.Now())
			}
		})
	}
	w.Run(never)
	return w.Hash(), b.String()
}

func TestSameSeedSameRun(t *testing.T) {
	seen := map[uint64]bool{}
	for seed := range uint64(50) {
		first := simenv.Draw(seed)
		hash, history := toss(first)
		seen[hash] = true
		for _, again := range []*simenv.Tape{simenv.Draw(seed), simenv.Replay(seed, first.Entries())} {
			if h, text := toss(again); h != hash || text != history {
				t.Errorf("seed %d ran differently:\n%s\n%s", seed, history, text)
			}
		}
	}
	if len(seen) != 50 {
		t.Errorf("50 seeds gave %d runs", len(seen))
	}
}

// TestPlainTape: with no entries nothing is delayed, and dropping one entry
// leaves the other lanes as they were.
func TestPlainTape(t *testing.T) {
	_, history := toss(simenv.Replay(7, nil))
	if want := strings.Repeat("a0s b0s c0s ", 20); history != want {
		t.Errorf("plain: %s", history)
	}
	tape := simenv.Draw(7)
	toss(tape)
	var kept []simenv.Entry
	for _, e := range tape.Entries() {
		if e.Lane != "sleep/a" {
			kept = append(kept, e)
		}
	}
	again := simenv.Replay(7, kept)
	toss(again)
	if got := again.Entries(); fmt.Sprint(got) != fmt.Sprint(kept) {
		t.Errorf("got %v, want %v", got, kept)
	}
}

func TestDecisions(t *testing.T) {
	l := simenv.Draw(3).Lane("x")
	var pick [4]int
	rare := 0
	for range 4000 {
		pick[l.Pick(4)]++
		switch v := l.Rare(1, 10, 3); {
		case v > 2:
			t.Fatal(v)
		case v > 0:
			rare++
		}
	}
	for i, n := range pick {
		if n < 800 || n > 1200 {
			t.Errorf("%d was picked %d times of 4000", i, n)
		}
	}
	if rare < 300 || rare > 500 {
		t.Errorf("rare: %d of 4000", rare)
	}
}

func BenchmarkStep(b *testing.B) {
	w := newWorld(b, 1)
	for _, name := range []string{"a", "b", "c"} {
		p := w.Machine(name).Start("p")
		for range 5 {
			p.Go("task", func() {
				for p.Sleep(context.Background(), time.Millisecond) == nil {
				}
			})
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		w.Run(w.Now() + time.Millisecond)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(w.Steps()), "ns/step")
}
