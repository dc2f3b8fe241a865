package envtest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"fencepost/spool/env"
	"fencepost/spool/env/envtest"
	"fencepost/spool/vfs/memfs"
)

func TestSleep(t *testing.T) {
	w := envtest.New(t, 0)
	h := w.Host("a", nil)
	var woke []string
	for _, s := range []int{3, 1, 2} {
		h.Go("sleeper", func() {
			if err := h.Sleep(t.Context(), time.Duration(s)*time.Hour); err != nil {
				t.Error(err)
			}
			woke = append(woke, fmt.Sprint(s, h.Now()))
		})
	}
	if err := w.Run(); err != nil {
		t.Error(err)
	}
	if got, want := strings.Join(woke, ","), "1 1h0m0s,2 2h0m0s,3 3h0m0s"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// By the test itself: the world runs.
	h.Go("worker", func() { _ = h.Sleep(t.Context(), time.Hour); woke = nil })
	if err := h.Sleep(t.Context(), 2*time.Hour); err != nil || woke != nil || w.Now() != 5*time.Hour {
		t.Errorf("got %v, %v, at %v", err, woke, w.Now())
	}
}

func TestSleepEnds(t *testing.T) {
	w := envtest.New(t, 0)
	h := w.Host("a", nil)
	why := errors.New("fenced")
	ctx, cancel := context.WithCancelCause(t.Context())
	var got error
	var at time.Duration
	h.Go("sleeper", func() {
		got = h.Sleep(ctx, time.Hour)
		at = h.Now()
	})
	h.Go("canceller", func() {
		_ = h.Sleep(t.Context(), time.Minute)
		cancel(why)
	})
	if err := w.Run(); err != nil {
		t.Error(err)
	}
	if got != why || at != time.Minute {
		t.Errorf("got %v at %v", got, at)
	}
}

func TestSignal(t *testing.T) {
	w := envtest.New(t, 0)
	h := w.Host("a", nil)
	s := h.NewSignal()
	var at []time.Duration
	h.Go("waiter", func() {
		for range 3 {
			s.Wait(t.Context(), time.Minute)
			at = append(at, h.Now())
		}
	})
	s.Notify() // kept
	s.Notify()
	h.Go("notifier", func() {
		_ = h.Sleep(t.Context(), time.Second)
		s.Notify()
	})
	if err := w.Run(); err != nil {
		t.Error(err)
	}
	if got, want := fmt.Sprint(at), "[0s 1s 1m1s]"; got != want {
		t.Errorf("woke at %v, want %v", got, want)
	}
}

