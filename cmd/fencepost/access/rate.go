package access

import (
	"fmt"
	"math"
	"sync"
	"time"

	"fencepost/codec"
)

// buckets hold what each client has left of its rate: tokens that come back with
// time. Only clients that sent something in the last minutes have one.
type buckets struct {
	mu    sync.Mutex
	by    map[string]*bucket
	swept time.Time
}

type bucket struct {
	left float64
	at   time.Time
}

const (
	// sweepEvery is how often buckets that are full again are forgotten.
	sweepEvery = time.Minute
	// maxBuckets bounds them. Names are few where clients have names; where
	// they are addresses, there may be many.
	maxBuckets = 1 << 16
)

// take takes one of a client's jobs from its rate.
func (p *Policy) take(client string, r Rule, now time.Time) error {
	if r.Rate == 0 {
		r.Rate, r.Burst = p.Rate.Rate, p.Rate.Burst
	}
	if r.Rate <= 0 {
		return nil
	}
	burst := float64(r.Burst)
	if burst < 1 {
		burst = max(1, math.Ceil(r.Rate))
	}
	b := &p.buckets
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sweep(now)
	k := b.by[client]
	if k == nil {
		if len(b.by) >= maxBuckets {
			return &Denied{Code: codec.CodeBusy, Reason: "too many clients at once", After: sweepEvery}
		}
		k = &bucket{left: burst, at: now}
		b.by[client] = k
	}
	k.left = min(burst, k.left+max(0, now.Sub(k.at).Seconds())*r.Rate)
	k.at = now
	if k.left < 1 {
		wait := time.Duration((1 - k.left) / r.Rate * float64(time.Second))
		return &Denied{Code: codec.CodeBusy, After: max(wait, time.Millisecond),
			Reason: fmt.Sprintf("client %s sends more than %g jobs a second", client, r.Rate)}
	}
	k.left--
	return nil
}

// sweep forgets who has been quiet; mu is held. Whoever was quiet for so long
// that the bucket would be full loses nothing by it, others a burst at most.
func (b *buckets) sweep(now time.Time) {
	if b.by == nil {
		b.by = map[string]*bucket{}
	}
	if now.Sub(b.swept) < sweepEvery && now.After(b.swept.Add(-sweepEvery)) {
		return
	}
	b.swept = now
	for name, k := range b.by {
		if now.Sub(k.at) > 10*sweepEvery {
			delete(b.by, name)
		}
	}
}
