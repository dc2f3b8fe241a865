package spool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"fencepost/spool/env/drill"
)

// Auditor audits again and again, beside an instance's work, and raises an alarm
// for each job that vanished or is there twice.
//
// It is cheap on a spool that has run for months: a bucket of ids whose jobs all
// had ended, the same at two audits quietAfter apart, is listed again only every
// relistAfterQuiet, or when a job of it is seen in the flow.
//
// Of several hosts one audits, by a hint: a note that the others see change. Two
// that do it at once do no harm.
//
// It is used by one task.
type Auditor struct {
	in    *Instance
	every time.Duration // between the starts of two audits
	apart time.Duration // between the looks for a suspect: a lease time

	buckets map[string]*auditedBucket
	gates   map[string]bool // the gate's buckets, as of the last look
	busy    map[string]bool // buckets of which something isn't final, as of the last look
	note    []byte          // as last seen
	changed time.Duration   // when, on the own clock
	read    time.Duration   // when it was read last
	mine    bool            // it was ours
	looked  bool

	counts AlarmCounts
}

// AlarmCounts counts alarms since the start.
type AlarmCounts struct{ Audits, Vanished, Duplicated, Found int }

// auditedBucket is what is known of a gate's bucket that balanced.
type auditedBucket struct {
	jobs   int           // all of them done
	final  bool          // none comes back, and nothing else of theirs is anywhere
	since  time.Duration // first audit that found it so
	listed time.Duration // last audit that listed it
}

const (
	quietAfter       = 20 * time.Minute
	relistAfterQuiet = 5 * time.Minute
)

// auditNote is the hint: it changes with every audit that begins.
const auditNote = "intruders/audit.json"

type auditHint struct {
	Schema string    `json:"schema"`
	By     string    `json:"by"`
	N      int       `json:"n"`
	At     time.Time `json:"at"` // by its clock
}

// NewAuditor is an auditor of in's.
func NewAuditor(in *Instance, every, apart time.Duration) *Auditor {
	return &Auditor{in: in, every: every, apart: apart, buckets: map[string]*auditedBucket{}}
}

// Counts returns the counters.
func (a *Auditor) Counts() AlarmCounts { return a.counts }

// Due says whether it is this instance's turn: it audited last and its time has
// come, or the one that did has stopped to. To be asked every second or so. The note
// is read when it seems to be, and another's now and then.
func (a *Auditor) Due() bool {
	now := a.in.Env.Now()
	if a.looked && now-a.changed < a.wait() && (a.mine || now-a.read < a.every/4) {
		return false
	}
	data, _, err := a.in.FS.Read(auditNote, 1<<12)
	if err != nil {
		data = nil // none yet, or unreadable: then the time decides
	}
	a.read = now
	if !a.looked || string(data) != string(a.note) {
		first := !a.looked
		a.note, a.changed, a.looked = data, now, true
		var h auditHint
		a.mine = json.Unmarshal(data, &h) == nil && h.By == a.name()
		if first && data == nil {
			a.changed = now - a.every // nobody has: no need to wait for them
		}
	}
	return now-a.changed >= a.wait()
}

// wait is how long after the note's last change it is this instance's turn.
func (a *Auditor) wait() time.Duration {
	if a.mine {
		return a.every
	}
	// Hosts step in one after the other.
	h := fnv.New32a()
	h.Write([]byte(a.in.Host))
	wait := a.every + time.Duration(h.Sum32()%8)*a.every/32
	if len(a.note) > 0 {
		wait += a.every / 2
	}
	return wait
}

func (a *Auditor) name() string { return fmt.Sprintf("%s/%d", a.in.Host, a.in.Epoch) }

// begin leaves the note.
func (a *Auditor) begin() error {
	a.counts.Audits++
	data, err := json.Marshal(auditHint{Schema: "fencepost.audit-note/v1", By: a.name(), N: a.counts.Audits, At: a.in.Env.Wall().UTC()})
	if err == nil {
		err = a.in.replace(auditNote, data)
	}
	a.note, a.mine, a.looked = data, true, true
	return err
}

