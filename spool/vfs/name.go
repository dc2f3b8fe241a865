package vfs

import (
	"io/fs"
	"strings"
	"syscall"
)

// CheckName returns an error that wraps EINVAL unless name is a clean,
// slash-separated, relative path: no empty, "." or ".." component, no NUL. It
// need not be UTF-8: foreign files have to be movable, too.
func CheckName(op, name string) error {
	if strings.IndexByte(name, 0) >= 0 {
		return invalid(op, name)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == "." || part == ".." {
			return invalid(op, name)
		}
	}
	return nil
}

// CheckDir is CheckName, but "." is allowed: the spool's root.
func CheckDir(op, dir string) error {
	if dir == "." {
		return nil
	}
	return CheckName(op, dir)
}

func invalid(op, name string) error {
	return &fs.PathError{Op: op, Path: name, Err: syscall.EINVAL}
}

// Split cuts a checked name into its directory ("." for the root) and its
// last component.
func Split(name string) (dir, base string) {
	i := strings.LastIndexByte(name, '/')
	if i < 0 {
		return ".", name
	}
	return name[:i], name[i+1:]
}
