package bench_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"fencepost/cmd/fencepost/bench"
	"fencepost/spool"
	"fencepost/spool/vfs/mountstats"
	"fencepost/submit"
)

func config(t *testing.T) bench.Config {
	return bench.Config{Dir: t.TempDir(), Jobs: 40, Rounds: 2, Clients: 3, Workers: 2, Hosts: 2, Size: 200, Idle: 2, Version: "test",
		Patience: time.Minute, Progress: func(int, int, string) {}, Warn: func(what string) { t.Log(what) }}
}

// TestRun: what is counted is what the protocol says, and nothing is left.
func TestRun(t *testing.T) {
	cfg := config(t)
	var told atomic.Int64
	cfg.Progress = func(done, total int, _ string) {
		if done < 0 || total < done {
			t.Errorf("progress: %d of %d", done, total)
		}
		told.Add(1)
	}
	var asked uint64
	looks := 0
	cfg.Calls = func() (mountstats.Counts, error) {
		// Two looks a round, then two at the start of each stage, and two at its work.
		if looks++; looks > 4+6 {
			asked += 400
		}
		asked += 400
		return mountstats.Counts{"RENAME": asked, "LINK": 7}, nil
	}
	rep, err := bench.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(rep.Rounds) != 2 || rep.Ratio <= 0 || rep.JobsPerSecond <= 0 || rep.FloorJobsPerSecond <= 0 || told.Load() == 0 {
		t.Errorf("%+v, told %d times", rep, told.Load())
	}
	if rep.Floor != (bench.FloorCost{Calls: 30, Fsyncs: 11}) {
		t.Errorf("the floor made %+v calls a job", rep.Floor)
	}
	if rep.Loaded.Accept.N != 80 || rep.Idle.Submitted.N != 2 || rep.Loaded.Accept.P99 < rep.Loaded.Accept.P50 || rep.Idle.Accept.P50 <= 0 {
		t.Errorf("latencies %+v, %+v", rep.Loaded, rep.Idle)
	}
	kinds := map[string]bench.Ops{}
	for _, s := range rep.Stages {
		kinds[s.Stage] = s.Kinds
	}
	// Names and files are exact; listings, lost claims and journals are not.
	for _, want := range []struct {
		stage, kind string
		n           float64
	}{
		{"accept", "create", 1}, {"accept", "rename", 2}, {"accept", "link", 1}, {"accept", "fsync", 3},
		{"translate", "create", 1}, {"translate", "remove", 1}, {"translate", "fsync", 4},
		{"submit", "link", 1}, {"submit", "fsync", 2},
	} {
		if got := kinds[want.stage][want.kind]; got != want.n {
			t.Errorf("%s: %.3f %s a job, want %v", want.stage, got, want.kind, want.n)
		}
	}
	if len(rep.RPCsByStage) != 3 || rep.RPCsByStage[1].Stage != "translate" || rep.RPCsByStage[1].Total != 10 || rep.RPCsTotal != 10 {
		t.Errorf("calls: %+v, %v", rep.RPCsByStage, rep.RPCsTotal)
	}
	left(t, cfg.Dir)
	var b bytes.Buffer
	if err := rep.Plot(&b); err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(&b); ; {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("the picture is no XML: %v", err)
		}
	}
}

func left(t *testing.T, dir string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil || len(files) > 0 {
		t.Errorf("it left %v, %v", files, err)
	}
}

// deaf is a cluster that never answers.
type deaf struct{ submit.Cluster }

func (deaf) Caps() submit.Caps { return submit.Caps{Key: true} }
func (deaf) Pin(context.Context) (map[string]string, error) {
	return map[string]string{"backend": "deaf"}, nil
}
func (deaf) Probe(context.Context) error        { return nil }
func (deaf) Slots(context.Context) (int, error) { return -1, nil }
func (deaf) Submit(ctx context.Context, _ submit.Request) (string, error) {
	<-ctx.Done()
	return "", ctx.Err()
}

// TestRunStalls: it gives up when nothing goes on, and when it is told to.
func TestRunStalls(t *testing.T) {
	cfg := config(t)
	cfg.Cluster = func(*spool.Spool, string, string, *submit.Options) (submit.Cluster, error) { return deaf{}, nil }
	cfg.Patience = 3 * time.Second
	if _, err := bench.Run(t.Context(), cfg); !errors.Is(err, bench.ErrStalled) {
		t.Errorf("got %v", err)
	}

	cfg = config(t)
	ctx, cancel := context.WithCancel(t.Context())
	cfg.Jobs, cfg.Rounds = 100_000, 10
	cfg.Progress = func(int, int, string) { cancel() }
	if _, err := bench.Run(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	left(t, cfg.Dir)

	cfg = config(t)
	cfg.Dir = filepath.Join(cfg.Dir, "nowhere")
	if _, err := bench.Run(t.Context(), cfg); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
