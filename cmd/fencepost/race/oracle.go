package race

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"fencepost/cmd/fencepost/race/history"
	"fencepost/codec"
	"fencepost/spool"
	"fencepost/spool/env/simenv"
)

// oracle knows what is true: it sees each change at the moment at which the
// server makes it, and checks what is promised. It never asks the program.
type oracle struct {
	r      *run
	jobs   map[string]*job
	order  []*job
	epochs map[string]uint64       // highest number of a host
	maker  map[string]*simenv.Proc // of HOST/EPOCH
	drafts map[token]bool          // outputs under construction
	out    map[token]bool          // outputs that were published
	tokens map[token]string        // every claim that ever was, by its token
	parked int
	failed int
	found  *Violation
}

// job is what is true of one job.
type job struct {
	id     string
	n      int
	places []place
	gate   uint64          // the winner's inode, 0 = not accepted
	xml    []byte          // what it holds
	json   []byte          // what has to come of it
	acked  bool            // a client heard ACCEPTED
	given  bool            // every client has given up, or heard an answer
	stolen bool            // by somebody who isn't one of us
	copied bool            // by somebody who isn't one of us
	used   map[string]bool // names under which it waited
	bad    bool            // the cluster refuses it
	sealed []sealedAs
	starts int
	// removed: its gate was, long after its end.
	removed bool
	order   *order // that it was written as, if any
}

// sealedAs is a cluster id that was decided.
type sealedAs struct{ token, id string }

func newOracle(r *run) *oracle {
	return &oracle{r: r, jobs: map[string]*job{}, epochs: map[string]uint64{}, maker: map[string]*simenv.Proc{},
		drafts: map[token]bool{}, out: map[token]bool{}, tokens: map[token]string{}}
}

func (o *oracle) add(id string) *job {
	j := &job{id: id, n: len(o.order), used: map[string]bool{}}
	o.jobs[id] = j
	o.order = append(o.order, j)
	return j
}

// violate notes the first broken promise and ends the run.
func (o *oracle) violate(c Class, kind, id, format string, args ...any) {
	if o.found != nil {
		return
	}
	o.found = &Violation{Class: c, Kind: kind, Job: id, Text: fmt.Sprintf(format, args...), At: o.r.w.Now(), Detail: o.r.state(id)}
	o.r.record(history.Event{Kind: "violation", Op: kind, Job: id, Text: o.found.Text})
	o.r.w.Stop(o.found.String())
}

// change is one effect on the share.
type change struct {
	op       string
	from, to string
	ino      uint64
	proc     *simenv.Proc
}

// The operations that change names.
const (
	opRename = "rename"
	opLink   = "link"
	opCreate = "create"
	opRemove = "remove"
	opMkdir  = "mkdir"
	opRmdir  = "rmdir"
)

// effect is told each change just after it was made.
func (o *oracle) effect(c change) {
	if o.r.opt.Protocol == ProtocolLegacy {
		return // it promises nothing at a single step
	}
	switch c.op {
	case opRename:
		o.drop(c.from, c)
		o.put(c.to, c)
		o.check(c.from)
	case opLink, opCreate:
		o.put(c.to, c)
	case opRemove:
		o.removed(c)
		o.drop(c.from, c)
		o.check(c.from)
	case opMkdir:
		o.mkdir(c)
	case opRmdir:
		if parts := strings.Split(c.from, "/"); len(parts) == 3 && parts[0] == spool.DirClaims && o.epochs[parts[1]] > 0 {
			if n, err := strconv.ParseUint(parts[2], 10, 64); err == nil && n == o.epochs[parts[1]] {
				o.fenced(parts[1], parts[2], c.proc)
			}
		}
	}
}

func (o *oracle) jobOf(path string) (place, *job) {
	p, ok := parsePlace(path)
	if !ok {
		return p, nil
	}
	return p, o.jobs[p.name.ID]
}

