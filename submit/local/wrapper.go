package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"fencepost/codec"
	"fencepost/spool/vfs"
	"fencepost/submit"
)

// checkArg makes WrapperMain do nothing: the probe sees that it can be started.
const checkArg = "--check"

// The descriptors that a wrapper inherits.
const (
	slotFD   = 3
	answerFD = 4
)

// Bounds of a wrapper's patience with the share.
const (
	wrapperPatience = 24 * time.Hour
	maxPause        = 30 * time.Second
)

// order is what the daemon tells a wrapper. Document is the record as JSON.
type order struct {
	Root     string
	Document []byte
	Env      []string
	SpoolID  string
	Grace    time.Duration
	Start    start
}

// reply is what the wrapper tells the daemon, once.
type reply struct {
	ClusterID string         `json:"cluster_id,omitempty"`
	Outcome   submit.Outcome `json:"outcome,omitempty"`
	Error     string         `json:"error,omitempty"`
}

// WrapperMain is the process that starts one job, or finds that it has been
// started, and stays with it to its end. The command calls it for its hidden
// subcommand job-wrapper, with what comes behind that word, before it does
// anything else. It returns the exit status.
func WrapperMain(args []string) int {
	if len(args) == 1 && args[0] == checkArg {
		return 0
	}
	if len(args) != 1 {
		fmt.Fprintln(os.Stderr, "job-wrapper: started by fencepost itself only")
		return 2
	}
	// The job must inherit neither: it could hold the slot after the wrapper's
	// end, and the daemon would wait for the pipe.
	syscall.CloseOnExec(slotFD)
	syscall.CloseOnExec(answerFD)
	answer := os.NewFile(answerFD, "answer")
	var o order
	if err := json.NewDecoder(io.NewSectionReader(os.Stdin, 0, 1<<40)).Decode(&o); err != nil {
		fmt.Fprintln(os.Stderr, "job-wrapper: read order:", err)
		return 2
	}
	o.Start.PID, o.Start.StartedAt = os.Getpid(), time.Now().UTC()
	fs, err := vfs.OpenOS(o.Root)
	if err != nil {
		give(answer, reply{Outcome: submit.Unavailable, Error: err.Error()})
		return 1
	}
	return wrap(fs, o, answer)
}

// give answers and closes: a daemon that is gone isn't missed.
func give(w io.WriteCloser, r reply) {
	if data, err := json.Marshal(r); err == nil {
		_, _ = w.Write(append(data, '\n'))
	}
	_ = w.Close()
}

// wrap announces the start, takes it, runs the job, records its end.
func wrap(fs vfs.FS, o order, answer io.WriteCloser) int {
	rec, err := codec.DecodeJSON(o.Document)
	if err != nil {
		give(answer, reply{Outcome: submit.Rejected, Error: err.Error()})
		return 1
	}
	// From here on it ends in good order or by SIGKILL: never between the link
	// and the status.
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	own, id, err := announce(fs, o.Start)
	if err != nil {
		give(answer, reply{Outcome: submit.Unavailable, Error: err.Error()})
		return 1
	}
	won, err := settle(fs, o.Start, own, id, answer)
	if !won {
		if err == nil {
			_ = fs.Remove(own) // it lost; Recover removes it otherwise
			return 0
		}
		return 1
	}
	s := Status{Job: o.Start.Job, ClusterID: o.Start.ClusterID, Host: o.Start.Host, StartedAt: o.Start.StartedAt,
		State: Interrupted}
	if err != nil { // won, but a crash now could lose the link, and the job would run again
		s.Reason = "never run: " + err.Error()
	} else {
		runJob(fs, o, rec.Job, told, &s)
	}
	s.EndedAt = time.Now().UTC()
	if patiently(func() error { return writeStatus(fs, s, o.Start.Nonce, true) }) != nil {
		return 1
	}
	_ = fs.Remove(own)
	return 0
}

// settle finds out who has the start, and tells the daemon. While it is
// unknown it goes on: it may have won, and nobody else would run the job.
func settle(fs vfs.FS, s start, own string, id vfs.ID, answer io.WriteCloser) (won bool, err error) {
	answered := false
	tell := func(r reply) {
		if !answered {
			give(answer, r)
			answered = true
		}
	}
	unknown := patiently(func() error {
		var winner start
		won, winner, err = take(fs, own, id, s.Job)
		switch {
		case won:
			tell(reply{ClusterID: s.ClusterID})
			return nil
		case err == nil:
			tell(reply{ClusterID: winner.ClusterID})
			return nil
		}
		tell(reply{Outcome: submit.Unknown, Error: err.Error()})
		return err
	})
	if unknown != nil {
		return false, unknown
	}
	return won, err
}

// patiently repeats something that the share refuses, for a long time: giving
// up would leave the job without a start or without a status.
func patiently(try func() error) error {
	ctx, stop := context.WithTimeout(context.Background(), wrapperPatience)
	defer stop()
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, maxPause) {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(pause):
		}
	}
}
