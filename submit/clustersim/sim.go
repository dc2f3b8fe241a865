package clustersim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"fencepost/submit"
)

// Options are what a cluster is like. The zero value of a duration leaves that
// out.
type Options struct {
	Caps submit.Caps
	Now  func() time.Duration // the cluster's own clock

	StartAfter time.Duration // from a release to a start
	RunTime    time.Duration // from a start to the end
	MinJobAge  time.Duration // an ended job is purged after it; 0 = never
	ListLag    time.Duration // a listing shows what was so this long ago
	PastLag    time.Duration // the record of an end comes so much later
	KeyWindow  time.Duration // a key is remembered for it; 0 = for ever
	Latency    time.Duration // of each call, half of it before its effect
	MaxJobs    int           // held, pending, running and ended but not purged; 0 = no limit

	// Guard: each job begins with the strict guard: a start of a key after
	// the first one ends at once, with nothing run.
	Guard bool
}

// job is one submission. uid tells two of one id apart: ids are used again
// after a crash.
type job struct {
	uid      int
	id       string
	name     string
	key      string // for a cluster with keys
	token    string
	state    submit.State
	started  bool
	at       time.Duration // submitted
	released time.Duration // when it became pending
	startAt  time.Duration
	endAt    time.Duration
	ended    time.Duration
}

// Start is a start of a job that took effect.
type Start struct {
	UID  int
	ID   string
	Name string
	At   time.Duration
	// Refused by the guard: nothing ran.
	Refused bool
}

// Sim is the cluster. Its hooks and switches may be set at any time.
type Sim struct {
	// Inject decides about each call; Before and After are called around it.
	Inject        func(Call) Verdict
	Before, After func(Call)

	// OnStart is told of each start that the guard lets pass: the place to
	// make the guard's link.
	OnStart func(name, id string)

	Down    bool             // no call is answered: Unavailable
	Unfit   map[string]error // by host: what its probe and its submissions answer
	Another map[string]bool  // hosts that are configured for another cluster
	Reject  map[string]bool  // by name: jobs that are bad
	// CancelRuns breaks the promise that a cancel spares what isn't held.
	CancelRuns bool

	opt     Options
	jobs    map[string]*job // by id
	next    int             // the next id
	uids    int
	calls   int
	log     []change // newest last: what a crash may undo
	states  []snapshot
	records []record
	starts  []Start
	wrong   []string
	points  []*point
	late    []late
	Stats   Stats
}

// Stats counts what took effect.
type Stats struct{ Submitted, Released, Cancelled, Crashes, Forgotten, Listings int }

// change is one step of the controller's state, and how to take it back.
type change struct {
	at   time.Duration
	undo func()
}

type snapshot struct {
	at   time.Duration
	jobs []submit.Job
}

// record is a line of the accounting: it survives a crash.
type record struct {
	at   time.Duration
	id   string
	past submit.Past
}

// New makes an empty cluster whose first id is 100.
func New(opt Options) *Sim {
	s := &Sim{opt: opt, next: 100, jobs: map[string]*job{}, Unfit: map[string]error{}, Another: map[string]bool{}, Reject: map[string]bool{}}
	return s
}

// SetGuard turns the guard in jobs on or off.
func (s *Sim) SetGuard(on bool) { s.opt.Guard = on }

func (s *Sim) changed(at time.Duration, undo func()) {
	s.log = append(s.log, change{at, undo})
	if s.opt.ListLag > 0 {
		s.states = append(s.states, snapshot{at, s.view()})
	}
}

// evolve starts and ends what is due, in the order of time.
func (s *Sim) evolve() {
	now := s.opt.Now()
	for {
		j, at := s.nextDue(now)
		if j == nil {
			break
		}
		if j.state == submit.Pending {
			s.start(j, at)
		} else {
			s.end(j, submit.Done, at)
		}
	}
	if s.opt.MinJobAge > 0 {
		maps.DeleteFunc(s.jobs, func(_ string, j *job) bool { return j.state.Ended() && now-j.ended >= s.opt.MinJobAge })
	}
}

