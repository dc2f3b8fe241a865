package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"time"

	"fencepost/codec"
	"fencepost/spool"
)

// Backlog is what translate cost while so many entries waited for it.
type Backlog struct {
	Entries          int     `json:"entries"`
	Jobs             int     `json:"jobs"` // that were worked off
	SecondsPerJob    float64 `json:"seconds_per_job"`
	MaxResidentBytes int64   `json:"max_resident_bytes"` // of this process until then
}

// Sizes of a backlog's measurement: what it is compared with, and how many are
// worked off at most. That is more than a host keeps of a listing, so that each
// size pays for its listings.
const (
	smallBacklog = 1000
	backlogJobs  = 100_000
)

// noAudits: an audit looks at all jobs, whatever a stage does. Its cost grows with
// them, and isn't a stage's.
const noAudits = 24 * time.Hour

// backlog measures a short queue, and one as long as was asked for.
func (b *bench) backlog(ctx context.Context) error {
	sizes := []int{smallBacklog, b.cfg.Backlog}
	if b.cfg.Backlog <= smallBacklog {
		sizes = sizes[1:]
	}
	for i, n := range sizes {
		root := filepath.Join(b.root, fmt.Sprintf("backlog-%d", i))
		one, err := b.workOff(ctx, root, n)
		if err != nil {
			return fmt.Errorf("backlog of %d: %w", n, err)
		}
		b.rep.Backlog = append(b.rep.Backlog, one)
		if err := os.RemoveAll(root); err != nil {
			return fmt.Errorf("clear up: %w", err)
		}
	}
	return nil
}

func (b *bench) workOff(ctx context.Context, root string, n int) (Backlog, error) {
	w, err := newWorld(b.cfg, root, b.pulse)
	if err != nil {
		return Backlog{}, err
	}
	defer w.close()
	w.audits = noAudits
	if err := w.fill(ctx, n); err != nil {
		return Backlog{}, err
	}
	debug.FreeOSMemory()
	jobs := min(n, backlogJobs)
	w.countdown(jobs)
	began := time.Now()
	if err := w.start(ctx, []spool.Stage{spool.Translate}); err != nil {
		return Backlog{}, err
	}
	defer w.stop()
	err = w.await(ctx)
	return Backlog{Entries: n, Jobs: jobs, SecondsPerJob: time.Since(began).Seconds() / float64(jobs), MaxResidentBytes: maxResident()}, err
}

// fill puts entries into translate's directory, as accept would have left them but
// for their gates: they needn't be durable.
func (w *world) fill(ctx context.Context, n int) error {
	l := spool.DefaultLayout()
	for range n {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		r := record(newID(), w.job, w.digest)
		data, err := codec.EncodeXML(r)
		if err == nil {
			err = os.WriteFile(filepath.Join(w.root, l.EntryPath(spool.Translate, spool.Name{ID: r.ID})), data, 0o440)
		}
		if err != nil {
			return fmt.Errorf("fill the spool: %w", err)
		}
		w.pulse.tick("fill")
	}
	return nil
}

// countdown expects so many jobs to be published, whichever.
func (w *world) countdown(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.jobs, w.ended = nil, make(chan struct{})
	w.published = new(atomic.Int64)
	w.published.Store(int64(n))
}
