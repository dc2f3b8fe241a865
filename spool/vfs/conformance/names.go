package vfstest

import (
	"slices"
	"syscall"
	"testing"

	"fencepost/spool/vfs"
)

func testRename(t *testing.T, fs vfs.FS) {
	must(t, fs.Mkdir("d"))
	must(t, fs.Mkdir("e"))
	id := create(t, fs, "a", "one")
	from := "a"
	for _, to := range []string{"b", "d/b", "d/c", "e/c", "f"} {
		must(t, fs.Rename(from, to))
		must(t, fs.Sync("d", "e", "."))
		wantNone(t, fs, from)
		wantFile(t, fs, to, "one", id)
		wantErr(t, "again", fs.Rename(from, to), syscall.ENOENT)
		from = to
	}
}

func testRenameReplaces(t *testing.T, fs vfs.FS) {
	a := create(t, fs, "a", "one")
	b := create(t, fs, "b", "two")
	must(t, fs.Link("b", "b2"))
	must(t, fs.Rename("a", "b"))
	wantNone(t, fs, "a")
	wantFile(t, fs, "b", "one", a)
	wantFile(t, fs, "b2", "two", b) // the replaced file's other name
}

// testRenameSameFile pins the trap: "ok", and both names stay.
func testRenameSameFile(t *testing.T, fs vfs.FS) {
	id := create(t, fs, "a", "one")
	must(t, fs.Link("a", "b"))
	must(t, fs.Rename("a", "b"))
	wantFile(t, fs, "a", "one", id)
	wantFile(t, fs, "b", "one", id)
	must(t, fs.Rename("a", "a"))
	wantFile(t, fs, "a", "one", id)
}

