package nfssim_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"fencepost/spool/env/nfssim"
	"fencepost/spool/vfs"
)

// TestCosts: which requests a call makes.
func TestCosts(t *testing.T) {
	m := newModel(t, nfssim.Options{PageSize: 2}, nfssim.MountOptions{})
	m.b.must(mkdir("d"), mkdir("e"), create("d/1"), create("d/2"), create("e/old"))
	var sent []string
	m.s.Fate = func(k *nfssim.Call) nfssim.Fate { sent = append(sent, k.RPC); return nfssim.Fate{} }
	read := func(name string) func(vfs.FS) error {
		return func(fs vfs.FS) error { _, _, err := fs.Read(name, 100); return err }
	}
	absent := func(f func(vfs.FS) error) func(vfs.FS) error {
		return func(fs vfs.FS) error {
			if err := f(fs); err == nil {
				return syscall.EEXIST
			}
			return nil
		}
	}
	for _, c := range []struct {
		what string
		call func(vfs.FS) error
		want string
	}{
		{"a first look", absent(identify("d/none")), "lookup open"},
		{"again", absent(identify("d/none")), ""},
		{"create", create("d/3"), "open write setattr"},
		{"read one's own", read("d/3"), "openfile"},
		{"read another's", read("d/1"), "open read"},
		{"again", read("d/1"), "openfile"},
		{"list, the first page fills the cache", list("d"), "getattr readdir readdir"},
		{"again", list("d"), "getattr"},
		{"rename what is cached", rename("d/1", "d/4"), "rename"},
		{"rename what isn't", rename("e/old", "e/new"), "lookup lookup rename"},
		{"list after one's own change", list("d"), "getattr readdir readdir"},
		{"link", link("d/4", "d/5"), "link"},
		{"mkdir", mkdir("d/f"), "mkdir"},
		{"rmdir", rmdir("d/f"), "rmdir"},
		{"remove", remove("d/5"), "remove"},
		{"lock", take, "lookup open lock"},
	} {
		sent = nil
		m.a.must(c.call)
		if got := strings.Join(sent, " "); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
}

// TestTimeOuts: attributes that don't change are asked for ever more rarely.
func TestTimeOuts(t *testing.T) {
	m := newModel(t, nfssim.Options{}, nfssim.MountOptions{ACDirMin: 10 * time.Second, ACDirMax: 40 * time.Second})
	var asked []string
	m.s.Fate = func(k *nfssim.Call) nfssim.Fate {
		asked = append(asked, fmt.Sprint(int(m.w.Now().Seconds())))
		return nfssim.Fate{}
	}
	look := func() {
		m.a.want("look", syscall.ENOENT, identify("x"))
	}
	for range 180 {
		look()
		m.w.Run(m.w.Now().Truncate(time.Second) + time.Second)
	}
	if got, want := strings.Join(asked, " "), "0 10 31 72 113 154"; got != want {
		t.Errorf("asked at %s, want %s", got, want)
	}
	m.b.must(mkdir("d"))
	asked = nil
	for range 60 {
		look()
		m.w.Run(m.w.Now().Truncate(time.Second) + time.Second)
	}
	// It has changed: the name is looked up again, and the time is short again.
	if got, want := strings.Join(asked, " "), "195 195 206 227"; got != want {
		t.Errorf("after a change: asked at %s, want %s", got, want)
	}
}

// TestOvertakenLookup: an answer that a change of one's own has overtaken isn't
// kept.
func TestOvertakenLookup(t *testing.T) {
	m := newModel(t, nfssim.Options{}, nfssim.MountOptions{})
	m.once("open", nfssim.Fate{Back: time.Second})
	k := m.a.begin(identify("x"))
	m.pass(time.Millisecond)
	m.a.must(mkdir("x"))
	if !k.within(time.Minute) {
		t.Fatal("no answer")
	}
	m.a.want("rmdir", nil, rmdir("x"))
}

// TestReuseInodes: the number is the removed file's, the handle isn't.
func TestReuseInodes(t *testing.T) {
	for _, reuse := range []bool{false, true} {
		m := newModel(t, nfssim.Options{ReuseInodes: reuse}, nfssim.MountOptions{})
		m.a.must(create("x"))
		old, _, _ := m.s.Lookup("x")
		m.b.must(remove("x"), create("x"))
		now, _, _ := m.s.Lookup("x")
		if (old == now) != reuse {
			t.Errorf("reuse %v: %d, then %d", reuse, old, now)
		}
		m.a.must(func(fs vfs.FS) error {
			id, err := fs.Identify("x")
			if id.Ino != now {
				t.Errorf("got %d, want %d", id.Ino, now)
			}
			return err
		})
		if data, ok := m.s.Data(now); !ok || string(data) != "x" {
			t.Errorf("contents %q, %v", data, ok)
		}
		if _, ok := m.s.Data(old); ok != reuse {
			t.Errorf("contents of what was removed: %v", ok)
		}
	}
}

// TestOpenKeepsFile: with version 4 what is open elsewhere stays until it is
// closed; with version 3 its handle is stale.
func TestOpenKeepsFile(t *testing.T) {
	for version, want := range map[string]error{"4.2": nil, "3": syscall.ESTALE} {
		m := newModel(t, nfssim.Options{Version: version}, nfssim.MountOptions{})
		var r vfs.Record
		m.a.must(func(fs vfs.FS) (err error) { r, err = fs.OpenRecord("r"); return err })
		ino, _, _ := m.s.Lookup("r")
		m.b.must(remove("r"))
		m.a.want("write, version "+version, want, func(vfs.FS) error { return r.Write([]byte("1")) })
		m.a.must(func(vfs.FS) error { return r.Close() })
		if _, ok := m.s.Data(ino); ok {
			t.Error("the file is still there")
		}
	}
}
