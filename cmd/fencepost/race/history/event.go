package history

// Event is one thing that happened. The order of a history is the order of its
// events: two may have the same time.
type Event struct {
	T     int64  `json:"t"`               // nanoseconds since the start, virtual or real
	Kind  string `json:"kind"`            // one of the kinds below
	Host  string `json:"host,omitempty"`  // lane: "a", "b", "client", "server", "cluster"
	Proc  string `json:"proc,omitempty"`  // process on the host: "a/2" is the second of a
	Task  string `json:"task,omitempty"`  // what the process was at: "translate 0190..."
	Call  int64  `json:"call,omitempty"`  // joins call, effect and answer of one operation
	Op    string `json:"op,omitempty"`    // rename, link, submit, ...; of a fault: kill, cut, ...; of a job: the journal's event
	From  string `json:"from,omitempty"`  // a path
	To    string `json:"to,omitempty"`    // a path
	Job   string `json:"job,omitempty"`   // if it concerns one
	Err   string `json:"err,omitempty"`   // errno name of the effect or answer
	Text  string `json:"text,omitempty"`  // words for people
	Until int64  `json:"until,omitempty"` // of a fault that lasts: its end
}

// The kinds of events.
const (
	Call      = "call"      // an operation was begun
	Effect    = "effect"    // it was done, or refused, where it counts: at the server, at the cluster
	Answer    = "answer"    // who called knows
	Fault     = "fault"     // what was done to a host, the net, the server or the cluster
	Note      = "note"      // words of a process
	Job       = "job"       // a step in a job's life
	Violation = "violation" // a promise was broken
)

// Kinds are all kinds.
func Kinds() []string { return []string{Call, Effect, Answer, Fault, Note, Job, Violation} }
