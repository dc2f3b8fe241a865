package clustersim

import (
	"fmt"
	"strings"
	"time"

	"fencepost/submit"
)

// Point is a moment: the Nth call (from 0) that matches, just before or just
// after its effect. Empty fields match everything.
type Point struct {
	Host, Op, Arg string
	N             int
	After         bool
}

type point struct {
	Point
	run func()
}

// At has f run once, at the point.
func (s *Sim) At(p Point, f func()) { s.points = append(s.points, &point{p, f}) }

// Unfired returns the points that never came: a schedule that wasn't.
func (s *Sim) Unfired() []Point {
	var left []Point
	for _, p := range s.points {
		left = append(left, p.Point)
	}
	return left
}

func (s *Sim) around(c Call, after bool) {
	if !after && s.Before != nil {
		s.Before(c)
	}
	var due, rest []*point
	for _, p := range s.points {
		if p.After == after && (p.Host == "" || p.Host == c.Host) && (p.Op == "" || p.Op == c.Op) && strings.Contains(c.Arg, p.Arg) {
			if p.N--; p.N < 0 {
				due = append(due, p)
				continue
			}
		}
		rest = append(rest, p)
	}
	s.points = rest
	for _, p := range due {
		p.run()
	}
	if after && s.After != nil {
		s.After(c)
	}
}

// later has an effect take place when the cluster is looked at after d: a
// message on its way outlives the process that sent it.
func (s *Sim) later(d time.Duration, effect func() error) {
	s.late = append(s.late, late{s.opt.Now() + d, effect})
}

type late struct {
	at     time.Duration
	effect func() error
}

// Land lets what is on its way and due take effect.
func (s *Sim) Land() {
	now := s.opt.Now()
	var rest []late
	due := s.late
	s.late = nil
	for _, l := range due {
		if l.at <= now && !s.Down {
			_ = l.effect()
		} else {
			rest = append(rest, l)
		}
	}
	s.late = append(s.late, rest...)
}

// Crash kills the controller, which forgets what it acknowledged in the last d:
// submissions, whose ids it gives out again, releases, and starts, whose
// processes it kills.
func (s *Sim) Crash(d time.Duration) {
	s.evolve()
	s.Stats.Crashes++
	since := s.opt.Now() - d
	for len(s.log) > 0 && s.log[len(s.log)-1].at > since {
		s.log[len(s.log)-1].undo()
		s.log = s.log[:len(s.log)-1]
	}
	s.states = nil
	if s.opt.ListLag > 0 {
		s.states = append(s.states, snapshot{s.opt.Now(), s.view()})
	}
}

// ByName is the newest job of a name that contains part; "" if there is none.
func (s *Sim) ByName(part string) (id string) {
	s.evolve()
	for _, j := range s.sorted() {
		if strings.Contains(j.name, part) {
			id = j.id
		}
	}
	return id
}

// AdminHold holds a job that hasn't started, as an administrator.
func (s *Sim) AdminHold(id string) {
	s.evolve()
	if j := s.jobs[id]; j != nil && !j.started && !j.state.Ended() {
		s.set(j, s.opt.Now(), func() { j.state = submit.HeldOther })
	}
}

// Kill cancels a job in whatever state, as its user.
func (s *Sim) Kill(id string) {
	s.evolve()
	if j := s.jobs[id]; j != nil && !j.state.Ended() {
		s.end(j, submit.Cancelled, s.opt.Now())
	}
}

// Comment changes a job's comment, as a site's plugin.
func (s *Sim) Comment(id, token string) {
	if j := s.jobs[id]; j != nil {
		s.set(j, s.opt.Now(), func() { j.token = token })
	}
}

// Submit adds a job past all clients: another spool's, a person's.
func (s *Sim) Submit(r submit.Request) string {
	s.evolve()
	return s.submit(r)
}

// State is a job's state; ok is false if the id isn't known.
func (s *Sim) State(id string) (state submit.State, ok bool) {
	s.evolve()
	if j := s.jobs[id]; j != nil {
		return j.state, true
	}
	return "", false
}

// Jobs lists all jobs, without lag and keys.
func (s *Sim) Jobs() []submit.Job {
	s.evolve()
	return s.view()
}

// Starts returns the starts so far, refused ones too.
func (s *Sim) Starts() []Start {
	s.evolve()
	return append([]Start(nil), s.starts...)
}

// Problems says what must never be: two submissions of one name that both
// started (the same one twice, after a crash, is the scheduler's doing), or
// were let go while the other was; with a guard, two starts of one name that
// took effect.
func (s *Sim) Problems() []string {
	s.evolve()
	out := append([]string(nil), s.wrong...)
	first := map[string]Start{}
	for _, st := range s.starts {
		if st.Refused {
			continue
		}
		f, again := first[st.Name]
		switch {
		case !again:
			first[st.Name] = st
		case f.UID != st.UID || s.opt.Guard:
			out = append(out, fmt.Sprintf("%s started twice: submission %d as %s at %v, submission %d as %s at %v",
				st.Name, f.UID, f.ID, f.At, st.UID, st.ID, st.At))
		}
	}
	return out
}
