package bench

import (
	"strings"
	"sync"
	"sync/atomic"

	"fencepost/spool"
	"fencepost/spool/vfs"
)

// Rows of a count beside the stages.
const (
	rowJournal = "journal"
	rowOther   = "other" // heartbeats, listings of hosts, audits: by time, not by job
)

// Ops counts file operations by kind.
type Ops map[string]float64

// Total is the number of operations; what waits for the disk is a part of them.
func (o Ops) Total() (n float64) {
	for kind, v := range o {
		if kind != opSync {
			n += v
		}
	}
	return n
}

// opSync counts fsyncs. One that is a part of another operation (create makes
// one) is counted here, too.
const opSync = "fsync"

// counts are operations by stage.
type counts map[string]Ops

func (c counts) add(stage, kind string, n float64) {
	if c[stage] == nil {
		c[stage] = Ops{}
	}
	c[stage][kind] += n
}

// since is what was counted between before and c, divided by n.
func (c counts) since(before counts, n float64) counts {
	d := counts{}
	for stage, ops := range c {
		for kind, v := range ops {
			if v -= before[stage][kind]; v > 0 {
				d.add(stage, kind, v/n)
			}
		}
	}
	return d
}

// counted is a host's view of the share that counts, by the names that it is
// asked for, which stage asks.
type counted struct {
	vfs.FS
	host string

	mu       sync.RWMutex // what counts must cost the hosts little
	stages   map[cell]*atomic.Int64
	purposed map[cell]*atomic.Int64 // the same operations, by what they are for; nil = nobody asks
	sealed   []string               // stages whose seal is to be synced
}

type cell struct{ row, kind string }

func newCounted(fs vfs.FS, host string) *counted {
	return &counted{FS: fs, host: host, stages: map[cell]*atomic.Int64{}}
}

func (f *counted) counts() counts { return f.sum(f.stages) }

// purposes are operations by what they are for.
func (f *counted) purposes() counts { return f.sum(f.purposed) }

func (f *counted) sum(cells map[cell]*atomic.Int64) counts {
	c := counts{}
	f.mu.RLock()
	defer f.mu.RUnlock()
	for at, n := range cells {
		c.add(at.row, at.kind, float64(n.Load()))
	}
	return c
}

// count counts an operation on name.
func (f *counted) count(name, stage, kind string, fsyncs int) {
	f.add(f.stages, cell{stage, kind}, 1)
	if f.purposed != nil {
		purpose := purposeOf(f.host, kind, name)
		if purpose == forJobs {
			purpose = stage
		}
		f.add(f.purposed, cell{purpose, kind}, 1)
	}
	if fsyncs > 0 {
		f.add(f.stages, cell{stage, opSync}, fsyncs)
	}
}

func (f *counted) add(cells map[cell]*atomic.Int64, at cell, n int) {
	f.mu.RLock()
	sum := cells[at]
	f.mu.RUnlock()
	if sum == nil {
		f.mu.Lock()
		if sum = cells[at]; sum == nil {
			sum = &atomic.Int64{}
			cells[at] = sum
		}
		f.mu.Unlock()
	}
	sum.Add(int64(n))
}

const stageAccept = "accept"

// stageOf tells the stage that a name belongs to: a claim's, a draft's and a
// sealed file's own name says it, an entry's its directory.
func stageOf(name string) string {
	dir, rest, _ := strings.Cut(name, "/")
	base := rest[strings.LastIndexByte(rest, '/')+1:]
	l := spool.DefaultLayout()
	switch dir {
	case l.Translate:
		return string(spool.Translate)
	case l.Submit, spool.DirOnce, spool.DirDone, spool.DirRequests, spool.DirStarted:
		return string(spool.Submit)
	case spool.DirGate:
		return stageAccept
	case spool.DirDrafts, spool.DirClaims, spool.DirSealed:
		kind, _, _ := strings.Cut(base, "~")
		switch k := spool.Kind(kind); k {
		case spool.KindNew, spool.KindAccept:
			return stageAccept
		case spool.Translate, spool.Submit:
			return kind
		}
	}
	if strings.Contains(name, "/journal/") {
		return rowJournal
	}
	return rowOther
}