func (o *oracle) drop(path string, c change) {
	p, j := o.jobOf(path)
	if j == nil {
		return
	}
	switch p.where {
	case atGate, atOnce, atDone:
		o.dropRecord(j, p)
	case atDraft:
		delete(o.drafts, p.token())
		if c.op == opRemove {
			o.droppedDraft(j, p)
		}
	}
	j.places = slices.DeleteFunc(j.places, func(q place) bool { return q.path == path })
	if o.r.isRogue(c.proc) {
		j.stolen = true
	}
}

// droppedDraft: nothing may drop the output of a claim that was decided.
func (o *oracle) droppedDraft(j *job, p place) {
	for _, q := range j.places {
		if q.where == atSealed && q.token() == p.token() && !o.out[p.token()] {
			o.violate(Safety, "draft", j.id, "the output of job %d was dropped after its claim had been sealed: %s", j.n, p.path)
		}
	}
}

func (o *oracle) put(path string, c change) {
	p, j := o.jobOf(path)
	if j == nil {
		j = o.ordered(p, c.ino)
		o.refusedOrder(path, c.ino)
	}
	if j == nil {
		return
	}
	p.ino = c.ino
	for i, q := range j.places {
		if q.path == path {
			if q.ino != c.ino && q.live() && !j.copied && !j.stolen {
				o.violate(Safety, "clobber", j.id, "a rename replaced another file of job %d: %s", j.n, path)
			}
			j.places[i] = p
			return
		}
	}
	j.places = append(j.places, p)
	o.arrived(j, p, c)
	o.checkJob(j)
}

// arrived checks what a new name means.
func (o *oracle) arrived(j *job, p place, c change) {
	switch p.where {
	case atGate:
		o.accepted(j, p)
	case atDraft:
		o.drafts[p.token()] = true
	case atClaim:
		o.claimed(j, p)
		o.born(j, p, c)
	case atSealed:
		o.sealed(j, p)
	case atXML:
		o.waits(j, p)
	case atJSON:
		o.waits(j, p)
		o.published(j, p, c)
	case atParked:
		o.parked++
		if why := o.r.parkCause(p); why == "" {
			o.violate(Safety, "parked", j.id, "job %d was parked without a cause", j.n)
		}
	case atFailed:
		o.failed++
		if !j.bad {
			o.violate(Safety, "failed", j.id, "job %d went to failed/ without a cause", j.n)
		}
	case atDone:
		o.content(j, p, j.json)
	}
}

// accepted: from here the job must never be nowhere.
func (o *oracle) accepted(j *job, p place) {
	if j.gate != 0 {
		o.violate(Safety, "gate", j.id, "job %d passed the gate twice", j.n)
		return
	}
	j.gate = p.ino
	j.xml, _ = o.r.srv.Data(p.ino)
	var err error
	if j.json, err = codec.Translate(j.xml); err != nil {
		o.violate(Safety, "payload", j.id, "what was accepted as job %d is no job: %v", j.n, err)
	}
	if j.order != nil {
		o.adopted(j)
	}
}

// claimed: a token is one claim's for ever.
func (o *oracle) claimed(j *job, p place) {
	if before, used := o.tokens[p.token()]; used && before != p.path {
		o.violate(Safety, "token", j.id, "the token of %s was another claim's: %s", p.path, before)
	}
	o.tokens[p.token()] = p.path
}

// born: a claim that was no entry before.
func (o *oracle) born(j *job, p place, c change) {
	from, _ := parsePlace(c.from)
	switch from.where {
	case atAccept:
		o.content(j, p, j.xml)
	case atDraft:
		o.published(j, p, c)
	default:
		return
	}
	o.r.seen["born"]++
	// The simulator's inboxes are of the first stage.
	if accepted := from.where == atAccept; (p.name.Stage == spool.Translate) != accepted || accepted && p.name.Gen > 0 {
		o.violate(Safety, "born", j.id, "job %d was taken at its birth as what it isn't: %s became %s", j.n, c.from, p.path)
	}
}

