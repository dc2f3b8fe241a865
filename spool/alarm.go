package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Events of what only a foreign program, or a broken promise, explains.
const (
	EvVanished   = "vanished"     // accepted, and nowhere in three looks
	EvDuplicated = "duplicated"   // in two places in three looks
	EvFound      = "found"        // it was vanished or duplicated, and is right again
	EvCanary     = "canary-taken" // a file that no instance takes was taken
	EvRecovered  = "recovered"    // a copy of what the gate keeps was entered again
)

// The kinds of alarm begin their files' names.
const (
	AlarmVanished   = "vanished"
	AlarmDuplicated = "duplicated"
	AlarmCanary     = "canary"
)

// Alarm is a file in intruders/. One of a job lasts until the job is right
// again; one of a canary until it is resolved. It informs; names on disk decide.
type Alarm struct {
	Schema   string     `json:"schema"`
	Kind     string     `json:"kind"`
	Job      string     `json:"job,omitempty"`
	Stage    Stage      `json:"stage"`           // at which the job was last seen, or of the canary
	Place    Place      `json:"place,omitempty"` // where it was last seen
	Host     string     `json:"host"`            // who had it last, or whose canary it was
	By       string     `json:"by"`              // HOST/EPOCH that noticed
	Detail   string     `json:"detail"`
	First    time.Time  `json:"first"` // by the noticing host's clock
	Last     time.Time  `json:"last"`
	Count    int        `json:"count"` // two at the same moment may count as one
	Resolved *time.Time `json:"resolved,omitempty"`
	Why      string     `json:"why_resolved,omitempty"`
}

const alarmSchema = "fencepost.alarm/v1"

// path is the alarm's file: one a job, or one a canary and day.
func (a Alarm) path() string {
	if a.Kind == AlarmCanary {
		return path.Join(DirIntruders, fmt.Sprintf("%s~%s~%s~%s.json", a.Kind, a.Stage, a.Host, a.First.UTC().Format(time.DateOnly)))
	}
	return path.Join(DirIntruders, a.Kind+"~"+a.Job+".json")
}

func isAlarm(name string) bool {
	kind, _, ok := strings.Cut(name, "~")
	return ok && strings.HasSuffix(name, ".json") && (kind == AlarmVanished || kind == AlarmDuplicated || kind == AlarmCanary)
}

// raise writes an alarm, or counts it once more. fresh: it didn't stand.
func (in *Instance) raise(a Alarm) (fresh bool, err error) {
	now := in.Env.Wall().UTC()
	a.Schema, a.By, a.First, a.Last = alarmSchema, fmt.Sprintf("%s/%d", in.Host, in.Epoch), now, now
	fresh = true
	if old, err := in.readAlarm(a.path()); err == nil {
		fresh = old.Resolved != nil
		a.First, a.Count = old.First, old.Count
	}
	a.Count++
	return fresh, in.writeAlarm(a.path(), a)
}

// writeAlarm replaces the file by a rename: the last writer wins.
func (s *Spool) writeAlarm(name string, a Alarm) error {
	data, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return fmt.Errorf("encode alarm: %w", err)
	}
	return s.replace(name, append(data, '\n'))
}

// replace puts data under a name in intruders/, whole.
func (s *Spool) replace(name string, data []byte) error {
	draft := path.Join(DirIntruders, "new~"+s.nonce())
	_, err := s.FS.Create(draft, data)
	if err == nil {
		err = s.FS.Rename(draft, name)
	}
	if err != nil {
		_ = s.FS.Remove(draft)
		return fmt.Errorf("write %s: %w", name, err)
	}
	return s.FS.Sync(DirIntruders)
}

func (s *Spool) readAlarm(name string) (Alarm, error) {
	var a Alarm
	data, _, err := s.FS.Read(name, 1<<16)
	if err == nil {
		err = json.Unmarshal(data, &a)
	}
	return a, err
}

