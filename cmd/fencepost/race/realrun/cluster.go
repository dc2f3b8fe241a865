package realrun

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"fencepost/codec"
)

// Exit statuses of the cluster's programs, by package submit/command.
const (
	exitDone        = 0
	exitUnavailable = 69
	exitUnknown     = 70
)

// ClusterCommand is the sub-command that ClusterMain stands behind.
const ClusterCommand = "race-cluster"

// ClusterMain is one program of the cluster: args are its directory, what to
// do (submit, release, cancel or find), and a bug. It returns the exit
// status.
func ClusterMain(args []string, getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) != 3 {
		fmt.Fprintln(stderr, "want DIR, what to do, and a bug")
		return exitUnknown
	}
	alive, err := takeAlive(args[0], unix.LOCK_SH)
	if err != nil {
		fmt.Fprintln(stderr, err) // the run is over
		return exitUnavailable
	}
	defer alive.Close()
	b, err := openBook(args[0], Bug(args[2]))
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitUnavailable
	}
	defer b.close()
	if err = b.tick(); err == nil {
		err = b.do(args[1], getenv, stdin, stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitUnknown
	}
	return exitDone
}

func (b *book) do(what string, getenv func(string) string, stdin io.Reader, stdout io.Writer) error {
	id := getenv("FENCEPOST_CLUSTER_ID")
	switch what {
	case "submit":
		doc, err := io.ReadAll(stdin)
		if err != nil {
			return err
		}
		r, err := codec.DecodeJSON(doc)
		if err != nil {
			return fmt.Errorf("the document: %w", err)
		}
		id, err := b.submit(getenv("FENCEPOST_JOB_ID"), getenv("FENCEPOST_TOKEN"), codec.Digest(r.Job))
		if err == nil {
			_, err = fmt.Fprintln(stdout, id)
		}
		return err
	case "release":
		return b.release(id)
	case "cancel":
		return b.cancel(id)
	case "find":
		for _, j := range b.jobs {
			if j.forgotten {
				continue
			}
			if _, err := fmt.Fprintln(stdout, j.id, j.key, j.token, j.state()); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("no program %q", what)
}

// takeAlive tells others that a program of the cluster runs, or (LOCK_EX) finds
// that none does.
func takeAlive(dir string, how int) (*os.File, error) {
	f, err := os.Open(filepath.Join(dir, aliveFile))
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("the cluster ends: %w", err)
	}
	return f, nil
}

// endCluster waits until no program of the cluster runs, and lets none begin:
// those of a killed host go on without it, for a moment.
func endCluster(dir string, limit time.Duration) (func(), error) {
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		f, err := takeAlive(dir, unix.LOCK_EX)
		switch {
		case err == nil:
			return func() { f.Close() }, nil
		case !errors.Is(err, unix.EWOULDBLOCK):
			return func() {}, err
		case time.Now().After(end):
			return func() {}, fmt.Errorf("programs of the cluster still run after %s", limit)
		}
	}
}
