package nfssim

import (
	"time"

	"fencepost/spool/env/simenv"
)

// Options of a server.
type Options struct {
	// Version is that of all mounts: "4.2" (also for ""), "4.1", "4.0" or "3".
	Version string

	// Lease is how long the server keeps the state of a client that it hears
	// nothing of and that is in somebody's way; Grace is how long after a
	// restart it gives out nothing new. 0 means 90 s, and as long as Lease.
	Lease, Grace time.Duration

	// Strict ends a silent client's state when its lease is over, though it is
	// in nobody's way. A Linux server is courteous.
	Strict bool

	// Latency is each way's, where no Fate decides. 0 means 250 us.
	Latency time.Duration

	// PageSize is how many names a page of a listing has; 0 means 64.
	PageSize int

	// ReuseInodes gives a new file the number of the one removed last.
	ReuseInodes bool

	// Async: the server answers before it has stored. A restart takes back the
	// changes of names of the last seconds.
	Async bool

	// ReplyMemory is for how long a server of version 4.0 or 3 knows a call again that
	// it has answered (Linux: two minutes, if the client kept its port). 0: it
	// doesn't, and executes it again. A restart ends it.
	ReplyMemory time.Duration
}

const (
	defaultLease    = 90 * time.Second
	defaultLatency  = 250 * time.Microsecond
	defaultPageSize = 64

	// asyncDelay is for how long an asynchronous export has things in memory
	// alone.
	asyncDelay = 5 * time.Second

	// hearOfRestart is how long a client takes to notice a restart and to
	// reclaim what it holds.
	hearOfRestart = time.Second
)

// Fate is what becomes of a request on the way. The zero value is a plain one,
// with the default latency.
type Fate struct {
	Out, Back   time.Duration // 0: the default
	Stall       time.Duration // it lands so much later, whatever became of the caller
	DropRequest bool          // it doesn't arrive; the client sends it again
	LoseReply   bool          // done, but the reply and the connection are lost
	ForgetReply bool          // with LoseReply: the server doesn't know it again
}

// Call is one operation of a process: a function of vfs.FS, or a system call.
type Call struct {
	N        uint64
	Client   *Client
	Proc     *simenv.Proc // nil: the kernel's own
	Op       string
	From, To string // as they were given; To of a rename or a link only
	Err      error  // once it has returned

	RPC string // the request under way, for Fate
	Try int    // how often it was sent before
}

// Effect is one change on the server, at its moment. Paths are the true ones on
// the server, but of a write, a truncate and a link's source, whose files have
// no one name: those are as they were given. For create, mkdir, write and
// truncate the name is in From and in To, for remove and rmdir in From. It is
// the hook's until that returns.
type Effect struct {
	Op       string // create, write, rename, link, mkdir, rmdir, remove, truncate
	From, To string
	Ino      uint64
	Replaced uint64 // by a rename, 0 if nothing was
	Data     []byte // a file's contents after create and write: to look at only
	Call     *Call  // nil for a Direct view's
	Again    bool   // a request that had been executed before
}

// Server is the NFS server. The function fields are nil, or set before use.
type Server struct {
	// Fate decides about each request.
	Fate func(*Call) Fate

	// OnCall is told of each call of a process, and OnAnswer when it returns:
	// both may kill the process. OnEffect is told of each change.
	OnCall, OnAnswer func(*Call)
	OnEffect         func(*Effect)

	// Admit gets each request that arrives, and serves it in its time; nil: at once.
	Admit func(Arrival)

	w    *simenv.World
	opt  Options
	v3   bool
	v4   bool // any version 4
	v41  bool // with sessions, and open by handle
	salt uint64

	root    *node
	nodes   []*node // by their number
	free    []uint64
	changes uint64
	era     uint64 // of paths: it changes with each directory that moves
	undo    []undo
	wet     []*node // with data that isn't stable

	clients []*Client
	direct  *Client // whose locks a Direct view has, once it has one
	states  []*state
	boot    uint64 // counts restarts
	grace   time.Duration
	full    bool

	calls  uint64
	verify uint64
	slab   []Call
	effect *Effect
}

// New returns a server with an empty root.
func New(w *simenv.World, opt Options) *Server {
	if opt.Version == "" {
		opt.Version = "4.2"
	}
	if opt.Lease == 0 {
		opt.Lease = defaultLease
	}
	if opt.Grace == 0 {
		opt.Grace = opt.Lease
	}
	if opt.Latency == 0 {
		opt.Latency = defaultLatency
	}
	if opt.PageSize == 0 {
		opt.PageSize = defaultPageSize
	}
	s := &Server{w: w, opt: opt, salt: w.Tape().Seed() * hashK1, grace: -1,
		v3: opt.Version == "3", v4: opt.Version != "3", v41: opt.Version != "3" && opt.Version != "4.0"}
	s.nodes = make([]*node, rootIno, 64) // 0 is no number
	s.root = s.newNode(true)
	s.root.nlink = 1
	return s
}

// Version is that of the mounts.
func (s *Server) Version() string { return s.opt.Version }

// Lease is the lease time.
func (s *Server) Lease() time.Duration { return s.opt.Lease }

// World is the server's.
func (s *Server) World() *simenv.World { return s.w }

// SetFull has the file system full, or not: what needs room is refused.
func (s *Server) SetFull(full bool) { s.full = full }

// Restart ends the server and starts it again at once: its memory of replies
// and unstable data are gone, and grace begins.
func (s *Server) Restart() {
	s.boot++
	s.grace = s.w.Now() + s.opt.Grace
	for _, n := range s.wet {
		if n.unstable {
			n.data, n.stable, n.unstable = n.stable, nil, false
			s.touch(n)
		}
	}
	s.wet = s.wet[:0]
	if s.opt.Async {
		s.forget()
	}
	s.restartState()
}

// inGrace: nothing new is given out.
func (s *Server) inGrace() bool { return s.v4 && s.w.Now() < s.grace }

// newCall numbers a call. Calls come in slabs: they may live on as long as a
// request that is late.
func (s *Server) newCall(c *Client, p *simenv.Proc, op, from, to string) *Call {
	if len(s.slab) == 0 {
		s.slab = make([]Call, 64)
	}
	k := &s.slab[0]
	s.slab = s.slab[1:]
	s.calls++
	k.N, k.Client, k.Proc, k.Op, k.From, k.To = s.calls, c, p, op, from, to
	return k
}
