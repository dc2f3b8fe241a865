package spool

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/fnv"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"fencepost/spool/vfs"
)

// Inbox is a directory that a foreign writer feeds, and nothing of ours writes
// to. Its files have names of their own, and are written in place.
type Inbox struct {
	Dir     string
	Stage   Stage // that its jobs are to go through first
	Pattern string
	Settle  time.Duration
	Marker  string
}

const (
	defaultSettle = 5 * time.Second

	// A file that is no job, as far as it goes, may be one that is being
	// written by somebody slow. It is set aside only when it hasn't changed for
	// so many times the settle time, and not before minPatience.
	patience    = 10
	minPatience = 10 * time.Second
)

// inbox checks an inbox, but for its directory.
func (b FormatInbox) inbox() (Inbox, error) {
	in := Inbox{Dir: b.Dir, Stage: b.Stage, Pattern: b.Pattern, Settle: defaultSettle, Marker: b.Marker}
	if in.Stage == "" {
		in.Stage = Translate
	}
	if !slices.Contains(Stages(), in.Stage) {
		return in, fmt.Errorf("stage %q is neither %s nor %s", b.Stage, Translate, Submit)
	}
	if in.Pattern == "" {
		in.Pattern = "*." + entryExt(in.Stage)
	}
	if _, err := path.Match(in.Pattern, ""); err != nil || strings.Contains(in.Pattern, "/") {
		return in, fmt.Errorf("pattern %q is no pattern of file names", b.Pattern)
	}
	if strings.Contains(in.Marker, "/") {
		return in, fmt.Errorf("marker %q is no ending of a file name", b.Marker)
	}
	if b.Settle != "" {
		d, err := time.ParseDuration(b.Settle)
		if err != nil || d < 0 {
			return in, fmt.Errorf("settle %q is no duration like 5s", b.Settle)
		}
		in.Settle = d
	}
	return in, nil
}

// outside are the directories that foreign programs share with us.
func (l Layout) outside() (out []outsider) {
	for _, b := range l.Inboxes {
		out = append(out, outsider{"inbox", b.Dir})
	}
	for _, s := range Stages() {
		if h, ok := l.Foreign[s]; ok {
			out = append(out, outsider{"foreign directory", h.Dir()})
		}
	}
	return out
}

type outsider struct{ what, dir string }

// validateApart refuses an inbox that is one of our own directories, within one
// or around one: what we publish there would be adopted again, found at the
// gate, and removed as a duplicate. What is handed over would be, too; and where
// a foreign program takes files nothing of ours may wait.
func (l Layout) validateApart(ours map[string]bool) error {
	taken := map[string]bool{FormatFile: true, ClusterFile: true}
	for d := range ours {
		taken[d] = true
	}
	for _, b := range l.outside() {
		if b.dir == "" || strings.HasPrefix(b.dir, "/") || path.Clean(b.dir) != b.dir || strings.HasPrefix(b.dir, ".") {
			return fmt.Errorf("%s: %s %q must be a clean path below the spool", FormatFile, b.what, b.dir)
		}
		for d := range taken {
			if d == b.dir || strings.HasPrefix(d, b.dir+"/") || strings.HasPrefix(b.dir, d+"/") {
				return fmt.Errorf("%s: %s %q isn't apart from %q", FormatFile, b.what, b.dir, d)
			}
		}
		taken[b.dir] = true
	}
	return nil
}

// inboxStage is the stage of the inbox of a directory.
func (l Layout) inboxStage(dir string) Stage {
	for _, b := range l.Inboxes {
		if b.Dir == dir {
			return b.Stage
		}
	}
	return Translate
}

// Adopter watches one inbox, and adopts its files when they are complete. It is
// used by one task.
type Adopter struct {
	in   *Instance
	box  Inbox
	seen map[string]sight
	// Unreadable counts names of the last pass that are no regular files.
	Unreadable int
}

