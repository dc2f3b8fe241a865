package memfs_test

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"

	"fencepost/spool/vfs"
	"fencepost/spool/vfs/memfs"
)

const limit = 1 << 20

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, fs vfs.FS, name, data string) {
	t.Helper()
	_, err := fs.Create(name, []byte(data))
	must(t, err)
}

func wantErr(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// has looks without faults, from a view of its own.
func has(m *memfs.Mem, name string) bool {
	var found bool
	m.Quiet(func() {
		dir, base := vfs.Split(name)
		names, err := m.View("looker").List(dir)
		found = err == nil && slices.Contains(names, base)
	})
	return found
}

// on gives one verdict to one kind of operation.
func on(kind string, v memfs.Verdict) func(memfs.Op) memfs.Verdict {
	return func(op memfs.Op) memfs.Verdict {
		if op.Kind == kind {
			return v
		}
		return memfs.Verdict{}
	}
}

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		name    string
		verdict memfs.Verdict
		err     error
		done    bool
		landed  bool // after LandAll
	}{
		{"zero", memfs.Verdict{}, nil, true, true},
		{"through", memfs.Verdict{Apply: true}, nil, true, true},
		{"not done", memfs.Verdict{Err: syscall.EIO}, syscall.EIO, false, false},
		{"done", memfs.Verdict{Apply: true, Err: syscall.ENOENT}, syscall.ENOENT, true, true},
		{"dies before", memfs.Verdict{Die: true}, memfs.ErrDead, false, false},
		{"dies after", memfs.Verdict{Apply: true, Die: true}, memfs.ErrDead, true, true},
		{"late", memfs.Verdict{Late: true, Die: true}, memfs.ErrDead, false, true},
		{"late, soft mount", memfs.Verdict{Late: true, Err: syscall.EIO}, syscall.EIO, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := memfs.New(memfs.Options{})
			v := m.View("a")
			create(t, v, "x", "one")
			m.Inject = on(memfs.Rename, c.verdict)
			err := v.Rename("x", "y")
			if !errors.Is(err, c.err) {
				t.Errorf("got %v, want %v", err, c.err)
			}
			if got := has(m, "y"); got != c.done || has(m, "x") == c.done {
				t.Errorf("done: got %v, want %v", got, c.done)
			}
			m.LandAll()
			if got := has(m, "y"); got != c.landed {
				t.Errorf("landed: got %v, want %v", got, c.landed)
			}
			if v.Dead() != (c.err == memfs.ErrDead) {
				t.Errorf("dead: %v", v.Dead())
			}
		})
	}
}

func TestTorn(t *testing.T) {
	m := memfs.New(memfs.Options{})
	v := m.View("a")
	rec, err := v.OpenRecord("record")
	must(t, err)
	must(t, rec.Write([]byte("1111")))
	log, err := v.OpenLog("log")
	must(t, err)
	m.Inject = func(memfs.Op) memfs.Verdict {
		return memfs.Verdict{Apply: true, Torn: true, Err: syscall.ENOSPC}
	}
	_, err = v.Create("file", []byte("one two"))
	wantErr(t, "create", err, syscall.ENOSPC)
	wantErr(t, "record", rec.Write([]byte("2222")), syscall.ENOSPC)
	wantErr(t, "log", log.Append([]byte("3333")), syscall.ENOSPC)
	m.Inject = nil
	for name, want := range map[string]string{"file": "one", "record": "2211", "log": "33"} {
		if data, _, err := v.Read(name, limit); err != nil || string(data) != want {
			t.Errorf("%s: got %q, %v, want %q", name, data, err, want)
		}
	}
}

// TestLateAndRemoved: an operation lands in the directory that it was sent to,
// not in one that was made since under the same name.
func TestLateAndRemoved(t *testing.T) {
	m := memfs.New(memfs.Options{})
	a, b := m.View("a"), m.View("b")
	must(t, a.Mkdir("claims"))
	create(t, a, "x", "")
	m.Inject = on(memfs.Rename, memfs.Verdict{Late: true, Die: true})
	wantErr(t, "rename", a.Rename("x", "claims/x"), memfs.ErrDead)
	m.Inject = nil
	must(t, b.Rmdir("claims"))
	must(t, b.Mkdir("claims"))
	late := m.Pending()
	if len(late) != 1 || late[0].View != "a" {
		t.Fatalf("pending: %v", late)
	}
	wantErr(t, "landing", m.Land(late[0].N), syscall.ENOENT)
	if !has(m, "x") || has(m, "claims/x") {
		t.Errorf("it landed:\n%s", m.Tree())
	}
}

