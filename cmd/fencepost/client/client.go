package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"fencepost/cmd/fencepost/secure"
	"fencepost/codec"
)

// Features of docs/spec/wire.md that hosts may name.
const (
	featureToken = "token"
	featureTypes = "types"
)

// Config says where to send, and how patiently. Zero values are defaults,
// except for Addrs.
type Config struct {
	Addrs    []string // required: ADDR:PORT of hosts of one spool, tried in turn
	Name     string   // this client's name for itself, in the hosts' logs; default "fencepost"
	Software string   // e.g. "acme-sender/2.1"

	Conns   int           // connections to an address; default 1
	Window  int           // requests under way on a connection, if the host allows as many; default 64
	Timeout time.Duration // for Send and Query, over all tries; default 1 min
	Connect time.Duration // for one connection and its handshake; default 5 s
	Answer  time.Duration // for one try's answer; default 1 min
	Ping    time.Duration // after this much silence, while an answer is awaited, the host is asked for a sign; default 15 s
	Silence time.Duration // after this much, it is given up; default 45 s
	Write   time.Duration // for the host to take a request; default 30 s

	// A pause comes before a new round through all addresses: MinPause, doubled
	// each time up to MaxPause, half of it at random; 1 s and 60 s.
	MinPause, MaxPause time.Duration

	TLS   *tls.Config   // nil = plain TCP. Without ServerName the host of the address has to be the certificate's
	Token *secure.Token // signs each request, where the host takes tokens; nil = none

	// Dial makes connections, beneath TLS; default net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

func (c *Config) validate() error {
	if len(c.Addrs) == 0 {
		return errors.New("client: no address")
	}
	for _, a := range c.Addrs {
		if _, _, err := net.SplitHostPort(a); err != nil {
			return fmt.Errorf("client: address %q is not ADDR:PORT", a)
		}
	}
	if c.Name == "" {
		c.Name = "fencepost"
	}
	setDefault(&c.Conns, 1)
	setDefault(&c.Window, 64)
	setDefault(&c.Timeout, time.Minute)
	setDefault(&c.Connect, 5*time.Second)
	setDefault(&c.Answer, time.Minute)
	setDefault(&c.Ping, 15*time.Second)
	setDefault(&c.Silence, 45*time.Second)
	setDefault(&c.Write, 30*time.Second)
	setDefault(&c.MinPause, time.Second)
	setDefault(&c.MaxPause, time.Minute)
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	if _, _, err := codec.Marshal(c.hello()); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	return nil
}

func setDefault[T int | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// Client sends jobs. Close it when done.
type Client struct {
	cfg   Config
	links []*link       // by address
	first atomic.Uint32 // the address that worked last

	base  context.Context // ends with Close
	close context.CancelFunc
	wg    sync.WaitGroup // the connections' readers

	mu    sync.Mutex
	spool string // of the first host that said it
}

// New makes a client; it connects when there is something to send.
func New(cfg Config) (*Client, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg}
	c.base, c.close = context.WithCancel(context.Background())
	for _, addr := range cfg.Addrs {
		c.links = append(c.links, newLink(c, addr))
	}
	return c, nil
}

// Close gives up what is under way and closes the connections.
func (c *Client) Close() error {
	c.close()
	c.wg.Wait()
	return nil
}

// Result tells how a job was accepted.
type Result struct {
	ID        string
	Duplicate bool   // it had been accepted before: by an earlier try, or an earlier Send
	Host      string // who answered
	Tries     int
}

// Send gets a job accepted. id is the job's own, in any case of letters; with ""
// a new one is made, which the result and every error tell. To send a job again
// after an error, use that same id.
func (c *Client) Send(ctx context.Context, id string, job codec.Job) (Result, error) {
	id, err := ownID(id)
	if err == nil {
		err = job.Validate()
	}
	if err != nil {
		return Result{ID: id}, invalid(id, err)
	}
	size := job.Size()
	m, tries, err := c.ask(ctx, id, question{
		size: size, typed: job.Type != "",
		make: func(seq uint64) codec.Message { return codec.Submit{Seq: seq, ID: id, Job: job} },
	})
	if err != nil {
		return Result{ID: id, Tries: tries}, err
	}
	a, ok := m.(codec.Accepted)
	if !ok || a.ID != id {
		return Result{ID: id, Tries: tries}, &GaveUpError{ID: id, Tries: tries, Maybe: true, Err: errors.New("the host's answer is to another question")}
	}
	return Result{ID: id, Duplicate: a.Duplicate, Host: a.Host, Tries: tries}, nil
}

// Query asks where a job is; codec.StateUnknown if the spool doesn't have it.
func (c *Client) Query(ctx context.Context, id string) (codec.State, error) {
	id, err := codec.CanonicalID(id)
	if err != nil {
		return codec.State{}, invalid(id, err)
	}
	m, tries, err := c.ask(ctx, id, question{query: true, make: func(seq uint64) codec.Message { return codec.Query{Seq: seq, ID: id} }})
	if err != nil {
		return codec.State{}, err
	}
	st, ok := m.(codec.State)
	if !ok || st.ID != id {
		return codec.State{}, &GaveUpError{ID: id, Tries: tries, Query: true, Err: errors.New("the host's answer is to another question")}
	}
	return st, nil
}

func ownID(id string) (string, error) {
	if id != "" {
		return codec.CanonicalID(id)
	}
	u, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("make an id: %w", err)
	}
	return u.String(), nil
}

func (c *Client) hello() codec.Hello { return c.cfg.hello() }

func (c *Config) hello() codec.Hello {
	return codec.Hello{Versions: []uint64{protocolVersion}, Client: c.Name, Software: c.Software, Features: []string{featureToken, featureTypes, grease()}}
}

// sameSpool notes the spool of the first host, and compares those of others
// with it: at another spool an id would be accepted a second time.
func (c *Client) sameSpool(w codec.Welcome) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.spool == "" {
		c.spool = w.Spool
	}
	if c.spool != w.Spool {
		return fmt.Errorf("host %s serves spool %s, the others serve %s", w.Host, w.Spool, c.spool)
	}
	return nil
}
