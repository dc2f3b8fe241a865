package spool

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"syscall"
	"time"
)

// Operator is a person's command. It acts on one job by a single rename of a
// file that nobody has claimed, so that it needs no epoch and no lease; what is
// claimed or sealed it never touches, but leaves a request. Names hold the
// generation, which never repeats: a rename that lands late catches only the
// very try that it was meant for.
//
// Its events go to a journal of its own, hosts/HOST~cmd/journal/TIME-NONCE.jsonl
// under epoch 0, durable before the rename.
type Operator struct {
	*Spool
	Host   string // where the command runs
	By     string // the person
	Reason string // the person's
	Force  bool   // with Reason: does what is refused for want of a proof
	DryRun bool   // says what it would do
	Stamp  Stamp  // version and configuration, for the journal
	Tee    func(Event)

	// Gone says whether the process of an epoch is proven to be gone, and how.
	// Nil: nothing is proven.
	Gone func(host string, epoch uint64) (gone bool, how string, err error)
	// Ask asks the cluster for a job. Nil: it can't be asked.
	Ask AskCluster

	journal *Journal
}

// AskCluster asks whether the cluster knows a job, in any state but cancelled
// before it had a node. An error means that it couldn't be asked.
type AskCluster func(ctx context.Context, id string) (Answer, error)

// Answer is what a cluster says of a job.
type Answer struct {
	Known   bool
	Cluster string // its id of the job
	Detail  string // the state, in its words
}

// Acted says what an Operator did, or would do.
type Acted struct {
	Job    string `json:"job"`
	Did    string `json:"did"` // an event, or "requested", "withdrawn", "nothing"
	From   string `json:"from"`
	To     string `json:"to"`
	Detail string `json:"detail"`
	DryRun bool   `json:"dry_run"`
}

// Refusal says why an act wasn't done. It changed nothing.
type Refusal struct {
	Act, Job string
	Why      string
	Next     string // what to do instead
}

func (r *Refusal) Error() string { return fmt.Sprintf("%s %s: %s", r.Act, r.Job, r.Why) }

// The words of requests.
const (
	RequestHold   = "hold"
	RequestCancel = "cancel"
)

// A step is what one act comes to for a job as it was found.
type step struct {
	event   string
	name    Name   // with the numbers that the job has from then on
	to      string // "" = no rename
	why     string // directory for the reasons, "" = none
	request string // leave this request instead
	done    string // nothing to do: why
}

// actTries bounds how often a job is looked for that moves on meanwhile.
const actTries = 6

// act finds a job, decides, and does it; if the job has moved on meanwhile, it
// begins again.
func (op *Operator) act(ctx context.Context, verb, id string, decide func(Found) (step, error)) (Acted, error) {
	for range actTries {
		f, err := op.find(ctx, verb, id)
		if err != nil {
			return Acted{}, err
		}
		st, err := decide(f)
		if err != nil {
			return Acted{}, err
		}
		a, again, err := op.take(verb, f, st)
		if err != nil || !again {
			return a, err
		}
	}
	return Acted{}, &Refusal{Act: verb, Job: id, Why: fmt.Sprintf("the job moved on %d times while this was tried", actTries),
		Next: "try again, or hold it first"}
}

// find is the job's one file. It moves on a live spool, so that finding nothing
// counts only the third time.
func (op *Operator) find(ctx context.Context, verb, id string) (Found, error) {
	for range 3 {
		found, err := op.Locate(id)
		if err != nil {
			return Found{}, fmt.Errorf("%s %s: %w", verb, id, err)
		}
		if twice(found) {
			if found, err = op.Locate(id); err != nil || twice(found) {
				return Found{}, errors.Join(err, &Refusal{Act: verb, Job: id, Why: "the job is there twice", Next: "fencepost audit"})
			}
		}
		if found = op.linked(id, found); len(found) > 0 {
			return Furthest(found), nil
		}
		if err := op.Env.Sleep(ctx, 200*time.Millisecond); err != nil {
			return Found{}, err
		}
	}
	return Found{}, &Refusal{Act: verb, Job: id, Why: "the job is nowhere", Next: "fencepost audit --recover brings back what vanished; parked copies: fencepost unpark --copy"}
}

// take does a step. again: the file wasn't there any more.
func (op *Operator) take(verb string, f Found, st step) (a Acted, again bool, err error) {
	a = Acted{Job: f.Name.ID, Did: st.event, From: f.Path, To: st.to, Detail: st.done, DryRun: op.DryRun}
	switch {
	case st.done != "":
		a.Did, a.To = "nothing", ""
		return a, false, nil
	case st.request != "":
		a.Did, a.To = "requested", RequestPath(st.request, f.Name.ID)
		a.Detail = fmt.Sprintf("it is %s by %s: honoured before its seal and before its release", f.Place, owner(f))
		if op.DryRun {
			return a, false, nil
		}
		return a, false, op.request(st.request, f)
	case op.DryRun:
		return a, false, nil
	}
	if st.why != "" {
		if err := op.explain(st.why, st.name, st.event); err != nil {
			return a, false, err
		}
	}
	if err := op.note(st.event, st.name); err != nil {
		return a, false, err
	}
	verdict, err := op.relocate(f, st)
	switch verdict {
	case Done:
		// What was asked for before doesn't apply to the job as it is now.
		return a, false, errors.Join(op.withdraw(f.Name.ID), op.FS.Sync(path.Dir(f.Path), path.Dir(st.to)))
	case Gone:
		return a, true, op.note(EvLost, f.Name)
	}
	return a, false, fmt.Errorf("%s %s: %w", verb, f.Name.ID, errors.Join(err, ErrUnclear))
}

