package ingest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/rs/zerolog"

	"fencepost/codec"
)

// Config is what a Server needs. Zero values are defaults, except where the
// field says that it is required.
type Config struct {
	Backend  Backend // required
	Host     string  // required: the accepting host
	SpoolID  string  // required: hosts with the same one share their jobs
	Software string  // for WELCOME, "fencepost/VERSION"

	MaxConns   int // connections at once; default 1024. Past it: GOAWAY busy
	MaxPerAddr int // of them from one address, of IPv6 from a network of 64 bits; default no limit
	MaxStrange int // of them that haven't said who they are; default half of MaxConns. Past it: GOAWAY busy
	Window     int // requests of a connection that wait for their answers; default 64
	MaxJob     int // bytes, as codec.Job.Size counts; default and most codec.MaxJob
	MaxAccepts int // calls of Backend.Accept at once; default 64
	MaxQueries int // calls of Backend.State at once; default 8
	MaxPending int // requests read and not answered, over all; default 4096. Past it: REFUSED busy

	// Memory bounds the bytes of bodies that are being read or wait for the
	// backend, over all connections, beyond 16 KiB that each connection has for
	// itself; default 128 MiB. The process needs a small multiple of it while
	// bodies are decoded. A connection that finds none left is not read from,
	// and after Frame told to come back.
	Memory int64

	Handshake time.Duration // until HELLO has been read; default 10 s
	Idle      time.Duration // without a request or an answer; default 5 min
	Frame     time.Duration // for any frame, beside its bytes at MinRate; default 30 s
	MinRate   int           // bytes a second that a body must come at; default 16 KiB
	Write     time.Duration // for the peer to take 4 KiB of answers; default 10 s
	Answer    time.Duration // until a request is answered, with "unavailable" if need be; default 30 s
	Grace     time.Duration // after the end of Serve's context, for what is in flight; default Answer

	// Retention is how far back an id's time may lie; 0 = no bound. Ids without
	// a time (other than UUIDv7) have none.
	Retention  time.Duration
	RetryAfter time.Duration // what a client is asked to wait at least; default 1 s

	MaxAge time.Duration // of a connection, which is then told to connect again; default no limit

	TLS      *tls.Config // nil = plain TCP
	Features []string    // for WELCOME

	// Identify says who a client is, for the job's record, how many connections
	// it may have (0 = no limit of its own), and until when it is believed (zero
	// = for ever); an error refuses it. conn is a *tls.Conn with TLS. Default:
	// its address. What HELLO says is only a claim.
	Identify func(conn net.Conn, hello codec.Hello) (Peer, error)

	// Authenticate says who a request comes from: by its token, if it has one,
	// else who Identify said. Default: the latter. Of a peer that was Unproven it
	// says the name, and how many connections that may have.
	Authenticate func(peer Peer, m codec.Message) (Peer, error)

	// Admit says whether a client's job is taken, and returns it as it is to be
	// kept. Its errors are those of Backend.Accept. Default: all are.
	Admit func(client string, job codec.Job, now time.Time) (codec.Job, error)

	Log zerolog.Logger
	Now func() time.Time // the host's clock, for records and Retention; default time.Now
}

// Peer is who is at the other end of a connection.
type Peer struct {
	Name     string // for the record, unless Authenticate says another one
	Verified bool   // it is a name, proven by a certificate; else an address
	Conns    int
	Until    time.Time

	// Unproven says that nobody knows who it is until a request of its has been
	// authenticated. Until then it is one of those that haven't said hello, and
	// has Config.Handshake for it.
	Unproven bool
}

// ProtocolVersion is the version of docs/spec/wire.md that is spoken here.
const ProtocolVersion = 1

const (
	// submitOverhead is what a SUBMIT needs around its job: keys, seq, id,
	// digest.
	submitOverhead = 4 << 10

	// smallLimit bounds every frame but SUBMIT (docs/spec/wire.md, Frame).
	smallLimit = 16 << 10
)

func (c *Config) validate() error {
	if c.Backend == nil {
		return errors.New("ingest: no backend")
	}
	setDefault(&c.MaxConns, 1024)
	setDefault(&c.MaxStrange, max(1, c.MaxConns/2))
	setDefault(&c.Window, 64)
	setDefault(&c.MaxJob, codec.MaxJob)
	setDefault(&c.MaxAccepts, 64)
	setDefault(&c.MaxQueries, 8)
	setDefault(&c.MaxPending, 4096)
	setDefault(&c.Memory, 128<<20)
	setDefault(&c.Handshake, 10*time.Second)
	setDefault(&c.Idle, 5*time.Minute)
	setDefault(&c.Frame, 30*time.Second)
	setDefault(&c.MinRate, 16<<10)
	setDefault(&c.Write, 10*time.Second)
	setDefault(&c.Answer, 30*time.Second)
	setDefault(&c.Grace, c.Answer)
	setDefault(&c.RetryAfter, time.Second)
	if c.Identify == nil {
		c.Identify = byAddress
	}
	if c.Authenticate == nil {
		c.Authenticate = func(peer Peer, _ codec.Message) (Peer, error) { return peer, nil }
	}
	if c.Admit == nil {
		c.Admit = func(_ string, job codec.Job, _ time.Time) (codec.Job, error) { return job, nil }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.MaxJob > codec.MaxJob {
		return fmt.Errorf("ingest: max job %d is more than the format's %d", c.MaxJob, codec.MaxJob)
	}
	// A lone body must fit, or it would wait for itself.
	if least := int64(c.MaxJob + submitOverhead + 2*budgetUnit); c.Memory < least {
		return fmt.Errorf("ingest: memory of %d bytes holds no job of %d: at least %d", c.Memory, c.MaxJob, least)
	}
	if _, _, err := codec.Marshal(c.welcome()); err != nil {
		return fmt.Errorf("ingest: %w", err)
	}
	return nil
}

func setDefault[T int | int64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

func (c *Config) welcome() codec.Welcome {
	return codec.Welcome{
		Version: ProtocolVersion, Host: c.Host, Spool: c.SpoolID, Software: c.Software,
		MaxFrame: uint64(c.maxFrame()), MaxJob: uint64(c.MaxJob), Window: uint64(c.Window), Features: c.Features,
	}
}

func (c *Config) maxFrame() int { return c.MaxJob + submitOverhead }

func byAddress(conn net.Conn, _ codec.Hello) (Peer, error) { return Peer{Name: Address(conn)}, nil }

// network is what counts as one address: with IPv6 everybody has 2^64 of them.
func network(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil || a.Unmap().Is4() {
		return address
	}
	p, _ := a.WithZone("").Prefix(64) // never fails
	return p.String()
}

// Address is a peer's address, without its port.
func Address(conn net.Conn) string {
	addr := conn.RemoteAddr().String()
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return addr
}
