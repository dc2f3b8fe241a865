package fstest

import (
	"os"
	"path/filepath"
	"time"

	"fencepost/spool/vfs"
)

// FS is what the phases use: the protocol's operations, and a look by name.
type FS interface {
	vfs.FS

	// Stat asks by name. The client may answer from its cache: how long it
	// does is one of the things that are measured.
	Stat(name string) (Info, error)
}

// Info is what Stat knows.
type Info struct {
	Dir     bool
	ModTime time.Time // the server's clock
}

// Dir is an FS on a directory of the operating system.
type Dir struct {
	vfs.FS
	Path  string
	Begin func(what, name string) (done func()) // announces a call that may hang
}

// Stat implements FS: lstat.
func (d Dir) Stat(name string) (Info, error) {
	defer d.Begin("stat", name)()
	fi, err := os.Lstat(filepath.Join(d.Path, filepath.FromSlash(name)))
	if err != nil {
		return Info{}, err
	}
	return Info{Dir: fi.IsDir(), ModTime: fi.ModTime()}, nil
}
