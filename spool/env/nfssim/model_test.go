package nfssim_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"fencepost/spool/env/nfssim"
	"fencepost/spool/env/simenv"
	"fencepost/spool/vfs"
)

// model is a server with hosts, each with one process at a time.
type model struct {
	*testing.T
	w     *simenv.World
	s     *nfssim.Server
	a, b  *host
	hosts []*host
}

type host struct {
	m  *model
	mc *simenv.Machine
	c  *nfssim.Client
	p  *simenv.Proc
	fs vfs.FS
}

func newModel(t *testing.T, opt nfssim.Options, mount nfssim.MountOptions) *model {
	w := simenv.New(simenv.Draw(1))
	w.Limit = 1e6
	m := &model{T: t, w: w, s: nfssim.New(w, opt)}
	t.Cleanup(func() {
		if why := w.Failure(); why != "" {
			t.Error(why)
		}
		w.Close()
	})
	m.a, m.b = m.host("a", mount), m.host("b", mount)
	return m
}

func (m *model) host(name string, mount nfssim.MountOptions) *host {
	h := &host{m: m, mc: m.w.Machine(name)}
	h.c = m.s.Mount(h.mc, mount)
	h.start()
	m.hosts = append(m.hosts, h)
	return h
}

// start starts the host's next process.
func (h *host) start() {
	h.p = h.mc.Start("process")
	h.fs = h.c.FS(h.p)
}

// begin starts a call and doesn't wait for its end.
func (h *host) begin(f func(fs vfs.FS) error) *call {
	c := &call{h: h}
	fs := h.fs
	h.p.Go("call", func() {
		c.err = f(fs)
		c.ended = true
	})
	return c
}

type call struct {
	h     *host
	ended bool
	err   error
}

// within lets time go by until the call has ended, at most d.
func (c *call) within(d time.Duration) bool {
	w := c.h.m.w
	return w.RunUntil(w.Now()+d, func() bool { return c.ended })
}

// do makes a call and waits for its end.
func (h *host) do(f func(fs vfs.FS) error) error {
	h.m.Helper()
	c := h.begin(f)
	if !c.within(time.Hour) {
		h.m.Fatal("a call didn't end")
	}
	return c.err
}

// must makes calls that have to succeed.
func (h *host) must(fs ...func(fs vfs.FS) error) {
	h.m.Helper()
	for _, f := range fs {
		if err := h.do(f); err != nil {
			h.m.Fatal(err)
		}
	}
}

