package main

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"fencepost/cmd/fencepost/config"
	"fencepost/cmd/fencepost/ingest"
	"fencepost/codec"
	"fencepost/spool"
)

// marks are the levels past which no jobs are taken in: jobs that wait, room and
// files that are left. What they say is looked up now and then, not for each job.
type marks struct {
	limits config.Limits
	depth  func() (int, error)        // most jobs that wait in a stage
	room   func() (r room, err error) // what is left
	now    func() time.Time

	mu      sync.Mutex
	next    time.Time // of the next look
	looking bool
	why     *ingest.Refusal // nil = all is well
}

// room is what a file system has, and has left.
type room struct{ bytes, freeBytes, files, freeFiles uint64 }

const (
	marksEvery = time.Second
	// marksShare bounds the part of its time that goes into looking: a listing
	// of a long queue takes long.
	marksShare = 20
	// markPart is the part of a small share that the marks may take, at most.
	markPart = 20
	// fullRetry is when a client should come back to a full share: it isn't
	// emptied in a second.
	fullRetry = 10 * time.Second
)

func newMarks(sp *spool.Spool, dir string, l config.Limits) *marks {
	return &marks{limits: l, now: time.Now,
		depth: func() (most int, err error) {
			for _, stage := range spool.Stages() {
				names, err := sp.FS.List(sp.Layout.Input(stage).Dir)
				if err != nil {
					return 0, err
				}
				names = slices.DeleteFunc(names, func(n string) bool { return strings.HasPrefix(n, "canary-") })
				most = max(most, len(names))
			}
			return most, nil
		},
		room: func() (room, error) {
			var st unix.Statfs_t
			if err := unix.Statfs(dir, &st); err != nil {
				return room{}, fmt.Errorf("statfs: %w", err)
			}
			block := uint64(max(st.Frsize, 0))
			return room{st.Blocks * block, st.Bavail * block, st.Files, st.Ffree}, nil
		}}
}

// check says why no job can be taken now, nil if one can.
func (m *marks) check() error {
	m.mu.Lock()
	if !m.looking && !m.now().Before(m.next) {
		m.looking = true
		before := m.why
		m.mu.Unlock()
		start := m.now()
		why := m.look(before)
		m.mu.Lock()
		m.why, m.looking = why, false
		m.next = m.now().Add(max(marksEvery, marksShare*m.now().Sub(start)))
	}
	why := m.why
	m.mu.Unlock()
	if why == nil {
		return nil // not a nil *Refusal in an error
	}
	return why
}

// look compares. After a refusal a little more than the mark is wanted, so that
// it isn't left and reached again with each job. What can't be looked up is no
// reason to refuse: the write itself will say.
func (m *marks) look(before *ingest.Refusal) *ingest.Refusal {
	slack := func(n uint64) uint64 {
		if before != nil {
			return n + n/10
		}
		return n
	}
	if r, err := m.room(); err == nil {
		if mark := min(uint64(m.limits.FreeSpace), r.bytes/markPart); r.freeBytes < slack(mark) {
			return &ingest.Refusal{Code: codec.CodeNoSpace, RetryAfter: fullRetry,
				Reason: fmt.Sprintf("the share has %d KiB left, fewer than %d", r.freeBytes>>10, slack(mark)>>10)}
		}
		if mark := min(uint64(m.limits.FreeFiles), r.files/markPart); r.files > 0 && r.freeFiles < slack(mark) {
			return &ingest.Refusal{Code: codec.CodeNoSpace, RetryAfter: fullRetry,
				Reason: fmt.Sprintf("the share has room for %d files, fewer than %d", r.freeFiles, slack(mark))}
		}
	}
	most := m.limits.Depth
	if before != nil {
		most -= most / 10
	}
	if m.limits.Depth == 0 {
		return nil
	}
	if n, err := m.depth(); err == nil && n >= most {
		return &ingest.Refusal{Code: codec.CodeBusy, RetryAfter: fullRetry,
			Reason: fmt.Sprintf("%d jobs wait in a stage, %d are the limit", n, most)}
	}
	return nil
}
