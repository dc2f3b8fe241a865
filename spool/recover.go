package spool

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"

	"fencepost/spool/env/drill"
)

// Recovery says what became of one vanished job.
type Recovery struct {
	Job    string `json:"job"`
	Did    string `json:"did"`
	Path   string `json:"path"` // of the copy; "" = none was made
	Detail string `json:"detail"`
}

// What a recovery did.
const (
	DidRecover = "recovered"   // a copy waits for its first stage
	DidCopy    = "parked-copy" // a copy is parked: a person decides
	DidNothing = "left"        // see Detail
	DidFind    = "found"       // it is there again
)

// Recover enters a vanished job again. The caller is a command under an epoch of
// its own, and has looked for the job three times, apart.
//
// What is entered is a copy of what the gate keeps, under a generation that the
// job never had: never a link, since whoever took the file may still have it,
// and one identity in two places would pass the exit gate twice. Two copies,
// from two recoverers or since the job turns up again, can't: the first one that
// gets there wins, the other is parked.
//
// A job that has passed the exit gate may have been submitted. That its copy
// would only be parked there is anticipated: a copy of what was handed over is
// parked at once, the alarm stays, and a person decides, by unpark --copy.
//
// Order: ask the cluster; journal; write drafts/~cmd/new~S~ID, durable; rename
// it to its place. Stopped anywhere before the rename, nothing has happened:
// reclaim drops the draft, and the next recovery begins again.
func (in *Instance) Recover(ctx context.Context, id string, ask AskCluster, dryRun bool) (Recovery, error) {
	r := Recovery{Job: id, Did: DidNothing}
	found, err := in.Locate(id)
	if err != nil {
		return r, fmt.Errorf("recover %s: %w", id, err)
	}
	if found = in.linked(id, found); len(found) > 0 && !drill.Broken(in.Env, drill.RecoverOnePass) {
		r.Did, r.Path = DidFind, Furthest(found).Path
		return r, nil
	}
	var known string
	if ask != nil {
		a, err := ask(ctx, id)
		if err != nil {
			return r, fmt.Errorf("recover %s: ask the cluster: %w", id, err)
		}
		if a.Known {
			known = fmt.Sprintf("the cluster has it as %s (%s)", a.Cluster, a.Detail)
		}
	}
	handed, err := in.passed(OncePath(Submit, id))
	if err != nil {
		return r, fmt.Errorf("recover %s: look at the exit gate: %w", id, err)
	}
	gen, err := in.topGen(id)
	if err != nil {
		return r, fmt.Errorf("recover %s: %w", id, err)
	}
	switch {
	case handed:
		return in.recoverHanded(r, gen, known, dryRun)
	case known != "":
		r.Detail = known + ": not entered again"
		return r, nil
	}
	stage, foreign, err := in.firstStage(id)
	if err != nil {
		return r, fmt.Errorf("recover %s: %w", id, err)
	}
	if foreign {
		r.Detail = "it left translate through its exit gate: the foreign program that does this stage may have it. If it has lost it, send the job again under another id"
		return r, nil
	}
	n := Name{Stage: stage, ID: id, Gen: gen + 1, Ext: entryExt(stage)}
	r.Did, r.Path = DidRecover, in.Layout.EntryPath(stage, n)
	r.Detail = "a copy of what the gate keeps waits for " + string(stage)
	if dryRun {
		return r, nil
	}
	gate := GatePath(id)
	if stage != Translate {
		gate = StageGatePath(stage, id)
	}
	return r, in.enter(gate, n, r.Path, EvRecovered, r.Detail)
}

// firstStage is the one that a job began at. foreign: its first stage handed it
// over, and it hasn't come back.
func (in *Instance) firstStage(id string) (stage Stage, foreign bool, err error) {
	later, err := in.passed(StageGatePath(Submit, id))
	if err != nil {
		return "", false, err
	}
	if later {
		// What came back enters again as what came back: the gate has it.
		return Submit, false, nil
	}
	foreign, err = in.passed(OncePath(Translate, id))
	return Translate, foreign, err
}

