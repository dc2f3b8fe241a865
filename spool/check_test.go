package spool_test

import (
	"bytes"
	"fmt"
	"path"
	"strings"

	"fencepost/spool"
)

// file is a name on the server.
type file struct {
	path, ino string
	name      spool.Name
	place     string
}

// jobFiles is where one job is: before and after translation.
type jobFiles struct {
	gate   string // inode; "" = not accepted
	before []file
	after  []file
	drafts []file
	copies []file
	handed int // files that the foreign program may take
}

// handedOver is the record of a handover, ok is false without one.
func (j *jobFiles) handedOver() bool {
	return len(j.before) == 1 && j.before[0].place == spool.DirDone && spool.IsHandover(j.before[0].name)
}

// cameBack says that a foreign program gave back what was handed over to it.
func (j *jobFiles) cameBack() bool { return j.handedOver() && len(j.after) > 0 }

func (j *jobFiles) String() string {
	return fmt.Sprintf("gate %s before %v after %v drafts %v copies %v", j.gate, j.before, j.after, j.drafts, j.copies)
}

// files parses the server's names without an operation, so that it can be done
// after each one.
func (w *world) files() map[string]*jobFiles {
	jobs := map[string]*jobFiles{}
	job := func(id string) *jobFiles {
		if jobs[id] == nil {
			jobs[id] = &jobFiles{}
		}
		return jobs[id]
	}
	for line := range strings.Lines(w.m.Tree()) {
		name, rest, isFile := strings.Cut(strings.TrimSpace(line), "  #")
		if !isFile {
			continue
		}
		ino, _, _ := strings.Cut(rest, ",")
		f := file{path: name, ino: ino}
		dir, base := path.Split(name)
		f.place, _, _ = strings.Cut(dir, "/")
		var ok bool
		switch f.place {
		case spool.DirGate:
			if !strings.Contains(base, "~") { // that of a later stage is a second link
				job(base).gate = ino
			}
			continue
		case "legacy":
			if n, ok := spool.ParseEntry(base); ok && strings.HasPrefix(name, path.Dir(foreignOut)+"/") {
				job(n.ID).handed++
			}
			continue
		case "xml", "json":
			f.name, ok = spool.ParseEntry(base)
			f.name.Stage = map[string]spool.Stage{"xml": spool.Translate, "json": spool.Submit}[f.place]
		case spool.DirClaims:
			f.name, ok = spool.ParseClaim(base)
		case spool.DirSealed:
			f.name, ok = spool.ParseSealed(base)
		case spool.DirDrafts:
			f.name, ok = spool.ParseDraft(base)
		case spool.DirDone:
			f.name, ok = spool.ParseDone(base)
		case spool.DirHeld, spool.DirFailed, spool.DirParked:
			if n, isCopy := spool.ParseCopy(base); isCopy {
				job(n.ID).copies = append(job(n.ID).copies, f)
				continue
			}
			f.name, ok = spool.ParseAside(base)
		}
		if !ok {
			continue
		}
		j := job(f.name.ID)
		switch {
		case f.place == spool.DirDrafts:
			j.drafts = append(j.drafts, f)
		case f.name.Stage == spool.Translate:
			j.before = append(j.before, f)
		default:
			j.after = append(j.after, f)
		}
	}
	return jobs
}

// check holds at any moment, whatever has failed.
func (w *world) check() error {
	jobs := w.files()
	if err := w.checkGone(jobs); err != nil {
		return err
	}
	for id := range w.accepted {
		if w.gone[id] {
			continue
		}
		if jobs[id] == nil || jobs[id].gate == "" {
			return fmt.Errorf("%s was answered ACCEPTED, and isn't in the gate", id)
		}
	}
	gates := 0
	for id, j := range jobs {
		if w.gone[id] {
			continue
		}
		if err := j.check(id); err != nil {
			return fmt.Errorf("%w: %v", err, j)
		}
		if j.gate != "" {
			gates++
		}
	}
	if w.dropped > 0 && gates > w.dropped {
		return fmt.Errorf("%d files of a foreign writer are %d jobs", w.dropped, gates)
	}
	return nil
}

func (j *jobFiles) check(id string) error {
	accepting, sealed := 0, false
	for _, d := range j.drafts {
		if d.name.Stage == spool.KindAccept && d.ino == j.gate {
			accepting++
		}
	}
	if j.handed > 0 && !j.handedOver() && !(len(j.before) == 1 && j.before[0].place == spool.DirSealed) || j.handed > 1 {
		return fmt.Errorf("%s was handed over %d times, and may be once more", id, j.handed)
	}
	if j.cameBack() {
		if len(j.after) > 1 {
			return fmt.Errorf("%s came back twice", id)
		}
		return nil
	}
	for _, f := range j.before {
		sealed = sealed || f.place == spool.DirSealed
	}
	before := accepting + len(j.before)
	switch {
	case j.gate == "" && before+len(j.after) > 0:
		return fmt.Errorf("%s is in the spool and never passed the gate", id)
	case j.gate == "":
		return nil
	case before+len(j.after) == 0:
		return fmt.Errorf("%s was accepted and is nowhere", id)
	case before > 1 || len(j.after) > 1:
		return fmt.Errorf("%s is there twice", id)
	case len(j.after) == 1 && before == 1 && !sealed:
		return fmt.Errorf("%s is there before and after its translation", id)
	case j.handedOver() && j.handed != 1:
		return fmt.Errorf("%s was handed over, and no file was", id)
	case sealed && len(j.after) == 0 && !j.hasDraft(j.before[0].name) && j.handed == 0:
		return fmt.Errorf("%s is sealed, and its draft is gone", id)
	}
	return nil
}

func (j *jobFiles) hasDraft(sealed spool.Name) bool {
	for _, d := range j.drafts {
		if d.name.Stage == sealed.Stage && d.name.Seq == sealed.Seq {
			return true
		}
	}
	return false
}

// checkContents compares every file of a job with what the client sent, or its
// translation.
func (w *world) checkContents() error {
	for id, j := range w.files() {
		for _, f := range append(append([]file{}, j.before...), j.after...) {
			got, err := w.read(f.path)
			want := payload(id)
			if f.name.Ext == "json" {
				want = translate(want)
			}
			if err != nil || !bytes.Equal(got, want) {
				return fmt.Errorf("%s holds %q, want %q (%v)", f.path, got, want, err)
			}
		}
		if got, err := w.read(spool.GatePath(id)); j.gate != "" && (err != nil || !bytes.Equal(got, payload(id)) && !bytes.Equal(got, translate(payload(id)))) {
			return fmt.Errorf("the gate of %s holds %q (%v)", id, got, err)
		}
	}
	return nil
}
