package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"fencepost/codec"
	"fencepost/spool"
	"fencepost/spool/vfs/mountstats"
)

// Order is what a member of a measurement is told to do, a JSON document a line.
type Order struct {
	Do      string `json:"do"`
	Jobs    int    `json:"jobs,omitempty"`
	Clients int    `json:"clients,omitempty"` // jobs on their way in at a time
}

// What can be ordered. Each order is answered, in turn.
const (
	DoStart = "start" // start the host, and wait until it is ready
	DoSend  = "send"  // let so many jobs in, and wait until they are ACCEPTED
	DoLook  = "look"  // say what there is to see
)

// Seen is a member's answer: what has been seen since its start.
type Seen struct {
	Error string            `json:"error,omitempty"`
	At    time.Time         `json:"at"`
	Done  int               `json:"done"` // jobs that this host brought to their end
	Won   int               `json:"won"`  // claims
	Lost  int               `json:"lost"`
	Calls mountstats.Counts `json:"calls,omitempty"`
	// Ops are file operations by what they are for (Purposes) and kind.
	Ops map[string]Ops `json:"ops"`
}

// Member is one host of a spool that several machines measure together, each with
// its own mount: it makes or joins the spool below cfg.Dir, obeys the orders that
// come in, and ends with them.
func Member(ctx context.Context, cfg Config, name string, in io.Reader, out io.Writer) error {
	root := filepath.Join(cfg.Dir, "spool")
	if err := os.Mkdir(root, 0o770); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make the spool: %w", err)
	}
	w := &world{cfg: cfg, root: root, pulse: newPulse(cfg), jobs: map[string]*job{}, stopAll: func() {}, job: Job(cfg.Size)}
	w.digest = codec.Digest(w.job)
	h, err := w.newHost(name)
	if err != nil {
		return err
	}
	h.counted.purposed = map[cell]*atomic.Int64{}
	w.hosts = []*host{h}
	defer w.close()
	defer func() { w.stop() }()
	lines := bufio.NewScanner(in)
	answer := json.NewEncoder(out)
	for lines.Scan() {
		var o Order
		err := json.Unmarshal(lines.Bytes(), &o)
		if err == nil {
			err = w.obey(ctx, o)
		}
		s, serr := w.seen()
		if err = errors.Join(err, serr); err != nil {
			s.Error = err.Error()
		}
		if err := answer.Encode(s); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (w *world) obey(ctx context.Context, o Order) error {
	switch o.Do {
	case DoStart:
		return w.start(ctx, []spool.Stage{spool.Ingest, spool.Translate, spool.Submit})
	case DoSend:
		ids := make([]string, o.Jobs)
		for i := range ids {
			ids[i] = newID()
		}
		w.expect(ids, "")
		return w.send(ctx, ids, max(o.Clients, 1))
	case DoLook:
		return nil
	}
	return fmt.Errorf("order %q isn't known", o.Do)
}

func (w *world) seen() (Seen, error) {
	s := Seen{At: time.Now(), Done: int(w.done.Load()), Ops: w.hosts[0].counted.purposes()}
	if n := w.hosts[0].node; n != nil {
		for _, c := range n.Stats().Claims {
			s.Won, s.Lost = s.Won+c.Won, s.Lost+c.Lost
		}
	}
	if w.cfg.Calls == nil {
		return s, nil
	}
	var err error
	s.Calls, err = w.cfg.Calls()
	return s, err
}

// Since is what was seen between before and s.
func (s Seen) Since(before Seen) Seen {
	d := Seen{At: s.At, Done: s.Done - before.Done, Won: s.Won - before.Won, Lost: s.Lost - before.Lost,
		Calls: s.Calls.Since(before.Calls), Ops: map[string]Ops{}}
	for purpose, ops := range counts(s.Ops).since(before.Ops, 1) {
		d.Ops[purpose] = ops
	}
	return d
}
