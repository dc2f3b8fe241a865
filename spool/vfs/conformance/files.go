package vfstest

import (
	"bytes"
	"os"
	"strings"
	"syscall"
	"testing"

	"fencepost/spool/vfs"
)

func testCreate(t *testing.T, fs vfs.FS) {
	must(t, fs.Mkdir("d"))
	big := strings.Repeat("0123456789abcdef", 20000)
	seen := map[vfs.ID]string{}
	for name, data := range map[string]string{"a": "one", "d/b": "", "d/c": big} {
		id := create(t, fs, name, data)
		wantFile(t, fs, name, data, id)
		if other, dup := seen[id]; dup {
			t.Errorf("%q and %q have the same ID", name, other)
		}
		seen[id] = name
	}
	must(t, fs.Sync("d", ".", "d"))

	// What was given stays the caller's.
	data := []byte("mine")
	_, err := fs.Create("e", data)
	must(t, err)
	data[0] = 'M'
	if got, _, err := fs.Read("e", limit); err != nil || string(got) != "mine" {
		t.Errorf("got %q, %v after the caller changed its slice", got, err)
	}
}

func testCreateRefuses(t *testing.T, fs vfs.FS) {
	id := create(t, fs, "a", "one")
	must(t, fs.Mkdir("d"))
	for name, want := range map[string]error{
		"a":      syscall.EEXIST,
		"d":      syscall.EEXIST,
		"none/b": syscall.ENOENT,
		"a/b":    syscall.ENOTDIR,
	} {
		_, err := fs.Create(name, []byte("two"))
		wantErr(t, "create "+name, err, want)
	}
	wantFile(t, fs, "a", "one", id)
}

func testRead(t *testing.T, fs vfs.FS) {
	create(t, fs, "a", "one")
	for name, want := range map[string]error{
		"none":   syscall.ENOENT,
		"none/a": syscall.ENOENT,
		"a/b":    syscall.ENOTDIR,
	} {
		_, _, err := fs.Read(name, limit)
		wantErr(t, "read "+name, err, want)
	}
	// A result is the caller's: no later read sees what was done to it.
	first, _, err := fs.Read("a", limit)
	must(t, err)
	clear(first)
	second, _, err := fs.Read("a", limit)
	must(t, err)
	if string(second) != "one" {
		t.Errorf("second read: got %q", second)
	}
}

func testReadLimit(t *testing.T, fs vfs.FS) {
	create(t, fs, "empty", "")
	create(t, fs, "ten", "0123456789")
	for _, c := range []struct {
		name  string
		limit int64
		large bool
	}{
		{"empty", 0, false}, {"empty", 1, false},
		{"ten", 0, true}, {"ten", 9, true}, {"ten", 10, false}, {"ten", 11, false},
	} {
		data, _, err := fs.Read(c.name, c.limit)
		if c.large {
			wantErr(t, c.name, err, vfs.ErrTooLarge)
		} else if err != nil {
			t.Errorf("read %q, limit %d: %v", c.name, c.limit, err)
		} else if want := map[string]string{"ten": "0123456789"}[c.name]; string(data) != want {
			t.Errorf("read %q, limit %d: got %q", c.name, c.limit, data)
		}
	}
}

func testNotRegular(t *testing.T, fs vfs.FS) {
	must(t, fs.Mkdir("d"))
	_, _, err := fs.Read("d", limit)
	wantErr(t, "read", err, vfs.ErrNotRegular)
	_, err = fs.Identify("d")
	wantErr(t, "identify", err, vfs.ErrNotRegular)
	_, err = fs.OpenRecord("d")
	wantErr(t, "record", err, vfs.ErrNotRegular)
	_, err = fs.TryLock("d")
	wantErr(t, "lock", err, vfs.ErrNotRegular)
	_, err = fs.OpenLog("d")
	wantErr(t, "log", err, syscall.EEXIST)
}

func testIdentify(t *testing.T, fs vfs.FS) {
	a, b := create(t, fs, "a", "same"), create(t, fs, "b", "same")
	must(t, fs.Link("a", "a2"))
	for name, want := range map[string]vfs.ID{"a": a, "a2": a, "b": b} {
		got, err := fs.Identify(name)
		if err != nil || got != want {
			t.Errorf("identify %q: got %+v, %v, want %+v", name, got, err, want)
		}
	}
	_, err := fs.Identify("none")
	wantErr(t, "identify", err, syscall.ENOENT)

	// The identity is the file's, not the name's.
	must(t, fs.Rename("a2", "c"))
	must(t, fs.Remove("a"))
	if got, err := fs.Identify("c"); err != nil || got != a {
		t.Errorf("after a rename: got %+v, %v, want %+v", got, err, a)
	}
}

// badNames would leave the root, or have two spellings.
var badNames = []string{"", ".", "..", "../a", "d/..", "d/../a", "/a", "/", "a/", "d//a", "d/./a", "./a", "a\x00b", "d/a\x00"}

