package spool

import (
	"hash/fnv"
	"slices"
	"time"
)

// Queue hands out a stage's entries, from a listing that it works off before
// it lists again. Each host starts elsewhere in the listing, so that hosts
// don't walk it side by side and lose every other claim.
//
// It is used by one task.
type Queue struct {
	s     *Spool
	stage Stage
	host  string

	batch  []Name
	misses int // claims lost out of this listing
	taken  int
	seen   map[string]time.Duration // when an entry with a generation was first seen
	Strays []string                 // names in the stage directory that are none of ours
	// Depth is the number of entries in the last listing.
	Depth int
}

// NewQueue is the queue of a stage as host sees it.
func NewQueue(s *Spool, stage Stage, host string) *Queue {
	return &Queue{s: s, stage: stage, host: host, seen: map[string]time.Duration{}}
}

// maxBackoff is the longest wait of an entry that came back.
const maxBackoff = 60 * time.Second

// Backoff is how long an entry of the given generation waits, counted from when
// an observer first saw it, on the observer's own clock.
func Backoff(gen int) time.Duration {
	if gen <= 0 {
		return 0
	}
	if gen >= 6 {
		return maxBackoff
	}
	return time.Second << gen
}

// relistAfter is how much is taken from one listing before it is made afresh,
// or a quarter of it if that is more: listing a long directory costs more than
// a lost claim now and then, and a listing that has gone stale shows in those.
const relistAfter = 256

// Next returns an entry to try, or ok = false if there is none now. It lists
// the directory only if fresh is set or the listing is worked off, or stale.
func (q *Queue) Next(fresh bool) (n Name, ok bool, err error) {
	stale := q.taken >= max(relistAfter, q.Depth/4) || q.misses > 4 && q.misses*2 > q.taken
	if fresh && len(q.batch) == 0 || stale {
		if err := q.list(); err != nil {
			return n, false, err
		}
	}
	if len(q.batch) == 0 {
		return n, false, nil
	}
	n, q.batch = q.batch[0], q.batch[1:]
	q.taken++
	return n, true, nil
}

// Missed tells that the entry handed out last was somebody else's already.
func (q *Queue) Missed() { q.misses++ }

// Left is what remains of the listing.
func (q *Queue) Left() int { return len(q.batch) }

func (q *Queue) list() error {
	d := q.s.Layout.Input(q.stage)
	names, err := q.s.FS.List(d.Dir)
	if err != nil {
		return err
	}
	now := q.s.Env.Now()
	q.batch, q.Strays, q.taken, q.misses, q.Depth = q.batch[:0], nil, 0, 0, 0
	seen := map[string]time.Duration{}
	for _, name := range names {
		n, ok := ParseEntry(name)
		if !ok || n.Ext != d.Ext {
			if IsCanary(name, d.Ext) {
				continue
			}
			q.Strays = append(q.Strays, name)
			continue
		}
		q.Depth++
		n.Stage = q.stage
		if n.Gen > 0 {
			first, known := q.seen[name]
			if !known {
				first = now
			}
			seen[name] = first
			if now-first < Backoff(n.Gen) {
				continue
			}
		}
		q.batch = append(q.batch, n)
	}
	q.seen = seen
	slices.SortFunc(q.batch, func(a, b Name) int {
		ka, kb := q.key(a.ID), q.key(b.ID)
		switch {
		case ka < kb:
			return -1
		case ka > kb:
			return 1
		}
		return 0
	})
	return nil
}

// key orders a listing: oldest bucket of ids first, within it shuffled by a
// hash of id and host.
func (q *Queue) key(id string) uint64 {
	h := fnv.New32a()
	h.Write([]byte(q.host))
	h.Write([]byte(id))
	// The first eight digits of a UUIDv7 are slices of about a minute.
	var minute uint64
	for i := range 8 {
		c := id[i]
		v := uint64(c - '0')
		if c >= 'a' {
			v = uint64(c-'a') + 10
		}
		minute = minute<<4 | v
	}
	return minute<<32 | uint64(h.Sum32())
}
