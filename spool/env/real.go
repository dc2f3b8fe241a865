package env

import (
	"context"
	"crypto/rand"
	"time"

	"golang.org/x/sys/unix"

	"fencepost/spool/vfs"
)

// Real is the Env of a process on a real host.
type Real struct {
	fs vfs.FS

	// A goroutine that ends gives up its stack, and the next one grows its own
	// again, for each job. So some rest, and take up the next task.
	tasks   chan func()
	resting chan struct{} // one for each that may be at rest
}

var _ Env = (*Real)(nil)

// NewReal returns the Env of this process, with fs as its view of the share.
func NewReal(fs vfs.FS) *Real {
	return &Real{fs: fs, tasks: make(chan func()), resting: make(chan struct{}, maxResting)}
}

// FS implements Env.
func (r *Real) FS() vfs.FS { return r.fs }

// Wall implements Env.
func (r *Real) Wall() time.Time { return time.Now() }

// Now implements Env: CLOCK_BOOTTIME, since Go's own monotonic clock stands
// still while the machine is suspended.
func (r *Real) Now() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		// Linux has it since 2.6.39. A made-up time would be worse than none.
		panic("clock_gettime(CLOCK_BOOTTIME): " + err.Error())
	}
	return time.Duration(ts.Nano())
}

// Sleep implements Env. It counts on Go's timers, which don't see a suspend:
// who has to know measures with Now.
func (r *Real) Sleep(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// Go implements Env: a goroutine. The name is for the simulator's picture.
func (r *Real) Go(_ string, task func()) {
	select {
	case r.tasks <- task:
	default:
		go r.work(task)
	}
}

const (
	maxResting = 64
	restTime   = 10 * time.Second
)

func (r *Real) work(task func()) {
	task()
	select {
	case r.resting <- struct{}{}:
	default:
		return
	}
	defer func() { <-r.resting }()
	t := time.NewTimer(restTime)
	defer t.Stop()
	for {
		select {
		case task := <-r.tasks:
			task()
			t.Reset(restTime)
		case <-t.C:
			return
		}
	}
}

// NewSignal implements Env.
func (r *Real) NewSignal() Signal { return make(signal, 1) }

// Random implements Env. crypto/rand ends the process rather than fail.
func (r *Real) Random(p []byte) { _, _ = rand.Read(p) }

// signal holds one kept notice.
type signal chan struct{}

func (s signal) Notify() {
	select {
	case s <- struct{}{}:
	default:
	}
}

func (s signal) Wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		select {
		case <-s:
		default:
		}
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-s:
	case <-ctx.Done():
	case <-t.C:
	}
}