func testNames(t *testing.T, fs vfs.FS) {
	create(t, fs, "a", "one")
	must(t, fs.Mkdir("d"))
	for _, bad := range badNames {
		_, cerr := fs.Create(bad, nil)
		_, _, rerr := fs.Read(bad, limit)
		_, ierr := fs.Identify(bad)
		_, recerr := fs.OpenRecord(bad)
		_, logerr := fs.OpenLog(bad)
		_, lockerr := fs.TryLock(bad)
		for what, err := range map[string]error{
			"create": cerr, "read": rerr, "identify": ierr, "record": recerr, "log": logerr, "lock": lockerr,
			"rename from": fs.Rename(bad, "b"), "rename to": fs.Rename("a", bad),
			"link from": fs.Link(bad, "b"), "link to": fs.Link("a", bad),
			"mkdir": fs.Mkdir(bad), "rmdir": fs.Rmdir(bad), "remove": fs.Remove(bad),
		} {
			wantErr(t, what+" "+bad, err, syscall.EINVAL)
		}
		if bad == "." { // the root can be listed and synced
			continue
		}
		_, err := fs.List(bad)
		wantErr(t, "list "+bad, err, syscall.EINVAL)
		wantErr(t, "sync "+bad, fs.Sync(bad), syscall.EINVAL)
	}
}

func testNameLength(t *testing.T, fs vfs.FS) {
	id := create(t, fs, strings.Repeat("n", 255), "long")
	wantFile(t, fs, strings.Repeat("n", 255), "long", id)
	_, err := fs.Create(strings.Repeat("n", 256), nil)
	wantErr(t, "create", err, syscall.ENAMETOOLONG)
	wantErr(t, "rename", fs.Rename(strings.Repeat("n", 255), strings.Repeat("m", 256)), syscall.ENAMETOOLONG)
}

// testErrors: each error bears the names as they were given, and an errno.
func testErrors(t *testing.T, fs vfs.FS) {
	must(t, fs.Mkdir("d"))
	_, cerr := fs.Create("none/x1", nil)
	_, _, rerr := fs.Read("d/x2", limit)
	_, ierr := fs.Identify("d/x3")
	_, lerr := fs.List("d/x4")
	_, recerr := fs.OpenRecord("none/x5")
	_, logerr := fs.OpenLog("none/x6")
	_, lockerr := fs.TryLock("none/x7")
	for names, err := range map[string]error{
		"none/x1": cerr, "d/x2": rerr, "d/x3": ierr, "d/x4": lerr,
		"none/x5": recerr, "none/x6": logerr, "none/x7": lockerr,
		"d/r1 d/r2": fs.Rename("d/r1", "d/r2"), "d/l1 d/l2": fs.Link("d/l1", "d/l2"),
		"none/m": fs.Mkdir("none/m"), "d/rm": fs.Rmdir("d/rm"), "d/un": fs.Remove("d/un"),
	} {
		if !hasErrno(err) {
			t.Errorf("%s: no errno in %v", names, err)
			continue
		}
		wantErr(t, names, err, syscall.ENOENT)
		for _, name := range strings.Fields(names) {
			if n := strings.Count(err.Error(), name); n != 1 {
				t.Errorf("%d times %q in %q, want once", n, name, err)
			}
		}
		if r, ok := fs.(rooted); ok && strings.Contains(err.Error(), r.Root()) {
			t.Errorf("the root's path in %q", err)
		}
	}
}

func testModes(t *testing.T, fs vfs.FS) {
	r, ok := fs.(rooted)
	if !ok {
		t.Skip("no modes")
	}
	for _, mask := range []int{0o022, 0o077, 0o007} {
		old := syscall.Umask(mask)
		create(t, fs, "a", "one")
		must(t, fs.Mkdir("d"))
		log, err := fs.OpenLog("log")
		must(t, err)
		rec, err := fs.OpenRecord("record")
		must(t, err)
		lock, err := fs.TryLock("lock")
		must(t, err)
		syscall.Umask(old)
		must(t, log.Close())
		must(t, rec.Close())
		must(t, lock.Unlock())
		for name, want := range map[string]os.FileMode{"a": 0o440, "d": 0o770, "log": 0o640, "record": 0o640, "lock": 0o660} {
			fi, err := os.Lstat(r.Root() + "/" + name)
			must(t, err)
			if got := fi.Mode().Perm(); got != want&^os.FileMode(mask) {
				t.Errorf("%s, umask %03o: mode %03o, want %03o", name, mask, got, want&^os.FileMode(mask))
			}
			must(t, os.Remove(r.Root()+"/"+name))
		}
	}
}

// testForeignNames: whatever somebody else put there can be listed and moved.
func testForeignNames(t *testing.T, fs vfs.FS) {
	must(t, fs.Mkdir("d"))
	for _, name := range []string{"d/sp ace", "d/new\nline", "d/\xff\xfe", "d/.nfs0001", "d/-rf", "d/a\\b"} {
		id, err := fs.Create(name, []byte(name))
		if err != nil {
			t.Logf("create %q: %v", name, err) // some mounts take UTF-8 only
			continue
		}
		must(t, fs.Rename(name, name+"2"))
		wantFile(t, fs, name+"2", name, id)
		names, err := fs.List("d")
		must(t, err)
		if !bytes.Contains([]byte(strings.Join(names, "\x00")), []byte(name[2:]+"2")) {
			t.Errorf("%q isn't listed: %q", name[2:]+"2", names)
		}
	}
}
