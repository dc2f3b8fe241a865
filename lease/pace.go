package lease

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Who is looked at when.

// Few enough hosts are all watched in every round. Of more, each watches its
// neighbours, those that look silent, and the others now and then.
const (
	watchAll   = 8
	neighbours = 4
)

// rosterRounds is after how many rounds the roster is read again although its
// listing is the same.
const rosterRounds = 60

// The pace, in rounds, at which a watcher that sees nothing amiss lists directories.
// The records of hosts that live are read in every round: what goes amiss shows
// there, and then the directories are listed in every round, too.
const (
	dirRounds = 5 // roster, blames, the other hosts' directories, hosts at rest
	allRounds = 2 // times that: all owners of directories, and the own ones
)

// pace is how many heartbeats may pass between two looks for what isn't urgent: at
// most longest, and half the lease time.
func pace(ttl, heartbeat time.Duration, longest int) int {
	return max(1, min(longest, int(ttl/2/heartbeat)))
}

// choose says who is looked at in this round.
func (w *Watcher) choose(owners []*watched) []*watched {
	if len(owners) <= watchAll {
		return owners
	}
	self, _ := slices.BinarySearchFunc(owners, w.cfg.Self, func(h *watched, s string) int { return strings.Compare(h.owner, s) })
	turns := (len(owners) + neighbours - 1) / neighbours
	var chosen []*watched
	for i, h := range owners {
		ahead := (i - self + len(owners)) % len(owners)
		if ahead <= neighbours || (i+w.rounds)%turns == 0 || len(h.over) > 0 || h.suspect(w.cfg.Heartbeat) {
			chosen = append(chosen, h)
		}
	}
	return chosen
}

// suspect: it may be about to be gone. One that has been silent for long was
// dealt with, or has nothing left.
func (h *watched) suspect(heartbeat time.Duration) bool {
	return h.looked && !h.rec.Goodbye && h.silent >= 2*heartbeat && h.silent < time.Hour
}

// rests: there is nothing of it to be taken over, and it isn't at work as far as is
// known. That it starts is seen a few rounds later. A command has no record.
func (h *watched) rests() bool {
	return h.looked && (h.command || len(h.since) == 0 && (!h.known || h.rec.Goodbye || h.silent > 0))
}

// amiss: its directories have to be looked at in every round, since an epoch of it is
// over, or may be so soon, or one is there that its record doesn't account for.
func (w *Watcher) amiss(h *watched) bool {
	if len(h.since) == 0 {
		return false
	}
	if len(h.over) > 0 || h.owner == w.cfg.Self {
		return len(h.over) > 0
	}
	if h.command {
		return false
	}
	return !h.known || h.rec.Goodbye || h.silent >= 2*w.interval(h) || slices.Max(slices.Collect(maps.Keys(h.since))) > h.highest
}

// plan says when a host that was looked at is looked at again, if it doesn't live, and
// when its directories are, if they were just listed.
func (w *Watcher) plan(h *watched, listed bool) {
	next, list := w.pace, w.pace
	if h.owner == w.cfg.Self {
		next = w.pace * allRounds
	}
	if h.rests() {
		list = w.pace * allRounds
	}
	h.lookAt = w.rounds + next
	if listed {
		h.listAt = w.rounds + list
	}
}