// recoverHanded parks a copy of a job that passed the exit gate: also of one that
// the cluster has, running or held by nobody's doing any more. Without a copy
// there would be nothing to decide about, and the alarm would stand for ever.
func (in *Instance) recoverHanded(r Recovery, gen int, known string, dryRun bool) (Recovery, error) {
	r.Did = DidCopy
	look := "it may have been submitted, so a copy is parked; look at the cluster"
	if known != "" {
		look = known + ", so a copy is parked; see what becomes of that"
	}
	r.Detail = "it passed the exit gate: " + look + ", then unpark " +
		r.Job + " --copy any, with --submitted CLUSTER_ID or --again --force --reason TEXT"
	copies, err := in.Copies(r.Job)
	if err != nil {
		return r, fmt.Errorf("recover %s: %w", r.Job, err)
	}
	// One of an earlier stage would go through that again, and be dropped behind it.
	copies = slices.DeleteFunc(copies, func(f Found) bool { return f.Name.Stage != Submit })
	if len(copies) > 0 {
		r.Path = copies[0].Path
		return r, nil
	}
	// The token of a command's copy: the host with epoch 0, and the number of
	// the command's epoch, which nobody else ever gets.
	n := Name{Stage: Submit, Host: hostOf(in.Host), Seq: in.Epoch, ID: r.Job, Gen: gen, Ext: "json"}
	r.Path = path.Join(DirParked, FormatCopy(n))
	if dryRun {
		return r, nil
	}
	return r, in.enter(OncePath(Submit, r.Job), n, r.Path, EvQuarantine, r.Detail)
}

// hostOf is the host of a command's name, or the host itself.
func hostOf(owner string) string {
	if i := len(owner) - len(commandSuffix); i > 0 && owner[i:] == commandSuffix {
		return owner[:i]
	}
	return owner
}

// enter writes a copy of a file and renames it to its place.
func (in *Instance) enter(from string, n Name, to, event, detail string) error {
	data, _, err := in.FS.Read(from, in.Limits.FileSize)
	if err != nil {
		return fmt.Errorf("recover %s: %w", n.ID, err)
	}
	in.Journal.Add(Event{Event: event, Job: n.ID, Stage: n.Stage, Gen: n.Gen, Detail: detail})
	if err := in.Journal.Flush(); err != nil {
		return fmt.Errorf("recover %s: %w", n.ID, err)
	}
	draft := path.Join(in.drafts(), FormatDraft(Name{Stage: KindNew, Seq: in.nextSeq(), ID: n.ID, Ext: n.Ext}))
	in.own(draft)
	defer in.disown(draft)
	if _, err := in.FS.Create(draft, data); err != nil {
		return in.giveUp(draft, fmt.Errorf("recover %s: write draft: %w", n.ID, err))
	}
	verdict, err := in.moveToToken(draft, to)
	if verdict == Gone {
		// Claimed already, perhaps; or the draft was dropped, since this epoch
		// is over. Only a look at the job tells.
		var found []Found
		if found, err = in.Locate(n.ID); err == nil && len(in.linked(n.ID, found)) == 0 {
			err = in.checkFenced(in.drafts())
		} else if err == nil {
			verdict = Done
		}
	}
	if verdict != Done {
		in.Journal.Add(Event{Event: EvUnclear, Job: n.ID, Stage: n.Stage, Gen: n.Gen, Detail: "recover: " + verdict.String()})
		return fmt.Errorf("recover %s: %w; run it again", n.ID, errors.Join(err, ErrUnclear))
	}
	if event == EvRecovered {
		err = in.clear(AlarmVanished, n.ID)
	}
	return errors.Join(in.FS.Sync(path.Dir(to)), err)
}

// topGen is the highest generation that anything says the job ever had. The
// journals' tails may be lost: then a name may come twice, which is harmless for
// a copy, since the exit gate stands behind it.
func (s *Spool) topGen(id string) (int, error) {
	events, err := s.Trace(id)
	if err != nil {
		return 0, fmt.Errorf("look for its generation: %w", err)
	}
	copies, err := s.Copies(id)
	if err != nil {
		return 0, err
	}
	top := 0
	for _, e := range events {
		top = max(top, e.Gen)
	}
	for _, f := range copies {
		top = max(top, f.Name.Gen)
	}
	return top, nil
}