// moved tells the stage of a rename or link: its source has a token, or it is an
// entry that is claimed.
func moved(from, to string) string {
	if s := stageOf(from); strings.HasPrefix(from, spool.DirDrafts) || strings.HasPrefix(from, spool.DirSealed) {
		return s
	}
	return stageOf(to)
}

func (f *counted) Create(name string, data []byte) (vfs.ID, error) {
	f.count(name, stageOf(name), "create", 1)
	return f.FS.Create(name, data)
}

func (f *counted) Read(name string, limit int64) ([]byte, vfs.ID, error) {
	f.count(name, stageOf(name), "read", 0)
	return f.FS.Read(name, limit)
}

func (f *counted) Identify(name string) (vfs.ID, error) {
	f.count(name, stageOf(name), "open", 0)
	return f.FS.Identify(name)
}

func (f *counted) Each(dir string, do func(string)) error {
	f.count(dir, stageOf(dir+"/"), "list", 0)
	return vfs.Each(f.FS, dir, do)
}

func (f *counted) List(dir string) ([]string, error) {
	f.count(dir, stageOf(dir+"/"), "list", 0)
	return f.FS.List(dir)
}

func (f *counted) Rename(from, to string) error {
	stage := moved(from, to)
	f.count(to, stage, "rename", 0)
	if strings.HasPrefix(to, spool.DirSealed) {
		f.mu.Lock()
		f.sealed = append(f.sealed, stage)
		f.mu.Unlock()
	}
	return f.FS.Rename(from, to)
}

func (f *counted) Link(from, to string) error {
	f.count(to, stageOf(to), "link", 0)
	return f.FS.Link(from, to)
}

func (f *counted) Mkdir(dir string) error {
	f.count(dir, stageOf(dir), "mkdir", 0)
	return f.FS.Mkdir(dir)
}

func (f *counted) Rmdir(dir string) error {
	f.count(dir, stageOf(dir), "rmdir", 0)
	return f.FS.Rmdir(dir)
}

func (f *counted) Remove(name string) error {
	f.count(name, stageOf(name), "remove", 0)
	return f.FS.Remove(name)
}

func (f *counted) Sync(dirs ...string) error {
	f.count(dirs[0], f.synced(dirs), "sync", len(dirs))
	return f.FS.Sync(dirs...)
}

// synced tells the stage of a sync. Directories that all stages share are
// synced once after each seal: whose it is doesn't matter, as long as each seal
// is counted once.
func (f *counted) synced(dirs []string) string {
	switch {
	case strings.HasPrefix(dirs[0], spool.DirGate):
		return stageAccept
	case strings.HasPrefix(dirs[0], spool.DirDrafts):
		return string(spool.Translate) // accept's drafts need none: the gate has them
	case strings.HasPrefix(dirs[0], spool.DirSealed):
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.sealed) > 0 {
			stage := f.sealed[0]
			f.sealed = f.sealed[1:]
			return stage
		}
	}
	return stageOf(dirs[0] + "/")
}

func (f *counted) OpenLog(name string) (vfs.Log, error) {
	f.count(name, stageOf(name), "create", 0)
	log, err := f.FS.OpenLog(name)
	return countedLog{log, f, name}, err
}

type countedLog struct {
	vfs.Log
	f    *counted
	name string
}

func (l countedLog) Append(data []byte) error {
	l.f.count(l.name, stageOf(l.name), "append", 0)
	return l.Log.Append(data)
}

func (l countedLog) Sync() error {
	l.f.count(l.name, stageOf(l.name), "sync", 1)
	return l.Log.Sync()
}

func (f *counted) OpenRecord(name string) (vfs.Record, error) {
	f.count(name, rowOther, "open", 0)
	rec, err := f.FS.OpenRecord(name)
	if err != nil {
		return nil, err
	}
	return countedRecord{rec, f, name}, nil
}

type countedRecord struct {
	vfs.Record
	f    *counted
	name string
}

func (r countedRecord) Write(data []byte) error {
	r.f.count(r.name, rowOther, "write", 1)
	return r.Record.Write(data)
}
