package node

import "time"

// Loops that an instance can't do without, beside those of its stages. How long
// the audit or a person's look takes says nothing about them.
const (
	loopWatch   = "watch"
	loopJanitor = "janitor"
)

// round notes that a loop has come round. One that has ended isn't missed.
func (s *session) round(loop string) {
	at := s.n.cfg.Env.Now()
	s.n.mu.Lock()
	defer s.n.mu.Unlock()
	if s.n.now == s && !s.stopping {
		s.n.rounds[loop] = at
	}
}

// Stalled is the loop that hasn't come round for longest, and for how long; while
// there is no instance, "lease". A loop waits for the share, and for nothing else
// that has no time-out of its own: so this tells a hang from idleness, which no
// sign of life from a goroutine of its own would.
func (n *Node) Stalled() (loop string, since time.Duration) {
	now := n.cfg.Env.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	loop, since = "lease", now-n.changed
	if n.now == nil {
		return loop, since
	}
	if len(n.rounds) == 0 {
		return "start", since
	}
	since = -1
	for name, at := range n.rounds {
		if d := now - at; d > since || d == since && name < loop {
			loop, since = name, d
		}
	}
	return loop, since
}
