package spool

import (
	"slices"
	"time"
)

// offers are the entries that this instance put into a stage's directory and has
// not tried yet, oldest first. Its holder guards it.
//
// A host that isn't alone may try each of them at once. Those that fall to
// another host it leaves to that one from when that one may begin with them
// (makersFor) until it should have (othersFor, or longer: see Queue.Missed).
type offers struct {
	all   []Offer
	known int           // bytes of their files
	peers Peers         // by the last listing
	leave time.Duration // for how long those are left to others that fall to them; at least othersFor
	self  int           // among them; -1: none of them

	// Ids that were tried from this listing, and from the one before: a listing may
	// show an entry before it is offered.
	tried, before map[string]bool
}

const (
	// maxOffers is how many are kept. What is over it is listed, and read. A host that
	// is alone has nobody to share with.
	maxOffers      = 512
	maxOffersAlone = 4096
	// maxOfferedData is how long a file may be to be offered with what is in it.
	maxOfferedData = 32 << 10
	// maxKnown is how many bytes of files are kept in all offers together; what is
	// over it is read when it is its turn.
	maxKnown = 4 << 20
	// ownInARow is how many offers are tried in a row while others' entries of the
	// same minute wait.
	ownInARow = 15
	// maxTried bounds what is remembered of a listing. What it shows too early is
	// offered a moment later.
	maxTried = 256
)

func (o *offers) alone() bool { return len(o.peers.Hosts) < 2 || o.self < 0 }

// add keeps an offer, if there is room for it, and it wasn't tried already.
func (o *offers) add(of Offer) bool {
	switch {
	case o.tried[of.Name.ID] || o.before[of.Name.ID]:
		return true
	case len(o.all) >= maxOffersAlone, len(o.all) >= maxOffers && !o.alone():
		return false
	}
	if len(of.Data) > maxOfferedData || o.known+len(of.Data) > maxKnown {
		of.Data = nil
	}
	of.own = o.falls(of)
	o.all = append(o.all, of)
	o.known += len(of.Data)
	return true
}

func (o *offers) falls(of Offer) bool { return o.alone() || o.peers.fall(of.Name.ID) == o.self }

// next is the place of the offer to try now: -1 = there is none now. left has it be
// one that was left to another host for long enough.
func (o *offers) next(now time.Duration, left bool) int {
	return slices.IndexFunc(o.all, func(of Offer) bool {
		age := now - of.at
		return of.own || age < makersFor || left && age >= o.patience()
	})
}

func (o *offers) patience() time.Duration { return max(o.leave, othersFor) }

func (o *offers) take(i int) Offer {
	of := o.all[i]
	o.known -= len(of.Data)
	if i == 0 { // the usual case, and the others needn't be moved
		o.all[0] = Offer{}
		o.all = o.all[1:]
		return of
	}
	o.all = slices.Delete(o.all, i, i+1)
	return of
}

// instead is the offer of an entry that a listing showed, too, if there is one. It is
// not tried again.
func (o *offers) instead(n Name) Offer {
	if len(o.tried) >= maxTried {
		o.before, o.tried = o.tried, nil
	}
	if o.tried == nil {
		o.tried = map[string]bool{}
	}
	o.tried[n.ID] = true
	i := slices.IndexFunc(o.all, func(of Offer) bool { return of.Name == n })
	if i < 0 {
		return Offer{Name: n}
	}
	return o.take(i)
}

// ripe is when the oldest offer may be tried that was left to another host.
func (o *offers) ripe() (at time.Duration, ok bool) {
	if len(o.all) == 0 {
		return 0, false
	}
	return o.all[0].at + o.patience(), true
}

// listed keeps those that a listing showed, of the first n, and those that came
// since.
func (o *offers) listed(n int, there func(Offer) bool, peers Peers, host string) {
	o.peers, o.self = peers, slices.Index(peers.Hosts, host)
	var all []Offer
	o.known = 0
	for i, of := range o.all {
		if i >= n || there(of) {
			of.own = o.falls(of)
			all = append(all, of)
			o.known += len(of.Data)
		}
	}
	o.all, o.before, o.tried = all, o.tried, nil
}
