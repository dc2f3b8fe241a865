package spool_test

import (
	"fmt"
	"testing"
	"time"

	"fencepost/spool"
)

// TestOffers: what a host put there itself it tries at once; what falls to another
// host only until that one may begin with it, and again once it should have.
func TestOffers(t *testing.T) {
	peers := spool.Peers{Hosts: []string{"a", "b"}, Make: true}
	var ours, theirs string
	for i := 0; ours == "" || theirs == ""; i++ {
		id := fmt.Sprintf("01890a5d-0000-7000-8000-%012x", i)
		if peers.Fall(id) == 0 {
			ours = id
		} else {
			theirs = id
		}
	}
	all := func(spool.Offer) bool { return true }
	var o spool.Offers
	o.Listed(0, all, peers, "a")
	o.Add(theirs, 0)
	o.Add(ours, 100*time.Millisecond)
	const ms = time.Millisecond
	for _, c := range []struct {
		now  time.Duration
		left bool
		want string
	}{
		{0, false, theirs}, {399 * ms, false, theirs}, // nobody else may take it yet
		{400 * ms, false, ours}, {799 * ms, true, ours}, {time.Hour, false, ours},
		{900 * ms, true, theirs}, // it was left
	} {
		if got := o.Next(c.now, c.left); got != c.want {
			t.Errorf("at %v, left %v: got %q, want %q", c.now, c.left, got, c.want)
		}
	}
	// Gone from a listing, it is forgotten; what came after the listing began isn't.
	o.Add(theirs, 0)
	o.Listed(2, func(of spool.Offer) bool { return of.Name.ID == ours }, peers, "a")
	if first, second := o.Take(0), o.Take(0); first != ours || second != theirs {
		t.Errorf("after a listing: got %q and %q", first, second)
	}
	// Alone, or none of the peers: all at once, in turn.
	for _, p := range []spool.Peers{{}, {Hosts: []string{"a"}}, {Hosts: []string{"x", "y"}}} {
		o = spool.Offers{}
		o.Listed(0, all, p, "a")
		o.Add(theirs, 0)
		o.Add(ours, 0)
		if first, second := o.Take(500*ms), o.Take(500*ms); first != theirs || second != ours {
			t.Errorf("peers %v: got %q and %q", p, first, second)
		}
	}
	// Tried as a listing showed it, it isn't tried again when it is offered.
	o = spool.Offers{}
	o.Listed(0, all, peers, "a")
	if of := o.Instead(ours); of.Data != nil {
		t.Errorf("an offer out of nothing: %+v", of)
	}
	o.Add(theirs, 0)
	if o.Add(ours, 0); o.Next(0, false) != theirs {
		t.Errorf("it is tried twice")
	}
	if of := o.Instead(theirs); string(of.Data) != theirs || o.Next(0, true) != "" {
		t.Errorf("got %+v, and %q is left", of, o.Next(0, true))
	}
	o = spool.Offers{}
	n := 0
	for o.Add(fmt.Sprint(n), 0) {
		n++
	}
	if n != spool.MaxOffersAlone {
		t.Errorf("%d offers are kept by a host that is alone", n)
	}
	o = spool.Offers{}
	o.Listed(0, all, peers, "a")
	for n = 0; o.Add(fmt.Sprint(n), 0); n++ {
	}
	if n != spool.MaxOffers {
		t.Errorf("%d offers are kept", n)
	}
}