// Pass makes one audit, and raises and clears alarms.
func (a *Auditor) Pass(ctx context.Context) error {
	a.changed = a.in.Env.Now()
	standing, err := a.standing()
	if err != nil {
		return err
	}
	first, err := a.look(standing)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	// Not before it worked once: a host that can't is no reason for the others
	// to leave it alone. Only a hint: without it others audit, too.
	nerr := a.begin()
	vanished, duplicated, _ := first.suspects()
	var ungated []string
	for range 2 {
		if len(vanished)+len(duplicated) == 0 || drill.Broken(a.in.Env, drill.AuditOneLook) {
			break
		}
		if err := a.in.Env.Sleep(ctx, a.apart); err != nil {
			return err
		}
		again, err := a.look(standing)
		if err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		first.settle(again, &vanished, &duplicated, &ungated)
	}
	return errors.Join(nerr, a.report(first, vanished, duplicated, standing), a.sweepRequests(first))
}

// look is one pass over what isn't skipped. The gate is listed first, the rest
// in the order of the flow, as in Audit.
func (a *Auditor) look(standing map[string]string) (*auditPass, error) {
	p := &auditPass{accepted: map[string]bool{}, found: map[string][]Found{}, gates: map[string]bool{}, busy: map[string]bool{}}
	now := a.in.Env.Now()
	skipped := map[string]bool{}
	p.skipped = skipped
	for id := range standing {
		delete(a.buckets, Bucket(id)) // an alarm is looked after
	}
	sc := &scan{s: a.in.Spool, visit: func(f Found) { p.found[f.Name.ID] = append(p.found[f.Name.ID], f) },
		other: func(n Name) { p.busy[Bucket(n.ID)] = true }}
	// Made by init, never removed: without it this is not the spool.
	buckets, err := a.in.FS.List(DirGate)
	if err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	for _, b := range buckets {
		p.gates[b] = true
		if k := a.buckets[b]; k != nil && k.listed-k.since >= quietAfter && now-k.listed < relistAfterQuiet {
			skipped[b] = true
			continue
		}
		names, lerr := sc.listBelow(path.Join(DirGate, b))
		err = errors.Join(err, lerr)
		for _, name := range names {
			if ValidID(name) && Bucket(name) == b {
				p.accepted[name] = true
			}
		}
	}
	err = errors.Join(err, sc.drafts(), sc.entries(Translate), sc.owned(DirClaims), sc.owned(DirSealed), sc.entries(Submit),
		sc.owned(DirClaims), sc.owned(DirSealed),
		sc.aside(DirHeld, PlaceHeld), sc.aside(DirParked, PlaceParked), sc.aside(DirFailed, PlaceFailed),
		sc.done(func(b string) bool { return !skipped[b] }))
	if err != nil {
		return nil, err
	}
	for _, id := range slices.Sorted(maps.Keys(p.found)) {
		if b := Bucket(id); skipped[b] {
			// Its gate wasn't listed: next time.
			delete(a.buckets, b)
			delete(p.found, id)
			p.busy[b] = true
			continue
		}
		if p.found[id] = a.in.linked(id, dedupe(p.found[id])); len(p.found[id]) == 0 {
			delete(p.found, id)
		}
	}
	a.settle(p, now)
	return p, nil
}

// settle notes which buckets balance with every job done.
func (a *Auditor) settle(p *auditPass, now time.Duration) {
	jobs, open, busy := map[string]int{}, map[string]bool{}, p.busy
	for id := range p.accepted {
		b, found := Bucket(id), p.found[id]
		jobs[b]++
		if len(found) == 0 || !ended(found) || Furthest(found).Place == PlaceFailed {
			open[b] = true
		}
		if !a.in.Layout.hasEnded(found) {
			busy[b] = true
		}
	}
	for id, found := range p.found {
		if b := Bucket(id); !p.accepted[id] && !a.in.Layout.hasEnded(found) {
			busy[b] = true
		}
	}
	maps.DeleteFunc(a.buckets, func(b string, _ *auditedBucket) bool { return jobs[b] == 0 && !p.skipped[b] })
	a.busy, a.gates = busy, p.gates
	for b, n := range jobs {
		k := a.buckets[b]
		switch {
		case open[b]:
			delete(a.buckets, b)
		case k == nil || k.jobs != n:
			a.buckets[b] = &auditedBucket{jobs: n, since: now, listed: now}
		default:
			k.listed = now
		}
		if k := a.buckets[b]; k != nil {
			k.final = !busy[b]
		}
	}
}

