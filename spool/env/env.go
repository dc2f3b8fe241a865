package env

import (
	"context"
	"time"

	"fencepost/spool/vfs"
)

// Env is everything that the protocol's code may touch of the outside world.
//
// Code behind it holds no mutex across a call to it, starts no goroutine of
// its own, waits on no channel and reads no clock: so the same code runs on a
// real host and, one task at a time, in the simulator.
type Env interface {
	// FS is this process's view of the share.
	FS() vfs.FS

	// Wall is the host's wall clock: for records that people read. Nothing is
	// decided by it.
	Wall() time.Time

	// Now is the time since some fixed moment on a clock that goes on while
	// the machine is suspended (CLOCK_BOOTTIME) and never jumps.
	Now() time.Duration

	// Sleep waits for d, or until ctx is done, whose cause it then returns.
	Sleep(ctx context.Context, d time.Duration) error

	// Go starts a task. The starter waits for its end by means of a Group.
	Go(name string, task func())

	// NewSignal makes a signal.
	NewSignal() Signal

	// Random fills p with random bytes.
	Random(p []byte)
}

// Signal wakes one waiter: a hint that there is something to look at.
type Signal interface {
	// Notify never blocks; notices that nobody waits for yet are kept, as one.
	Notify()

	// Wait returns after a Notify, after d, or when ctx is done.
	Wait(ctx context.Context, d time.Duration)
}
