package spool

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"path"
	"slices"
	"syscall"

	"github.com/google/uuid"

	"fencepost/spool/env/drill"
)

// Parse makes a job of a foreign file's contents, in the form of the stage that
// it is to go through first; it is a pure function but for the time and the host
// that it notes. id is for a file that brings none. An error means that the file
// is no job.
type Parse func(stage Stage, id string, data []byte) (Adoptee, error)

// Adoptee is the job that a foreign file comes to. See [Instance.Accept].
type Adoptee struct {
	ID   string
	Data []byte
	Same func(existing []byte) (bool, error)
}

// Adopt takes a file out of an inbox and accepts it. ErrLost: another instance
// was first. After any other error nothing is lost: the file is still in the
// inbox, or in this instance's claims, where the own sweep finds it.
//
// Its fate hangs on one rename, which gives it its id: two hosts can't adopt it
// under two. From then on whoever carries it on does so under that id, and the
// gate lets it in once, however often that is tried.
//
// Order: journal the id and the name, durable; rename INBOX/NAME to
// adopt~S~ID.EXT among the own claims; make that durable: a file that came back
// into the inbox after a power cut would get another id; then carryOn.
//
// sum is the digest of what had settled: a file that changed since is left to
// the own sweep, which comes later.
func (in *Instance) Adopt(inbox, name string, sum [sha256.Size]byte) error {
	if drill.Broken(in.Env, drill.AdoptByLink) {
		return in.adoptInPlace(inbox, name)
	}
	n := Name{Stage: StageAdopt, Seq: in.nextSeq(), ID: in.freshID(), Ext: entryExt(in.Layout.inboxStage(inbox))}
	from, file := path.Join(inbox, name), path.Join(in.claims(), FormatClaim(n))
	in.note(EvAdopting, n, from)
	if err := in.Journal.Flush(); err != nil {
		return fmt.Errorf("adopt %s: %w", from, err)
	}
	in.own(file)
	defer in.disown(file)
	// Once: the writer may use the name again, and the same rename, done and not
	// seen, or landing late, would put that file over the first one. The next pass
	// tries again, under another token.
	verdict, err := in.moveToTokenIn(1, from, file)
	switch verdict {
	case Done:
		return in.carryOn(file, n, &taken{from, sum})
	case Gone:
		if ferr := in.checkFenced(in.claims()); ferr != nil {
			return ferr
		}
		return fmt.Errorf("adopt %s: %w", from, ErrLost)
	}
	return fmt.Errorf("adopt %s: %w", from, errors.Join(err, ErrUnclear, in.fencedIfGone(err)))
}

// adoptInPlace is a seeded bug: the gate first, then the inbox.
func (in *Instance) adoptInPlace(inbox, name string) error {
	from := path.Join(inbox, name)
	data, _, err := in.FS.Read(from, in.Limits.FileSize)
	if err != nil {
		return err
	}
	job, err := in.Parse(in.Layout.inboxStage(inbox), in.freshID(), data)
	if err != nil {
		return err
	}
	if _, err = in.Accept(job.ID, job.Data, job.Same); err != nil {
		return err
	}
	return in.removeName(from)
}

// taken is what is known of a file by who took it out of its inbox.
type taken struct {
	from string
	sum  [sha256.Size]byte
}

// carryOn makes a job of a foreign file among the own claims, by whomever it was
// taken out of its inbox. Its contents are copied: the writer may have the file
// open still. So it is read again when the job is accepted; what changed since
// is kept, set aside, with the reason.
//
// Order: make the claim's name durable; read; accept; read again; remove. Each
// time that this is begun again the id is the same.
func (in *Instance) carryOn(file string, n Name, t *taken) error {
	if err := in.syncInboxes(); err != nil {
		return fmt.Errorf("adopt %s: %w", n.ID, err)
	}
	data, _, err := in.FS.Read(file, in.Limits.FileSize)
	switch {
	case errors.Is(err, errTooLarge) || errors.Is(err, errNotRegular):
		return in.refuse(file, n, t, err.Error())
	case isErr(err, syscall.ENOENT, syscall.ESTALE):
		return errors.Join(fmt.Errorf("adopt %s: %w: %w", n.ID, ErrLost, err), in.checkFenced(in.claims()))
	case err != nil:
		return fmt.Errorf("adopt %s: %w", n.ID, err)
	}
	if t != nil && sha256.Sum256(data) != t.sum {
		return fmt.Errorf("adopt %s: it is still being written", n.ID)
	}
	stage := stageOf(n)
	job, err := in.Parse(stage, n.ID, data)
	if err != nil {
		return in.refuse(file, n, t, err.Error())
	}
	a, err := in.AcceptAt(stage, job.ID, job.Data, job.Same)
	switch {
	case errors.Is(err, ErrConflict):
		return in.refuse(file, n, t, fmt.Sprintf("job %s was accepted with another content", job.ID))
	case errors.Is(err, ErrTooOld):
		return in.refuse(file, n, t, fmt.Sprintf("%v; see what became of job %s (fencepost trace) before you enter the file again, under another id", err, job.ID))
	case err != nil:
		return fmt.Errorf("adopt %s: %w", n.ID, err)
	}
	if a.Duplicate {
		untaken, err := in.handedOverThere(stage, job.ID, path.Dir(in.cameFrom(n, t)))
		if err != nil {
			return fmt.Errorf("adopt %s: %w", n.ID, err)
		}
		if untaken {
			return in.refuse(file, n, t, fmt.Sprintf("it is what job %s was handed over as, and nobody had taken it when its directory became an inbox: "+
				"give it to the program that was to take it, or enter it again under another id", job.ID))
		}
	}
	return in.retire(file, n, t, job.ID, data)
}

