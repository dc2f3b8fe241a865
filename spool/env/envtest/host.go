package envtest

import (
	"context"
	"errors"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"fencepost/spool/env"
	"fencepost/spool/vfs"
)

// ErrKilled is what the test gets from a killed host's Sleep. Tasks never see
// it: they have ended.
var ErrKilled = errors.New("envtest: this host was killed")

// Host is the Env of one process.
type Host struct {
	world *World
	name  string
	fs    vfs.FS
	rng   *rand.ChaCha8
	skew  time.Duration // of the wall clock

	killed  bool
	stopped bool
	frozen  bool
	since   time.Duration // the world's time at which it froze
	lost    time.Duration // how far its clock is behind the world's
}

var _ env.Env = (*Host)(nil)

// Host returns a new process on a host. After a Kill, the host's next process
// is another Host of the same name, with a view of its own.
func (w *World) Host(name string, fs vfs.FS) *Host {
	hash := fnv.New64a()
	hash.Write([]byte(name))
	var seed [32]byte
	for i, n := range []uint64{w.seed, hash.Sum64(), uint64(len(w.hosts))} {
		for j := range 8 {
			seed[8*i+j] = byte(n >> (8 * j))
		}
	}
	h := &Host{world: w, name: name, fs: fs, rng: rand.NewChaCha8(seed)}
	w.hosts = append(w.hosts, h)
	return h
}

// Name returns the host's name.
func (h *Host) Name() string { return h.name }

// Kill ends the process, as kill -9 does: its view dies, if it can, and its
// tasks end at their next call of the Env. A task that kills its own host ends
// there, too.
func (h *Host) Kill() {
	h.killed = true
	if v, ok := h.fs.(interface{ Die() }); ok {
		v.Die()
	}
}

// Stop stops the process, as SIGSTOP does: its clock goes on.
func (h *Host) Stop() { h.stopped = true }

// Continue ends a Stop.
func (h *Host) Continue() { h.stopped = false }

// Freeze stops the process and its clock: a paused virtual machine, which
// can't notice.
func (h *Host) Freeze() {
	if !h.frozen {
		h.frozen, h.since = true, h.world.now
	}
}

// Thaw ends a Freeze.
func (h *Host) Thaw() {
	if h.frozen {
		h.frozen = false
		h.lost += h.world.now - h.since
	}
}

// Skew sets how far the wall clock is ahead.
func (h *Host) Skew(d time.Duration) { h.skew = d }

// FS implements env.Env.
func (h *Host) FS() vfs.FS { return h.fs }

// Wall implements env.Env.
func (h *Host) Wall() time.Time { return h.world.start.Add(h.Now() + h.skew) }

// Now implements env.Env.
func (h *Host) Now() time.Duration {
	if h.frozen {
		return h.since - h.lost
	}
	return h.world.now - h.lost
}

// Sleep implements env.Env. Called by the test itself, it runs the world
// meanwhile.
func (h *Host) Sleep(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	h.wait(func() bool { return ctx.Err() != nil }, max(d, 0))
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if h.killed {
		return ErrKilled
	}
	return nil
}

// wait parks the task, or runs the world if there is none.
func (h *Host) wait(ready func() bool, d time.Duration) {
	deadline := h.Now() + d
	if deadline < 0 { // overflow
		deadline = forever
	}
	if h.world.current != nil {
		h.world.wait(ready, deadline)
		return
	}
	over := func() bool { return h.killed || ready() || h.Now() >= deadline }
	h.world.RunUntil(min(d, forever-h.world.now), over)
}

// Go implements env.Env. A dead process starts nothing.
func (h *Host) Go(name string, task func()) {
	if !h.killed {
		h.world.spawn(h, name, task)
	}
}

// NewSignal implements env.Env.
func (h *Host) NewSignal() env.Signal { return &signal{host: h} }

// Random implements env.Env.
func (h *Host) Random(p []byte) { _, _ = h.rng.Read(p) }

type signal struct {
	host *Host
	kept bool
}

func (s *signal) Notify() { s.kept = true }

func (s *signal) Wait(ctx context.Context, d time.Duration) {
	if d > 0 && !s.kept && ctx.Err() == nil {
		s.host.wait(func() bool { return s.kept || ctx.Err() != nil }, d)
	}
	s.kept = false
}
