package spool_test

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"strings"
	"syscall"
	"testing"

	"fencepost/spool"
	"fencepost/spool/vfs"
	"fencepost/spool/vfs/memfs"
)

// Ids of jobs: two of version 7, of which one begins like the other, and one
// without a time.
const (
	jobA = "01890a5d-ac96-774b-bcce-b302099a8057"
	jobB = "01890a5d-ac96-7abc-8000-000000000002"
	jobC = "6f1f64a1-3c53-4c55-9b50-0a1b2c3d4e5f"
)

const testSpoolID = "11111111-2222-4333-8444-555555555555"

// payload is the accepted file of a job.
func payload(id string) []byte { return []byte("<job id=\"" + id + "\">do " + id[30:] + "</job>\n") }

// translate is the one translation of a file.
func translate(xml []byte) []byte { return append([]byte("translated: "), xml...) }

func same(id string) func([]byte) (bool, error) {
	return func(existing []byte) (bool, error) { return bytes.Equal(existing, payload(id)), nil }
}

// world is a spool on a server in memory, with the instances of several hosts.
type world struct {
	m      *memfs.Mem
	epochs map[string]uint64
	// accepted are the ids for which a client was told so.
	accepted map[string]bool
	// dropped counts files that a foreign writer put into the inbox; then no
	// other jobs come in.
	dropped int
	foreign bool // a foreign program translates: see foreignOut
	back    bool // it gave something back
	random  byte // so that no two files get one id
	// removes: records are removed of jobs that had ended.
	removes     bool
	ended, gone map[string]bool
}

func newWorld(m *memfs.Mem) *world {
	w := &world{m: m, epochs: map[string]uint64{}, accepted: map[string]bool{}, ended: map[string]bool{}, gone: map[string]bool{}}
	m.Quiet(func() {
		f := spool.Format{Version: spool.FormatVersion, SpoolID: testSpoolID}
		l := spool.DefaultLayout()
		f.Stages.Translate.Dir, f.Stages.Submit.Dir = l.Translate, l.Submit
		f.Inboxes = []spool.FormatInbox{{Dir: inbox}, {Dir: "marked", Marker: ".done"}, {Dir: laterInbox, Stage: spool.Submit}}
		if _, made, err := spool.Init(m.View("init"), f); err != nil || !made {
			panic(fmt.Sprintf("init: made %v, %v", made, err))
		}
	})
	return w
}

// memWorld is a world for a test that writes its schedule itself.
func memWorld(t *testing.T) *world {
	t.Helper()
	m := memfs.New(memfs.Options{SyncExport: true})
	t.Cleanup(func() {
		if left := m.Unfired(); len(left) > 0 {
			t.Errorf("the schedule didn't come about: %v", left)
		}
		if t.Failed() {
			t.Logf("operations:\n%swhat is there:\n%s", m.Trace(), m.Tree())
		}
	})
	return newWorld(m)
}

// must is for set-ups.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func mustDo(err error) {
	if err != nil {
		panic(err)
	}
}

// start starts the next instance of a host, on a view of its own.
func (w *world) start(host string) *spool.Instance {
	e := newEnv(w.m.View(host))
	e.random = func(p []byte) {
		for i := range p {
			w.random++
			p[i] = w.random
		}
	}
	return w.startOn(e, host)
}

func (w *world) startOn(e *testEnv, host string) *spool.Instance {
	w.epochs[host]++
	epoch := w.epochs[host]
	var in *spool.Instance
	w.m.Quiet(func() {
		mkdirs(e.FS(), spool.HostDir(host), spool.JournalDir(host))
		for _, base := range []string{spool.DirClaims, spool.DirSealed, spool.DirDrafts} {
			mkdirs(e.FS(), path.Join(base, host), spool.EpochDir(base, host, epoch))
		}
		in = must(w.open(e, host, epoch))
		in.Parse = parseOrder
	})
	return in
}

// open is an instance whose directories are as they are.
func (w *world) open(e *testEnv, host string, epoch uint64) (*spool.Instance, error) {
	s, err := spool.Open(e)
	if err != nil {
		return nil, err
	}
	return spool.NewInstance(s, spool.Stamp{Host: host, Epoch: epoch, Version: "test"}, nil)
}

func mkdirs(fs vfs.FS, dirs ...string) {
	for _, d := range dirs {
		if err := fs.Mkdir(d); err != nil && !errors.Is(err, syscall.EEXIST) {
			panic(err)
		}
	}
}

// accept sends a job to an instance, and notes what the client was told.
func (w *world) accept(in *spool.Instance, id string) (spool.Accepted, error) {
	a, err := in.Accept(id, payload(id), same(id))
	if err == nil {
		w.accepted[id] = true
	}
	return a, err
}

// claimIn is in's claim on a job that waits for a stage.
func claimIn(in *spool.Instance, stage spool.Stage, id string) (*spool.Claim, error) {
	return in.Claim(stage, spool.Name{ID: id})
}

// advance translates a claim: draft, seal, publish.
func advance(c *spool.Claim) error {
	data, err := c.Read()
	if err != nil {
		return errors.Join(err, c.Return(spool.Why{Reason: "read: " + err.Error()}))
	}
	if err := c.Draft(translate(data)); err != nil {
		return errors.Join(err, c.Return(spool.Why{Reason: "draft: " + err.Error()}))
	}
	s, err := c.Seal("")
	if err != nil {
		return err
	}
	return s.Publish()
}

// submitted is the whole of a submit stage that hands the job to nobody.
func submitted(c *spool.Claim) error {
	switch v, err := c.Once(); v {
	case spool.Done:
	case spool.Taken:
		return c.ParkCopy("another copy")
	default:
		return errors.Join(err, c.Return(spool.Why{Reason: "exit gate"}))
	}
	s, err := c.Seal("")
	if err != nil {
		return err
	}
	return s.Done("7", "")
}

// through brings a job that an instance accepts to the given stage.
func (w *world) through(in *spool.Instance, id string, stage spool.Stage) {
	w.m.Quiet(func() {
		must(w.accept(in, id))
		if stage == spool.Submit {
			mustDo(advance(must(claimIn(in, spool.Translate, id))))
		}
	})
}

// read is a file as the server has it.
func (w *world) read(name string) (data []byte, err error) {
	w.m.Quiet(func() { data, _, err = w.m.View("check").Read(name, 1<<20) })
	return data, err
}

// has says whether a name is there, as the server has it.
func (w *world) has(part string) bool { return strings.Contains("\n"+w.m.Tree(), part) }