// waits: a name under which a job waits is never used twice, so that a late
// rename can't catch it.
func (o *oracle) waits(j *job, p place) {
	if p.name.Gen == 0 {
		o.r.seen["waited"]++
	}
	if j.used[p.path] && !j.copied && !j.stolen {
		o.violate(Safety, "name", j.id, "job %d waits again under a name that it had: %s", j.n, p.path)
	}
	j.used[p.path] = true
}

// sealed: a translation is decided only when its output is there.
func (o *oracle) sealed(j *job, p place) {
	if p.name.Stage == spool.Translate {
		if !o.drafts[p.token()] {
			o.violate(Safety, "seal", j.id, "job %d was sealed without an output: %s", j.n, p.path)
		}
		return
	}
	if p.name.Cluster != "" {
		t := spool.Token{Spool: o.r.format.SpoolID, Host: p.name.Host, Epoch: p.name.Epoch, Seq: p.name.Seq, Gen: p.name.Gen}
		j.sealed = append(j.sealed, sealedAs{t.String(), p.name.Cluster})
	}
}

func (o *oracle) published(j *job, p place, c change) {
	o.content(j, p, j.json)
	if from, ok := parsePlace(c.from); ok && from.where == atDraft {
		if o.out[from.token()] {
			o.violate(Safety, "publish", j.id, "an output of job %d was published twice", j.n)
		}
		o.out[from.token()] = true
	}
}

func (o *oracle) content(j *job, p place, want []byte) {
	if j.gate == 0 || j.copied {
		return
	}
	if got, _ := o.r.srv.Data(p.ino); !bytes.Equal(got, want) {
		o.violate(Safety, "payload", j.id, "job %d: %s holds %d bytes that aren't what came in", j.n, p.path, len(got))
	}
}

// check counts the places of a job after one of its names has gone.
func (o *oracle) check(path string) {
	if _, j := o.jobOf(path); j != nil {
		o.checkJob(j)
	}
}

func (o *oracle) checkJob(j *job) {
	if j.gate == 0 || j.stolen || j.copied {
		return
	}
	n, first := 0, place{}
	for _, p := range j.places {
		if p.where == atAccept && p.ino == j.gate || p.live() && !o.spent(p) {
			if n++; n == 1 {
				first = p
				continue
			}
			o.violate(Safety, "duplicated", j.id, "job %d is in two places: %s and %s", j.n, first.path, p.path)
		}
	}
	if n == 0 && !j.removed {
		o.violate(Safety, "lost", j.id, "job %d was accepted, and is nowhere", j.n)
	}
}

// spent: a sealed translation whose output is published stands for nothing
// any more.
func (o *oracle) spent(p place) bool {
	return p.where == atSealed && p.name.Stage == spool.Translate && o.out[p.token()]
}

// mkdir: numbers of epochs only grow, and nobody makes another's directories.
func (o *oracle) mkdir(c change) {
	parts := strings.Split(c.to, "/")
	switch {
	case len(parts) == 4 && parts[0] == spool.DirHosts && parts[2] == "epochs":
		n, err := strconv.ParseUint(parts[3], 10, 64)
		if err != nil {
			o.violate(Safety, "epoch", "", "host %s got epoch %q", parts[1], parts[3])
		}
		o.maker[parts[1]+"/"+parts[3]] = c.proc
		if n < o.epochs[parts[1]] {
			o.maker[parts[1]+"/"+parts[3]] = nil // over at its birth: nobody may use it
			return
		}
		o.epochs[parts[1]] = n
	case len(parts) == 3 && (parts[0] == spool.DirClaims || parts[0] == spool.DirSealed || parts[0] == spool.DirDrafts):
		if who := parts[1] + "/" + parts[2]; o.maker[who] != c.proc {
			o.violate(Safety, "epoch", "", "%s was made by a process that doesn't have epoch %s; the highest was %d", c.to, who, o.epochs[parts[1]])
		}
	}
}
