package simenv

import (
	"cmp"
	"slices"
	"strings"
)

// Tape has all decisions of a run. Each is a number, 0 being the plain choice:
// no fault, no delay. So a tape is what isn't plain, and a shorter tape is a
// simpler run. Decisions are counted by lane: what one lane decides doesn't
// shift what others do.
type Tape struct {
	seed   uint64
	replay map[string]map[uint32]uint32 // nil: decisions are drawn
	lanes  map[string]*Lane
	order  []*Lane
	drawn  []drawn
}

// Entry is one decision that wasn't plain.
type Entry struct {
	Lane  string
	N     uint32 // counts the lane's decisions, from 0
	Value uint32
}

type drawn struct {
	lane     *Lane
	n, value uint32
}

// Draw returns a tape whose decisions are drawn, by the seed.
func Draw(seed uint64) *Tape { return &Tape{seed: seed, lanes: map[string]*Lane{}} }

// Replay returns a tape with the given decisions; all others are plain. The
// seed still makes ids and other random bytes.
func Replay(seed uint64, entries []Entry) *Tape {
	t := Draw(seed)
	t.replay = map[string]map[uint32]uint32{}
	for _, e := range entries {
		if t.replay[e.Lane] == nil {
			t.replay[e.Lane] = map[uint32]uint32{}
		}
		t.replay[e.Lane][e.N] = e.Value
	}
	return t
}

// Seed is the tape's seed.
func (t *Tape) Seed() uint64 { return t.seed }

// Entries returns what was decided so far and wasn't plain, by lane and number.
func (t *Tape) Entries() []Entry {
	out := make([]Entry, 0, len(t.drawn))
	for _, d := range t.drawn {
		out = append(out, Entry{d.lane.name, d.n, d.value})
	}
	slices.SortFunc(out, func(a, b Entry) int {
		return cmp.Or(strings.Compare(a.Lane, b.Lane), cmp.Compare(a.N, b.N))
	})
	return out
}

// Lane returns the lane of a name, made when it is first asked for.
func (t *Tape) Lane(name string) *Lane {
	if l := t.lanes[name]; l != nil {
		return l
	}
	l := &Lane{tape: t, name: name, key: mixString(mix(fnvStart, t.seed), name)}
	if t.replay != nil {
		l.replay = t.replay[name]
	}
	t.lanes[name] = l
	t.order = append(t.order, l)
	return l
}

// Lane is one sequence of decisions.
type Lane struct {
	tape   *Tape
	name   string
	key    uint64
	n      uint32
	replay map[uint32]uint32
}

// Pick decides for one of n, each as likely as the others.
func (l *Lane) Pick(n uint32) uint32 {
	return l.decide(n, func(r uint64) uint32 { return scale(r, n) })
}

// Rare decides for 0, or, with a chance of num in den, for one of 1 to n-1.
func (l *Lane) Rare(num, den, n uint32) uint32 {
	return l.decide(n, func(r uint64) uint32 {
		if n < 2 || scale(r, den) >= num {
			return 0
		}
		return 1 + scale(splitmix(r), n-1)
	})
}

// Chance decides for false, or, with a chance of num in den, for true.
func (l *Lane) Chance(num, den uint32) bool { return l.Rare(num, den, 2) == 1 }

func (l *Lane) decide(n uint32, draw func(uint64) uint32) uint32 {
	i := l.n
	l.n++
	var v uint32
	if l.tape.replay != nil {
		v = min(l.replay[i], max(n, 1)-1)
	} else {
		v = draw(splitmix(l.key + uint64(i)*golden))
	}
	if v != 0 {
		l.tape.drawn = append(l.tape.drawn, drawn{l, i, v})
	}
	return v
}

// Raw is the seed's own number at this place, not a decision: for ids.
func (l *Lane) Raw() uint64 {
	l.n++
	return splitmix(l.key + uint64(l.n)*golden)
}

// ---- numbers --------------------------------------------------------------------

const (
	golden   = 0x9e3779b97f4a7c15
	fnvStart = 14695981039346656037
	fnvPrime = 1099511628211
)

// splitmix is SplitMix64's output function (Steele, Lea, Flood 2014).
func splitmix(x uint64) uint64 {
	x += golden
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// scale maps a random number to 0..n-1.
func scale(r uint64, n uint32) uint32 { return uint32(r >> 32 * uint64(n) >> 32) }

func mix(h, x uint64) uint64 { return splitmix(h ^ x) }

func mixString(h uint64, s string) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * fnvPrime
	}
	return h
}
