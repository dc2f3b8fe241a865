package spool

import (
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"fencepost/spool/vfs"
)

// Queue hands out a stage's entries, from a listing that it works off before
// it lists again. Hosts that know of each other share a listing out: each begins
// with the entries that fall to it, so that they don't walk it side by side and
// lose every other claim. That is a hint: any host may claim any entry.
//
// A listing is never held as a whole: of a backlog of millions the oldest are
// kept, which is what is worked on next.
//
// It is used by one task.
type Queue struct {
	s     *Spool
	stage Stage
	host  string
	// Peers are the hosts that take from this stage; nil: it is alone.
	Peers func() Peers

	batch  []candidate
	misses int  // claims lost out of this listing
	others bool // the entry handed out last falls to another host
	taken  int
	seen   map[string]time.Duration // when an entry with a generation was first seen
	first  map[uint64]time.Duration // when an entry that others may take was first seen, by its key
	unripe int                      // entries that were left to others
	ripeAt time.Duration            // when the first of those that came back has waited; 0 = none waits
	leave  time.Duration            // for how long entries are left to the hosts that they fall to
	lost   time.Duration            // when that was last found to be too short
	peers  Peers                    // at the last listing
	Strays []string                 // names in the stage directory that are none of ours
	canary time.Duration            // when a listing showed the own one, 0 = none did
	// Depth is the number of entries in the last listing.
	Depth int
}

// Peers are the hosts that take from a stage.
type Peers struct {
	Hosts []string // in the same order on each of them; without this host: it is alone
	// Make says that some of them put entries there, too. They needn't list to find
	// those, and are given a moment to take them.
	Make bool
}

// fall is the index of the host that an entry falls to.
func (p Peers) fall(id string) int { return int(fnv1a(fnvStart, id) % uint32(len(p.Hosts))) }

