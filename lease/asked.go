package lease

import (
	"context"
	"path"
	"slices"

	"fencepost/spool"
)

// What others ask of an instance, looked at in each heartbeat.

// askedBeats is in how many heartbeats everything is looked at once that others may
// ask for. A fence is looked for in each, a drain and the roster in every other one.
const askedBeats = 4

// turn says whether it is the turn of what is looked at once in askedBeats heartbeats:
// in the heartbeat of that place among them.
func (l *Lease) turn(place int) bool {
	pace := pace(l.cfg.TTL, l.cfg.Heartbeat, askedBeats)
	return l.rounds%pace == place%pace
}

// look is the rest of each heartbeat: fences, a drain, the roster. Listings,
// not opens: those may answer "no such file" from a cache. What can't be read is
// looked at again next time.
func (l *Lease) look() {
	host := l.Host()
	if fenced, err := names(l.f.fs, spool.FencedDir(host)); err == nil {
		if slices.ContainsFunc(fenced, func(s string) bool { n, ok := parseEpoch(s); return ok && n == l.epoch }) {
			l.fencedBy(l.f.readFence(host, l.epoch))
			return
		}
		if slices.Contains(fenced, personName) {
			l.lastWords(&FencedByPersonError{Host: host, Flag: readFlag(l.f.fs, personPath(host))})
			return
		}
	}
	if l.turn(0) || l.turn(2) {
		if drained, err := Drained(l.f.fs, host); err == nil {
			l.mu.Lock()
			l.drained = drained
			l.mu.Unlock()
		}
	}
	if l.absent > 0 || l.turn(1) || l.turn(3) {
		l.lookAtRoster()
	}
}

// fencedBy ends the lease, without goodbye: the epoch is over as it is.
func (l *Lease) fencedBy(fc fence) {
	cause := &FencedError{Host: l.Host(), Epoch: l.epoch, By: fc.By, Why: fc.Why, Counter: fc.Counter,
		False: fc.By != "" && l.beats.beyond(fc.Counter) >= l.cfg.TTL}
	l.end(cause)
	if !cause.False {
		return
	}
	l.cfg.Warn("false-fence", "host", l.Host(), "epoch", l.epoch, "by", fc.By, "counter", fc.Counter, "own", l.counter)
	if err := l.f.blame(context.WithoutCancel(l.ctx), fc.By, l.Host(), l.epoch); err != nil {
		l.cfg.Warn("blame-failed", "host", l.Host(), "by", fc.By, "err", err)
	}
}

// lookAtRoster stops an instance whose host was revoked, or enrolled anew for
// another machine. Twice in a row, since one listing may err. An entry is never
// rewritten, so that it is read only if the names have changed, and now and then.
func (l *Lease) lookAtRoster() {
	listing, err := names(l.f.fs, spool.DirRoster)
	if err != nil {
		return
	}
	if l.absent == 0 && slices.Equal(listing, l.roster) && slices.Contains(listing, path.Base(spool.RosterPath(l.Host()))) && l.rounds < l.rosterAt {
		return
	}
	l.roster, l.rosterAt = listing, l.rounds+rosterRounds
	m, err := readMember(l.f.fs, l.Host())
	reason := ""
	switch {
	case err == nil && m.Pinned != "" && m.Pinned != l.cfg.Identity.MachineID:
		reason = "the host is pinned to machine " + m.Pinned
	case err == nil:
		l.mu.Lock()
		l.member = m
		l.mu.Unlock()
	case notThere(err):
		there, lerr := has(l.f.fs, spool.RosterPath(l.Host()))
		if lerr != nil || there {
			return
		}
		reason = errNotEnrolled.Error()
	default:
		return
	}
	if reason == "" {
		l.absent = 0
		return
	}
	if l.absent++; l.absent >= 2 {
		l.lastWords(&RefusedError{Host: l.Host(), MachineID: l.cfg.Identity.MachineID, Reason: reason})
	}
}
