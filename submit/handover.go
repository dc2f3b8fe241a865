package submit

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"fencepost/codec"
	"fencepost/spool"
	"fencepost/spool/env/drill"
	"fencepost/spool/vfs"
)

func decode(document []byte) (codec.Record, error) { return codec.DecodeJSON(document) }

// handOver is the work of the stage: one claim, to its end or to its seal.
func (e *Engine) handOver(ctx context.Context, c *spool.Claim) {
	if err := e.handOne(ctx, c); err != nil && !errors.Is(err, spool.ErrLost) {
		e.in.Warn("submit "+c.Name.ID, err)
	}
}

func (e *Engine) handOne(ctx context.Context, c *spool.Claim) error {
	document, err := c.Read()
	if errors.Is(err, vfs.ErrNotRegular) || errors.Is(err, vfs.ErrTooLarge) {
		return c.Fail(spool.EvQuarantine, err.Error())
	}
	if err != nil {
		return errors.Join(err, c.Return(spool.Why{Reason: "read: " + err.Error()}))
	}
	req, err := e.request(c.Name, c.Token(), c.Path(), document)
	if err == nil && req.Record.ID != c.Name.ID {
		err = fmt.Errorf("the file holds job %s, its name says %s", req.Record.ID, c.Name.ID)
	}
	if err != nil {
		return c.Fail(spool.EvQuarantine, err.Error())
	}
	if done, err := e.honour(c); done || err != nil {
		return err
	}
	switch verdict, err := c.Once(); verdict {
	case spool.Done:
	case spool.Taken:
		return c.ParkCopy("the exit gate belongs to another copy of this job")
	default:
		return errors.Join(err, c.Return(spool.Why{Reason: fmt.Sprintf("exit gate: %v", err)}))
	}
	if e.caps.Hold {
		e.begin()
		defer e.end()
		return e.submitHeld(ctx, c, req)
	}
	return e.submitSealed(ctx, c, req)
}

// submitHeld submits first, held, and seals with the cluster's id: a held job
// whose id was never sealed is never released, so any failure or silence only
// means "perhaps accepted", and the claim goes back.
func (e *Engine) submitHeld(ctx context.Context, c *spool.Claim, req Request) error {
	id, err := e.submit(ctx, c.Name, req, "held", e.env.Now())
	if err != nil {
		return e.failed(ctx, err, claimed{c})
	}
	if drill.Broken(e.env, drill.ReleaseFirst) {
		_ = e.cluster.Release(ctx, []string{id})
	}
	s, err := c.Seal(id)
	if errors.Is(err, spool.ErrLost) && drill.Broken(e.env, drill.CancelOnAbsent) {
		_ = e.cluster.Cancel(context.WithoutCancel(ctx), id)
	}
	if err != nil {
		return err // the cluster's job is left alone: the ghosts' sweep has proof or waits
	}
	e.track(s)
	return nil
}

// submit asks the cluster. What can't be an id means that the outcome is unknown.
func (e *Engine) submit(ctx context.Context, n spool.Name, req Request, how string, start time.Duration) (id string, err error) {
	id, err = e.cluster.Submit(ctx, req)
	if err == nil && !spool.ValidClusterID(id) {
		err = &Error{Outcome: Unknown, Op: "submit", Detail: fmt.Sprintf("unusable cluster id %q", id)}
	}
	if err != nil {
		return "", err
	}
	e.succeeded()
	e.note(spool.EvSubmitted, n, id, how, e.env.Now()-start)
	return id, nil
}

// submitSealed seals first, without an id: that seal is the intent. It is for
// clusters without a hold.
func (e *Engine) submitSealed(ctx context.Context, c *spool.Claim, req Request) error {
	s, err := c.Seal("")
	if err != nil {
		return err
	}
	req.Entry = s.Path()
	return e.submitIntent(ctx, s, req)
}

