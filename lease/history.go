package lease

import (
	"errors"
	"sync"
	"time"
)

// History is what a process remembers of its earlier leases. The zero value is
// ready for use; all methods may be called by several tasks.
type History struct {
	mu       sync.Mutex      // never held across a call to Env
	tried    map[uint64]bool // numbers that this process tried to make
	alive    map[uint64]bool // epochs of this process, which outlived them
	last     uint64          // the latest of them that ended
	pending  bool            // last ended in a way that only a look can charge
	restarts []time.Duration // charged, on the own clock
}

func (h *History) trying(n uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.tried == nil {
		h.tried = map[uint64]bool{}
	}
	h.tried[n] = true
}

// ended notes that a lease of this process is over.
func (h *History) ended(n uint64, cause error, now time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.alive == nil {
		h.alive = map[uint64]bool{}
	}
	h.alive[n], h.last, h.pending = true, n, false
	var fenced *FencedError
	switch {
	case errors.As(cause, &fenced):
		if !fenced.False {
			h.restarts = append(h.restarts, now)
		}
	case errors.Is(cause, ErrLost):
		h.pending = true
	}
}

// settle charges a lease that was lost if it was also fenced: the others were
// well at that time. In an outage of the server, which nobody is fenced in, the
// whole fleet starts over and is none the worse.
func (h *History) settle(wasFenced bool, now time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.pending && wasFenced {
		h.restarts = append(h.restarts, now)
	}
	h.pending = false
}

// charged is the number of restarts within the window.
func (h *History) charged(now time.Duration) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return countSince(h.restarts, now, restartWindow)
}

// lastEpoch is 0 for a process that has had no lease yet.
func (h *History) lastEpoch() (n uint64, pending bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last, h.pending
}

func (h *History) didTry(n uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.tried[n]
}

// outlived says whether an epoch was of this process: then it didn't die.
func (h *History) outlived(n uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.alive[n]
}
