package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"syscall"
	"time"

	"fencepost/codec"
	"fencepost/spool"
	"fencepost/spool/vfs"
)

const (
	startSchema  = "fencepost.local-start/v1"
	statusSchema = "fencepost.local-status/v1"
	maxRecord    = 64 << 10
)

// start is the contents of started/BUCKET/ID: complete before it is linked, so
// that whoever finds it knows all that there is to know.
type start struct {
	Schema    string    `json:"schema"`
	Job       string    `json:"job"`
	ClusterID string    `json:"cluster_id"`
	Token     string    `json:"token"`
	Host      string    `json:"host"`
	MachineID string    `json:"machine_id"`
	BootID    string    `json:"boot_id"`
	PID       int       `json:"pid"` // the wrapper's, for people: nothing is decided by it
	Slot      string    `json:"slot"`
	RunDirID  string    `json:"run_dir_id"`
	Nonce     string    `json:"nonce"`
	StartedAt time.Time `json:"started_at"`
}

// The states of a job, as Status gives them.
const (
	Absent      = "absent"      // has never started
	Running     = "running"     // has started; no status yet
	Done        = "done"        // has ended, with whatever exit status
	Interrupted = "interrupted" // its wrapper is gone, or was told to end
)

// Status is the contents of local/ID/status.json.
type Status struct {
	Schema    string    `json:"schema"`
	Job       string    `json:"job"`
	ClusterID string    `json:"cluster_id"`
	Host      string    `json:"host"`
	State     string    `json:"state"`
	ExitCode  *int      `json:"exit_code,omitempty"` // nil: a signal ended it, or it never ran
	Signal    string    `json:"signal,omitempty"`
	Reason    string    `json:"reason,omitempty"` // why, if it didn't end by itself
	StartedAt time.Time `json:"started_at,omitzero"`
	EndedAt   time.Time `json:"ended_at,omitzero"`
}

// Read tells what is known of a job. The state is Running also for a job whose
// wrapper died on a machine that hasn't come back: only that machine can tell.
func Read(fs vfs.FS, job string) (Status, error) {
	data, _, err := fs.Read(StatusPath(job), maxRecord)
	if err == nil {
		var s Status
		if err := json.Unmarshal(data, &s); err != nil || s.Schema != statusSchema {
			return Status{}, fmt.Errorf("read %s: not a status record of this version", StatusPath(job))
		}
		return s, nil
	}
	if !errors.Is(err, syscall.ENOENT) {
		return Status{}, err
	}
	r, _, err := readStart(fs, spool.StartedPath(job))
	switch {
	case errors.Is(err, syscall.ENOENT):
		return Status{Schema: statusSchema, Job: job, State: Absent}, nil
	case err != nil:
		return Status{}, err
	}
	return Status{Schema: statusSchema, Job: job, State: Running, ClusterID: r.ClusterID, Host: r.Host,
		StartedAt: r.StartedAt}, nil
}

// ---- paths, relative to the spool --------------------------------------------

// StatusPath is where a job's end is recorded.
func StatusPath(job string) string { return path.Join(spool.LocalDir(job), "status.json") }

// StdoutPath is what the job wrote to its standard output.
func StdoutPath(job string) string { return path.Join(spool.LocalDir(job), "stdout") }

// StderrPath is what the job wrote to its standard error.
func StderrPath(job string) string { return path.Join(spool.LocalDir(job), "stderr") }

func scriptPath(job string) string { return path.Join(spool.LocalDir(job), "script") }
func workPath(job string) string   { return path.Join(spool.LocalDir(job), "work") }

// openDir lists the starts of a host that have no status yet, so that Recover
// needn't read all jobs. Each file there is the start record itself, which is
// linked to started/BUCKET/ID from here.
func openDir(host string) string { return path.Join(spool.DirLocal, "open~"+host) }

func openPath(host, job, nonce string) string { return path.Join(openDir(host), job+"~"+nonce) }

func parseOpen(name string) (job, nonce string, ok bool) {
	job, nonce, ok = strings.Cut(name, "~")
	id, err := codec.CanonicalID(job)
	return job, nonce, ok && err == nil && id == job && nonce != ""
}

// ---- reading and writing -----------------------------------------------------

func readStart(fs vfs.FS, name string) (start, vfs.ID, error) {
	data, id, err := fs.Read(name, maxRecord)
	if err != nil {
		return start{}, vfs.ID{}, err
	}
	var r start
	if err := json.Unmarshal(data, &r); err != nil || r.Schema != startSchema || r.ClusterID == "" {
		return start{}, id, fmt.Errorf("read %s: not a start record of this version", name)
	}
	return r, id, nil
}

// makeDir makes a directory unless it is there. EEXIST is as good as done, but
// only a listing shows that it isn't a stale answer.
func makeDir(fs vfs.FS, dir string) error {
	err := fs.Mkdir(dir)
	if errors.Is(err, syscall.EEXIST) {
		_, err = fs.List(dir)
	}
	return err
}

// writeStatus makes the status durable under its name: a temporary file,
// fsynced, then moved. A repeated call is harmless: the contents are the same.
// Unless replace, a status that is there already stays.
func writeStatus(fs vfs.FS, s Status, nonce string, replace bool) error {
	s.Schema = statusSchema
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	dir, name := spool.LocalDir(s.Job), StatusPath(s.Job)
	if err := makeDir(fs, dir); err != nil {
		return err
	}
	tmp := path.Join(dir, ".status~"+nonce)
	_ = fs.Remove(tmp) // left by an earlier try, perhaps half written
	if _, err := fs.Create(tmp, append(data, '\n')); err != nil {
		return err
	}
	if replace {
		err = fs.Rename(tmp, name)
	} else if err = fs.Link(tmp, name); err == nil || errors.Is(err, syscall.EEXIST) {
		err = fs.Remove(tmp)
	}
	if err != nil && !errors.Is(err, syscall.ENOENT) {
		return err
	}
	// After ENOENT (the reply of a move that was done may be lost), and anyway:
	// what counts is what stands there now.
	if _, _, err := fs.Read(name, maxRecord); err != nil {
		return err
	}
	return fs.Sync(dir)
}
