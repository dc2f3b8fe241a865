package vfstest

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"fencepost/spool/vfs"
)

func testRecord(t *testing.T, fs vfs.FS) {
	rec, err := fs.OpenRecord("r")
	must(t, err)
	if data, _, err := fs.Read("r", limit); err != nil || len(data) != 0 {
		t.Errorf("a new record: %q, %v", data, err)
	}
	id, err := fs.Identify("r")
	must(t, err)
	for _, data := range []string{"0001", "0002", "0003"} {
		must(t, rec.Write([]byte(data)))
		wantFile(t, fs, "r", data, id) // in place: the same file each time
	}
	must(t, rec.Close())
	if err := rec.Write([]byte("0004")); err == nil {
		t.Error("a closed record was written")
	}
	rec, err = fs.OpenRecord("r") // an instance's successor takes it over
	must(t, err)
	wantFile(t, fs, "r", "0003", id)
	must(t, rec.Write([]byte("0005")))
	wantFile(t, fs, "r", "0005", id)
	must(t, rec.Close())
	_, err = fs.OpenRecord("none/r")
	wantErr(t, "record", err, syscall.ENOENT)
}

// testRecordLength: a changed length would need a truncation, between which
// and the write a reader sees an empty record.
func testRecordLength(t *testing.T, fs vfs.FS) {
	rec, err := fs.OpenRecord("r")
	must(t, err)
	must(t, rec.Write([]byte("0001")))
	wantErr(t, "longer", rec.Write([]byte("00001")), syscall.EINVAL)
	wantErr(t, "shorter", rec.Write([]byte("001")), syscall.EINVAL)
	must(t, rec.Close())
	rec, err = fs.OpenRecord("r") // another version's record
	must(t, err)
	must(t, rec.Write([]byte("1")))
	data, _, err := fs.Read("r", limit)
	if err != nil || string(data) != "1" {
		t.Errorf("got %q, %v, want the new length", data, err)
	}
	must(t, rec.Close())
}

func testRecordLock(t *testing.T, fs vfs.FS) {
	first, err := fs.OpenRecord("r")
	must(t, err)
	second, err := fs.OpenRecord("r")
	must(t, err)
	must(t, first.Lock())
	must(t, first.Lock()) // its own
	wantErr(t, "second", second.Lock(), vfs.ErrLocked)
	_, err = fs.TryLock("r") // the same kind of lock
	wantErr(t, "try", err, vfs.ErrLocked)
	must(t, first.Write([]byte("1")))
	must(t, first.Close()) // gives it back
	must(t, second.Lock())
	must(t, second.Close())
}

func testLog(t *testing.T, fs vfs.FS) {
	log, err := fs.OpenLog("log")
	must(t, err)
	_, err = fs.OpenLog("log")
	wantErr(t, "second", err, syscall.EEXIST)
	id, err := fs.Identify("log")
	must(t, err)
	must(t, log.Append([]byte("one\n")))
	must(t, log.Append(nil))
	must(t, log.Append([]byte("two\n")))
	must(t, log.Sync())
	wantFile(t, fs, "log", "one\ntwo\n", id)
	must(t, log.Close())
	if err := log.Append([]byte("three\n")); err == nil {
		t.Error("a closed log was written")
	}
	_, err = fs.OpenLog("log") // a log has one writer in its life
	wantErr(t, "again", err, syscall.EEXIST)
	_, err = fs.OpenLog("none/log")
	wantErr(t, "log", err, syscall.ENOENT)
}

func testLock(t *testing.T, fs vfs.FS) {
	lock, err := fs.TryLock("lock") // makes it
	must(t, err)
	id, err := fs.Identify("lock")
	must(t, err)
	for range 3 {
		_, err = fs.TryLock("lock")
		wantErr(t, "second", err, vfs.ErrLocked)
	}
	other, err := fs.TryLock("other")
	must(t, err)
	must(t, other.Unlock())
	must(t, lock.Unlock())
	lock, err = fs.TryLock("lock") // still the same file
	must(t, err)
	if again, err := fs.Identify("lock"); err != nil || again != id {
		t.Errorf("another file: %+v, %v, was %+v", again, err, id)
	}
	must(t, lock.Unlock())
}

func testLockRefuses(t *testing.T, fs vfs.FS) {
	create(t, fs, "a", "")
	for name, want := range map[string]error{"none/lock": syscall.ENOENT, "a/lock": syscall.ENOTDIR} {
		_, err := fs.TryLock(name)
		wantErr(t, name, err, want)
		if errors.Is(err, vfs.ErrLocked) {
			t.Errorf("%q: %v is no holder", name, err)
		}
	}
	wantNone(t, fs, "none")
}

func testLockRace(t *testing.T, fs vfs.FS) {
	locks := make([]vfs.Lock, 8)
	errs := race(len(locks), func(h int) error {
		var err error
		locks[h], err = fs.TryLock("lock")
		return err
	})
	if n := winners(t, errs, vfs.ErrLocked); n != 1 {
		t.Errorf("%d winners", n)
	}
	for h, err := range errs {
		if err == nil {
			must(t, locks[h].Unlock())
		}
	}
}

// The child's orders. It opens the root, tries the lock, says what it got, and
// holds it until its input ends.
const (
	childRoot = "FENCEPOST_VFSTEST_ROOT"
	childLock = "FENCEPOST_VFSTEST_LOCK"
)

func child() {
	root := os.Getenv(childRoot)
	if root == "" {
		return
	}
	answer := "locked"
	fs, err := vfs.OpenOS(root)
	if err == nil {
		_, err = fs.TryLock(os.Getenv(childLock))
	}
	if errors.Is(err, vfs.ErrLocked) {
		answer = "held"
	} else if err != nil {
		answer = "error: " + err.Error()
	}
	os.Stdout.WriteString(answer + "\n")
	os.Stdin.Read(make([]byte, 1))
	os.Exit(0)
}

// startChild runs this test binary as another process. stop ends it.
func startChild(t *testing.T, root, lock string) (answer string, stop func()) {
	t.Helper()
	top, _, _ := strings.Cut(t.Name(), "/")
	cmd := exec.Command(os.Args[0], "-test.run=^"+top+"$")
	// The race detector makes an ending process wait for a second.
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", childRoot+"="+root, childLock+"="+lock)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	buf := make([]byte, 4096)
	n, _ := out.Read(buf)
	stop = func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("child: %v", err)
		}
	}
	return strings.TrimSpace(string(buf[:n])), stop
}

func testLockProcess(t *testing.T, fs vfs.FS) {
	r, ok := fs.(rooted)
	if !ok {
		t.Skip("in this process only")
	}
	lock, err := fs.TryLock("lock")
	must(t, err)
	answer, stop := startChild(t, r.Root(), "lock")
	if answer != "held" {
		t.Errorf("the child said %q while this process has the lock", answer)
	}
	stop()
	must(t, lock.Unlock())

	answer, stop = startChild(t, r.Root(), "lock")
	if answer != "locked" {
		t.Errorf("the child said %q, want the lock", answer)
	}
	_, err = fs.TryLock("lock")
	wantErr(t, "while the child has it", err, vfs.ErrLocked)
	stop() // without Unlock: the end of the process gives it back
	lock, err = fs.TryLock("lock")
	must(t, err)
	must(t, lock.Unlock())
}