// Alarms lists them, by file name. One that can't be read says so.
func (s *Spool) Alarms() ([]Alarm, error) {
	names, err := s.FS.List(DirIntruders)
	if err != nil {
		return nil, fmt.Errorf("list alarms: %w", err)
	}
	slices.Sort(names)
	var out []Alarm
	for _, name := range names {
		if !isAlarm(name) {
			continue
		}
		a, err := s.readAlarm(path.Join(DirIntruders, name))
		if isErr(err, syscall.ENOENT, syscall.ESTALE) {
			continue // cleared meanwhile
		}
		if err != nil {
			kind, rest, _ := strings.Cut(name, "~")
			a = Alarm{Kind: kind, Job: strings.TrimSuffix(rest, ".json"), Detail: "unreadable: " + err.Error()}
		}
		out = append(out, a)
	}
	return out, nil
}

// ResolveAlarms marks the canaries' alarms that want lets pass: by a person, or since
// nothing was taken for long.
func (s *Spool) ResolveAlarms(want func(Alarm) bool, why string) (n int, err error) {
	all, err := s.Alarms()
	if err != nil {
		return 0, err
	}
	now := s.Env.Wall().UTC()
	for _, a := range all {
		if a.Kind != AlarmCanary || a.Resolved != nil || !want(a) {
			continue
		}
		a.Resolved, a.Why = &now, why
		if werr := s.writeAlarm(a.path(), a); werr != nil {
			err = errors.Join(err, werr)
			continue
		}
		n++
	}
	return n, err
}

// clear removes the alarm of a job that is right again.
func (s *Spool) clear(kind, id string) error { return s.removeName(Alarm{Kind: kind, Job: id}.path()) }

// ---- where a job was last ------------------------------------------------------

// Seen is where the journals saw a job last.
type Seen struct {
	Place Place
	Stage Stage
	Host  string // whose event it was
	Gen   int
	Text  string
}

// LastSeen reads the journals for the last event of each job.
func (s *Spool) LastSeen(ids []string) (map[string]Seen, error) {
	want := map[string][]Event{}
	for _, id := range ids {
		want[id] = nil
	}
	key := []byte(`"job":"`)
	err := s.Events(func(line []byte) bool {
		i := bytes.Index(line, key)
		if i < 0 || len(line) < i+len(key)+idLength {
			return false
		}
		_, ok := want[string(line[i+len(key):i+len(key)+idLength])]
		return ok
	}, func(e Event) {
		if _, ok := want[e.Job]; ok {
			want[e.Job] = append(want[e.Job], e)
		}
	})
	out := map[string]Seen{}
	for id, events := range want {
		out[id] = s.lastOf(events)
	}
	return out, err
}

func (s *Spool) lastOf(events []Event) Seen {
	SortEvents(events)
	for _, e := range slices.Backward(events) {
		place, stage, ok := after(e)
		if !ok {
			continue
		}
		seen := Seen{Place: place, Stage: stage, Host: e.Host, Gen: e.Gen}
		where := string(place)
		if place == PlaceWaiting {
			where = "waiting in " + s.Layout.Input(stage).Dir + "/"
		}
		seen.Text = fmt.Sprintf("last seen %s: %s by %s/%d at %s", where, e.Event, e.Host, e.Epoch, e.Time.UTC().Format(time.RFC3339))
		return seen
	}
	return Seen{Stage: Translate, Place: PlaceWaiting, Text: "no journal has anything about it"}
}

// after is where an event leaves a job; ok is false if it doesn't move it.
func after(e Event) (p Place, stage Stage, ok bool) {
	switch e.Event {
	case EvAccepted, EvRolled:
		return PlaceWaiting, Translate, true
	case EvPublished:
		next, ok := Next(e.Stage)
		return PlaceWaiting, next, ok
	case EvReturned, EvReclaimed, EvRetried, EvUnheld, EvUnparked, EvRecovered:
		return PlaceWaiting, e.Stage, true
	case EvClaimed, EvSubmitted:
		return PlaceClaimed, e.Stage, true
	case EvSealed, EvReleased, EvConfirmed:
		return PlaceSealed, e.Stage, true
	case EvHeld:
		return PlaceHeld, e.Stage, true
	case EvParked:
		return PlaceParked, e.Stage, true
	case EvFailed, EvRejected, EvCancelled:
		return PlaceFailed, e.Stage, true
	case EvDone:
		return PlaceDone, e.Stage, true
	}
	return "", "", false
}
