package memfs

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Kinds of operations.
const (
	Create      = "create"
	Read        = "read"
	Identify    = "identify"
	List        = "list"
	Rename      = "rename"
	Link        = "link"
	Mkdir       = "mkdir"
	Rmdir       = "rmdir"
	Remove      = "remove"
	Sync        = "sync" // From is the directories, separated by blanks
	OpenRecord  = "openrecord"
	RecordWrite = "recordwrite"
	RecordLock  = "recordlock"
	OpenLog     = "openlog"
	Append      = "append"
	LogSync     = "logsync"
	TryLock     = "trylock"
	Unlock      = "unlock"
	Close       = "close" // of a record or a log
)

// Op is one operation of one view.
type Op struct {
	N        int    // counts all operations of a Mem, from 0
	View     string // the view's host
	Kind     string
	From, To string // To only for rename and link
}

func (o Op) String() string {
	s := fmt.Sprintf("%3d %s %s %s", o.N, o.View, o.Kind, o.From)
	if o.To != "" {
		s += " -> " + o.To
	}
	return s
}

// Verdict says what becomes of an operation. The zero value lets it through.
type Verdict struct {
	// Apply: the server does it. Without it, and with any other field set,
	// it doesn't.
	Apply bool

	// Err is what the caller gets, whatever the server did: an errno.
	Err error

	// Die: the process ends here. Its locks are free, and every later
	// operation of its view returns ErrDead.
	Die bool

	// Late: the server will do it later (again, if Apply is set, too): when
	// the test calls Land. Directories are those of now, names those of then.
	Late bool

	// Torn: with Apply, only the first half of the data was written.
	Torn bool

	// Stale: with Apply, a listing doesn't show the directory's last change.
	Stale bool
}

func (v Verdict) String() string {
	if v == (Verdict{}) || v == (Verdict{Apply: true}) {
		return ""
	}
	var parts []string
	for _, p := range []struct {
		on   bool
		text string
	}{
		{!v.Apply && !v.Late, "not applied"}, {v.Apply, "applied"}, {v.Late, "will land"},
		{v.Torn, "torn"}, {v.Stale, "stale"}, {v.Die, "dies"},
	} {
		if p.on {
			parts = append(parts, p.text)
		}
	}
	return strings.Join(parts, ", ")
}

// ErrDead is what a dead process's view answers. It wraps no errno: code that
// looks after an error gets it again, and comes to an end.
var ErrDead = errors.New("memfs: this process is dead")

// Entry is an operation with what became of it.
type Entry struct {
	Op
	Verdict Verdict
	Err     error
	Landed  bool // this is the late effect of the operation
}

func (e Entry) String() string {
	s := e.Op.String()
	if e.Landed {
		s += " (lands)"
	}
	s += ": " + errName(e.Err)
	if v := e.Verdict.String(); v != "" {
		s += "   <- " + v
	}
	return s
}

// Trace is a log of operations, printed one a line.
type Trace []Entry

func (t Trace) String() string {
	var b strings.Builder
	for _, e := range t {
		b.WriteString(e.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// Of returns the operations of one view and one kind; "" means any.
func (t Trace) Of(view, kind string) Trace {
	var out Trace
	for _, e := range t {
		if (view == "" || e.View == view) && (kind == "" || e.Kind == kind) {
			out = append(out, e)
		}
	}
	return out
}

// errName shortens an error to its errno: the names are in the operation.
func errName(err error) string {
	if err == nil {
		return "ok"
	}
	var e syscall.Errno
	if errors.As(err, &e) {
		return unix.ErrnoName(e)
	}
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return err.Error()
}