func (s *Sim) nextDue(now time.Duration) (due *job, at time.Duration) {
	for _, j := range s.sorted() {
		t := time.Duration(-1)
		switch j.state {
		case submit.Pending:
			t = j.startAt
		case submit.Running:
			t = j.endAt
		}
		if t >= 0 && t <= now && (due == nil || t < at) {
			due, at = j, t
		}
	}
	return due, at
}

func (s *Sim) sorted() []*job {
	return slices.SortedFunc(maps.Values(s.jobs), func(a, b *job) int { return cmp.Compare(a.uid, b.uid) })
}

func (s *Sim) set(j *job, at time.Duration, f func()) {
	old := *j
	f()
	s.changed(at, func() { *j = old })
}

func (s *Sim) start(j *job, at time.Duration) {
	refused := false
	for _, st := range s.starts {
		if st.Name == j.name && !st.Refused && s.opt.Guard {
			refused = true
		}
	}
	s.starts = append(s.starts, Start{UID: j.uid, ID: j.id, Name: j.name, At: at, Refused: refused})
	s.set(j, at, func() { j.state, j.started, j.endAt = submit.Running, true, at+s.opt.RunTime })
	if refused {
		s.end(j, submit.Failed, at)
		return
	}
	if s.OnStart != nil {
		s.OnStart(j.name, j.id)
	}
}

func (s *Sim) end(j *job, state submit.State, at time.Duration) {
	s.set(j, at, func() { j.state, j.ended = state, at })
	s.records = append(s.records, record{at, j.id, submit.Past{Known: true, Name: j.name, Started: j.started, State: state}})
}

// submit makes a job, held or not.
func (s *Sim) submit(r submit.Request) string {
	now := s.opt.Now()
	if j := s.keyed(r.Key, now); j != nil {
		return j.id
	}
	s.uids++
	j := &job{uid: s.uids, id: strconv.Itoa(s.next), name: r.Name, key: r.Key, token: r.Token, state: submit.Held, at: now}
	s.next++
	before := s.jobs[j.id]
	s.jobs[j.id] = j
	s.Stats.Submitted++
	s.changed(now, func() {
		delete(s.jobs, j.id)
		if before != nil {
			s.jobs[j.id] = before
		}
		s.next--
		s.Stats.Forgotten++
	})
	if !s.opt.Caps.Hold {
		s.release(j)
	}
	return j.id
}

// keyed is the job that a key stands for already.
func (s *Sim) keyed(key string, now time.Duration) *job {
	if !s.opt.Caps.Key {
		return nil
	}
	for _, j := range s.sorted() {
		if j.key == key && (s.opt.KeyWindow == 0 || now-j.at < s.opt.KeyWindow) {
			return j
		}
	}
	return nil
}

// release lets a job go, and notes if another one of its name went before, and
// runs, ran or will run.
func (s *Sim) release(j *job) {
	if j.state != submit.Held {
		return
	}
	now := s.opt.Now()
	for _, o := range s.sorted() {
		if o != j && o.name == j.name && (o.started || o.state == submit.Pending) && !s.opt.Guard {
			s.wrong = append(s.wrong, fmt.Sprintf("at %v: %s (submission %d) of %s released, but %s (submission %d) is %s",
				now, j.id, j.uid, j.name, o.id, o.uid, o.state))
		}
	}
	s.set(j, now, func() { j.state, j.released, j.startAt = submit.Pending, now, now+s.opt.StartAfter })
	s.Stats.Released++
}

// view is what a listing without lag shows.
func (s *Sim) view() []submit.Job {
	var out []submit.Job
	for _, j := range s.sorted() {
		out = append(out, submit.Job{ID: j.id, Name: j.name, Token: j.token, State: j.state, Started: j.started, Detail: string(j.state)})
	}
	return out
}

// listing is what one shows that is asked for now.
func (s *Sim) listing() []submit.Job {
	if s.opt.ListLag == 0 {
		return s.view()
	}
	then := s.opt.Now() - s.opt.ListLag
	for i := len(s.states) - 1; i >= 0; i-- {
		if s.states[i].at <= then {
			return slices.Clone(s.states[i].jobs)
		}
	}
	return nil
}
