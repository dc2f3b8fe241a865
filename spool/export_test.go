package spool

import "time"

// The doors through which the tests look at what is not exported.
var (
	EncodedEpoch = epochName
	ParseEpoch   = parseEpoch
	FixedDirs    = fixedDirs
)

// Keep is how many entries of a listing are kept.
const Keep = keep

// Owned lists the names that tasks of an instance own.
func (in *Instance) Owned() []string {
	in.mu.Lock()
	defer in.mu.Unlock()
	var out []string
	for name := range in.flight {
		out = append(out, name)
	}
	return out
}

// DisownAll makes what an instance's tasks own nobody's.
func (in *Instance) DisownAll() { in.disown(in.Owned()...) }

// Unwritten is how many bytes of events wait in memory.
func (j *Journal) Unwritten() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.buf)
}

// Waiting is how many callers of Flush wait for another's.
func (j *Journal) Waiting() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.waiters)
}

// Seen is how many names of entries that came back a queue remembers.
func (q *Queue) Seen() int { return len(q.seen) }

// Leave is for how long entries are left to others.
func (q *Queue) Leave() time.Duration { return q.leave }

// Offers are what a taker keeps of what it was offered.
type Offers struct{ o offers }

func (x *Offers) Listed(n int, there func(Offer) bool, p Peers, host string) {
	x.o.listed(n, there, p, host)
}
func (x *Offers) Add(id string, at time.Duration) bool {
	return x.o.add(Offer{Name: Name{ID: id}, Data: []byte(id), at: at})
}

func (x *Offers) Instead(id string) Offer { return x.o.instead(Name{ID: id}) }

// Next is the id of the offer to try, which is kept; "" = none.
func (x *Offers) Next(now time.Duration, left bool) string {
	if i := x.o.next(now, left); i >= 0 {
		return x.o.all[i].Name.ID
	}
	return ""
}

func (x *Offers) Take(now time.Duration) string { return x.o.take(x.o.next(now, true)).Name.ID }

// MaxOffers and MaxOffersAlone are how many are kept.
const (
	MaxOffers      = maxOffers
	MaxOffersAlone = maxOffersAlone
)

func (p Peers) Fall(id string) int { return p.fall(id) }
