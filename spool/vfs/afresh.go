package vfs

import (
	"errors"
	"path"
	"slices"
	"syscall"
)

// ListAfresh is List of a directory that others may just have made. A client's
// cache may say, for a minute, that a directory isn't there which it looked for
// once before: so its parent is listed, which makes the client ask the server,
// and if the directory is there it is listed again.
func ListAfresh(fs FS, dir string) ([]string, error) {
	names, err := fs.List(dir)
	if !errors.Is(err, syscall.ENOENT) || dir == "." {
		return names, err
	}
	siblings, perr := ListAfresh(fs, path.Dir(dir))
	if perr != nil || !slices.Contains(siblings, path.Base(dir)) {
		return nil, err
	}
	return fs.List(dir)
}
