package spool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"syscall"
)

// Submitted ends a parked job, or a parked copy of one: the cluster has it under
// the id that the person found there. The final record's token is HOST~0.0:
// epochs begin with 1, so that 0 says "by a person's command".
func (op *Operator) Submitted(ctx context.Context, id, clusterID, copyToken string) (Acted, error) {
	if !ValidClusterID(clusterID) {
		return Acted{}, &Refusal{Act: "unpark", Job: id, Why: fmt.Sprintf("%q can't be a cluster's id", clusterID), Next: "give the id as the cluster prints it"}
	}
	decide := func(f Found) (step, error) {
		if err := op.parked(f); err != nil {
			return step{}, err
		}
		if f.Name.Stage != Submit {
			return step{}, &Refusal{Act: "unpark", Job: id, Why: "it was parked at stage " + string(f.Name.Stage) + ": no cluster ever got it",
				Next: "fencepost unpark --again " + id}
		}
		n := f.Name
		n.Host, n.Epoch, n.Seq, n.Cluster = op.Host, 0, 0, clusterID
		return step{event: EvDone, name: n, to: DonePath(n)}, nil
	}
	return op.onParked(ctx, id, copyToken, decide)
}

func (op *Operator) parked(f Found) error {
	if f.Place == PlaceParked {
		return nil
	}
	return &Refusal{Act: "unpark", Job: f.Name.ID, Why: fmt.Sprintf("it is %s, not parked", f.Place), Next: nextFor(f)}
}

// onParked acts on a parked job or, with a token, on a parked copy. A copy is
// acted on only while the job is nowhere else: two of it would be a duplicate.
func (op *Operator) onParked(ctx context.Context, id, copyToken string, decide func(Found) (step, error)) (Acted, error) {
	if copyToken == "" {
		return op.act(ctx, "unpark", id, decide)
	}
	f, err := op.findCopy(ctx, id, copyToken)
	if err != nil {
		return Acted{}, err
	}
	st, err := decide(f)
	if err != nil {
		return Acted{}, err
	}
	a, again, err := op.take("unpark", f, st)
	if again {
		err = errors.Join(err, &Refusal{Act: "unpark", Job: id, Why: "the copy is not there any more", Next: "fencepost trace " + id})
	}
	return a, err
}

// Again puts a parked job back into its stage, to be submitted once more, its
// faults forgotten. It needs proof that this can't run it twice: the process of
// the token that it was parked for is gone, its guard shows no start, and the
// cluster, asked now, doesn't know it. Each that is missing needs force.
//
// That the directories of the token's epoch are gone is no proof: its owner may
// be stopped in the middle of its call to the cluster.
func (op *Operator) Again(ctx context.Context, id string) (Acted, error) {
	return op.act(ctx, "unpark", id, func(f Found) (step, error) {
		if err := op.parked(f); err != nil {
			return step{}, err
		}
		if f.Name.Stage == Submit {
			if err := op.mayGoAgain(ctx, f); err != nil {
				return step{}, err
			}
		}
		return op.back(EvUnparked, f.Name, f.Name.Gen+1, 0), nil
	})
}

// mayGoAgain collects what isn't proven.
func (op *Operator) mayGoAgain(ctx context.Context, f Found) error {
	var open []string
	if f.Name.Cluster != "" {
		open = append(open, "the cluster has, or had, it as "+f.Name.Cluster)
	}
	started, err := op.Exists(StartedPath(f.Name.ID))
	if err != nil {
		return fmt.Errorf("look for a start of %s: %w", f.Name.ID, err)
	}
	if started {
		open = append(open, "its guard shows a start: "+StartedPath(f.Name.ID))
	}
	open = append(open, op.clusterDoubts(ctx, f.Name.ID)...)
	doubts, err := op.processDoubts(f)
	if err != nil {
		return err
	}
	open = append(open, doubts...)
	if len(open) == 0 || op.Force && op.Reason != "" {
		return nil
	}
	return &Refusal{Act: "unpark --again", Job: f.Name.ID, Why: strings.Join(open, "; "),
		Next: "if the cluster has it: fencepost unpark " + f.Name.ID + " --submitted CLUSTER_ID; if you know that it never ran and never will: --force --reason TEXT"}
}

