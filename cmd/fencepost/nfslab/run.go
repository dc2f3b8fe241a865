package nfslab

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"fencepost/spool/vfs/nfsfacts"
)

// Run is one run of the table.
type Run struct {
	Mount HostConfig // of all hosts
	Want  func(nfsfacts.Experiment) bool
	// Workers is how many experiments run at once, each on two hosts.
	// Those that restart the server run alone. 0 = 4.
	Workers int
	// Done is told of each result, one at a time.
	Done func(nfsfacts.Result, time.Duration)
}

// RunFacts runs experiments in a laboratory.
func (l *Lab) RunFacts(ctx context.Context, r Run) error {
	if r.Workers == 0 {
		r.Workers = 4
	}
	var together, alone []nfsfacts.Experiment
	for _, e := range nfsfacts.Table() {
		switch {
		case !r.Want(e):
		case e.Restarts:
			alone = append(alone, e)
		default:
			together = append(together, e)
		}
	}
	r.Workers = max(1, min(r.Workers, len(together)))
	labs := make([]*Facts, r.Workers)
	defer func() {
		for _, f := range labs {
			if f != nil {
				_ = f.Close()
			}
		}
	}()
	for i := range labs {
		f, err := l.NewFacts(ctx, 2, r.Mount)
		if err != nil {
			return err
		}
		labs[i] = f
	}
	var mu sync.Mutex
	do := func(f *Facts, e nfsfacts.Experiment) {
		if ctx.Err() != nil {
			return
		}
		began := time.Now()
		result := e.Do(f)
		mu.Lock()
		defer mu.Unlock()
		r.Done(result, time.Since(began))
	}
	queue := make(chan nfsfacts.Experiment)
	var workers sync.WaitGroup
	for _, f := range labs {
		workers.Go(func() {
			for e := range queue {
				do(f, e)
			}
		})
	}
	for _, e := range together {
		queue <- e
	}
	close(queue)
	workers.Wait()
	for _, e := range alone {
		do(labs[0], e)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("broken off: %w", context.Cause(ctx))
	}
	return nil
}

// Conformance runs the suite of package vfs on a host's mount, and returns what
// it said.
func (l *Lab) Conformance(ctx context.Context, h *Host) (string, error) {
	const program = "vfs.test"
	if err := BuildTest(ctx, filepath.Join(l.Share(), program), "fencepost/spool/vfs"); err != nil {
		return "", err
	}
	suite := h.Command(Shared+"/"+program, "-test.v", "-test.run", "^TestOSMount$", "-test.timeout", "10m")
	suite.Env = []string{"FENCEPOST_TEST_MOUNT=" + Mount}
	suite.Dir = "/tmp"
	out, err := suite.Output(ctx)
	return string(out), err
}
