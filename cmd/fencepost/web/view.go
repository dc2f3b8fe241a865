package web

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// The documents of the commands, as far as pages and metrics need them.

type status struct {
	Spool      string         `json:"spool"`
	SpoolID    string         `json:"spool_id"`
	OK         bool           `json:"ok"`
	Accepted   int            `json:"accepted"`
	Accepting  int            `json:"accepting"`
	Waiting    map[string]int `json:"waiting"`
	Claimed    int            `json:"claimed"`
	Sealed     int            `json:"sealed"`
	Held       int            `json:"held"`
	Parked     int            `json:"parked"`
	Failed     int            `json:"failed"`
	Done       int            `json:"done"`
	LastDay    lastDay        `json:"last_day"`
	Hosts      []host         `json:"hosts"`
	Intruders  int            `json:"intruders"`
	Foreign    int            `json:"foreign_files"`
	Vanished   int            `json:"vanished"`
	Duplicated int            `json:"duplicated"`
	Lost       []lost         `json:"vanished_jobs"`
	Alarms     []alarm        `json:"alarms"`
	Problems   []problem      `json:"problems"`
}

type lastDay struct {
	Accepted int `json:"accepted"`
	Done     int `json:"done"`
	Failed   int `json:"failed"`
	Parked   int `json:"parked"`
	Held     int `json:"held"`
	OnTheWay int `json:"on_the_way"`
	Vanished int `json:"vanished"`
}

type problem struct {
	Code string `json:"code"`
	Text string `json:"text"`
	Exit int    `json:"exit"`
	Next string `json:"next"`
}

// Link is the page that has more about it, "" = none.
func (p problem) Link() string {
	switch p.Code {
	case "vanished", "duplicated", "intruder", "canary", "foreign":
		return "/intruders"
	case "parked", "failed":
		return "/jobs?state=" + p.Code
	case "unserved":
		return "/jobs?state=waiting"
	}
	return ""
}

type host struct {
	Host      string   `json:"host"`
	Enrolled  bool     `json:"enrolled"`
	State     string   `json:"state"`
	Reason    string   `json:"reason"`
	ByPerson  bool     `json:"fenced_by_person"`
	Draining  bool     `json:"draining"`
	Epoch     uint64   `json:"epoch"`
	Stages    []string `json:"stages"`
	Unfit     []string `json:"unfit_stages"`
	Age       *float64 `json:"heartbeat_age_seconds"`
	Estimated bool     `json:"heartbeat_age_estimated"`
	Claims    int      `json:"claims"`
	Version   string   `json:"version"`
	Config    string   `json:"config_digest"`
	Machine   string   `json:"machine_id"`
	PID       int      `json:"pid"`
	Since     string   `json:"since"`
	Listen    string   `json:"listen"`
	HTTP      string   `json:"http"`
}

type lost struct {
	Job    string `json:"job"`
	Stage  string `json:"stage"`
	Host   string `json:"host"`
	Detail string `json:"detail"`
}

type alarm struct {
	Kind     string `json:"kind"`
	Job      string `json:"job"`
	Stage    string `json:"stage"`
	Host     string `json:"host"`
	By       string `json:"by"`
	Detail   string `json:"detail"`
	First    string `json:"first"`
	Last     string `json:"last"`
	Count    int    `json:"count"`
	Resolved bool   `json:"resolved"`
	Why      string `json:"why_resolved"`
}

type depth struct {
	Stage  string   `json:"stage"`
	State  string   `json:"state"`
	Count  int      `json:"count"`
	Oldest *float64 `json:"oldest_seconds"`
	Job    string   `json:"oldest_job"`
}

type intruder struct {
	Host     string `json:"host"`
	Machine  string `json:"machine_id"`
	Version  string `json:"version"`
	Hostname string `json:"hostname"`
	Address  string `json:"addresses"`
	User     string `json:"user"`
	Program  string `json:"program"`
	PID      int    `json:"pid"`
	KnownAs  string `json:"known_as"`
	Reason   string `json:"reason"`
	First    string `json:"first"`
	Last     string `json:"last"`
	Count    int    `json:"count"`
	Resolved bool   `json:"resolved"`
}

type intruders struct {
	Intruders []intruder `json:"intruders"`
	Foreign   []string   `json:"foreign_files"`
	Alarms    []alarm    `json:"alarms"`
}

type balance struct {
	Accepted   int      `json:"accepted"`
	Accepting  int      `json:"accepting"`
	Waiting    int      `json:"waiting"`
	Claimed    int      `json:"claimed"`
	Sealed     int      `json:"sealed"`
	Held       int      `json:"held"`
	Parked     int      `json:"parked"`
	Failed     int      `json:"failed"`
	Done       int      `json:"done"`
	HandedOver int      `json:"handed_over"`
	Vanished   []string `json:"vanished"`
	Duplicated []string `json:"duplicated"`
	Ungated    []string `json:"ungated"`
	Difference int      `json:"difference"`
}