func (op *Operator) clusterDoubts(ctx context.Context, id string) []string {
	if op.Ask == nil {
		return []string{"the cluster can't be asked"}
	}
	a, err := op.Ask(ctx, id)
	switch {
	case err != nil:
		return []string{"the cluster couldn't be asked: " + err.Error()}
	case a.Known:
		return []string{fmt.Sprintf("the cluster has it as %s: %s", a.Cluster, a.Detail)}
	}
	return nil
}

// processDoubts names the processes that may yet submit the job. Whose they are
// is known from what explains: without it, nothing is proven.
func (op *Operator) processDoubts(f Found) ([]string, error) {
	tokens, err := op.tokensOf(f.Name)
	if err != nil {
		return nil, err
	}
	if len(tokens) == 0 {
		return []string{"nothing says whose claim it was"}, nil
	}
	var open []string
	for _, t := range tokens {
		if op.Gone == nil {
			open = append(open, fmt.Sprintf("nothing proves that the process of %s/%d is gone", t.Host, t.Epoch))
			continue
		}
		gone, how, err := op.Gone(t.Host, t.Epoch)
		if err != nil {
			return nil, fmt.Errorf("look whether %s/%d is gone: %w", t.Host, t.Epoch, err)
		}
		if !gone {
			open = append(open, fmt.Sprintf("the process of %s/%d may still be there: %s", t.Host, t.Epoch, how))
		}
	}
	return open, nil
}

// tokensOf are the epochs that had the job in its last try: those named by its
// reasons, and by the journals' events of that generation and the one before
// (what ends a try bears the next one).
func (op *Operator) tokensOf(n Name) ([]Token, error) {
	var words []string
	events, err := op.Trace(n.ID)
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		if e.Stage == n.Stage && e.Gen >= n.Gen-1 && e.Token != "" {
			words = append(words, e.Token)
		}
	}
	rec, err := op.Why(DirParked, n.ID)
	if err != nil {
		return nil, err
	}
	for _, w := range rec.Why {
		if w.Gen >= n.Gen-1 && w.Stage == n.Stage {
			words = append(words, w.Token)
		}
	}
	var out []Token
	for _, w := range words {
		p := strings.Split(w, "/")
		t := Token{}
		if len(p) != 3 || !ValidHost(p[0]) || !parseUint(p[1], &t.Epoch) {
			continue
		}
		t.Host = p[0]
		if !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out, nil
}

// Why reads a job's reasons in failed/, parked/ or held/; none is no error.
func (s *Spool) Why(dir, id string) (WhyRecord, error) {
	var rec WhyRecord
	data, _, err := s.FS.Read(path.Join(dir, WhyName(id)), 1<<20)
	if isErr(err, syscall.ENOENT, syscall.ESTALE) {
		return rec, nil
	}
	if err != nil {
		return rec, fmt.Errorf("read reasons: %w", err)
	}
	if err := json.Unmarshal(data, &rec); err != nil {
		return WhyRecord{}, fmt.Errorf("read reasons of %s: %w", id, err)
	}
	return rec, nil
}

// ---- copies --------------------------------------------------------------------

// Copies lists a job's parked copies: outside the balance, never submitted.
func (s *Spool) Copies(id string) ([]Found, error) {
	names, err := s.FS.List(DirParked)
	if err != nil {
		return nil, fmt.Errorf("list copies: %w", err)
	}
	slices.Sort(names)
	var out []Found
	for _, name := range names {
		if n, ok := ParseCopy(name); ok && n.ID == id {
			out = append(out, Found{n, PlaceParked, path.Join(DirParked, name)})
		}
	}
	return out, nil
}

