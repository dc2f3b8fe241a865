package spool

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"fencepost/spool/env/drill"
)

var (
	errNotOurs  = errors.New("there is something in it that is no record")
	errNotFinal = errors.New("a job in it has no final record")
)

// removeSome removes as much of what is due as a turn may.
func (r *Remover) removeSome(due []string) (more bool, err error) {
	budget := removedATurn
	for _, b := range due {
		if b > r.proven {
			break
		}
		gone, rerr := r.remove(b, &budget)
		switch {
		case errors.Is(rerr, errNotOurs):
			r.left[b] = true
		case gone:
			r.counts.Buckets++
			delete(r.audit.buckets, b)
			delete(r.audit.gates, b)
			r.rests = slices.DeleteFunc(r.rests, func(e string) bool { return e == b })
		}
		err = errors.Join(err, rerr)
		if budget <= 0 {
			return true, err
		}
	}
	return false, err
}

// remove removes a bucket, or a part of it. The gate goes first, and the rest only
// when its rmdir has proven that it is gone.
func (r *Remover) remove(b string, budget *int) (gone bool, err error) {
	for _, base := range []string{DirGate, DirOnce, DirDone} {
		gone, err := r.drain(base, b, budget)
		if err != nil || !gone {
			return false, err
		}
	}
	r.in.Journal.Add(Event{Event: EvRemoved, Result: b, Detail: fmt.Sprintf("the records of ids made from %s to %s",
		BucketStart(b).Format(time.RFC3339), BucketEnd(b).Format(time.RFC3339))})
	return true, r.in.Journal.Flush()
}

// records are the jobs of a bucket that have a final record.
func (r *Remover) records(b string) (map[string]bool, error) {
	found := map[string][]Found{}
	sc := &scan{s: r.in.Spool, visit: func(f Found) { found[f.Name.ID] = append(found[f.Name.ID], f) }}
	err := sc.done(func(bucket string) bool { return bucket == b })
	out := map[string]bool{}
	for id, f := range found {
		out[id] = r.in.Layout.hasEnded(f)
	}
	return out, err
}

// drain removes what is in one directory of a bucket, and the directory. Nothing goes
// unless all may.
func (r *Remover) drain(base, b string, budget *int) (gone bool, err error) {
	dir := path.Join(base, b)
	*budget -= callsADir
	if r.hand.dir != dir || len(r.hand.names) == 0 {
		names, err := r.removable(base, b)
		if err != nil {
			return false, fmt.Errorf("remove %s: %w", dir, err)
		}
		r.begin(base, b, len(names))
		r.hand.dir, r.hand.names = dir, names
	}
	for len(r.hand.names) > 0 {
		if *budget <= 0 {
			return false, nil
		}
		*budget--
		if err := r.in.removeName(path.Join(dir, r.hand.names[0])); err != nil {
			return false, fmt.Errorf("remove %s: %w", dir, err)
		}
		r.hand.names = r.hand.names[1:]
		r.counts.Names++
	}
	if gone, err = r.in.rmdirEmpty(dir); err != nil || !gone {
		return false, err
	}
	return true, r.in.FS.Sync(base)
}

// removable lists one directory of a bucket, if each name in it may go. What is final
// stays so: nothing leaves done/ but here.
func (r *Remover) removable(base, b string) ([]string, error) {
	names, err := r.in.list(path.Join(base, b))
	if err != nil && !isErr(err, syscall.ENOENT, syscall.ESTALE) {
		return nil, err
	}
	slices.Sort(names)
	var records map[string]bool
	if base == DirGate && len(names) > 0 {
		if records, err = r.records(b); err != nil {
			return nil, err
		}
	}
	for _, name := range names {
		id, ok := recordID(base, name)
		switch {
		case !ok || Bucket(id) != b:
			return nil, fmt.Errorf("%w: %s", errNotOurs, name)
		case base == DirGate && !records[id] && !drill.Broken(r.in.Env, drill.RemoveUnended):
			return nil, fmt.Errorf("%w: %s", errNotFinal, id)
		}
	}
	return names, nil
}

// begin notes that the removal of a bucket begins, or goes on, here.
func (r *Remover) begin(base, b string, names int) {
	if r.hand.bucket == b || names == 0 {
		return
	}
	r.hand.bucket = b
	r.in.Journal.Add(Event{Event: EvRemoving, Result: b, Detail: fmt.Sprintf("all of its jobs have ended; first the %d names of %s/%s", names, base, b)})
}

// recordID is the job that a name in a bucket of gate/, once/ or done/ is of.
func recordID(base, name string) (id string, ok bool) {
	if base == DirDone {
		n, ok := ParseDone(name)
		return n.ID, ok
	}
	stage, id, cut := strings.Cut(name, "~")
	if !cut {
		return name, base == DirGate && ValidID(name)
	}
	n := Name{}
	return id, parseStage(stage, &n) && ValidID(id)
}
