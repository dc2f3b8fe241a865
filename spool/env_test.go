package spool_test

import (
	"context"
	"sync"
	"time"

	"fencepost/spool/env"
	"fencepost/spool/vfs"
)

// testEnv is a host of which only the clocks are made up: they stand still but
// for what is slept, so that a scenario is the same each time.
type testEnv struct {
	fs   vfs.FS
	real *env.Real

	mu   sync.Mutex
	now  time.Duration
	skew time.Duration // of the wall clock
	// onSleep, if set, is called in each Sleep: others' work.
	onSleep func()
	// random, if set, is where random bytes come from; else they are the same
	// each time.
	random func([]byte)
}

var _ env.Env = (*testEnv)(nil)

func newEnv(fs vfs.FS) *testEnv { return &testEnv{fs: fs, real: env.NewReal(fs)} }

func (e *testEnv) FS() vfs.FS { return e.fs }

func (e *testEnv) Now() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.now
}

func (e *testEnv) Wall() time.Time {
	return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(e.Now() + e.skew)
}

func (e *testEnv) pass(d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.now += d
}

func (e *testEnv) Sleep(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	e.pass(d)
	if e.onSleep != nil {
		e.onSleep()
	}
	return nil
}

func (e *testEnv) Go(name string, task func()) { e.real.Go(name, task) }
func (e *testEnv) NewSignal() env.Signal       { return e.real.NewSignal() }

func (e *testEnv) Random(p []byte) {
	if e.random != nil {
		e.random(p)
		return
	}
	for i := range p {
		p[i] = byte(i)
	}
}