// CopyToken is how a person names a copy: HOST/EPOCH/SEQ; "any" means the only
// one that there is.
func CopyToken(n Name) string { return fmt.Sprintf("%s/%d/%d", n.Host, n.Epoch, n.Seq) }

func (op *Operator) findCopy(ctx context.Context, id, token string) (Found, error) {
	copies, err := op.Copies(id)
	if err != nil {
		return Found{}, err
	}
	var hits []Found
	var names []string
	for _, f := range copies {
		names = append(names, CopyToken(f.Name))
		if token == "any" || token == CopyToken(f.Name) {
			hits = append(hits, f)
		}
	}
	if len(hits) != 1 {
		return Found{}, &Refusal{Act: "unpark", Job: id, Why: fmt.Sprintf("%d parked copies are named so; there are: %s", len(hits), strings.Join(names, ", ")),
			Next: "fencepost unpark --copy HOST/EPOCH/SEQ"}
	}
	found, err := op.find(ctx, "unpark", id)
	var nowhere *Refusal
	if err == nil {
		return Found{}, &Refusal{Act: "unpark", Job: id, Why: fmt.Sprintf("the job itself is %s (%s): a copy beside it would be a second one", found.Place, found.Path),
			Next: nextFor(found)}
	}
	if !errors.As(err, &nowhere) {
		return Found{}, err
	}
	return hits[0], nil
}

// CopyAgain puts a parked copy into its stage, in a person's name: the exit gate,
// which belongs to the file that was handed over once, is given to the copy.
//
// Order: journal; link the copy to a name of our own; rename that over once/
// (never absent, so that nobody slips through between); rename the copy. Stopped
// after the second rename, the same command does the rest.
func (op *Operator) CopyAgain(ctx context.Context, id, token string) (Acted, error) {
	return op.onParked(ctx, id, token, func(f Found) (step, error) {
		refuse := func(why string) (step, error) {
			return step{}, &Refusal{Act: "unpark --again", Job: id, Why: why,
				Next: "if the cluster has it: fencepost unpark " + id + " --copy " + CopyToken(f.Name) + " --submitted CLUSTER_ID"}
		}
		if !op.Force || op.Reason == "" {
			return refuse("the job passed the exit gate before: it may have been submitted, and a copy may run it twice; --force --reason TEXT takes that on you")
		}
		if op.Ask != nil {
			if a, err := op.Ask(ctx, id); err == nil && a.Known {
				return refuse(fmt.Sprintf("the cluster has it as %s: %s", a.Cluster, a.Detail))
			}
		}
		top, err := op.topGen(id)
		if err != nil {
			return step{}, err
		}
		st := op.back(EvUnparked, f.Name, max(top, f.Name.Gen)+1, 0)
		if op.DryRun {
			return st, nil
		}
		return st, op.giveGate(f)
	})
}

// giveGate makes once/ a link of the copy.
func (op *Operator) giveGate(f Found) error {
	once := OncePath(f.Name.Stage, f.Name.ID)
	own, err := op.FS.Identify(f.Path)
	if err != nil {
		return fmt.Errorf("give the exit gate to the copy: %w", err)
	}
	if err := op.noteDetail("gate-replaced", f.Name, once+" now is the copy "+f.Path+": "+op.Reason); err != nil {
		return err
	}
	for range attempts {
		if got, ierr := op.FS.Identify(once); ierr == nil && got == own {
			return op.FS.Sync(path.Dir(once))
		}
		if err = op.makeBucket(path.Dir(once)); err != nil {
			continue
		}
		draft := path.Join(HostDir(CommandHost(op.Host)), "once~"+op.nonce())
		if err = op.FS.Link(f.Path, draft); err == nil {
			err = op.FS.Rename(draft, once)
		}
	}
	if got, ierr := op.FS.Identify(once); ierr == nil && got == own {
		return op.FS.Sync(path.Dir(once))
	}
	return fmt.Errorf("give the exit gate to the copy: %w", err)
}
