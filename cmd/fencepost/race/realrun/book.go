package realrun

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// The cluster is one file, its book: every program of it locks the book, reads
// it, decides, and appends what took effect. There is no other state, so that
// what the judge reads is what the cluster did.
const (
	bookFile  = "book.jsonl"
	aliveFile = "alive" // held, shared, by each program of the cluster while it runs
)

// What stands in the book.
const (
	bookSubmit  = "submit" // it has the job, held
	bookRelease = "release"
	bookStart   = "start"
	bookEnd     = "end"
	bookCancel  = "cancel"
	bookForget  = "forget" // only with LoseJob
)

// A released job waits so long, and runs so long: so that listings show all
// states.
const (
	waits = 100 * time.Millisecond
	runs  = 300 * time.Millisecond
)

// line is a line of the book. Key, Token and Digest are a submit's.
type line struct {
	T      time.Time `json:"t"`
	What   string    `json:"what"`
	ID     string    `json:"id"`
	Key    string    `json:"key,omitempty"`
	Token  string    `json:"token,omitempty"`
	Digest string    `json:"digest,omitempty"` // of the job in the document
}

// job is one submission.
type job struct {
	id, key, token, digest string
	released, started      time.Time
	releases, starts       int
	ended, cancelled       bool
	forgotten              bool
}

func (j *job) held() bool { return j.releases == 0 && !j.cancelled }

// state is find's word.
func (j *job) state() string {
	switch {
	case j.cancelled:
		return "cancelled"
	case j.ended:
		return "done"
	case j.starts > 0:
		return "running"
	case j.releases > 0:
		return "pending"
	}
	return "held"
}

// book is the file, locked and read.
type book struct {
	f     *os.File
	bug   Bug
	lines []line
	jobs  []*job // in the order of their submissions
	byID  map[string]*job
}

// newBook makes an empty book.
func newBook(dir string) error {
	for _, name := range []string{bookFile, aliveFile} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			return fmt.Errorf("make the cluster: %w", err)
		}
	}
	return nil
}

// openBook locks and reads the book; its owner closes it soon.
func openBook(dir string, bug Bug) (*book, error) {
	f, err := os.OpenFile(filepath.Join(dir, bookFile), os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return nil, err
	}
	b := &book{f: f, bug: bug, byID: map[string]*job{}}
	if err := b.read(); err != nil {
		f.Close()
		return nil, fmt.Errorf("the cluster's book: %w", err)
	}
	return b, nil
}

func (b *book) read() error {
	if err := unix.Flock(int(b.f.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	lines := bufio.NewScanner(b.f)
	for n := 1; lines.Scan(); n++ {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if err := b.apply(l); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return lines.Err()
}

func (b *book) close() { b.f.Close() }

// note appends a line. One write has it all: a program that is killed leaves a
// whole line or none.
func (b *book) note(l line) error {
	l.T = time.Now().UTC()
	data, err := json.Marshal(l)
	if err != nil {
		return err
	}
	if _, err := b.f.Write(append(data, '\n')); err != nil {
		return err
	}
	return b.apply(l)
}

func (b *book) apply(l line) error {
	b.lines = append(b.lines, l)
	if l.What == bookSubmit {
		j := &job{id: l.ID, key: l.Key, token: l.Token, digest: l.Digest}
		b.jobs, b.byID[l.ID] = append(b.jobs, j), j
		return nil
	}
	j := b.byID[l.ID]
	if j == nil {
		return fmt.Errorf("%s of %q, which was never submitted", l.What, l.ID)
	}
	switch l.What {
	case bookRelease:
		j.releases++
		j.released = l.T
	case bookStart:
		j.starts++
		j.started = l.T
	case bookEnd:
		j.ended = true
	case bookCancel:
		j.cancelled = true
	case bookForget:
		j.forgotten = true
	}
	return nil
}

// tick does what has become due: the cluster's own clock.
func (b *book) tick() error {
	now := time.Now()
	for _, j := range b.jobs {
		switch {
		case j.forgotten || j.ended || j.releases == 0:
		case j.starts == 0 && now.Sub(j.released) >= waits:
			if err := b.start(j); err != nil {
				return err
			}
		case j.starts > 0 && now.Sub(j.started) >= runs:
			if err := b.note(line{What: bookEnd, ID: j.id}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *book) start(j *job) error {
	again := b.bug == StartTwice
	for _, o := range b.jobs {
		again = again && o.starts == 0
	}
	if err := b.note(line{What: bookStart, ID: j.id}); err != nil || !again {
		return err
	}
	return b.note(line{What: bookStart, ID: j.id})
}

func (b *book) submit(key, token, digest string) (string, error) {
	id := fmt.Sprintf("j%d", len(b.jobs)+1)
	return id, b.note(line{What: bookSubmit, ID: id, Key: key, Token: token, Digest: digest})
}

// release of an id that isn't held, or isn't known, changes nothing.
func (b *book) release(id string) error {
	j := b.byID[id]
	if j == nil || !j.held() {
		return nil
	}
	lose := b.bug == LoseJob
	for _, o := range b.jobs {
		lose = lose && o.releases == 0
	}
	if err := b.note(line{What: bookRelease, ID: id}); err != nil || !lose {
		return err
	}
	return b.note(line{What: bookForget, ID: id})
}

// cancel spares what is no longer held.
func (b *book) cancel(id string) error {
	if j := b.byID[id]; j != nil && j.held() {
		return b.note(line{What: bookCancel, ID: id})
	}
	return nil
}

// history is what the book says of a key, a line each.
func (b *book) history(key string) (out []string) {
	for _, l := range b.lines {
		if j := b.byID[l.ID]; j != nil && j.key == key {
			out = append(out, fmt.Sprintf("%s cluster: %s %s (token %s)", l.T.Format(time.RFC3339Nano), l.What, l.ID, j.token))
		}
	}
	return out
}
