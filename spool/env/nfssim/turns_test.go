package nfssim_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"fencepost/spool/env/nfssim"
	"fencepost/spool/vfs"
)

// TestThoroughCosts: what a client asks that leaves nothing out. It is what Linux
// was seen to ask for a job, see docs/scaling.md.
func TestThoroughCosts(t *testing.T) {
	m := newModel(t, nfssim.Options{}, nfssim.MountOptions{Thorough: true})
	m.b.must(mkdir("d"), create("d/1"), list("."))
	var sent []string
	m.s.Fate = func(k *nfssim.Call) nfssim.Fate { sent = append(sent, k.RPC); return nfssim.Fate{} }
	m.a.must(list("."), list("d"))
	for _, c := range []struct {
		what string
		call func(vfs.FS) error
		want string
	}{
		{"create", create("d/2"), "open write close"},
		{"link", link("d/2", "d/3"), "access link"},
		{"read another's", func(fs vfs.FS) error { _, _, err := fs.Read("d/1", 100); return err }, "openfile read close"},
		{"rename", rename("d/2", "d/4"), "rename"},
		{"remove", remove("d/3"), "remove"},
	} {
		sent = nil
		m.a.must(c.call)
		if got := strings.Join(sent, " "); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
}

// TestTurns: a client's kernel renames from one directory to another one at a
// time, and changes each directory one name at a time; another client's doesn't
// wait for it.
func TestTurns(t *testing.T) {
	const way = 250 * time.Microsecond
	for _, c := range []struct {
		what     string
		thorough bool
		renames  func(i int) (from, to string)
		byB      bool
		trips    time.Duration // until all are done
		renaming time.Duration // trips of host a
	}{
		{"between directories", true, func(i int) (string, string) { return fmt.Sprintf("a%d/x", i), fmt.Sprintf("b%d/x", i) }, false, 3, 3},
		{"within one directory each", true, func(i int) (string, string) { return fmt.Sprintf("a%d/x", i), fmt.Sprintf("a%d/y", i) }, false, 1, 0},
		{"within one directory", true, func(i int) (string, string) { return fmt.Sprintf("d/%d", i), fmt.Sprintf("d/new%d", i) }, false, 3, 0},
		{"between directories, by two hosts", true, func(i int) (string, string) { return fmt.Sprintf("a%d/x", i), fmt.Sprintf("b%d/x", i) }, true, 2, 2},
		{"by a client that models no locks", false, func(i int) (string, string) { return fmt.Sprintf("a%d/x", i), fmt.Sprintf("b%d/x", i) }, false, 1, 0},
	} {
		m := newModel(t, nfssim.Options{}, nfssim.MountOptions{Thorough: c.thorough})
		m.a.must(mkdir("d"))
		for i := range 3 {
			m.a.must(mkdir(fmt.Sprintf("a%d", i)), mkdir(fmt.Sprintf("b%d", i)), create(fmt.Sprintf("a%d/x", i)), create(fmt.Sprintf("d/%d", i)))
		}
		// Both know all names, so that a rename is one call.
		for _, h := range []*host{m.a, m.b} {
			h.must(list("."), list("d"))
			for i := range 3 {
				h.must(list(fmt.Sprintf("a%d", i)), list(fmt.Sprintf("b%d", i)))
			}
		}
		start, ended := m.w.Now(), time.Duration(0)
		var calls []*call
		for i := range 3 {
			h := m.a
			if c.byB && i == 1 {
				h = m.b
			}
			calls = append(calls, h.begin(func(fs vfs.FS) error {
				err := fs.Rename(c.renames(i))
				ended = m.w.Now()
				return err
			}))
		}
		for _, call := range calls {
			if !call.within(time.Minute) || call.err != nil {
				t.Fatal(c.what, call.err)
			}
		}
		if got, want := ended-start, c.trips*2*way; got != want {
			t.Errorf("%s: three renames took %v, want %v", c.what, got, want)
		}
		if got, want := m.a.c.Renaming(), c.renaming*2*way; got != want {
			t.Errorf("%s: the host was renaming for %v, want %v", c.what, got, want)
		}
	}
}

// TestAdmit: a request waits until it is served, and says what it is about to
// change.
func TestAdmit(t *testing.T) {
	m := newModel(t, nfssim.Options{}, nfssim.MountOptions{})
	m.a.must(mkdir("d"), mkdir("e"), create("d/1"), create("d/2"))
	ino := func(dir string) uint64 {
		n, _, ok := m.s.Lookup(dir)
		if !ok {
			t.Fatal("no " + dir)
		}
		return n
	}
	d, e := ino("d"), ino("e")
	var got []string
	m.s.Admit = func(a nfssim.Arrival) {
		one, other := a.Dirs()
		got = append(got, fmt.Sprint(a.RPC(), " ", one == d, one == e, other == e, " ", a.Durable(), " ", a.Call().Op))
		m.w.After(time.Second, a.Serve)
	}
	for _, c := range []struct {
		call func(vfs.FS) error
		want string
	}{
		{rename("d/1", "e/1"), "rename true false true true rename"},
		{rename("d/2", "d/3"), "rename true false false true rename"},
		{remove("d/3"), "remove true false false true remove"},
		{mkdir("e/f"), "mkdir false true false true mkdir"},
		{create("e/2"), "open false true false true create, write false false false true create, setattr false false false true create"},
		{link("e/2", "d/5"), "link true false false true link"},
		{identify("e/2"), "openfile false false false false identify"},
	} {
		got = nil
		start := m.w.Now()
		m.a.must(c.call)
		if all := strings.Join(got, ", "); all != c.want {
			t.Errorf("%s, want %s", all, c.want)
		}
		if took := m.w.Now() - start; took < time.Duration(len(got))*time.Second {
			t.Errorf("%s: served after %v", c.want, took)
		}
	}
	// What another was quicker with changes nothing.
	m.b.must(remove("e/1"))
	got = nil
	if m.a.do(rename("e/1", "d/1")) == nil || len(got) == 0 || !strings.Contains(got[len(got)-1], "false rename") {
		t.Errorf("a rename of what is gone: %v", got)
	}
}
