package main

import (
	"fmt"
	"strings"

	"fencepost/cmd/fencepost/show"
	"fencepost/spool"
)

// alarmDoc is something that only a foreign program, or a broken promise,
// explains.
type alarmDoc struct {
	Kind     string `json:"kind"` // vanished, duplicated or canary
	Job      string `json:"job"`
	Stage    string `json:"stage"` // at which the job was last seen, or of the canary
	Place    string `json:"place"`
	Host     string `json:"host"` // who had it last, or whose canary it was
	By       string `json:"by"`   // who noticed
	Detail   string `json:"detail"`
	First    string `json:"first"`
	Last     string `json:"last"`
	Count    int    `json:"count"`
	Resolved bool   `json:"resolved"`
	Why      string `json:"why_resolved"`
}

// takeAlarms lists the alarms that the hosts raised.
func takeAlarms(s *share) ([]alarmDoc, error) {
	all, err := s.Alarms()
	out := []alarmDoc{}
	for _, a := range all {
		out = append(out, alarmDoc{Kind: a.Kind, Job: a.Job, Stage: string(a.Stage), Place: string(a.Place), Host: a.Host, By: a.By,
			Detail: a.Detail, First: stamp(a.First), Last: stamp(a.Last), Count: a.Count, Resolved: a.Resolved != nil, Why: a.Why})
	}
	return out, err
}

// takenCanaries are the alarms that somebody took files which nobody may take.
func takenCanaries(all []alarmDoc) []alarmDoc {
	var out []alarmDoc
	for _, a := range all {
		if a.Kind == spool.AlarmCanary && !a.Resolved {
			out = append(out, a)
		}
	}
	return out
}

// whoMounts is how a program that nobody knows is found: fencepost sees only what
// it takes.
const whoMounts = "on the file server, ss -tn sport = :2049 shows who has the share mounted"

// lostDoc is a job that passed the gate and is nowhere now.
type lostDoc struct {
	Job    string `json:"job"`
	Stage  string `json:"stage"` // at which the journals saw it last
	Host   string `json:"host"`  // who had it then
	Detail string `json:"detail"`
}

// maxLost bounds what is looked up: all are counted.
const maxLost = 100

// lastSeen says where vanished jobs were taken.
func lastSeen(s *share, ids []string) ([]lostDoc, error) {
	out := []lostDoc{}
	if len(ids) == 0 {
		return out, nil
	}
	ids = ids[:min(len(ids), maxLost)]
	seen, err := s.LastSeen(ids)
	for _, id := range ids {
		l := seen[id]
		out = append(out, lostDoc{Job: id, Stage: string(l.Stage), Host: l.Host, Detail: l.Text})
	}
	return out, err
}

// someLost names the first few, with their stages.
func someLost(all []lostDoc) string {
	var words []string
	for _, l := range all {
		words = append(words, fmt.Sprintf("%s (%s)", l.Job, l.Stage))
	}
	text := some(words)
	if len(all) > 0 {
		text += "; " + all[0].Detail
	}
	return text
}

// printAlarms is what hosts and intruders show below their tables.
func printAlarms(o *show.Out, all []alarmDoc) {
	for _, a := range all {
		severity := show.Bad
		words := []string{"alarm", a.Kind, dash(a.Job), "stage " + dash(a.Stage), plural(a.Count, "time") + ", last " + a.Last, a.Detail}
		if a.Resolved {
			severity = show.Fine
			words = append(words, "resolved: "+strings.TrimSpace(a.Why))
		}
		if !a.Resolved && a.Kind == spool.AlarmCanary {
			words = append(words, "("+whoMounts+")")
		}
		o.Cells(severity, words[0], words[1:]...)
	}
}
