package virtual

import (
	"fmt"
	"time"
)

// Shapes of a load.
const (
	// ShapeSelf: jobs come in at every host.
	ShapeSelf = "self"
	// ShapeOne: jobs come in at one host, and all hosts translate and submit.
	ShapeOne = "one"
	// ShapeApart: jobs come in at one host, which does nothing else if there is
	// another one.
	ShapeApart = "apart"
)

// Shapes lists them.
func Shapes() []string { return []string{ShapeSelf, ShapeOne, ShapeApart} }

// Kinds of servers.
const (
	// ServerLinux is the kernel's NFS server with a solid state disk: it changes
	// names of one directory one at a time, and does one rename between
	// directories at a time, each until it is on the disk.
	ServerLinux = "linux"
	// ServerFiler has memory that survives, and locks directories only.
	ServerFiler = "filer"
)

// Servers lists them.
func Servers() []string { return []string{ServerLinux, ServerFiler} }

// Model is what calls to the server cost.
type Model struct {
	// RoundTrip is from a client's call to its answer, without the server.
	RoundTrip time.Duration `json:"-"`
	// Slots are how many durable changes the server makes at a time; it answers
	// as many other calls at a time. Change and Read are how long each takes.
	Slots  int           `json:"slots"`
	Change time.Duration `json:"-"`
	Read   time.Duration `json:"-"`
	// OneRename: one rename between directories at a time, whichever they are.
	OneRename bool `json:"one_rename"`

	// In seconds, for the document.
	RoundTripSeconds float64 `json:"round_trip_seconds"`
	ChangeSeconds    float64 `json:"change_seconds"`
	ReadSeconds      float64 `json:"read_seconds"`
}

// ModelOf is a kind of server's model.
func ModelOf(server string) (Model, error) {
	m := Model{RoundTrip: 300 * time.Microsecond, Slots: 8, Change: 100 * time.Microsecond, Read: 20 * time.Microsecond}
	switch server {
	case ServerLinux:
		m.Slots, m.Change, m.OneRename = 4, 500*time.Microsecond, true
	case ServerFiler:
	default:
		return m, fmt.Errorf("%q is none of %v", server, Servers())
	}
	return m, nil
}

// Config says what to run. All fields but Progress are required.
type Config struct {
	Seed    uint64
	Server  string // for the report
	Model   Model
	Shapes  []string
	Hosts   []int
	Workers int // of a stage of a host
	// Jobs are how many are under way at a time for each host, from their sending to
	// the cluster's answer.
	Jobs    int
	Size    int // bytes of a job's script
	Window  time.Duration
	Version string

	// Parallel is how many points are computed at a time.
	Parallel int
	// Progress is told how many points are done; it may be called by several
	// goroutines at once.
	Progress func(done, total int)
}

// Times of a run before jobs are counted.
const (
	// settling is enough for hosts to see each other, and to find that there is
	// nothing to do.
	settling = 10 * time.Second
	// idling is a host's whole round of what it does now and then: it reads the
	// roster every thirtieth heartbeat.
	idling = 30 * time.Second
	// warming is until as many jobs are in each stage as will be.
	warming = 2 * time.Second

	singles     = 20 // jobs sent one at a time
	singlePause = 50 * time.Millisecond

	heartbeat = time.Second
	ttl       = 10 * time.Second
)