// candidate is an entry of a listing. Its key says when it is its turn.
// Most names are ID.EXT: they are kept as 16 bytes.
type candidate struct {
	key  uint64
	id   uuid.UUID
	name string // of another form
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

const (
	// relistAfter is how much is taken from one listing before it is made afresh,
	// or a quarter of it if that is more: listing a long directory costs more than
	// a lost claim now and then, and a listing that has gone stale shows in those.
	relistAfter = 256

	// keep is how many entries of a listing are kept: enough that listing the next
	// million costs little for each of them, few enough for a few megabytes.
	keep = 1 << 16

	// maxStrays bounds how many strays are named.
	maxStrays = 1000

	// makersFor is how long an entry is left to the host that put it there, and
	// othersFor to the one that it falls to: claims that two make are lost to one.
	makersFor = 400 * time.Millisecond
	othersFor = 800 * time.Millisecond

	// othersMost is how long an entry is left to the host that it falls to where
	// that host turned out to be alive, and only slow: on a server that has too much
	// to do all are, and who takes each other's entries makes it slower. It is
	// forgotten after forgiveAfter.
	othersMost   = 8 * othersFor
	forgiveAfter = 10 * time.Second

	// maxOthers is how many entries that fall to other hosts are tried from one
	// listing: who is alive gets there itself, and each that is taken from it is a
	// claim that it loses.
	maxOthers = 8
)

// Next returns an entry to try, or ok = false if there is none now. It lists
// the directory only if fresh is set and the listing is worked off, or it is
// stale.
func (q *Queue) Next(fresh bool) (n Name, ok bool, err error) {
	if fresh && len(q.batch) == 0 || q.stale() {
		if err := q.list(nil); err != nil {
			return n, false, err
		}
	}
	n, ok = q.take()
	return n, ok, nil
}

func (q *Queue) stale() bool {
	return q.taken >= max(relistAfter, q.Depth/4) || q.misses > 4 && q.misses*2 > q.taken
}

// take is the next entry of the listing.
func (q *Queue) take() (n Name, ok bool) {
	if len(q.batch) == 0 {
		return n, false
	}
	if c := q.batch[0]; c.name != "" {
		n, ok = ParseEntry(c.name)
	} else {
		n, ok = Name{ID: c.id.String(), Ext: q.s.Layout.Input(q.stage).Ext}, true
	}
	n.Stage = q.stage
	q.others = q.batch[0].key&otherBit != 0
	q.batch = q.batch[1:]
	q.taken++
	return n, ok
}

// minute is that of the next entry's id; ok is false if nothing is left.
func (q *Queue) minute() (minute uint64, ok bool) {
	if len(q.batch) == 0 {
		return 0, false
	}
	return q.batch[0].key >> 32, true
}

// Missed tells that the entry handed out last was somebody else's already. If it
// was left to another host, that one hadn't been left enough time.
func (q *Queue) Missed() {
	q.misses++
	if !q.others {
		return
	}
	q.leave, q.lost = min(2*q.leave, othersMost), q.s.Env.Now()
	q.batch = slices.DeleteFunc(q.batch, func(c candidate) bool { return c.key&otherBit != 0 })
}

// Left is what remains of the listing.
func (q *Queue) Left() int { return len(q.batch) }

// drop forgets the rest of the listing.
func (q *Queue) drop() { q.batch = nil }

// list lists the directory. The entries in known, which somebody looks after
// already, are marked there as present, and left out.
func (q *Queue) list(known map[string]bool) error {
	l := lister{q: q, known: known, ext: q.s.Layout.Input(q.stage).Ext, now: q.s.Env.Now(), seen: map[string]time.Duration{}}
	if q.Peers != nil {
		l.peers = q.Peers()
		l.self = slices.Index(l.peers.Hosts, q.host)
	}
	q.batch, q.Strays, q.taken, q.misses, q.Depth, q.unripe, q.ripeAt = q.batch[:0], nil, 0, 0, 0, 0, 0
	if q.leave == 0 || l.now-q.lost > forgiveAfter {
		q.leave = othersFor
	}
	if err := vfs.Each(q.s.FS, q.s.Layout.Input(q.stage).Dir, l.add); err != nil {
		q.batch = nil
		return err
	}
	l.cut()
	q.seen, q.first, q.peers = l.seen, l.first, l.peers
	return nil
}

// lister takes up a listing, name by name.
type lister struct {
	q     *Queue
	known map[string]bool
	ext   string
	now   time.Duration
	peers Peers
	self  int

	seen  map[string]time.Duration
	first map[uint64]time.Duration

	others int    // entries in the batch that fall to others
	full   bool   // batch was cut
	worst  uint64 // the highest key that is kept since
}

func (l *lister) add(name string) {
	q := l.q
	n, ok := l.parse(name)
	if !ok || n.Ext != l.ext {
		switch {
		case name == CanaryName(q.host, l.ext):
			q.canary = l.now
		case !IsCanary(name, l.ext) && len(q.Strays) < maxStrays:
			q.Strays = append(q.Strays, strings.Clone(name))
		}
		return
	}
	q.Depth++
	if _, ok := l.known[name]; ok {
		l.known[strings.Clone(name)] = true // an assignment changes the key, too
		return
	}
	key := l.key(n.ID)
	switch {
	case n.Gen > 0 && !l.ripe(name, n.Gen):
		return
	case !l.turn(n.ID, &key):
		q.unripe++
		return
	}
	if l.full && key > l.worst {
		return
	}
	q.batch = append(q.batch, l.keep(key, name, n))
	if len(q.batch) >= 2*keep {
		l.cut()
	}
}

func (l *lister) keep(key uint64, name string, n Name) candidate {
	c := candidate{key: key}
	if id, err := uuid.Parse(n.ID); err == nil && len(name) == idLength+1+len(l.ext) {
		c.id = id
	} else {
		c.name = strings.Clone(name)
	}
	return c
}

// parse is ParseEntry, quick for what most of a long listing is: ID.EXT.
func (l *lister) parse(name string) (Name, bool) {
	if len(name) == idLength+1+len(l.ext) && name[idLength] == '.' && name[idLength+1:] == l.ext {
		return Name{ID: name[:idLength], Ext: l.ext}, ValidID(name[:idLength])
	}
	return ParseEntry(name)
}

// ripe says whether an entry that came back has waited long enough.
func (l *lister) ripe(name string, gen int) bool {
	first, known := l.q.seen[name]
	if !known {
		first = l.now
	}
	l.seen[strings.Clone(name)] = first
	at := first + Backoff(gen)
	if at > l.now && (l.q.ripeAt == 0 || at < l.q.ripeAt) {
		l.q.ripeAt = at
	}
	return at <= l.now
}

// otherBit makes other hosts' entries of a minute come after the own ones.
const otherBit = 1 << 31

// turn says whether this host may try an entry now: it falls to it, or was left
// by the host that it falls to; and by the one that put it there.
func (l *lister) turn(id string, key *uint64) bool {
	if len(l.peers.Hosts) < 2 || l.self < 0 {
		return true
	}
	wait := time.Duration(0)
	if l.peers.Make {
		wait = makersFor
	}
	own := l.peers.fall(id) == l.self
	if !own {
		wait = l.q.leave
		*key |= otherBit
	}
	if wait == 0 {
		return true
	}
	first, known := l.q.first[*key]
	if !known {
		first = l.now
	}
	switch {
	case len(l.first) >= keep:
		return own // there is enough for everybody
	case l.first == nil:
		l.first = map[uint64]time.Duration{}
	}
	l.first[*key] = first
	if l.now-first < wait {
		return false
	}
	if !own {
		l.others++
	}
	return own || l.others <= maxOthers
}

// cut sorts what was listed, and keeps the oldest.
func (l *lister) cut() {
	b := l.q.batch
	slices.SortFunc(b, func(a, b candidate) int {
		switch {
		case a.key < b.key:
			return -1
		case a.key > b.key:
			return 1
		}
		return 0
	})
	if len(b) > keep {
		clear(b[keep:])
		l.q.batch, l.full, l.worst = b[:keep], true, b[keep-1].key
	}
}

// key orders a listing: oldest bucket of ids first, within it shuffled by a
// hash of id and host.
func (l *lister) key(id string) uint64 {
	h := fnv1a(fnv1a(fnvStart, l.q.host), id)
	return minuteOf(id)<<32 | uint64(h)&^otherBit
}

// minuteOf is the first eight digits of a UUIDv7: slices of about a minute.
func minuteOf(id string) (minute uint64) {
	for i := range 8 {
		c := id[i]
		v := uint64(c - '0')
		if c >= 'a' {
			v = uint64(c-'a') + 10
		}
		minute = minute<<4 | v
	}
	return minute
}

const fnvStart = 2166136261

// fnv1a is the FNV-1a hash of s, gone on from h. That of hash/fnv makes garbage,
// a million times for a long listing.
func fnv1a(h uint32, s string) uint32 {
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h
}
