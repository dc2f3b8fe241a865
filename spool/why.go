package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"syscall"
	"time"
)

// WhyRecord is ID.why.json: the reasons for which a job was set aside, oldest
// first. It explains; the job's name decides.
type WhyRecord struct {
	Schema string     `json:"schema"`
	Job    string     `json:"job"`
	Why    []WhyEntry `json:"why"`
}

// WhyEntry is one reason.
type WhyEntry struct {
	Time    time.Time `json:"time"`
	Host    string    `json:"host"`
	Event   string    `json:"event"`
	Stage   Stage     `json:"stage,omitempty"`
	Token   string    `json:"token,omitempty"`
	Gen     int       `json:"generation"`
	Faults  int       `json:"faults"`
	Cluster string    `json:"cluster_id,omitempty"`
	Reason  string    `json:"reason"`
}

// maxWhy bounds the record: the newest reasons stay.
const maxWhy = 100

// writeWhy adds a reason to a job's record in dir.
func (in *Instance) writeWhy(dir string, n Name, event, reason string) error {
	draft := path.Join(in.drafts(), FormatDraft(Name{Stage: KindNew, Seq: in.nextSeq(), ID: n.ID, Ext: "json"}))
	in.own(draft)
	defer in.disown(draft)
	err := in.addWhy(dir, draft, n, WhyEntry{Time: in.Env.Wall().UTC(), Host: in.Host, Event: event, Stage: n.Stage,
		Token: in.shortToken(n), Gen: n.Gen, Faults: n.Faults, Cluster: n.Cluster, Reason: reason})
	if isErr(err, syscall.ENOENT, syscall.ESTALE) {
		return errors.Join(err, in.checkFenced(in.drafts()))
	}
	return err
}

// addWhy adds a reason. The record is rewritten as a draft that is renamed over
// it: the last writer wins, which is good enough for what only explains.
func (s *Spool) addWhy(dir, draft string, n Name, why WhyEntry) error {
	rec := WhyRecord{Schema: "fencepost.why/v1", Job: n.ID}
	target := path.Join(dir, WhyName(n.ID))
	if old, _, err := s.FS.Read(target, 1<<20); err == nil {
		_ = json.Unmarshal(old, &rec)
	}
	rec.Why = s.sinceWhy(rec.Why, n)
	rec.Why = append(rec.Why, why)
	if len(rec.Why) > maxWhy {
		rec.Why = rec.Why[len(rec.Why)-maxWhy:]
	}
	data, err := json.MarshalIndent(rec, "", "  ")
	if err != nil {
		return fmt.Errorf("encode reasons: %w", err)
	}
	if _, err = s.FS.Create(draft, append(data, '\n')); err == nil {
		err = s.FS.Rename(draft, target)
	}
	if err != nil {
		return fmt.Errorf("write reasons: %w", err)
	}
	return nil
}

// sinceWhy adds, from the journals, why a job came back since what the record
// has. A job is set aside rarely enough to read them all.
func (s *Spool) sinceWhy(had []WhyEntry, n Name) []WhyEntry {
	if n.Faults == 0 {
		return had
	}
	events, err := s.Trace(n.ID)
	if err != nil {
		return had
	}
	for _, e := range events {
		if e.Event != EvReturned && e.Event != EvReclaimed {
			continue
		}
		w := WhyEntry{Time: e.Time, Host: e.Host, Event: e.Event, Stage: e.Stage,
			Token: e.Token, Gen: e.Gen, Faults: e.Faults, Reason: e.Detail}
		// Generations never repeat, so they tell which ones it has.
		if !slices.ContainsFunc(had, func(o WhyEntry) bool { return o.Event == w.Event && o.Gen == w.Gen && o.Stage == w.Stage }) {
			had = append(had, w)
		}
	}
	return had
}

// AddWhy adds what became known later to a job's reasons. It works for an
// instance whose epoch is over, too: what only it knows would else be lost. So
// the draft lies beside its journal, not among its drafts, which may be gone.
func (in *Instance) AddWhy(dir string, n Name, event, reason string) error {
	in.note(event, n, reason)
	if err := in.Journal.Flush(); err != nil {
		in.Warn("journal", err)
	}
	draft := path.Join(HostDir(in.Host), "why~"+in.nonce()+".json")
	return in.addWhy(dir, draft, n, WhyEntry{Time: in.Env.Wall().UTC(), Host: in.Host, Event: event, Stage: n.Stage,
		Token: in.shortToken(n), Gen: n.Gen, Faults: n.Faults, Cluster: n.Cluster, Reason: reason})
}
