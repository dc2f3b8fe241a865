package vfstest

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"fencepost/spool/vfs"
)

// refusals runs every operation that opens name and returns the errors.
func refusals(fs vfs.FS, name string) map[string]error {
	_, _, rerr := fs.Read(name, limit)
	_, ierr := fs.Identify(name)
	_, recerr := fs.OpenRecord(name)
	_, lockerr := fs.TryLock(name)
	return map[string]error{"read": rerr, "identify": ierr, "record": recerr, "lock": lockerr}
}

// testSymlinks: refused as the last component and on the way, also if they
// point into the spool.
func testSymlinks(t *testing.T, fs vfs.FS) {
	r, ok := fs.(rooted)
	if !ok {
		t.Skip("no symbolic links")
	}
	outside := t.TempDir()
	must(t, os.WriteFile(outside+"/secret", []byte("secret"), 0o600))
	must(t, fs.Mkdir("d"))
	id := create(t, fs, "d/a", "one")
	create(t, fs, "b", "two")
	for name, target := range map[string]string{
		"in": "d", "out": outside, "file": "d/a", "d/up": "..", "d/dangling": outside + "/made",
	} {
		must(t, os.Symlink(target, filepath.Join(r.Root(), name)))
	}
	for _, name := range []string{"file", "d/dangling"} {
		for what, err := range refusals(fs, name) {
			wantErr(t, what+" "+name, err, vfs.ErrNotRegular)
		}
		_, err := fs.Create(name, nil)
		wantErr(t, "create "+name, err, syscall.EEXIST)
		_, err = fs.OpenLog(name)
		wantErr(t, "log "+name, err, syscall.EEXIST)
	}
	for _, dir := range []string{"in", "out", "d/up"} {
		for _, name := range []string{dir + "/a", dir + "/secret", dir + "/new", dir + "/d/a"} {
			errs := refusals(fs, name)
			_, errs["create"] = fs.Create(name, nil)
			_, errs["log"] = fs.OpenLog(name)
			errs["rename from"], errs["rename to"] = fs.Rename(name, "x"), fs.Rename("b", name)
			errs["link from"], errs["link to"] = fs.Link(name, "x"), fs.Link("b", name)
			errs["mkdir"], errs["rmdir"], errs["remove"] = fs.Mkdir(name), fs.Rmdir(name), fs.Remove(name)
			for what, err := range errs {
				wantErr(t, what+" "+name, err, syscall.ELOOP, syscall.ENOTDIR)
			}
		}
		_, err := fs.List(dir)
		wantErr(t, "list "+dir, err, syscall.ELOOP, syscall.ENOTDIR)
		if err := fs.Sync(dir); err != nil {
			wantErr(t, "sync "+dir, err, syscall.ELOOP, syscall.ENOTDIR)
		}
		wantErr(t, "rmdir "+dir, fs.Rmdir(dir), syscall.ENOTDIR)
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 1 {
		t.Errorf("outside: %v, %v", entries, err)
	}
	// What is in the way can be moved away, as a link.
	must(t, fs.Rename("file", "d/quarantined"))
	wantFile(t, fs, "d/a", "one", id)
	must(t, fs.Remove("d/quarantined"))
	wantFile(t, fs, "d/a", "one", id)
}

// testPipes: to open one must neither succeed nor wait for its other end.
func testPipes(t *testing.T, fs vfs.FS) {
	r, ok := fs.(rooted)
	if !ok {
		t.Skip("no pipes")
	}
	if err := syscall.Mkfifo(filepath.Join(r.Root(), "pipe"), 0o666); err != nil {
		t.Skip("no pipes here:", err)
	}
	for what, err := range refusals(fs, "pipe") {
		wantErr(t, what+" pipe", err, vfs.ErrNotRegular)
	}
	// A socket's path must be short, hence the way round.
	here, err := os.Getwd()
	must(t, err)
	must(t, os.Chdir(r.Root()))
	l, err := net.Listen("unix", "socket")
	must(t, os.Chdir(here))
	if err != nil {
		t.Skip("no sockets here:", err)
	}
	defer l.Close()
	for what, err := range refusals(fs, "socket") {
		wantErr(t, what+" socket", err, vfs.ErrNotRegular)
	}
}

// testDescriptors: none is left open, by success or failure, but for those of
// directories that are kept for a while: the second time adds none.
func testDescriptors(t *testing.T, fs vfs.FS) {
	if _, ok := fs.(rooted); !ok {
		t.Skip("no descriptors")
	}
	must(t, fs.Mkdir("d"))
	must(t, fs.Mkdir("e"))
	before := 0
	for i := range 20 {
		if i == 1 {
			before = descriptors(t)
		}
		create(t, fs, "d/a", "one")
		_, _ = fs.Create("d/a", nil)
		_, _, _ = fs.Read("d/a", limit)
		_, _, _ = fs.Read("d/a", 1)
		_, _, _ = fs.Read("d", limit)
		_, _ = fs.Identify("d/a")
		_, _ = fs.List("d")
		must(t, fs.Rename("d/a", "e/a"))
		_ = fs.Rename("d/a", "e/a")
		_ = fs.Rename("d/a", "none/a")
		_ = fs.Link("e/a", "e/a")
		_ = fs.Mkdir("d")
		_ = fs.Rmdir("none/d")
		must(t, fs.Sync("d", "e"))
		lock, err := fs.TryLock("lock")
		must(t, err)
		_, _ = fs.TryLock("lock")
		_, _ = fs.TryLock("d")
		must(t, lock.Unlock())
		log, err := fs.OpenLog("log")
		must(t, err)
		must(t, log.Close())
		must(t, fs.Remove("log"))
		must(t, fs.Remove("e/a"))
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors, were %d", after, before)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(entries)
}