func (h *host) want(what string, want error, f func(fs vfs.FS) error) {
	h.m.Helper()
	if err := h.do(f); !errors.Is(err, want) {
		h.m.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func (m *model) pass(d time.Duration) { m.w.Run(m.w.Now() + d) }

// has checks which names a directory has, on the server.
func (m *model) has(dir, want string) {
	m.Helper()
	names, _ := m.s.ReadDir(dir)
	if got := strings.Join(names, " "); got != want {
		m.Errorf("%s has %q, want %q", dir, got, want)
	}
}

func (m *model) contents(name string) string {
	_, data, ok := m.s.Lookup(name)
	if !ok {
		return "none"
	}
	return string(data)
}

// The calls.

func mkdir(dir string) func(vfs.FS) error { return func(fs vfs.FS) error { return fs.Mkdir(dir) } }
func rmdir(dir string) func(vfs.FS) error { return func(fs vfs.FS) error { return fs.Rmdir(dir) } }
func remove(n string) func(vfs.FS) error  { return func(fs vfs.FS) error { return fs.Remove(n) } }
func rename(from, to string) func(vfs.FS) error {
	return func(fs vfs.FS) error { return fs.Rename(from, to) }
}
func link(from, to string) func(vfs.FS) error {
	return func(fs vfs.FS) error { return fs.Link(from, to) }
}
func create(n string) func(vfs.FS) error {
	return func(fs vfs.FS) error { _, err := fs.Create(n, []byte(n)); return err }
}
func identify(n string) func(vfs.FS) error {
	return func(fs vfs.FS) error { _, err := fs.Identify(n); return err }
}
func list(dir string) func(vfs.FS) error {
	return func(fs vfs.FS) error { _, err := fs.List(dir); return err }
}

// ---- caches ---------------------------------------------------------------------

// TestAbsentIsStale: a name that was looked for, or removed, is absent for the
// client until its directory is seen to have changed.
func TestAbsentIsStale(t *testing.T) {
	for _, c := range []struct {
		cache string
		after time.Duration
		list  bool
		want  error
	}{
		{nfssim.LookupAll, time.Second, false, syscall.ENOENT},
		{nfssim.LookupAll, 29 * time.Second, false, syscall.ENOENT},
		{nfssim.LookupAll, 31 * time.Second, false, nil},
		{nfssim.LookupAll, time.Second, true, nil},
		{nfssim.LookupPos, time.Second, false, nil},
		{nfssim.LookupNone, time.Second, false, nil},
	} {
		for _, first := range []func(*model){
			func(m *model) { m.a.want("missing", syscall.ENOENT, identify("d/x")) },
			func(m *model) { m.a.want("missing", syscall.ENOENT, rename("d/x", "d/y")) },
			func(m *model) { m.a.must(create("d/x"), remove("d/x")) },
		} {
			m := newModel(t, nfssim.Options{}, nfssim.MountOptions{LookupCache: c.cache})
			m.a.must(mkdir("d"))
			first(m)
			m.b.must(create("d/x"))
			m.pass(c.after)
			if c.list {
				m.a.must(list("d"))
			}
			m.a.want(fmt.Sprintf("identify, %+v", c), c.want, identify("d/x"))
			m.a.want(fmt.Sprintf("rename, %+v", c), c.want, rename("d/x", "d/z"))
		}
	}
}

// TestForeignChange: a change of one's own shows that others changed the
// directory, too.
func TestForeignChange(t *testing.T) {
	for _, foreign := range []bool{false, true} {
		m := newModel(t, nfssim.Options{}, nfssim.MountOptions{})
		m.a.must(mkdir("d"))
		m.a.want("missing", syscall.ENOENT, identify("d/x"))
		if foreign {
			m.b.must(create("d/x"))
		}
		m.a.must(mkdir("d/e"))
		var sent int
		m.s.Fate = func(*nfssim.Call) nfssim.Fate { sent++; return nfssim.Fate{} }
		var want error
		if !foreign {
			want = syscall.ENOENT
		}
		m.a.want("identify", want, identify("d/x"))
		if (sent > 0) != foreign {
			t.Errorf("foreign %v: %d requests", foreign, sent)
		}
	}
}

// TestPresentIsStale: a name that another host took is there for the client:
// to look at and to link, by its handle, but not to rename.
func TestPresentIsStale(t *testing.T) {
	for _, version := range []string{"4.2", "4.0", "3"} {
		m := newModel(t, nfssim.Options{Version: version}, nfssim.MountOptions{})
		m.a.must(mkdir("d"), mkdir("e"), create("d/x"))
		m.b.must(rename("d/x", "e/y"))
		m.a.want("open, version "+version, map[string]error{"4.0": syscall.ENOENT}[version], identify("d/x"))
		if version == "4.0" { // which has found out
			continue
		}
		m.a.must(link("d/x", "d/z"))
		if ino, _, _ := m.s.Lookup("d/z"); ino == 0 {
			t.Error("the link isn't there")
		}
		m.a.want("rename", syscall.ENOENT, rename("d/x", "d/v"))
		m.has("d", "z")

		m.a.must(create("d/w"))
		m.b.must(remove("d/w"))
		m.a.want("link of what is gone", syscall.ENOENT, link("d/w", "d/u"))
	}
}

// TestAbsentAfterRename: a rename that found nothing leaves the name absent.
func TestAbsentAfterRename(t *testing.T) {
	m := newModel(t, nfssim.Options{}, nfssim.MountOptions{})
	m.a.must(mkdir("d"), create("d/x"))
	m.b.must(rename("d/x", "x"))
	m.a.want("rename", syscall.ENOENT, rename("d/x", "d/y"))
	m.b.must(rename("x", "d/x"))
	m.a.want("identify", syscall.ENOENT, identify("d/x"))
	m.a.must(list("d"), identify("d/x"))
}

// TestSillyNames: a file that is open on the machine keeps a name until it is
// closed, or its process dies.
func TestSillyNames(t *testing.T) {
	for _, gone := range []func(vfs.FS) error{remove("d/r"), rename("x", "d/r")} {
		for _, kill := range []bool{false, true} {
			m := newModel(t, nfssim.Options{}, nfssim.MountOptions{})
			var r vfs.Record
			m.a.must(mkdir("d"), create("x"), func(fs vfs.FS) (err error) { r, err = fs.OpenRecord("d/r"); return err }, gone)
			before, _ := m.s.ReadDir("d")
			if len(before) == 0 || !strings.HasPrefix(before[0], ".nfs") {
				t.Errorf("names are %q", before)
			}
			m.a.must(func(vfs.FS) error { return r.Write([]byte("1")) })
			if kill {
				m.a.p.Kill()
				m.pass(time.Second)
			} else {
				m.a.must(func(vfs.FS) error { return r.Close() })
			}
			m.has("d", strings.Join(before[1:], " "))
		}
	}
}

// TestOpenIsFresh: contents are those of the last close, or sync, elsewhere.
func TestOpenIsFresh(t *testing.T) {
	for _, version := range []string{"4.2", "4.0", "3"} {
		m := newModel(t, nfssim.Options{Version: version}, nfssim.MountOptions{})
		var r vfs.Record
		m.b.must(func(fs vfs.FS) (err error) { r, err = fs.OpenRecord("r"); return err })
		for _, text := range []string{"one", "two", "333"} {
			m.b.must(func(vfs.FS) error { return r.Write([]byte(text)) })
			m.a.must(func(fs vfs.FS) error {
				got, _, err := fs.Read("r", 100)
				if string(got) != text {
					t.Errorf("version %s: got %q, want %q", version, got, text)
				}
				return err
			})
		}
	}
}

// TestRemovedDirectory: a stale handle is ESTALE once, by a descriptor, and
// ENOENT from then on; by path it is ENOENT.
func TestRemovedDirectory(t *testing.T) {
	m := newModel(t, nfssim.Options{}, nfssim.MountOptions{})
	m.a.must(mkdir("d"), mkdir("e"), create("x"), rename("x", "d/x"), rename("d/x", "x"))
	m.b.must(rmdir("d"), mkdir("d"))
	m.a.want("into", syscall.ESTALE, rename("x", "d/x"))
	m.a.must(rename("x", "d/x")) // the directory that is there now
	m.b.must(rename("d/x", "x"), rmdir("d"), mkdir("d"))
	m.a.must(create("d/y")) // an open is walked to again
	m.b.must(remove("d/y"), rmdir("d"))
	m.a.want("create", syscall.ENOENT, create("d/y"))
	m.b.must(mkdir("d"))
	m.pass(time.Minute)
	m.a.must(rename("x", "d/x"))
	m.b.must(rename("d/x", "x"), rmdir("d"))
	y := m.a.c.Sys(m.a.p)
	m.a.want("by path", syscall.ENOENT, func(vfs.FS) error { return y.Rename("x", "d/z") })
	m.a.want("list", syscall.ENOENT, list("d"))
}

// TestStaleOnTheWay: a directory on the way that was removed and made again is
// walked to again.
func TestStaleOnTheWay(t *testing.T) {
	m := newModel(t, nfssim.Options{}, nfssim.MountOptions{})
	m.a.must(mkdir("d"))
	m.b.must(rmdir("d"), mkdir("d"), mkdir("d/e"))
	m.a.must(mkdir("d/e/f"))
	m.has("d/e", "f")
}

// TestRenameInCache: a rename onto a name that the client takes for the same
// file is "ok", and nothing is done: here because the other host moved it back.
func TestRenameInCache(t *testing.T) {
	m := newModel(t, nfssim.Options{}, nfssim.MountOptions{})
	m.a.must(mkdir("d"), create("x"), rename("x", "d/x"))
	m.b.must(rename("d/x", "x"))
	m.a.must(rename("x", "d/x"))
	m.has("d", "")
	m.a.must(list("d"), rename("x", "d/x"))
	m.has("d", "x")
}

// TestListUnderChange: what isn't moved is in each listing, once; what is moved
// may be in neither directory's.
func TestListUnderChange(t *testing.T) {
	const stay = 20
	missed := false
	for seed := range uint64(20) {
		w := simenv.New(simenv.Draw(seed))
		s := nfssim.New(w, nfssim.Options{PageSize: 3})
		lane := w.Tape().Lane("net")
		s.Fate = func(*nfssim.Call) nfssim.Fate {
			return nfssim.Fate{Out: time.Duration(1+lane.Pick(1000)) * time.Microsecond}
		}
		d := s.Direct()
		for _, dir := range []string{"in", "out"} {
			if err := d.Mkdir(dir); err != nil {
				t.Fatal(err)
			}
		}
		for i := range stay {
			if _, err := d.Create(fmt.Sprint("in/stays", i), nil); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := d.Create("in/moves", nil); err != nil {
			t.Fatal(err)
		}
		a, b := w.Machine("a"), w.Machine("b")
		p, q := a.Start("p"), b.Start("q")
		pf, qf := s.Mount(a, nfssim.MountOptions{}).FS(p), s.Mount(b, nfssim.MountOptions{}).FS(q)
		q.Go("mover", func() {
			for i := range 40 {
				from, to := "in/moves", "out/moves"
				if i%2 == 1 {
					from, to = to, from
				}
				if err := qf.Rename(from, to); err != nil {
					t.Error(err)
				}
			}
		})
		p.Go("lister", func() {
			for range 5 {
				in, err1 := pf.List("in")
				out, err2 := pf.List("out")
				if err := errors.Join(err1, err2); err != nil {
					t.Error(err)
				}
				stayed := slices.DeleteFunc(slices.Clone(in), func(n string) bool { return n == "moves" })
				slices.Sort(stayed)
				if len(slices.Compact(stayed)) != stay {
					t.Errorf("seed %d: %d of %d are listed", seed, len(stayed), stay)
				}
				missed = missed || !slices.Contains(in, "moves") && !slices.Contains(out, "moves")
			}
		})
		w.Run(time.Hour)
		if why := w.Failure(); why != "" {
			t.Error(why)
		}
	}
	if !missed {
		t.Error("no listing ever missed what moves")
	}
}
