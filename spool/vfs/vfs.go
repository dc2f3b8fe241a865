package vfs

import (
	"errors"
	"fmt"
)

// ID identifies a file: hard links of one file share it, and no two files that
// exist at the same time do. It is read from an open descriptor, never from a
// cached name.
type ID struct {
	Dev uint64
	Ino uint64
}

// FS is the set of file operations that the protocol needs, and no others.
//
// Names are slash-separated and relative to the spool's root; they never leave
// it and never pass through a symbolic link. Implementations may be used by
// several goroutines at once.
//
// Errors wrap a syscall.Errno, to be compared with errors.Is(err, syscall.ENOENT)
// (not with fs.ErrExist, which also matches ENOTEMPTY). An error of a mutating
// call means "unknown": the server may have done it. Only a look decides.
type FS interface {
	// Create makes name, which must not exist, read-only, with data: write, fsync,
	// close; the errors of all three count. The name itself is durable
	// only after Sync of its directory. The ID is read from the descriptor.
	// After an error the name may exist, empty, in part or whole.
	Create(name string, data []byte) (ID, error)

	// Read returns a file's contents through a fresh open, with its ID. More
	// than limit bytes is an error that matches ErrTooLarge; anything but a
	// regular file is one that matches ErrNotRegular.
	Read(name string, limit int64) ([]byte, ID, error)

	// Identify opens name afresh and returns its ID. ENOENT may be stale on
	// NFS; a positive answer about a hard link is not.
	Identify(name string) (ID, error)

	// List returns the names in a directory through a fresh open, without
	// "." and "..", in no particular order. It is a hint: entries that came or
	// went meanwhile may or may not show.
	List(dir string) ([]string, error)

	// Rename moves a name. An existing target is replaced without notice, so
	// targets must be unique. It is durable after Sync of both directories.
	Rename(from, to string) error

	// Link makes another name, which must not exist, for a file.
	Link(from, to string) error

	// Mkdir makes a directory, which must not exist. Parents are never made.
	Mkdir(dir string) error

	// Rmdir removes an empty directory: the one proof of absence.
	Rmdir(dir string) error

	// Remove removes a file's name.
	Remove(name string) error

	// Sync makes what happened to the names in the given directories durable.
	// On NFS with a sync export they are already, and it costs nothing.
	Sync(dirs ...string) error

	// OpenRecord opens (and makes, if need be) a small file that is rewritten
	// in place by this process alone.
	OpenRecord(name string) (Record, error)

	// OpenLog makes name, which must not exist, for appending by this process
	// alone.
	OpenLog(name string) (Log, error)

	// TryLock takes an exclusive flock on name, made if need be, opened
	// read-write. It returns ErrLocked if somebody else has it. It may block
	// for the grace period of a server that restarts.
	TryLock(name string) (Lock, error)
}

// Record is a file that is rewritten in place: readers that open, read and
// close see each change, and a lock that the server gave away shows as EIO.
type Record interface {
	// Write replaces the contents (same length each time) and fsyncs.
	Write(data []byte) error
	// Lock puts a flock on the record's own descriptor. ErrLocked if held.
	Lock() error
	Close() error
}

// Log is an append-only file. It keeps no data that it was given.
type Log interface {
	Append(data []byte) error
	Sync() error
	Close() error
}

// Lock is a held flock. It is never asked whether it is still held: only a
// record's Write can tell.
type Lock interface {
	Unlock() error
}

// Errors that callers branch on.
var (
	ErrLocked     = errors.New("locked by another process")
	ErrTooLarge   = errors.New("file too large")
	ErrNotRegular = errors.New("not a regular file")

	// ErrUntrusted is a file that others may have written. It matches
	// ErrNotRegular, too: it is set aside as what is no file of ours.
	ErrUntrusted = fmt.Errorf("not to be trusted, %w", ErrNotRegular)
)
