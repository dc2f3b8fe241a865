package memfs

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
)

// Options of a server.
type Options struct {
	// ReuseInodes gives a new file the number of the one removed last.
	ReuseInodes bool

	// Shuffle, if not zero, seeds the order of listings. They are sorted
	// otherwise.
	Shuffle uint64

	// SyncExport makes every change of names durable at once, as on NFS.
	SyncExport bool

	// KeepOrder: changes of names become durable in the order in which they
	// were made, as with a journal: a sync makes all earlier ones durable, and
	// of those after it a crash leaves the first ones.
	KeepOrder bool

	// MaxOps makes the operation after that many panic: a scenario that would
	// run for ever. Zero means one million.
	MaxOps int

	// NoTrace keeps counts only.
	NoTrace bool
}

const (
	defaultMaxOps = 1_000_000

	// afterlife is how many operations a dead view answers before it takes
	// its process for one that tries for ever.
	afterlife = 10_000
)

// Mem is the server. The function fields are set before use; they are called
// without its lock, and may use any view.
type Mem struct {
	// Inject decides about each operation.
	Inject func(Op) Verdict

	// Before and After are called around each operation, also around those
	// that they make themselves. At is handier for most schedules.
	Before, After func(Op)

	opts Options

	mu      sync.Mutex // guards all below, and every node
	root    *node
	nextIno uint64
	freeIno []uint64
	rng     *rand.Rand // nil if listings are sorted
	views   []*View
	ops     int
	counts  map[[2]string]int
	trace   Trace
	points  []*point
	pending []*pending
	changes []change // not durable yet, oldest first
	quiet   int      // calls of Quiet under way
	calm    bool
}

// New returns an empty server.
func New(opts Options) *Mem {
	if opts.MaxOps == 0 {
		opts.MaxOps = defaultMaxOps
	}
	m := &Mem{opts: opts, nextIno: 1, counts: make(map[[2]string]int)}
	if opts.Shuffle != 0 {
		m.rng = rand.New(rand.NewPCG(opts.Shuffle, 0))
	}
	m.root = m.newDir(nil)
	return m
}

// View returns the view of a new process on a host. A host may have several;
// one that died is followed by a new one.
func (m *Mem) View(host string) *View {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := &View{m: m, host: host, frozen: make(map[string]frozen)}
	m.views = append(m.views, v)
	return v
}

// Trace returns the operations so far.
func (m *Mem) Trace() Trace {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append(Trace(nil), m.trace...)
}

// Count returns how many operations of a kind a view's host has made; "" means
// any.
func (m *Mem) Count(host, kind string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.counts[[2]string{host, kind}]
}

// Quiet runs f, whose operations neither Inject nor a sweep touches: a set-up,
// or a look at the state.
func (m *Mem) Quiet(f func()) {
	m.addQuiet(1)
	defer m.addQuiet(-1)
	f()
}

func (m *Mem) addQuiet(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.quiet += n
}

// Calm lands what is pending and ends all faults: from here a scenario
// recovers and checks.
func (m *Mem) Calm() {
	m.mu.Lock()
	m.calm = true
	m.mu.Unlock()
	m.LandAll()
}

// request is an operation on its way to the server.
type request struct {
	op Op
	// find looks the parents up, now; do changes the names in them, now or
	// later. Both run under the lock.
	find func() error
	do   func(Verdict) error
}

// call carries one operation out, or not.
func (v *View) call(r request) error {
	m := v.m
	if err := m.begin(v, &r.op); err != nil {
		return err
	}
	verdict := m.judge(r.op)
	m.mu.Lock()
	err := m.perform(v, r, verdict)
	m.mu.Unlock()
	m.runPoints(r.op, true)
	if m.After != nil {
		m.After(r.op)
	}
	return err
}

// begin numbers the operation and runs what the test put before it, which may
// kill the view.
func (m *Mem) begin(v *View, op *Op) error {
	m.mu.Lock()
	if err := v.checkAlive(); err != nil {
		m.mu.Unlock()
		return err
	}
	op.N, op.View = m.ops, v.host
	m.ops++
	for _, host := range []string{v.host, ""} {
		for _, kind := range []string{op.Kind, ""} {
			m.counts[[2]string{host, kind}]++
		}
	}
	tooMany := m.ops > m.opts.MaxOps
	m.mu.Unlock()
	if tooMany {
		panic(fmt.Sprintf("memfs: more than %d operations: %v", m.opts.MaxOps, op))
	}
	if m.Before != nil {
		m.Before(*op)
	}
	m.runPoints(*op, false)
	m.mu.Lock()
	defer m.mu.Unlock()
	return v.checkAlive()
}

func (m *Mem) judge(op Op) Verdict {
	m.mu.Lock()
	off := m.quiet > 0 || m.calm
	m.mu.Unlock()
	verdict := Verdict{}
	if m.Inject != nil && !off {
		verdict = m.Inject(op)
	}
	if verdict == (Verdict{}) {
		verdict.Apply = true
	}
	return verdict
}

// perform runs under the lock.
func (m *Mem) perform(v *View, r request, verdict Verdict) error {
	err := r.find()
	if verdict.Late {
		m.pending = append(m.pending, &pending{request: r, err: err})
	}
	if err == nil && verdict.Apply {
		err = r.do(verdict)
	}
	if verdict.Err != nil {
		err = verdict.Err
	}
	if verdict.Die {
		v.die(true)
		err = ErrDead
	}
	if err != nil && err != ErrDead {
		err = r.op.wrap(err)
	}
	if !m.opts.NoTrace {
		m.trace = append(m.trace, Entry{Op: r.op, Verdict: verdict, Err: err})
	}
	return err
}

// wrap gives an error the shape that the operating system's FS gives it.
func (o Op) wrap(err error) error {
	if _, done := err.(*fs.PathError); done { // one of several directories
		return err
	}
	if o.Kind == Rename || o.Kind == Link {
		return &os.LinkError{Op: o.Kind, Old: o.From, New: o.To, Err: err}
	}
	return &fs.PathError{Op: o.Kind, Path: o.From, Err: err}
}

// Tree lists every name on the server, directories with a slash, sorted: what
// a failing check prints.
func (m *Mem) Tree() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b strings.Builder
	m.root.print(&b, "")
	return b.String()
}
