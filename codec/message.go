package codec

// Message is one of the structs below: Hello, Welcome, Submit, Accepted,
// Refused, Query, State, Ping, Pong, GoAway, by value.
type Message interface {
	// FrameType is the type of the frame that carries the message.
	FrameType() FrameType
	// check says what is wrong with the message's values, if anything.
	check() error
}

// Hello opens a connection, from the client (docs/spec/wire.md, HELLO).
type Hello struct {
	Versions []uint64 `cbor:"versions"` // protocol versions that the client speaks, the one it likes best first
	Client   string   `cbor:"client"`   // the client's name for itself: for logs, never for what it may do
	Software string   `cbor:"software,omitempty"`
	Features []string `cbor:"features,omitempty"` // unknown ones are ignored
}

// Welcome answers Hello.
type Welcome struct {
	Version  uint64   `cbor:"version"` // the one chosen among Hello's
	Host     string   `cbor:"host"`
	Spool    string   `cbor:"spool"`     // the spool's id: hosts with the same one share their jobs
	MaxFrame uint64   `cbor:"max_frame"` // bytes of a frame's body
	MaxJob   uint64   `cbor:"max_job"`   // bytes of the map "job" in SUBMIT
	Window   uint64   `cbor:"window"`    // requests that may wait for their answers at once
	Software string   `cbor:"software,omitempty"`
	Features []string `cbor:"features,omitempty"`
}

// Submit asks for a job to be accepted.
type Submit struct {
	Seq    uint64 // the request's number on this connection: 1, 2, 3 ...
	ID     string // canonical, made by the client, the same in every retry
	Job    Job
	Digest string // optional: Digest(Job), checked when given
	Auth   *Auth  // optional: the client's token
}

// Accepted says that the job is durable on the share.
type Accepted struct {
	Seq       uint64 `cbor:"seq"`
	ID        string `cbor:"id"`
	Duplicate bool   `cbor:"duplicate"` // it had been accepted before, here or elsewhere
	Host      string `cbor:"host"`
}

// Refused says that a request wasn't carried out, and whether to try again.
type Refused struct {
	Seq          uint64 `cbor:"seq"`
	ID           string `cbor:"id,omitempty"` // left out if the request's id couldn't be read
	Code         Code   `cbor:"code"`
	Reason       string `cbor:"reason"`
	RetryAfterMS int64  `cbor:"retry_after_ms,omitempty"`
}

// Query asks where a job is.
type Query struct {
	Seq  uint64 `cbor:"seq"`
	ID   string `cbor:"id"`
	Auth *Auth  `cbor:"auth,omitempty"`
}

// State answers Query. State is one of the State constants; a client must
// bear one that it doesn't know.
type State struct {
	Seq       uint64 `cbor:"seq"`
	ID        string `cbor:"id"`
	State     string `cbor:"state"`
	ClusterID string `cbor:"cluster_id,omitempty"`
	Host      string `cbor:"host,omitempty"` // who holds it or finished it
	Detail    string `cbor:"detail,omitempty"`
}

// The states that a job can be in, as STATE says them.
const (
	StateUnknown    = "unknown" // not in this spool, or older than its retention
	StateAccepting  = "accepting"
	StateWaiting    = "waiting"
	StateClaimed    = "claimed"
	StateSealed     = "sealed"
	StateHeld       = "held"
	StateParked     = "parked"
	StateFailed     = "failed"
	StateDone       = "done"
	StateHandedOver = "handed_over"
)

// Ping asks for a Pong with the same nonce; either side may send it.
type Ping struct {
	Nonce uint64 `cbor:"nonce"`
}

// Pong answers Ping.
type Pong struct {
	Nonce uint64 `cbor:"nonce"`
}

// GoAway is the last frame of the side that sends it.
type GoAway struct {
	Code    Code   `cbor:"code"`
	Reason  string `cbor:"reason"`
	LastSeq uint64 `cbor:"last_seq"` // the highest request that was or will be answered; 0 for none
}

// FrameType returns TypeHello.
func (Hello) FrameType() FrameType { return TypeHello }

// FrameType returns TypeWelcome.
func (Welcome) FrameType() FrameType { return TypeWelcome }

// FrameType returns TypeSubmit.
func (Submit) FrameType() FrameType { return TypeSubmit }

// FrameType returns TypeAccepted.
func (Accepted) FrameType() FrameType { return TypeAccepted }

// FrameType returns TypeRefused.
func (Refused) FrameType() FrameType { return TypeRefused }

// FrameType returns TypeQuery.
func (Query) FrameType() FrameType { return TypeQuery }

// FrameType returns TypeState.
func (State) FrameType() FrameType { return TypeState }

// FrameType returns TypePing.
func (Ping) FrameType() FrameType { return TypePing }

// FrameType returns TypePong.
func (Pong) FrameType() FrameType { return TypePong }

// FrameType returns TypeGoAway.
func (GoAway) FrameType() FrameType { return TypeGoAway }
