package ingest

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

const (
	// budgetFree is what each connection has for itself: small jobs never wait
	// for others' large ones.
	budgetFree = 16 << 10
	// budgetUnit is what a connection takes at once from what all share.
	budgetUnit = 32 << 10
)

// account is a connection's part in the memory that all connections share.
type account struct {
	shared *semaphore.Weighted

	mu       sync.Mutex
	held     int64 // bytes of bodies
	reserved int64 // of shared
}

// grow waits until there is room for n more bytes. Only one goroutine, the
// connection's reader, grows.
func (a *account) grow(ctx context.Context, n int64) error {
	a.mu.Lock()
	need := units(a.held+n) - a.reserved
	a.mu.Unlock()
	if need > 0 {
		if err := a.shared.Acquire(ctx, need); err != nil {
			return err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held += n
	a.reserved += max(need, 0)
	a.settle() // somebody may have shrunk meanwhile
	return nil
}

// shrink gives n bytes back.
func (a *account) shrink(n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held -= n
	a.settle()
}

// settle releases what is reserved beyond need. mu is held.
func (a *account) settle() {
	if surplus := a.reserved - units(a.held); surplus > 0 {
		a.reserved -= surplus
		a.shared.Release(surplus)
	}
}

// units is what has to be reserved to hold n bytes.
func units(n int64) int64 {
	if n <= budgetFree {
		return 0
	}
	return (n - budgetFree + budgetUnit - 1) / budgetUnit * budgetUnit
}
