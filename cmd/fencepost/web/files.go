package web

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fencepost/spool/vfs"
)

// Files measures the operations on a share: how long they took, and which are
// under way. It is cheap beside any of them.
type Files struct {
	seconds *prometheus.HistogramVec

	mu   sync.Mutex
	next uint64
	ops  map[uint64]fileOp
}

type fileOp struct {
	what, name string
	since      time.Time
}

// NewFiles has measured nothing yet.
func NewFiles() *Files {
	return &Files{ops: map[uint64]fileOp{}, seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "fencepost_file_operation_seconds", Help: "Duration of operations on the share, by operation and result.",
		Buckets: []float64{.0002, .001, .005, .02, .1, .5, 2, 10, 30},
	}, []string{"op", "result"})}
}

// begin notes an operation; the func returned ends it.
func (f *Files) begin(what, name string) func(error) {
	start := time.Now()
	f.mu.Lock()
	id := f.next
	f.next++
	f.ops[id] = fileOp{what, name, start}
	f.mu.Unlock()
	return func(err error) {
		f.mu.Lock()
		delete(f.ops, id)
		f.mu.Unlock()
		result := "ok"
		if err != nil {
			result = "error" // a lost race, mostly
		}
		f.seconds.WithLabelValues(what, result).Observe(time.Since(start).Seconds())
	}
}

// overdue is the oldest operation that has been under way for longer than limit.
// A lock isn't one: it may wait for a server's grace period.
func (f *Files) overdue(limit time.Duration) (late fileOp, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range f.ops {
		if o.what != "lock" && time.Since(o.since) >= limit && (!ok || o.since.Before(late.since)) {
			late, ok = o, true
		}
	}
	return late, ok
}

// Wrap is fs, measured.
func (f *Files) Wrap(fs vfs.FS) vfs.FS { return measuredFS{fs, f} }

type measuredFS struct {
	vfs.FS
	f *Files
}

func (m measuredFS) Create(name string, data []byte) (id vfs.ID, err error) {
	end := m.f.begin("create", name)
	defer func() { end(err) }()
	return m.FS.Create(name, data)
}

func (m measuredFS) Read(name string, limit int64) (data []byte, id vfs.ID, err error) {
	end := m.f.begin("read", name)
	defer func() { end(err) }()
	return m.FS.Read(name, limit)
}

func (m measuredFS) Identify(name string) (id vfs.ID, err error) {
	end := m.f.begin("identify", name)
	defer func() { end(err) }()
	return m.FS.Identify(name)
}

// Each implements vfs.Streamer.
func (m measuredFS) Each(dir string, do func(string)) (err error) {
	end := m.f.begin("list", dir)
	defer func() { end(err) }()
	return vfs.Each(m.FS, dir, do)
}

func (m measuredFS) List(dir string) (names []string, err error) {
	end := m.f.begin("list", dir)
	defer func() { end(err) }()
	return m.FS.List(dir)
}

func (m measuredFS) Rename(from, to string) (err error) {
	end := m.f.begin("rename", from)
	defer func() { end(err) }()
	return m.FS.Rename(from, to)
}

func (m measuredFS) Link(from, to string) (err error) {
	end := m.f.begin("link", from)
	defer func() { end(err) }()
	return m.FS.Link(from, to)
}

func (m measuredFS) Mkdir(dir string) (err error) {
	end := m.f.begin("mkdir", dir)
	defer func() { end(err) }()
	return m.FS.Mkdir(dir)
}

func (m measuredFS) Rmdir(dir string) (err error) {
	end := m.f.begin("rmdir", dir)
	defer func() { end(err) }()
	return m.FS.Rmdir(dir)
}

func (m measuredFS) Remove(name string) (err error) {
	end := m.f.begin("remove", name)
	defer func() { end(err) }()
	return m.FS.Remove(name)
}

func (m measuredFS) Sync(dirs ...string) (err error) {
	end := m.f.begin("sync", "")
	defer func() { end(err) }()
	return m.FS.Sync(dirs...)
}

func (m measuredFS) TryLock(name string) (l vfs.Lock, err error) {
	end := m.f.begin("lock", name)
	defer func() { end(err) }()
	return m.FS.TryLock(name)
}

func (m measuredFS) OpenRecord(name string) (r vfs.Record, err error) {
	end := m.f.begin("open", name)
	defer func() { end(err) }()
	if r, err = m.FS.OpenRecord(name); err == nil {
		r = measuredRecord{r, m.f, name}
	}
	return r, err
}

func (m measuredFS) OpenLog(name string) (l vfs.Log, err error) {
	end := m.f.begin("open", name)
	defer func() { end(err) }()
	if l, err = m.FS.OpenLog(name); err == nil {
		l = measuredLog{l, m.f, name}
	}
	return l, err
}

type measuredRecord struct {
	vfs.Record
	f    *Files
	name string
}

func (r measuredRecord) Write(data []byte) (err error) {
	end := r.f.begin("heartbeat", r.name)
	defer func() { end(err) }()
	return r.Record.Write(data)
}

type measuredLog struct {
	vfs.Log
	f    *Files
	name string
}

func (l measuredLog) Append(data []byte) (err error) {
	end := l.f.begin("append", l.name)
	defer func() { end(err) }()
	return l.Log.Append(data)
}

func (l measuredLog) Sync() (err error) {
	end := l.f.begin("fsync", l.name)
	defer func() { end(err) }()
	return l.Log.Sync()
}
