package submit_test

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"fencepost/spool"
	"fencepost/spool/env"
	"fencepost/spool/vfs"
	"fencepost/submit"
)

// instant is a cluster that takes no time, for what the engine itself costs.
type instant struct {
	caps submit.Caps
	n    atomic.Int64
}

func (c *instant) Caps() submit.Caps                          { return c.caps }
func (c *instant) Probe(context.Context) error                { return nil }
func (c *instant) Slots(context.Context) (int, error)         { return -1, nil }
func (c *instant) List(context.Context) ([]submit.Job, error) { return nil, nil }
func (c *instant) Release(context.Context, []string) error    { return nil }
func (c *instant) Cancel(context.Context, string) error       { return nil }

func (c *instant) Pin(context.Context) (map[string]string, error) {
	return map[string]string{"backend": "instant"}, nil
}

func (c *instant) Submit(context.Context, submit.Request) (string, error) {
	return strconv.FormatInt(c.n.Add(1), 10), nil
}

func (c *instant) Past(context.Context, string) (submit.Past, error) {
	return submit.Past{}, submit.ErrNotSupported
}

// TestRealFiles runs many jobs through an engine on the machine's own files and
// clock, with several workers at once: it has to keep up, and its journal's
// fsyncs have to serve several jobs each.
func TestRealFiles(t *testing.T) {
	for _, caps := range []submit.Caps{plainCaps, blindCaps} {
		t.Run(fmt.Sprintf("hold %v", caps.Hold), func(t *testing.T) { realFiles(t, caps, 500, time.Millisecond) })
	}
}

func realFiles(t testing.TB, caps submit.Caps, jobs int, slow time.Duration) {
	fs, err := vfs.OpenOS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	counted := &countedFS{FS: fs, slow: slow}
	e := env.NewReal(counted)
	f := spool.Format{Version: spool.FormatVersion, SpoolID: testSpoolID}
	f.Stages.Translate.Dir, f.Stages.Submit.Dir = "xml", "json"
	if _, _, err := spool.Init(fs, f); err != nil {
		t.Fatal(err)
	}
	mkdirs(fs, "hosts/a", "hosts/a/journal", "claims/a", "sealed/a", "drafts/a", "claims/a/1", "sealed/a/1", "drafts/a/1")
	w := &world{quiet: fs}
	for i := range jobs {
		w.put(jobID(i+1), spool.Name{ID: jobID(i + 1)})
	}
	s, err := spool.Open(e)
	if err != nil {
		t.Fatal(err)
	}
	in, err := spool.NewInstance(s, spool.Stamp{Host: "a", Epoch: 1, Version: "test"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	eng := submit.New(in, &instant{caps: caps}, submit.DefaultOptions())
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	begun, ended := time.Now(), make(chan struct{})
	go func() { defer close(ended); eng.Run(ctx, t.Context()) }()
	for eng.Stats().Submitted < jobs || eng.Tracked() > 0 {
		if time.Since(begun) > time.Minute {
			t.Fatalf("%+v after a minute", eng.Stats())
		}
		time.Sleep(5 * time.Millisecond)
	}
	took := time.Since(begun)
	stop()
	<-ended
	t.Logf("%d jobs, %.0f a second, %d syncs of the journal, %d listings, %d reads", jobs, float64(jobs)/took.Seconds(),
		counted.syncs.Load(), counted.lists.Load(), counted.reads.Load())
	// One for each job, and one for its release, if nobody shared.
	flushes := jobs
	if caps.Hold {
		flushes *= 2
	}
	if n := int(counted.syncs.Load()); slow > 0 && n > flushes*3/4 {
		t.Errorf("%d fsyncs of the journal for %d flushes", n, flushes)
	}
	done := 0
	if err := s.Scan(func(f spool.Found) {
		if f.Place == spool.PlaceDone {
			done++
		}
	}); err != nil || done != jobs {
		t.Errorf("%d done, %v, want %d", done, err, jobs)
	}
}

// countedFS counts operations.
type countedFS struct {
	vfs.FS
	slow                time.Duration // of each fsync of a journal
	syncs, lists, reads atomic.Int64
}

func (c *countedFS) List(dir string) ([]string, error) { c.lists.Add(1); return c.FS.List(dir) }

func (c *countedFS) Read(name string, limit int64) ([]byte, vfs.ID, error) {
	c.reads.Add(1)
	return c.FS.Read(name, limit)
}

func (c *countedFS) OpenLog(name string) (vfs.Log, error) {
	l, err := c.FS.OpenLog(name)
	return countedLog{l, c}, err
}

type countedLog struct {
	vfs.Log
	c *countedFS
}

func (l countedLog) Sync() error {
	l.c.syncs.Add(1)
	time.Sleep(l.c.slow)
	return l.Log.Sync()
}

func BenchmarkSubmit(b *testing.B) {
	for b.Loop() {
		realFiles(b, plainCaps, 2000, 0)
	}
}