// sight is a file as it was when it last changed.
type sight struct {
	id    vfs.ID
	sum   [sha256.Size]byte
	since time.Duration // by this observer's clock
	job   bool          // it parses
	empty bool
}

// NewAdopter watches an inbox for an instance whose Parse is set.
func NewAdopter(in *Instance, box Inbox) *Adopter {
	return &Adopter{in: in, box: box, seen: map[string]sight{}}
}

// Pass looks at the inbox once, by a fresh listing and fresh opens, and adopts
// what is complete.
func (a *Adopter) Pass(ctx context.Context) (adopted int, err error) {
	names, err := a.in.FS.List(a.box.Dir)
	if err != nil {
		return 0, fmt.Errorf("look into inbox: %w", err)
	}
	a.Unreadable = 0
	seen := map[string]sight{}
	var failed error
	for _, name := range a.files(names) {
		if ctx.Err() != nil {
			break
		}
		marked := a.box.Marker != "" && slices.Contains(names, name+a.box.Marker)
		s, ready, err := a.look(name, marked)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		if !ready {
			if s != (sight{}) {
				seen[name] = s
			}
			continue
		}
		err = a.in.Adopt(a.box.Dir, name, s.sum)
		switch {
		case errors.Is(err, ErrLost) && !errors.Is(err, ErrFenced):
			continue
		case err != nil:
			// On a full disk, say, all of them would only move into our claims.
			return adopted, errors.Join(failed, err)
		}
		adopted++
		if marked {
			failed = errors.Join(failed, a.in.removeName(path.Join(a.box.Dir, name+a.box.Marker)))
		}
	}
	if ctx.Err() == nil {
		a.seen = seen
	}
	return adopted, failed
}

// files are the names to look at, in an order that is this host's own.
func (a *Adopter) files(names []string) []string {
	var out []string
	for _, name := range names {
		if ok, _ := path.Match(a.box.Pattern, name); !ok || strings.HasPrefix(name, ".") {
			continue
		}
		if a.box.Marker != "" && strings.HasSuffix(name, a.box.Marker) {
			continue
		}
		out = append(out, name)
	}
	slices.SortFunc(out, func(x, y string) int {
		return strings.Compare(a.key(x)+x, a.key(y)+y)
	})
	return out
}

func (a *Adopter) key(name string) string {
	h := fnv.New64a()
	h.Write([]byte(a.in.Host + "/" + name))
	return string(h.Sum(nil))
}

// look says whether a file is complete. A file is read when it is first seen
// and when it should have settled, not in between.
func (a *Adopter) look(name string, marked bool) (s sight, ready bool, err error) {
	now := a.in.Env.Now()
	s, known := a.seen[name]
	if a.box.Marker != "" && !marked {
		return sight{}, false, nil
	}
	if known && now-s.since < a.wait(s) {
		return s, false, nil
	}
	data, id, err := a.in.FS.Read(path.Join(a.box.Dir, name), a.in.Limits.FileSize)
	switch {
	case isErr(err, syscall.ENOENT, syscall.ESTALE):
		return sight{}, false, nil // taken
	case errors.Is(err, errNotRegular):
		a.Unreadable++
		return sight{}, false, nil
	case err != nil && !errors.Is(err, errTooLarge):
		return s, false, err
	}
	is := sight{id: id, sum: sha256.Sum256(data), since: now, empty: err == nil && len(data) == 0}
	if err == nil && !is.empty {
		_, perr := a.in.Parse(a.box.Stage, a.in.freshID(), data)
		is.job = perr == nil
	}
	if known && s.id == is.id && s.sum == is.sum {
		is.since = s.since
	}
	return is, !is.empty && now-is.since >= a.wait(is), nil
}

// wait is for how long a file must be unchanged. Before an empty one something
// is still to come.
func (a *Adopter) wait(s sight) time.Duration {
	switch {
	case !s.job:
		return max(patience*a.box.Settle, minPatience)
	case a.box.Marker != "":
		return 0
	}
	return a.box.Settle
}
