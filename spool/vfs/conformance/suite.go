package vfstest

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"fencepost/spool/vfs"
)

// rooted is an FS on a directory of the operating system. Only there can the
// suite plant symbolic links and pipes, look at modes, and start a process.
type rooted interface{ Root() string }

const limit = 1 << 20

var suite = []struct {
	name string
	test func(t *testing.T, fs vfs.FS)
}{
	{"create", testCreate},
	{"create refuses", testCreateRefuses},
	{"read", testRead},
	{"read limit", testReadLimit},
	{"not regular", testNotRegular},
	{"identify", testIdentify},
	{"names", testNames},
	{"name length", testNameLength},
	{"errors", testErrors},

	{"rename", testRename},
	{"rename replaces", testRenameReplaces},
	{"rename same file", testRenameSameFile},
	{"rename refuses", testRenameRefuses},
	{"rename removed directory", testRenameRemovedDir},
	{"rename directory", testRenameDir},
	{"rename race", testRenameRace},
	{"link", testLink},
	{"link refuses", testLinkRefuses},
	{"link race", testLinkRace},
	{"mkdir", testMkdir},
	{"rmdir", testRmdir},
	{"rmdir race", testRmdirRace},
	{"remove", testRemove},
	{"sync", testSync},
	{"list", testList},
	{"list large", testListLarge},

	{"record", testRecord},
	{"record length", testRecordLength},
	{"record lock", testRecordLock},
	{"log", testLog},
	{"lock", testLock},
	{"lock refuses", testLockRefuses},
	{"lock race", testLockRace},
	{"lock process", testLockProcess},

	{"modes", testModes},
	{"symlinks", testSymlinks},
	{"pipes and sockets", testPipes},
	{"foreign names", testForeignNames},
	{"descriptors", testDescriptors},
}

// Run runs the suite. open makes an empty FS for each test.
func Run(t *testing.T, open func(t *testing.T) vfs.FS) {
	child() // doesn't return in a process that the suite started
	for _, c := range suite {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			c.test(t, open(t))
		})
	}
}

// must ends the test on an error of the preparation.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// create makes a file that the test needs.
func create(t *testing.T, fs vfs.FS, name, data string) vfs.ID {
	t.Helper()
	id, err := fs.Create(name, []byte(data))
	must(t, err)
	return id
}

// wantErr checks for one of several errnos or sentinels.
func wantErr(t *testing.T, what string, err error, want ...error) {
	t.Helper()
	for _, w := range want {
		if errors.Is(err, w) {
			return
		}
	}
	t.Errorf("%s: got error %v, want %v", what, err, want)
}

// wantFile checks contents and identity.
func wantFile(t *testing.T, fs vfs.FS, name, data string, id vfs.ID) {
	t.Helper()
	got, gotID, err := fs.Read(name, limit)
	if err != nil {
		t.Errorf("read %q: %v", name, err)
		return
	}
	if string(got) != data {
		t.Errorf("read %q: got %q, want %q", name, got, data)
	}
	if gotID != id {
		t.Errorf("read %q: got %+v, want %+v", name, gotID, id)
	}
}

// wantNone checks, by a listing, that a name isn't there.
func wantNone(t *testing.T, fs vfs.FS, name string) {
	t.Helper()
	dir, base := vfs.Split(name)
	names, err := fs.List(dir)
	must(t, err)
	for _, n := range names {
		if n == base {
			t.Errorf("%q is there", name)
		}
	}
}

// race runs f in n goroutines and returns their errors.
func race(n int, f func(i int) error) []error {
	errs := make([]error, n)
	start, done := make(chan struct{}), make(chan struct{})
	for i := range n {
		go func() {
			<-start
			errs[i] = f(i)
			done <- struct{}{}
		}()
	}
	close(start)
	for range n {
		<-done
	}
	return errs
}

// winners counts the nil errors, and checks the others.
func winners(t *testing.T, errs []error, loser error) int {
	t.Helper()
	n := 0
	for _, err := range errs {
		if err == nil {
			n++
		} else if !errors.Is(err, loser) {
			t.Errorf("loser: got %v, want %v", err, loser)
		}
	}
	return n
}

// hasErrno is the promise for every error of an operation.
func hasErrno(err error) bool {
	var e syscall.Errno
	return errors.As(err, &e)
}

func nameOf(i int) string { return fmt.Sprintf("file-%05d", i) }
