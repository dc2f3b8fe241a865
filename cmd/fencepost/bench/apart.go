package bench

import (
	"context"
	"fmt"
	"slices"

	"fencepost/spool"
	"fencepost/spool/vfs/mountstats"

	"golang.org/x/sys/unix"
)

// apart runs one stage at a time, so that what the file server was asked can be
// told apart by stage. What it costs to start and to stop is not the jobs'.
func (b *bench) apart(ctx context.Context, w *world) error {
	var start []mountstats.Counts
	for range 2 {
		ids := make([]string, 0, b.cfg.Jobs)
		for len(start) == 3 && len(ids) < b.cfg.Jobs {
			ids = append(ids, newID())
		}
		for i, p := range []struct {
			stage spool.Stage
			until string
		}{{spool.Ingest, spool.EvAccepted}, {spool.Translate, spool.EvPublished}, {spool.Submit, spool.EvDone}} {
			before, err := b.cfg.Calls()
			if err != nil {
				return err
			}
			if err := w.alone(ctx, p.stage, p.until, ids); err != nil {
				return fmt.Errorf("%s alone: %w", p.stage, err)
			}
			after, err := b.cfg.Calls()
			if err != nil {
				return err
			}
			spent := after.Since(before)
			if len(ids) == 0 {
				start = append(start, spent)
				continue
			}
			kinds := perJob(spent.Since(start[i]), b.cfg.Jobs)
			b.rep.RPCsByStage = append(b.rep.RPCsByStage, StageRPCs{Stage: string(p.stage), Total: total(kinds), Kinds: kinds})
		}
	}
	return nil
}

// alone runs one stage for jobs that the stage before has finished.
func (w *world) alone(ctx context.Context, stage spool.Stage, until string, ids []string) error {
	w.expect(ids, until)
	if err := w.start(ctx, []spool.Stage{stage}); err != nil {
		return err
	}
	defer w.stop()
	if len(ids) == 0 {
		return nil
	}
	if stage == spool.Ingest {
		if err := w.send(ctx, ids, w.cfg.Clients*len(w.hosts)); err != nil {
			return err
		}
	}
	return w.await(ctx)
}

func perJob(c mountstats.Counts, jobs int) map[string]float64 {
	kinds := map[string]float64{}
	for name, n := range c {
		kinds[name] = float64(n) / float64(jobs)
	}
	return kinds
}

func total(kinds map[string]float64) (n float64) {
	var all []float64
	for _, v := range kinds {
		all = append(all, v)
	}
	slices.Sort(all)
	for _, v := range all {
		n += v
	}
	return n
}

// maxResident is the most memory that this process ever had, in bytes.
func maxResident() int64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Maxrss << 10
}