// relocate is the rename. A target in a stage may have been claimed before a
// look shows it: a generation as high as the target's says that the rename, or
// one to the same effect, was done.
func (op *Operator) relocate(f Found, st step) (Verdict, error) {
	if err := op.makeBucket(path.Dir(st.to)); err != nil {
		return NotDone, err
	}
	verdict, err := op.moveToToken(f.Path, st.to)
	if verdict != Gone || st.name.Gen == f.Name.Gen {
		return verdict, err
	}
	found, lerr := op.Locate(f.Name.ID)
	if lerr != nil {
		return Unknown, errors.Join(err, lerr)
	}
	for _, g := range found {
		if g.Name.Gen >= st.name.Gen {
			return Done, nil
		}
	}
	return Gone, err
}

func owner(f Found) string {
	if f.Name.Host == "" {
		return "nobody"
	}
	return fmt.Sprintf("%s, epoch %d", f.Name.Host, f.Name.Epoch)
}

// ---- requests ------------------------------------------------------------------

// requestFile is what a request says; its name decides.
type requestFile struct {
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

func (op *Operator) request(kind string, f Found) error {
	if err := op.noteDetail("requested", f.Name, kind+": "+op.Reason); err != nil {
		return err
	}
	data, err := json.Marshal(requestFile{By: op.By, Reason: op.Reason, At: op.Env.Wall().UTC()})
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	name := RequestPath(kind, f.Name.ID)
	if _, err = op.FS.Create(name, append(data, '\n')); err == nil || isErr(err, syscall.EEXIST) {
		return op.FS.Sync(DirRequests)
	}
	if there, _, lerr := op.has(name); lerr == nil && there {
		return op.FS.Sync(DirRequests)
	}
	return fmt.Errorf("leave request: %w", err)
}

// requested says whether a request stands, by a fresh listing.
func (op *Operator) requested(kind, id string) (bool, error) {
	there, _, err := op.has(RequestPath(kind, id))
	return there, err
}

func (op *Operator) withdraw(id string) error {
	return errors.Join(op.removeName(RequestPath(RequestHold, id)), op.removeName(RequestPath(RequestCancel, id)))
}

// ---- journal -------------------------------------------------------------------

func (op *Operator) note(event string, n Name) error { return op.noteDetail(event, n, op.Reason) }

func (op *Operator) noteDetail(event string, n Name, detail string) error {
	if op.journal == nil {
		if err := op.openJournal(); err != nil {
			return err
		}
	}
	op.journal.Add(Event{Event: event, Job: n.ID, Stage: n.Stage, Gen: n.Gen, Faults: n.Faults, Cluster: n.Cluster,
		Result: "by " + op.By, Detail: detail})
	return op.journal.Flush()
}

// openJournal makes a log that no other run of a command has: names of one
// length, which sort by time.
func (op *Operator) openJournal() error {
	dir := JournalDir(CommandHost(op.Host))
	for _, d := range []string{path.Dir(dir), dir} {
		if err := op.FS.Mkdir(d); err != nil {
			if there, _, lerr := op.has(d); lerr != nil || !there {
				return fmt.Errorf("make journal's directory: %w", errors.Join(err, lerr))
			}
		}
	}
	st := op.Stamp
	st.Host, st.Epoch = CommandHost(op.Host), 0
	var err error
	name := op.Env.Wall().UTC().Format("20060102T150405.000") + "-" + op.nonce() + ".jsonl"
	op.journal, err = openJournal(op.Env, path.Join(dir, name), st, op.Tee)
	return err
}

// Close ends the operator's journal, if there is one.
func (op *Operator) Close() error {
	if op.journal == nil {
		return nil
	}
	return op.journal.Close()
}

func (s *Spool) nonce() string {
	var b [8]byte
	s.Env.Random(b[:])
	return hex.EncodeToString(b[:])
}

// explain adds the person's reason to a job's reasons. The draft lies beside
// the journal, since a command without an epoch has no drafts.
func (op *Operator) explain(dir string, n Name, event string) error {
	if op.journal == nil {
		if err := op.openJournal(); err != nil {
			return err
		}
	}
	draft := path.Join(HostDir(CommandHost(op.Host)), "why~"+op.nonce()+".json")
	why := strings.TrimSuffix(op.By+": "+op.Reason, ": ")
	return op.addWhy(dir, draft, n, WhyEntry{Time: op.Env.Wall().UTC(), Host: CommandHost(op.Host), Event: event,
		Stage: n.Stage, Gen: n.Gen, Faults: n.Faults, Cluster: n.Cluster, Reason: why})
}