// OK says whether nothing is lost or doubled.
func (b balance) OK() bool {
	return b.Difference == 0 && len(b.Vanished)+len(b.Duplicated) == 0
}

type job struct {
	Job     string `json:"job"`
	State   string `json:"state"`
	Stage   string `json:"stage"`
	Gen     int    `json:"generation"`
	Faults  int    `json:"faults"`
	Host    string `json:"host"`
	Epoch   uint64 `json:"epoch"`
	Cluster string `json:"cluster_id"`
	Path    string `json:"path"`
	Time    string `json:"time"`
}

type jobs struct {
	Jobs  []job `json:"jobs"`
	Total int   `json:"total"`
}

type trace struct {
	Job    string       `json:"job"`
	Name   string       `json:"name"`
	Owner  string       `json:"owner"`
	State  string       `json:"state"`
	Where  *job         `json:"where"`
	Files  []string     `json:"files"`
	Events []traceEvent `json:"events"`
}

type traceEvent struct {
	Time    string  `json:"time"`
	Host    string  `json:"host"`
	Epoch   uint64  `json:"epoch"`
	Stage   string  `json:"stage"`
	Event   string  `json:"event"`
	Token   string  `json:"token"`
	Result  string  `json:"result"`
	Detail  string  `json:"detail"`
	Cluster string  `json:"cluster_id"`
	Gen     int     `json:"generation"`
	Faults  int     `json:"faults"`
	Seconds float64 `json:"seconds"`
	Version string  `json:"version"`
}

type why struct {
	State   string   `json:"state"`
	Moves   bool     `json:"moves"`
	Verdict string   `json:"verdict"`
	Next    string   `json:"next"`
	Gates   []gate   `json:"gates"`
	Reasons []reason `json:"reasons"`
}

type gate struct {
	Gate   string `json:"gate"`
	Pass   bool   `json:"pass"`
	Waits  bool   `json:"waits"`
	Detail string `json:"detail"`
}

// Word is pass, wait or stop.
func (g gate) Word() string {
	switch {
	case g.Pass:
		return "pass"
	case g.Waits:
		return "wait"
	}
	return "stop"
}

type reason struct {
	Time   string `json:"time"`
	Host   string `json:"host"`
	Event  string `json:"event"`
	Reason string `json:"reason"`
	Token  string `json:"token"`
}

// as reads a document the way that anybody would: as JSON.
func as[T any](doc any) (T, error) {
	var out T
	data, err := json.Marshal(doc)
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil {
		return out, fmt.Errorf("read document: %w", err)
	}
	return out, nil
}

// view is a picture, taken apart.
type view struct {
	docs      Picture
	status    status
	depths    []depth
	intruders intruders
}

func (s *Server) look(ctx context.Context) (*view, error) {
	p, err := s.cfg.Source.Look(ctx)
	if err != nil {
		return nil, err
	}
	v := &view{docs: p}
	if v.status, err = as[status](p.Status); err != nil {
		return nil, err
	}
	d, err := as[struct {
		Stages []depth `json:"stages"`
	}](p.Depth)
	if err != nil {
		return nil, err
	}
	v.depths = d.Stages
	if v.intruders, err = as[intruders](p.Intruders); err != nil {
		return nil, err
	}
	s.rates.add(time.Now(), v.status.Accepted, v.status.Done)
	return v, nil
}

// rates are those of the whole spool, of the looks of the last minutes.
type rates struct {
	mu    sync.Mutex
	looks []rateLook // oldest first
}

type rateLook struct {
	at             time.Time
	accepted, done int
}

const (
	ratesOver  = 5 * time.Minute
	ratesLeast = 5 * time.Second // apart, to say anything
)

func (r *rates) add(at time.Time, accepted, done int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looks = append(r.looks, rateLook{at, accepted, done})
	for len(r.looks) > 2 && (at.Sub(r.looks[1].at) > ratesOver || len(r.looks) > 400) {
		r.looks = r.looks[1:]
	}
}

// perMinute is what the spool took in and finished; over is 0 if too few looks
// say anything.
func (r *rates) perMinute() (accepted, done float64, over time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.looks) < 2 {
		return 0, 0, 0
	}
	first, last := r.looks[0], r.looks[len(r.looks)-1]
	d := last.at.Sub(first.at)
	if d < ratesLeast || d > 2*ratesOver {
		return 0, 0, 0
	}
	return float64(last.accepted-first.accepted) / d.Minutes(), float64(last.done-first.done) / d.Minutes(), d
}