// hasEnded says that a job has its final record, won't come back from a foreign program,
// and that there is nothing else of it.
func (l Layout) hasEnded(found []Found) bool {
	back := slices.ContainsFunc(l.Inboxes, func(b Inbox) bool { return b.Stage == Submit })
	has := false
	for _, f := range found {
		switch {
		case f.Place == PlaceDone, f.Place == PlaceHandedOver && (f.Name.Stage == Submit || !back):
			has = true
		case f.Place != PlaceHandedOver:
			return false
		}
	}
	return has
}

// standing are the alarms of jobs that stand: the kind, by job.
func (a *Auditor) standing() (map[string]string, error) {
	names, err := a.in.FS.List(DirIntruders)
	if err != nil {
		return nil, fmt.Errorf("list alarms: %w", err)
	}
	out := map[string]string{}
	for _, name := range names {
		kind, rest, _ := strings.Cut(name, "~")
		id, ok := strings.CutSuffix(rest, ".json")
		if ok && ValidID(id) && (kind == AlarmVanished || kind == AlarmDuplicated) {
			out[id] = kind
		}
	}
	return out, nil
}

// report raises what is new, and clears what is right again.
func (a *Auditor) report(p *auditPass, vanished, duplicated []string, standing map[string]string) error {
	var failed error
	seen := map[string]Seen{}
	bad := map[string]string{}
	for _, id := range vanished {
		bad[id] = AlarmVanished
	}
	for _, id := range duplicated {
		bad[id] = AlarmDuplicated
	}
	fresh := slices.DeleteFunc(slices.Concat(vanished, duplicated), func(id string) bool { return standing[id] == bad[id] })
	if len(fresh) > 0 {
		var err error
		seen, err = a.in.LastSeen(fresh)
		failed = errors.Join(failed, err) // what could be read explains enough
	}
	for _, id := range fresh {
		failed = errors.Join(failed, a.alarm(bad[id], id, seen[id]))
	}
	for _, id := range slices.Sorted(maps.Keys(standing)) {
		kind := standing[id]
		if bad[id] == kind {
			continue
		}
		if err := a.in.clear(kind, id); err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		a.counts.Found++
		n := Name{ID: id}
		if found := p.found[id]; len(found) > 0 {
			n = Furthest(found).Name
		}
		a.in.Journal.Add(Event{Event: EvFound, Job: id, Stage: n.Stage, Gen: n.Gen, Detail: "it was " + kind})
	}
	return errors.Join(failed, a.in.Journal.Flush())
}

func (a *Auditor) alarm(kind, id string, seen Seen) error {
	event, what := EvVanished, "accepted, and nowhere in three looks; "+seen.Text
	if kind == AlarmDuplicated {
		event, what = EvDuplicated, "in two places in three looks; "+seen.Text
		a.counts.Duplicated++
	} else {
		a.counts.Vanished++
	}
	a.in.Journal.Add(Event{Event: event, Job: id, Stage: seen.Stage, Gen: seen.Gen, Result: string(seen.Place), Detail: what})
	_, err := a.in.raise(Alarm{Kind: kind, Job: id, Stage: seen.Stage, Place: seen.Place, Host: seen.Host, Detail: what})
	return err
}

// sweepRequests removes what was asked for jobs that have ended.
func (a *Auditor) sweepRequests(p *auditPass) error {
	names, err := a.in.FS.List(DirRequests)
	for _, name := range names {
		kind, id, _ := strings.Cut(name, "~")
		if !ValidID(id) || kind != RequestHold && kind != RequestCancel {
			continue
		}
		if !ended(p.found[id]) {
			continue
		}
		// Once more: it may have been put back since, and asked for again.
		found, lerr := a.in.Locate(id)
		err = errors.Join(err, lerr)
		if ended(found) {
			err = errors.Join(err, a.in.removeName(RequestPath(kind, id)))
		}
	}
	return err
}

func ended(found []Found) bool {
	if len(found) == 0 {
		return false
	}
	at := Furthest(found).Place
	return at == PlaceDone || at == PlaceHandedOver || at == PlaceFailed
}