// handedOverThere says whether a stage's job was handed over into a directory. A
// duplicate out of that one may be all that there is of the job: the layout was
// changed before the foreign program took it.
func (in *Instance) handedOverThere(stage Stage, id, dir string) (bool, error) {
	found, err := in.Locate(id)
	return slices.ContainsFunc(found, func(f Found) bool {
		return IsHandover(f.Name) && f.Name.Stage == stage && handoverOf(f.Name).Dir() == dir
	}), err
}

// retire ends the adoption of a file that was accepted, as data, under job.
func (in *Instance) retire(file string, n Name, t *taken, job string, data []byte) error {
	again, _, err := in.FS.Read(file, in.Limits.FileSize)
	switch {
	case isErr(err, syscall.ENOENT, syscall.ESTALE):
		return nil // carried on by somebody else, or the sweep comes by
	case err != nil && !errors.Is(err, errTooLarge):
		return fmt.Errorf("adopt %s: %w", n.ID, err)
	case !bytes.Equal(again, data):
		return in.refuse(file, n, t, fmt.Sprintf("it was changed after it was accepted, as it was before, as job %s", job))
	}
	done := n
	done.ID = job
	in.note(EvAdopted, done, path.Base(file))
	if err := in.removeName(file); err != nil {
		return fmt.Errorf("adopt %s: remove: %w", n.ID, err)
	}
	return nil
}

// refuse sets a foreign file aside: never thrown away.
func (in *Instance) refuse(file string, n Name, t *taken, reason string) error {
	return in.setAside(file, n, DirFailed, EvQuarantine, in.cameFrom(n, t)+": "+reason)
}

// cameFrom is where a foreign file was found.
func (in *Instance) cameFrom(n Name, t *taken) string {
	if t != nil {
		return t.from
	}
	return in.origin(n.ID)
}

// origin is where the file was found that got this id, as the journals say.
func (in *Instance) origin(id string) string {
	events, err := in.Trace(id)
	for _, e := range events {
		if e.Event == EvAdopting {
			return e.Detail
		}
	}
	if err != nil {
		return "a file of unknown name (" + err.Error() + ")"
	}
	return "a file of unknown name"
}

// syncInboxes makes durable that files were taken out of the inboxes. One that
// isn't there gives nothing back.
func (in *Instance) syncInboxes() error {
	for _, b := range in.Layout.Inboxes {
		if err := in.FS.Sync(b.Dir); err != nil && !isErr(err, syscall.ENOENT) {
			return err
		}
	}
	return in.FS.Sync(in.claims())
}

// freshID is a UUIDv7 by the host's clock.
func (in *Instance) freshID() string {
	var u uuid.UUID
	in.Env.Random(u[:])
	ms := in.open(in.Env.Wall()).UnixMilli()
	for i := range 6 {
		u[i] = byte(ms >> (40 - 8*i))
	}
	u[6], u[8] = u[6]&0x0f|0x70, u[8]&0x3f|0x80
	return u.String()
}

// adopt carries on a foreign file that an instance had taken when it ended. It
// isn't put back into its inbox, from where it would get another id, and not
// into a stage, where nothing has come that didn't pass the gate: it moves into
// the own claims, under its id.
func (r *reclaim) adopt(name string, n Name) error {
	in := r.in
	if in.Parse == nil {
		r.did.Left++
		return nil
	}
	from, to := path.Join(r.dir(DirClaims), name), n
	if r.dir(DirClaims) != in.claims() {
		to.Seq, to.Gen = in.nextSeq(), n.Gen+1
		if r.over.Death {
			to.Faults++
		}
	}
	file := path.Join(in.claims(), FormatClaim(to))
	if in.owns(file) {
		return nil // a task of ours is at it
	}
	in.own(file)
	defer in.disown(file)
	if from != file {
		verdict, err := in.moveToToken(from, file)
		switch verdict {
		case Done:
		case Gone:
			return in.checkFenced(in.claims())
		default:
			return fmt.Errorf("take over %s: %w", n.ID, err)
		}
	}
	r.did.Adopted++
	if to.Faults > in.Limits.Faults || to.Gen > in.Limits.Gen {
		return in.refuse(file, to, nil, fmt.Sprintf("%d instances ended, %d of them died, while they adopted it; see whether job %s was accepted before you enter it again",
			to.Gen, to.Faults, n.ID))
	}
	return in.carryOnLost(file, to)
}

// carryOnLost is carryOn for janitors: to lose it to another one is no error.
func (in *Instance) carryOnLost(file string, n Name) error {
	err := in.carryOn(file, n, nil)
	if errors.Is(err, ErrLost) {
		return in.Fenced()
	}
	return err
}