// TestLateABA: a late rename takes whatever has its source's name then.
func TestLateABA(t *testing.T) {
	m := memfs.New(memfs.Options{})
	a, b := m.View("a"), m.View("b")
	must(t, a.Mkdir("claims"))
	create(t, b, "x", "first")
	m.Inject = on(memfs.Rename, memfs.Verdict{Late: true, Die: true})
	_ = a.Rename("x", "claims/x")
	m.Inject = nil
	must(t, b.Rename("x", "done"))
	create(t, b, "x", "second")
	m.LandAll()
	if data, _, err := b.Read("claims/x", limit); err != nil || string(data) != "second" {
		t.Errorf("got %q, %v", data, err)
	}
}

func TestDeath(t *testing.T) {
	m := memfs.New(memfs.Options{})
	v := m.View("a")
	rec, err := v.OpenRecord("r")
	must(t, err)
	must(t, rec.Lock())
	lock, err := v.TryLock("lock")
	must(t, err)
	v.Die()
	_, _, rerr := v.Read("r", limit)
	for what, err := range map[string]error{
		"read": rerr, "rename": v.Rename("r", "s"), "write": rec.Write([]byte("1")), "unlock": lock.Unlock(),
	} {
		if err != memfs.ErrDead {
			t.Errorf("%s: got %v", what, err)
		}
		var errno syscall.Errno
		if errors.As(err, &errno) {
			t.Errorf("%s: %v has an errno", what, err)
		}
	}
	next := m.View("a") // the same host, restarted
	_, err = next.TryLock("lock")
	must(t, err)
	next.Vanish()
	_, err = m.View("b").TryLock("lock")
	wantErr(t, "lock of a host that is gone", err, vfs.ErrLocked)
	m.DropLocks("a")
	_, err = m.View("b").TryLock("lock")
	must(t, err)

	defer func() {
		if p := recover(); p == nil {
			t.Error("a dead process may go on for ever")
		}
	}()
	for {
		_, _ = v.List(".")
	}
}

func TestDropLocks(t *testing.T) {
	m := memfs.New(memfs.Options{})
	a, b := m.View("a"), m.View("b")
	rec, err := a.OpenRecord("r")
	must(t, err)
	must(t, rec.Lock())
	must(t, rec.Write([]byte("1")))
	_, err = b.TryLock("r")
	wantErr(t, "b", err, vfs.ErrLocked)
	m.DropLocks("a")
	wantErr(t, "write", rec.Write([]byte("2")), syscall.EIO)
	must(t, rec.Lock()) // Linux says yes, if nobody has it ...
	wantErr(t, "write after it", rec.Write([]byte("2")), syscall.EIO)
	must(t, rec.Close())
	if data, _, err := b.Read("r", limit); err != nil || string(data) != "1" {
		t.Errorf("got %q, %v", data, err)
	}
	lock, err := b.TryLock("r")
	must(t, err)
	must(t, lock.Unlock())

	// An Unlock after the loss doesn't free the new holder's lock.
	lock, err = a.TryLock("l")
	must(t, err)
	m.DropLocks("a")
	_, err = b.TryLock("l")
	must(t, err)
	must(t, lock.Unlock())
	_, err = a.TryLock("l")
	wantErr(t, "a again", err, vfs.ErrLocked)
}

func TestFreeze(t *testing.T) {
	m := memfs.New(memfs.Options{})
	a, b := m.View("a"), m.View("b")
	must(t, b.Mkdir("d"))
	create(t, b, "d/x", "one")
	for _, name := range []string{"d", "d/x", "d/y"} {
		a.Freeze(name)
	}
	must(t, b.Rename("d/x", "d/y"))

	names, err := a.List("d")
	if err != nil || !slices.Equal(names, []string{"x"}) {
		t.Errorf("stale listing: %q, %v", names, err)
	}
	if data, _, err := a.Read("d/x", limit); err != nil || string(data) != "one" {
		t.Errorf("stale file: %q, %v", data, err)
	}
	_, err = a.Identify("d/y")
	wantErr(t, "stale absence", err, syscall.ENOENT)

	// Once only.
	names, err = a.List("d")
	if err != nil || !slices.Equal(names, []string{"y"}) {
		t.Errorf("second listing: %q, %v", names, err)
	}
	_, err = a.Identify("d/x")
	wantErr(t, "second look", err, syscall.ENOENT)
	if _, err = a.Identify("d/y"); err != nil {
		t.Error(err)
	}
}