func testRenameRefuses(t *testing.T, fs vfs.FS) {
	create(t, fs, "a", "one")
	must(t, fs.Mkdir("d"))
	must(t, fs.Mkdir("full"))
	create(t, fs, "full/x", "")
	for _, c := range []struct {
		from, to string
		want     []error
	}{
		{"none", "b", []error{syscall.ENOENT}},
		{"none", "a", []error{syscall.ENOENT}},
		{"a", "none/a", []error{syscall.ENOENT}},
		{"none/a", "b", []error{syscall.ENOENT}},
		{"a/b", "b", []error{syscall.ENOTDIR}},
		{"a", "full/x/y", []error{syscall.ENOTDIR}},
		{"a", "d", []error{syscall.EISDIR}},
		{"d", "a", []error{syscall.ENOTDIR}},
		{"d", "full", []error{syscall.ENOTEMPTY, syscall.EEXIST}},
		{"d", "d/below", []error{syscall.EINVAL}},
	} {
		wantErr(t, c.from+" to "+c.to, fs.Rename(c.from, c.to), c.want...)
	}
	names, err := fs.List(".")
	must(t, err)
	slices.Sort(names)
	if want := []string{"a", "d", "full"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
}

// testRenameRemovedDir is the fence: a removed directory takes and gives
// nothing, whatever name is used.
func testRenameRemovedDir(t *testing.T, fs vfs.FS) {
	must(t, fs.Mkdir("claims"))
	must(t, fs.Mkdir("claims/h"))
	id := create(t, fs, "a", "one")
	must(t, fs.Rename("a", "claims/h/a"))
	wantErr(t, "rmdir", fs.Rmdir("claims/h"), syscall.ENOTEMPTY)
	must(t, fs.Rename("claims/h/a", "a2"))
	must(t, fs.Rmdir("claims/h"))
	wantErr(t, "into", fs.Rename("a2", "claims/h/a"), syscall.ENOENT)
	wantErr(t, "out of", fs.Rename("claims/h/a", "a3"), syscall.ENOENT)
	wantErr(t, "link into", fs.Link("a2", "claims/h/a"), syscall.ENOENT)
	_, err := fs.Create("claims/h/x", nil)
	wantErr(t, "create in", err, syscall.ENOENT)
	_, err = fs.List("claims/h")
	wantErr(t, "list", err, syscall.ENOENT)
	wantErr(t, "rmdir again", fs.Rmdir("claims/h"), syscall.ENOENT)
	wantFile(t, fs, "a2", "one", id)
}

// testRenameDir: the protocol moves no directory, but a foreign one that lies
// in its way it does.
func testRenameDir(t *testing.T, fs vfs.FS) {
	must(t, fs.Mkdir("d"))
	must(t, fs.Mkdir("d/sub"))
	must(t, fs.Mkdir("e"))
	must(t, fs.Mkdir("empty"))
	id := create(t, fs, "d/sub/a", "one")
	must(t, fs.Rename("d/sub", "e/sub2"))
	wantFile(t, fs, "e/sub2/a", "one", id)
	wantNone(t, fs, "d/sub")
	must(t, fs.Rename("e/sub2", "empty")) // an empty directory is replaced
	wantFile(t, fs, "empty/a", "one", id)
	must(t, fs.Rmdir("d"))
	must(t, fs.Rmdir("e"))
}

func testRenameRace(t *testing.T, fs vfs.FS) {
	const files, hosts = 20, 8
	for i := range hosts {
		must(t, fs.Mkdir(nameOf(i)))
	}
	must(t, fs.Mkdir("in"))
	for i := range files {
		name := nameOf(i)
		create(t, fs, "in/"+name, name)
		errs := race(hosts, func(h int) error { return fs.Rename("in/"+name, nameOf(h)+"/"+name) })
		if n := winners(t, errs, syscall.ENOENT); n != 1 {
			t.Errorf("%d winners", n)
		}
	}
	total := 0
	for i := range hosts {
		names, err := fs.List(nameOf(i))
		must(t, err)
		total += len(names)
	}
	if total != files {
		t.Errorf("%d files after the race, want %d", total, files)
	}
}

func testLink(t *testing.T, fs vfs.FS) {
	must(t, fs.Mkdir("gate"))
	id := create(t, fs, "a", "one")
	must(t, fs.Link("a", "gate/a"))
	must(t, fs.Sync("gate"))
	wantFile(t, fs, "a", "one", id)
	wantFile(t, fs, "gate/a", "one", id)
	must(t, fs.Remove("a"))
	wantFile(t, fs, "gate/a", "one", id)
}

func testLinkRefuses(t *testing.T, fs vfs.FS) {
	create(t, fs, "a", "one")
	b := create(t, fs, "b", "two")
	must(t, fs.Mkdir("d"))
	must(t, fs.Link("a", "a2"))
	for _, c := range []struct {
		from, to string
		want     []error
	}{
		{"a", "b", []error{syscall.EEXIST}},
		{"a", "a", []error{syscall.EEXIST}},
		{"a", "a2", []error{syscall.EEXIST}}, // even if it is the same file
		{"a", "d", []error{syscall.EEXIST}},
		{"none", "c", []error{syscall.ENOENT}},
		{"a", "none/c", []error{syscall.ENOENT}},
		{"d", "c", []error{syscall.EPERM}},
		{"a/b", "c", []error{syscall.ENOTDIR}},
	} {
		wantErr(t, c.from+" to "+c.to, fs.Link(c.from, c.to), c.want...)
	}
	wantFile(t, fs, "b", "two", b)
}

func testLinkRace(t *testing.T, fs vfs.FS) {
	const hosts = 8
	ids := make([]vfs.ID, hosts)
	for i := range hosts {
		ids[i] = create(t, fs, nameOf(i), nameOf(i))
	}
	errs := race(hosts, func(h int) error { return fs.Link(nameOf(h), "gate") })
	if n := winners(t, errs, syscall.EEXIST); n != 1 {
		t.Errorf("%d winners", n)
	}
	got, err := fs.Identify("gate")
	must(t, err)
	for h, err := range errs {
		if (err == nil) != (ids[h] == got) {
			t.Errorf("host %d: %v, but the gate's file is %+v, its own %+v", h, err, got, ids[h])
		}
	}
}

func testMkdir(t *testing.T, fs vfs.FS) {
	must(t, fs.Mkdir("d"))
	must(t, fs.Mkdir("d/e"))
	must(t, fs.Sync("d", "."))
	create(t, fs, "a", "")
	for dir, want := range map[string]error{
		"d":        syscall.EEXIST,
		"a":        syscall.EEXIST,
		"none/e/f": syscall.ENOENT, // parents are never made
		"a/b":      syscall.ENOTDIR,
	} {
		wantErr(t, "mkdir "+dir, fs.Mkdir(dir), want)
	}
	wantNone(t, fs, "none")
	errs := race(8, func(int) error { return fs.Mkdir("d/race") })
	if n := winners(t, errs, syscall.EEXIST); n != 1 {
		t.Errorf("%d winners", n)
	}
}

func testRmdir(t *testing.T, fs vfs.FS) {
	must(t, fs.Mkdir("d"))
	must(t, fs.Mkdir("d/e"))
	create(t, fs, "a", "")
	for dir, want := range map[string]error{
		"none": syscall.ENOENT,
		"a":    syscall.ENOTDIR,
		"d":    syscall.ENOTEMPTY, // never EEXIST, which means "made by another"
	} {
		wantErr(t, "rmdir "+dir, fs.Rmdir(dir), want)
	}
	must(t, fs.Rmdir("d/e"))
	must(t, fs.Rmdir("d"))
	wantNone(t, fs, "d")
	must(t, fs.Mkdir("d"))
	names, err := fs.List("d")
	if err != nil || len(names) != 0 {
		t.Errorf("made again: %q, %v", names, err)
	}
}

// testRmdirRace: either the directory is gone, or the file is in it.
func testRmdirRace(t *testing.T, fs vfs.FS) {
	for i := range 50 {
		name := nameOf(i)
		must(t, fs.Mkdir("d"))
		create(t, fs, name, "")
		errs := race(2, func(h int) error {
			if h == 0 {
				return fs.Rmdir("d")
			}
			return fs.Rename(name, "d/"+name)
		})
		switch {
		case errs[0] == nil:
			// NFS: the client still had the directory's handle.
			wantErr(t, "rename", errs[1], syscall.ENOENT, syscall.ESTALE)
			must(t, fs.Remove(name))
		case errs[1] == nil:
			wantErr(t, "rmdir", errs[0], syscall.ENOTEMPTY)
			must(t, fs.Remove("d/"+name))
			must(t, fs.Rmdir("d"))
		default:
			t.Fatalf("both failed: %v", errs)
		}
	}
}

func testRemove(t *testing.T, fs vfs.FS) {
	create(t, fs, "a", "one")
	must(t, fs.Mkdir("d"))
	must(t, fs.Remove("a"))
	wantNone(t, fs, "a")
	for name, want := range map[string]error{"a": syscall.ENOENT, "d": syscall.EISDIR, "none/a": syscall.ENOENT} {
		wantErr(t, "remove "+name, fs.Remove(name), want)
	}
	id := create(t, fs, "a", "again") // a removed name is free
	wantFile(t, fs, "a", "again", id)
}

// testSync can't see what is on the disk, only what is refused. On NFS nothing
// is asked of anybody.
func testSync(t *testing.T, fs vfs.FS) {
	must(t, fs.Mkdir("d"))
	create(t, fs, "d/a", "")
	must(t, fs.Sync())
	must(t, fs.Sync("."))
	must(t, fs.Sync("d", ".", "d", "d"))
	for dir, want := range map[string]error{"none": syscall.ENOENT, "d/a": syscall.ENOTDIR} {
		if err := fs.Sync(dir); err != nil {
			wantErr(t, "sync "+dir, err, want)
		}
	}
}

func testList(t *testing.T, fs vfs.FS) {
	names, err := fs.List(".")
	if err != nil || len(names) != 0 {
		t.Errorf("empty root: %q, %v", names, err)
	}
	must(t, fs.Mkdir("d"))
	must(t, fs.Mkdir("d/sub"))
	create(t, fs, "d/a", "")
	create(t, fs, "d/.hidden", "")
	must(t, fs.Link("d/a", "d/b"))
	names, err = fs.List("d")
	must(t, err)
	slices.Sort(names)
	if want := []string{".hidden", "a", "b", "sub"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	for dir, want := range map[string]error{"none": syscall.ENOENT, "d/a": syscall.ENOTDIR} {
		_, err := fs.List(dir)
		wantErr(t, "list "+dir, err, want)
	}
}

// testListLarge needs many reads of the directory.
func testListLarge(t *testing.T, fs vfs.FS) {
	const n = 3000
	must(t, fs.Mkdir("d"))
	create(t, fs, "a", "")
	for i := range n {
		must(t, fs.Link("a", "d/"+nameOf(i)))
	}
	names, err := fs.List("d")
	must(t, err)
	slices.Sort(names)
	if len(names) != n {
		t.Fatalf("%d names, want %d", len(names), n)
	}
	for i, name := range names {
		if name != nameOf(i) {
			t.Fatalf("name %d is %q, want %q", i, name, nameOf(i))
		}
	}
}
