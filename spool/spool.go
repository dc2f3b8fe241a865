package spool

import (
	"fmt"

	"fencepost/spool/env"
	"fencepost/spool/vfs"
)

// Spool is one shared directory tree, opened.
type Spool struct {
	Env    env.Env
	FS     vfs.FS // Env's
	ID     string // the spool's id
	Layout Layout
	Limits Limits
}

// Limits bound what is read and how often a job is tried.
type Limits struct {
	FileSize int64 // largest file that is read, bytes
	Faults   int   // more faults than this end in failed/ or parked/
	Gen      int   // more generations than this end in parked/
}

// DefaultLimits are the limits unless told otherwise.
func DefaultLimits() Limits { return Limits{FileSize: 16 << 20, Faults: 8, Gen: 1000} }

// New describes a spool whose format is known; see Open.
func New(e env.Env, f Format) *Spool {
	return &Spool{Env: e, FS: e.FS(), ID: f.SpoolID, Layout: f.Layout(), Limits: DefaultLimits()}
}

// Open reads the format file of the spool that e's files are on.
func Open(e env.Env) (*Spool, error) {
	f, err := ReadFormat(e.FS())
	if err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	return New(e, f), nil
}

// NamePrefix begins the names of this spool's jobs at a cluster; the job id
// follows. It holds the spool's id, since several spools may share a cluster.
func (s *Spool) NamePrefix() string { return "fp-" + s.ID[:8] + "-" }
