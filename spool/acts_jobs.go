package spool

import (
	"context"
	"fmt"
	"path"
	"strings"
)

// aside is the step into failed/ or held/: all numbers stay in the name.
func aside(dir, event string, n Name) step {
	n.Ext = entryExt(n.Stage)
	return step{event: event, name: n, to: path.Join(dir, FormatAside(n))}
}

// back is the step to a stage: the generation grows, so that the name is one
// that the job never had; the cluster's id goes.
func (op *Operator) back(event string, n Name, gen, faults int) step {
	n.Gen, n.Faults, n.Cluster = gen, faults, ""
	return step{event: event, name: n, to: op.Layout.EntryPath(n.Stage, n)}
}

// forced lets a job that bears a cluster's id go back to its stage only by
// force: the job there may have run, or run yet.
func (op *Operator) forced(verb string, n Name) error {
	if n.Cluster == "" || op.Force && op.Reason != "" {
		return nil
	}
	return &Refusal{Act: verb, Job: n.ID, Why: fmt.Sprintf("the cluster has, or had, it as %s: to submit it again may run it twice", n.Cluster),
		Next: "look at the cluster first; then --force --reason TEXT, which is written down with your name"}
}

// Hold sets a waiting job aside until Release. For a job that is being worked on
// it leaves a request.
func (op *Operator) Hold(ctx context.Context, id string) (Acted, error) {
	return op.act(ctx, "hold", id, func(f Found) (step, error) {
		switch f.Place {
		case PlaceWaiting:
			return aside(DirHeld, EvHeld, f.Name), nil
		case PlaceHeld:
			return step{done: "it is held already"}, nil
		case PlaceAccepting, PlaceClaimed, PlaceSealed:
			return op.ask(RequestHold, f)
		case PlaceDone, PlaceHandedOver:
			return step{}, &Refusal{Act: "hold", Job: id, Why: clusterHasIt(f), Next: "hold it there"}
		}
		return step{}, &Refusal{Act: "hold", Job: id, Why: fmt.Sprintf("it is %s: nobody takes it", f.Place), Next: "fencepost why " + id}
	})
}

func (op *Operator) ask(kind string, f Found) (step, error) {
	asked, err := op.requested(kind, f.Name.ID)
	if asked {
		return step{done: fmt.Sprintf("it is %s by %s, and the request stands already", f.Place, owner(f))}, err
	}
	return step{request: kind, name: f.Name}, err
}

func clusterHasIt(f Found) string {
	if f.Place == PlaceHandedOver {
		return "it was handed over: the program that takes " + strings.TrimPrefix(f.Name.Cluster, handoverMark) + " has it"
	}
	if f.Name.Cluster == "" {
		return "it is done"
	}
	return "it is done: the cluster has it as " + f.Name.Cluster
}

// Release puts a held job back into its stage. A hold that was only asked for is
// withdrawn.
func (op *Operator) Release(ctx context.Context, id string) (Acted, error) {
	return op.act(ctx, "release", id, func(f Found) (step, error) {
		if f.Place == PlaceHeld {
			if err := op.forced("release", f.Name); err != nil {
				return step{}, err
			}
			if !op.DryRun { // else the job would be held again
				if err := op.removeName(RequestPath(RequestHold, id)); err != nil {
					return step{}, fmt.Errorf("release %s: %w", id, err)
				}
			}
			return op.back(EvUnheld, f.Name, f.Name.Gen+1, f.Name.Faults), nil
		}
		asked, err := op.requested(RequestHold, id)
		switch {
		case err != nil:
			return step{}, fmt.Errorf("release %s: %w", id, err)
		case asked && op.DryRun:
			return step{done: "the request to hold it would be withdrawn"}, nil
		case asked:
			if err := op.noteDetail("withdrawn", f.Name, "hold: "+op.Reason); err != nil {
				return step{}, err
			}
			return step{done: "the request to hold it is withdrawn"}, op.removeName(RequestPath(RequestHold, id))
		}
		return step{}, &Refusal{Act: "release", Job: id, Why: fmt.Sprintf("it is %s, not held", f.Place), Next: nextFor(f)}
	})
}

// Retry puts a failed job back into its stage, its faults forgotten.
func (op *Operator) Retry(ctx context.Context, id string) (Acted, error) {
	return op.act(ctx, "retry", id, func(f Found) (step, error) {
		if f.Place != PlaceFailed {
			return step{}, &Refusal{Act: "retry", Job: id, Why: fmt.Sprintf("it is %s, not failed", f.Place), Next: nextFor(f)}
		}
		if err := op.forced("retry", f.Name); err != nil {
			return step{}, err
		}
		if !op.DryRun { // else the job would be cancelled again
			if err := op.removeName(RequestPath(RequestCancel, id)); err != nil {
				return step{}, fmt.Errorf("retry %s: %w", id, err)
			}
		}
		return op.back(EvRetried, f.Name, f.Name.Gen+1, 0), nil
	})
}

func nextFor(f Found) string {
	switch f.Place {
	case PlaceHeld:
		return "fencepost release " + f.Name.ID
	case PlaceParked:
		return "fencepost unpark " + f.Name.ID
	case PlaceFailed:
		return "fencepost retry " + f.Name.ID
	}
	return "fencepost trace " + f.Name.ID
}

// Cancel sets a job that nobody works on aside for good, as failed. For a job
// that is being worked on it leaves a request. It never reaches into the
// cluster: what is done is the cluster's.
func (op *Operator) Cancel(ctx context.Context, id string) (Acted, error) {
	return op.act(ctx, "cancel", id, func(f Found) (step, error) {
		switch f.Place {
		case PlaceWaiting, PlaceHeld, PlaceParked:
			st := aside(DirFailed, EvCancelled, f.Name)
			st.why = DirFailed
			return st, nil
		case PlaceFailed:
			return step{done: "it has failed already: nobody takes it"}, nil
		case PlaceDone, PlaceHandedOver:
			return step{}, &Refusal{Act: "cancel", Job: id, Why: clusterHasIt(f), Next: "cancel it there"}
		}
		return op.ask(RequestCancel, f)
	})
}