func TestStaleListing(t *testing.T) {
	m := memfs.New(memfs.Options{})
	v := m.View("a")
	must(t, v.Mkdir("d"))
	stale := func(want ...string) {
		t.Helper()
		m.Inject = on(memfs.List, memfs.Verdict{Apply: true, Stale: true})
		got, err := v.List("d")
		m.Inject = nil
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	stale()
	create(t, v, "d/a", "")
	stale()
	create(t, v, "d/b", "")
	stale("a")
	must(t, v.Rename("d/a", "d/c"))
	stale("a", "b")
	must(t, v.Remove("d/b"))
	stale("b", "c")
	must(t, v.Rename("d/c", "e"))
	stale("c")
}

func TestInodes(t *testing.T) {
	id := func(v *memfs.View) vfs.ID {
		id, err := v.Create("x", nil)
		must(t, err)
		must(t, v.Remove("x"))
		return id
	}
	v := memfs.New(memfs.Options{}).View("a")
	if first, second := id(v), id(v); first == second {
		t.Error("a number was used twice")
	}
	v = memfs.New(memfs.Options{ReuseInodes: true}).View("a")
	if first, second := id(v), id(v); first != second {
		t.Error("a number wasn't used again")
	}
	rec, err := v.OpenRecord("r")
	must(t, err)
	first, err := v.Identify("r")
	must(t, err)
	must(t, v.Remove("r"))
	if id(v) == first {
		t.Error("the number of an open file was used again")
	}
	must(t, rec.Close())
	if id(v) != first {
		t.Error("the number of a closed file wasn't used again")
	}
}

func TestPoints(t *testing.T) {
	m := memfs.New(memfs.Options{})
	a, b := m.View("a"), m.View("b")
	create(t, a, "x", "")
	create(t, a, "y", "")
	var order []string
	m.Before = func(op memfs.Op) { order = append(order, "before "+op.View+" "+op.Kind) }
	m.After = func(op memfs.Op) { order = append(order, "after "+op.View+" "+op.Kind) }
	m.At(memfs.Point{View: "a", Kind: memfs.Rename, Name: "y"}, func() {
		must(t, b.Rename("y", "b-y")) // b wins, just before a
	})
	m.At(memfs.Point{Kind: memfs.Rename, N: 1, After: true}, func() { a.Die() })
	m.At(memfs.Point{Kind: memfs.Link}, func() {})
	must(t, a.Rename("x", "a-x"))
	wantErr(t, "a", a.Rename("y", "a-y"), memfs.ErrDead)
	want := "before a rename,after a rename,before a rename,before b rename,after b rename"
	if got := strings.Join(order, ","); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if left := m.Unfired(); len(left) != 1 || left[0].Kind != memfs.Link {
		t.Errorf("unfired: %v", left)
	}
	if !has(m, "b-y") || !has(m, "a-x") {
		t.Error(m.Tree())
	}
}

func TestTrace(t *testing.T) {
	m := memfs.New(memfs.Options{})
	a, b := m.View("a"), m.View("b")
	create(t, a, "x", "")
	m.Inject = on(memfs.Rename, memfs.Verdict{Apply: true, Err: syscall.ENOENT})
	_ = b.Rename("x", "y")
	_ = b.Mkdir("x/y")
	want := "  0 a create x: ok\n" +
		"  1 b rename x -> y: ENOENT   <- applied\n" +
		"  2 b mkdir x/y: ENOENT\n"
	if got := m.Trace().String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for _, c := range []struct {
		view, kind string
		want       int
	}{{"", "", 3}, {"a", "", 1}, {"b", "", 2}, {"", memfs.Rename, 1}, {"a", memfs.Rename, 0}} {
		if got := m.Count(c.view, c.kind); got != c.want {
			t.Errorf("count %q %q: got %d, want %d", c.view, c.kind, got, c.want)
		}
		if got := len(m.Trace().Of(c.view, c.kind)); got != c.want {
			t.Errorf("trace of %q %q: got %d, want %d", c.view, c.kind, got, c.want)
		}
	}
}

func TestShuffle(t *testing.T) {
	list := func(seed uint64) string {
		v := memfs.New(memfs.Options{Shuffle: seed}).View("a")
		for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
			create(t, v, name, "")
		}
		names, err := v.List(".")
		must(t, err)
		return strings.Join(names, "")
	}
	if got := list(0); got != "abcdef" {
		t.Errorf("got %q, want them sorted", got)
	}
	if first, again := list(7), list(7); first != again || list(7) == list(0) || list(7) == list(8) {
		t.Errorf("orders: %q %q %q", list(0), list(7), list(8))
	}
}
