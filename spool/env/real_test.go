package env_test

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"fencepost/spool/env"
	"fencepost/spool/vfs"
)

func TestRealFS(t *testing.T) {
	fs, err := vfs.OpenOS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	if got := env.NewReal(fs).FS(); got != vfs.FS(fs) {
		t.Errorf("FS = %v, want the one that was given", got)
	}
}

func TestRealClocks(t *testing.T) {
	e := env.NewReal(nil)
	before, wall := e.Now(), e.Wall()
	if err := e.Sleep(t.Context(), 5*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if d := e.Now() - before; d < 5*time.Millisecond {
		t.Errorf("Now went on by %v while Sleep took 5ms", d)
	}
	if d := e.Wall().Sub(wall); d <= 0 {
		t.Errorf("Wall went on by %v", d)
	}
}

func TestRealSleepEnds(t *testing.T) {
	e := env.NewReal(nil)
	why := errors.New("lease lost")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(time.Millisecond, func() { cancel(why) })
	if err := e.Sleep(ctx, time.Hour); err != why {
		t.Errorf("Sleep = %v, want the cause", err)
	}
	for _, d := range []time.Duration{-1, 0, time.Hour} {
		if err := e.Sleep(ctx, d); err != why {
			t.Errorf("Sleep(%v) after the end = %v, want the cause", d, err)
		}
	}
	if err := e.Sleep(t.Context(), 0); err != nil {
		t.Errorf("Sleep(0) = %v", err)
	}
}

func TestRealRandom(t *testing.T) {
	e := env.NewReal(nil)
	a, b := make([]byte, 16), make([]byte, 16)
	e.Random(a)
	e.Random(b)
	if bytes.Equal(a, b) {
		t.Errorf("twice the same 16 bytes: %x", a)
	}
}

func TestRealSignal(t *testing.T) {
	e := env.NewReal(nil)
	s := e.NewSignal()

	s.Notify()
	s.Notify() // never blocks, kept as one
	start := time.Now()
	s.Wait(t.Context(), time.Hour)
	if d := time.Since(start); d > time.Minute {
		t.Errorf("a kept notice took %v", d)
	}
	s.Notify()
	s.Wait(t.Context(), 0) // takes the notice, and doesn't wait
	start = time.Now()
	s.Wait(t.Context(), 2*time.Millisecond)
	if d := time.Since(start); d < 2*time.Millisecond {
		t.Errorf("Wait returned after %v without a notice", d)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Wait(ctx, time.Hour)

	go s.Notify()
	s.Wait(t.Context(), time.Hour)
}

func TestGroup(t *testing.T) {
	g := env.NewGroup(env.NewReal(nil))
	if err := g.Wait(t.Context()); err != nil {
		t.Errorf("Wait without tasks = %v", err)
	}
	var n atomic.Int32
	for round := range int32(3) {
		for range 10 {
			g.Go("worker", func() {
				g.Go("child", func() { n.Add(1) })
				n.Add(1)
			})
		}
		if err := g.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, want := n.Load(), 20*(round+1); got != want {
			t.Errorf("%d tasks ended, want %d", got, want)
		}
	}
}

func TestGroupWaitEnds(t *testing.T) {
	g := env.NewGroup(env.NewReal(nil))
	stop := make(chan struct{})
	g.Go("slow", func() { <-stop })
	g.Go("slow", func() { <-stop })
	why := errors.New("grace is over")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if err := g.Wait(ctx); err != why {
		t.Errorf("Wait = %v, want the cause", err)
	}
	if got := g.Running(); len(got) != 1 || got[0] != "slow" {
		t.Errorf("Running = %v, want [slow]", got)
	}
	close(stop)
	if err := g.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if got := g.Running(); len(got) != 0 {
		t.Errorf("Running = %v at the end", got)
	}
}