// undecided is a job whose submission failed: a claim, or an intent.
type undecided interface {
	name() spool.Name
	back(spool.Why) error // surely not accepted
	reject(why string) error
	unclear(why string) error // may have been accepted
}

type claimed struct{ *spool.Claim }

func (c claimed) name() spool.Name        { return c.Name }
func (c claimed) back(w spool.Why) error  { return c.Return(w) }
func (c claimed) reject(why string) error { return c.Fail(spool.EvRejected, why) }
func (c claimed) unclear(why string) error {
	return c.Return(spool.Why{Reason: "perhaps accepted, held: " + why})
}

type intended struct {
	*spool.Sealed
	e     *Engine
	begun time.Duration // before the first try
}

func (s intended) name() spool.Name        { return s.Name }
func (s intended) back(w spool.Why) error  { return s.Back(w) }
func (s intended) reject(why string) error { return s.Fail(spool.EvRejected, why) }

// unclear leaves an intent with a key to the tracker, which submits it again;
// without one it is for a person.
func (s intended) unclear(why string) error {
	if s.e.caps.Key {
		s.e.trackSince(s.Sealed, s.begun)
		return nil
	}
	s.e.tally(func(st *Stats) { st.Parked++ })
	return s.Park("submission unclear: " + why)
}

// failed is the one place where what a cluster answered becomes what happens.
func (e *Engine) failed(ctx context.Context, err error, u undecided) error {
	why := err.Error()
	switch OutcomeOf(err) {
	case Rejected:
		e.tally(func(s *Stats) { s.Rejected++ })
		if err := e.outcome(false); err != nil {
			e.setSuspect(err)
			return u.back(spool.Why{Reason: why + "; but " + err.Error()})
		}
		// Final only if this host is fit right after it: else it may be the
		// host that is bad, not the job.
		if perr := e.probe(ctx); perr != nil {
			e.refused(perr)
			return u.back(spool.Why{Reason: why + "; and this host's probe failed: " + perr.Error()})
		}
		return u.reject(why)
	case Unavailable:
		e.tally(func(s *Stats) { s.Unavailable++ })
		e.narrow()
		e.pause()
		return u.back(spool.Why{Reason: why})
	case Unfit:
		e.tally(func(s *Stats) { s.Unfit++ })
		e.setSuspect(err)
		return u.back(spool.Why{Reason: why})
	}
	e.tally(func(s *Stats) { s.Unknown++ })
	if err := e.outcome(false); err != nil {
		e.setSuspect(err)
	}
	e.pause()
	e.note(spool.EvUnclear, u.name(), "", why, 0)
	return u.unclear(why)
}

// pauses after failures that are nobody's: 1 s doubling to 30 s.
func (e *Engine) pause() {
	e.mu.Lock()
	e.streak++
	d := min(time.Second<<min(e.streak-1, 5), 30*time.Second)
	e.mu.Unlock()
	until := e.env.Now() + d
	e.mu.Lock()
	e.sentBack = until
	e.mu.Unlock()
}

func (e *Engine) succeeded() {
	_ = e.outcome(true)
	e.mu.Lock()
	e.streak, e.sentBack, e.suspect = 0, 0, ""
	e.stats.Submitted++
	e.mu.Unlock()
}

func (e *Engine) note(event string, n spool.Name, id, detail string, took time.Duration) {
	ev := spool.Event{Event: event, Job: n.ID, Stage: spool.Submit, Gen: n.Gen, Faults: n.Faults, Cluster: id, Detail: detail,
		Seconds: took.Seconds()}
	if n.Seq > 0 {
		host, epoch := n.Host, n.Epoch
		if host == "" {
			host, epoch = e.in.Host, e.in.Epoch
		}
		ev.Token = host + "/" + strconv.FormatUint(epoch, 10) + "/" + strconv.FormatUint(n.Seq, 10)
	}
	e.in.Journal.Add(ev)
}