func TestGroup(t *testing.T) {
	w := envtest.New(t, 1)
	h := w.Host("a", nil)
	g := env.NewGroup(h)
	n := 0
	w.Do(h, "main", func() {
		for i := range 5 {
			g.Go("worker", func() {
				_ = h.Sleep(t.Context(), time.Duration(i)*3*time.Hour)
				n++
			})
		}
		if err := g.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if n != 5 || h.Now() != 12*time.Hour {
		t.Errorf("%d ended, at %v", n, h.Now())
	}
}

func TestRunStuck(t *testing.T) {
	w := envtest.New(t, 0)
	h := w.Host("a", nil)
	h.Go("stopped", func() { _ = h.Sleep(t.Context(), time.Hour) })
	w.RunFor(0)
	h.Stop()
	if err := w.Run(); err == nil || !strings.Contains(err.Error(), "a/stopped") {
		t.Errorf("got %v", err)
	}
	w.RunFor(2 * time.Hour)
	h.Continue()
	if err := w.Run(); err != nil || h.Now() != 2*time.Hour {
		t.Errorf("got %v at %v", err, h.Now())
	}
}

func TestFreeze(t *testing.T) {
	w := envtest.New(t, 0)
	a, b := w.Host("a", nil), w.Host("b", nil)
	b.Skew(time.Minute)
	var woke time.Duration
	for _, h := range []*envtest.Host{a, b} {
		h.Go("sleeper", func() {
			_ = h.Sleep(t.Context(), 10*time.Second)
			woke = w.Now()
		})
	}
	w.RunFor(4 * time.Second)
	a.Freeze()
	w.RunFor(20 * time.Second)
	if woke != 10*time.Second || a.Now() != 4*time.Second || b.Now() != 24*time.Second {
		t.Errorf("woke at %v, clocks %v and %v", woke, a.Now(), b.Now())
	}
	a.Thaw()
	w.RunFor(20 * time.Second)
	if woke != 30*time.Second || a.Now() != 24*time.Second {
		t.Errorf("woke at %v, clock %v", woke, a.Now())
	}
	if d := b.Wall().Sub(a.Wall()); d != 80*time.Second {
		t.Errorf("wall clocks differ by %v", d)
	}
}

func TestKill(t *testing.T) {
	w := envtest.New(t, 0)
	m := memfs.New(memfs.Options{})
	v := m.View("a")
	a := w.Host("a", v)
	beats, unwound := 0, false
	var late error
	a.Go("heartbeat", func() {
		defer func() {
			unwound = true
			late = a.FS().Mkdir("late")
			_ = a.Sleep(t.Context(), time.Hour)
			t.Error("a killed task woke up")
		}()
		for a.Sleep(t.Context(), time.Second) == nil {
			beats++
		}
	})
	a.Go("own", func() {
		_ = a.Sleep(t.Context(), 10500*time.Millisecond)
		a.Kill()
		_ = a.Sleep(t.Context(), 0)
		t.Error("the killer lives")
	})
	if err := w.Run(); err != nil {
		t.Error(err)
	}
	if beats != 10 || !unwound || late != memfs.ErrDead || !v.Dead() {
		t.Errorf("%d beats, unwound %v, %v", beats, unwound, late)
	}
	if err := a.Sleep(t.Context(), 1); err != envtest.ErrKilled {
		t.Errorf("got %v", err)
	}
	a.Go("ghost", func() { t.Error("a dead host started a task") })
	w.RunFor(time.Second)
}

// TestInterleave: two hosts race for files, an operation at a time; a seed
// gives one history, seeds give many.
func TestInterleave(t *testing.T) {
	history := func(seed uint64) string {
		w := envtest.New(t, seed)
		m := memfs.New(memfs.Options{})
		setup := m.View("setup")
		for i := range 4 {
			if _, err := setup.Create(fmt.Sprint("job", i), nil); err != nil {
				t.Fatal(err)
			}
		}
		w.Interleave(m)
		wins := 0
		for _, name := range []string{"a", "b"} {
			h := w.Host(name, m.View(name))
			h.Go("worker", func() {
				for i := range 4 {
					if h.FS().Rename(fmt.Sprint("job", i), fmt.Sprint(name, i)) == nil {
						wins++
					}
				}
			})
		}
		if err := w.Run(); err != nil {
			t.Error(err)
		}
		if wins != 4 {
			t.Errorf("seed %d: %d wins", seed, wins)
		}
		return m.Trace().String()
	}
	seen := map[string]bool{}
	for seed := range uint64(30) {
		first := history(seed)
		if again := history(seed); again != first {
			t.Errorf("seed %d gave two histories:\n%s\n%s", seed, first, again)
		}
		seen[first] = true
	}
	if len(seen) < 15 {
		t.Errorf("only %d histories", len(seen))
	}
}

func TestRandom(t *testing.T) {
	draw := func(seed uint64, name string) []byte {
		p := make([]byte, 16)
		envtest.New(t, seed).Host(name, nil).Random(p)
		return p
	}
	if !bytes.Equal(draw(1, "a"), draw(1, "a")) || bytes.Equal(draw(1, "a"), draw(2, "a")) || bytes.Equal(draw(1, "a"), draw(1, "b")) {
		t.Error("not by seed and host")
	}
	w := envtest.New(t, 1)
	p, q := make([]byte, 16), make([]byte, 16)
	w.Host("a", nil).Random(p)
	w.Host("a", nil).Random(q) // its next process
	if bytes.Equal(p, q) {
		t.Error("two processes draw the same")
	}
}

func BenchmarkStep(b *testing.B) {
	w := envtest.New(b, 1)
	h := w.Host("a", nil)
	for range 10 {
		h.Go("task", func() {
			for h.Sleep(b.Context(), time.Second) == nil {
			}
		})
	}
	for b.Loop() {
		w.RunFor(time.Second)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(10*b.N), "ns/step")
}
