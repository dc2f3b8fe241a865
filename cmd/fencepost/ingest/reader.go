package ingest

import (
	"context"
	"errors"
	"time"
)

// frameReader reads the bytes of one frame: each read has a deadline that the
// bytes so far have earned, and what was read is charged to the connection's
// memory before more is.
type frameReader struct {
	c       *conn
	started time.Time // of the frame
	fixed   time.Time // if set, the deadline, whatever arrives
	got     int64
}

// Read implements io.Reader.
func (r *frameReader) Read(p []byte) (int, error) {
	if len(p) > budgetUnit {
		p = p[:budgetUnit]
	}
	if r.c.br.Buffered() == 0 {
		r.c.setReadDeadline(r.deadline())
	}
	n, err := r.c.br.Read(p)
	if n > 0 {
		if cerr := r.charge(int64(n)); cerr != nil {
			return n, cerr
		}
	}
	return n, err
}

func (r *frameReader) deadline() time.Time {
	if !r.fixed.IsZero() {
		return r.fixed
	}
	cfg := &r.c.s.cfg
	return r.started.Add(cfg.Frame + time.Duration(r.got)*time.Second/time.Duration(cfg.MinRate))
}

// charge waits for room for n bytes, without holding the wait against the peer.
func (r *frameReader) charge(n int64) error {
	before := time.Now()
	ctx, cancel := context.WithTimeout(r.c.ctx, r.c.s.cfg.Frame)
	defer cancel()
	if err := r.c.memory.grow(ctx, n); err != nil {
		if r.c.ctx.Err() != nil {
			return context.Cause(r.c.ctx)
		}
		return errNoMemory
	}
	r.got += n
	r.started = r.started.Add(time.Since(before))
	return nil
}

var errNoMemory = errors.New("no memory for the frame")
