package ingest_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"fencepost/cmd/fencepost/ingest"
	"fencepost/cmd/fencepost/secure"
	"fencepost/cmd/fencepost/secure/securetest"
	"fencepost/codec"
	"fencepost/spool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// backend keeps jobs in memory.
type backend struct {
	mu   sync.Mutex
	jobs map[string]codec.Record

	// accept, if set, comes before the job is kept.
	accept func(ctx context.Context, r codec.Record) error
}

func (b *backend) Accept(ctx context.Context, r codec.Record) (bool, error) {
	if b.accept != nil {
		if err := b.accept(ctx, r); err != nil {
			return false, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	old, ok := b.jobs[r.ID]
	if ok && old.Digest != r.Digest {
		return false, spool.ErrConflict
	}
	if !ok {
		b.jobs[r.ID] = r
	}
	return ok, nil
}

func (b *backend) State(_ context.Context, id string) (codec.State, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.jobs[id]; !ok {
		return codec.State{}, spool.ErrNotFound
	}
	return codec.State{State: codec.StateWaiting, Detail: "translate\nx"}, nil
}

func (b *backend) get(id string) (codec.Record, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, ok := b.jobs[id]
	return r, ok
}

// site is a running server.
type site struct {
	*ingest.Server
	client *tls.Config // with TLS
	addr   string
	b      *backend
	stop   context.CancelFunc
	done   chan error
}

// start runs a server with short times until the test ends.
func start(t testing.TB, change func(*ingest.Config)) *site {
	t.Helper()
	return startWith(t, func(_ *site, c *ingest.Config) {
		if change != nil {
			change(c)
		}
	})
}

// startWith is start for changes that the site has to know.
func startWith(t testing.TB, change func(*site, *ingest.Config)) *site {
	t.Helper()
	s := &site{b: &backend{jobs: map[string]codec.Record{}}, done: make(chan error, 1)}
	cfg := ingest.Config{Backend: s.b, Host: "a", SpoolID: "spool-1", Software: "test",
		Handshake: 5 * time.Second, Frame: 5 * time.Second, Write: time.Second, Grace: 5 * time.Second}
	if os.Getenv("FENCEPOST_TEST_LOG") != "" {
		cfg.Log = zerolog.New(os.Stderr)
	}
	change(s, &cfg)
	var err error
	if s.Server, err = ingest.New(cfg); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = ln.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go func() { s.done <- s.Serve(ctx, ln); close(s.done) }()
	t.Cleanup(func() {
		stop()
		if err := <-s.done; err != nil {
			t.Errorf("serve: %v", err)
		}
		if st := s.Stats(); st.Open != 0 || st.Pending != 0 || st.Accepting != 0 {
			t.Errorf("left behind: %+v", st)
		}
	})
	return s
}

// peer is a client that can do wrong.
type peer struct {
	net.Conn
	t  testing.TB
	br *bufio.Reader
}

func (s *site) dial(t testing.TB) *peer {
	t.Helper()
	nc := s.raw(t)
	if s.client != nil {
		nc = tls.Client(nc, s.client)
	}
	return &peer{nc, t, bufio.NewReader(nc)}
}

// raw is a connection without TLS.
func (s *site) raw(t testing.TB) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc
}

// overTLS makes the site one of mutual TLS.
func (s *site) overTLS(t testing.TB, c *ingest.Config) {
	t.Helper()
	hosts, clients := securetest.New(t, "hosts"), securetest.New(t, "clients")
	cert, key := hosts.Issue("a", nil)
	var err error
	if c.TLS, err = secure.Server(secure.Files{Cert: cert, Key: key, CA: []string{clients.File}, Require: true, Reload: time.Minute}); err != nil {
		t.Fatal(err)
	}
	cert, key = clients.Issue("nightly", nil)
	if s.client, err = secure.Client(secure.Files{Cert: cert, Key: key, CA: []string{hosts.File}}); err != nil {
		t.Fatal(err)
	}
	s.client.ServerName = "127.0.0.1"
	c.Identify = func(nc net.Conn, _ codec.Hello) (ingest.Peer, error) {
		name, until, err := secure.PeerName(nc.(*tls.Conn).ConnectionState())
		return ingest.Peer{Name: name, Verified: true, Until: until}, err
	}
}

// hello is dial with a handshake.
func (s *site) hello(t testing.TB) *peer {
	t.Helper()
	p := s.dial(t)
	p.send(codec.Hello{Versions: []uint64{1}, Client: "test", Features: []string{"grease-1"}})
	if w, ok := p.want().(codec.Welcome); !ok || w.Host != "a" || w.Spool != "spool-1" {
		t.Fatalf("got %+v for WELCOME", w)
	}
	return p
}

// identifyAs believes HELLO, and gives each client two connections.
func identifyAs(_ net.Conn, h codec.Hello) (ingest.Peer, error) {
	return ingest.Peer{Name: h.Client, Conns: 2}, nil
}

// helloAs is hello under a name.
func (s *site) helloAs(t testing.TB, name string) *peer {
	t.Helper()
	p := s.dial(t)
	p.send(codec.Hello{Versions: []uint64{1}, Client: name})
	if _, ok := p.want().(codec.Welcome); !ok {
		t.Fatal("no WELCOME")
	}
	return p
}

func frame(t testing.TB, m codec.Message) []byte {
	t.Helper()
	b, err := codec.AppendMessage(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (p *peer) send(m codec.Message) {
	p.t.Helper()
	p.write(frame(p.t, m))
}

func (p *peer) write(b []byte) {
	p.t.Helper()
	if _, err := p.Write(b); err != nil {
		p.t.Fatal(err)
	}
}

// receive reads one message.
func (p *peer) receive() (codec.Message, error) {
	_ = p.SetReadDeadline(time.Now().Add(10 * time.Second))
	f, err := codec.ReadFrame(p.br, 16<<10)
	if err != nil {
		return nil, err
	}
	return codec.Unmarshal(f)
}

func (p *peer) want() codec.Message {
	p.t.Helper()
	m, err := p.receive()
	if err != nil {
		p.t.Fatal(err)
	}
	return m
}

// wantAway wants GOAWAY and then the end of the stream.
func (p *peer) wantAway(code codec.Code) codec.GoAway {
	p.t.Helper()
	m := p.want()
	g, ok := m.(codec.GoAway)
	if !ok || g.Code != code {
		p.t.Fatalf("got %+v, want GOAWAY %s", m, code)
	}
	if m, err := p.receive(); !errors.Is(err, io.EOF) {
		p.t.Fatalf("after GOAWAY: got %+v, %v", m, err)
	}
	return g
}

func (p *peer) wantRefused(seq uint64, code codec.Code) codec.Refused {
	p.t.Helper()
	m := p.want()
	r, ok := m.(codec.Refused)
	if !ok || r.Code != code || r.Seq != seq {
		p.t.Fatalf("got %+v, want REFUSED %d %s", m, seq, code)
	}
	if r.Reason == "" || code.Final() != (r.RetryAfterMS == 0) {
		p.t.Fatalf("got %+v: reason and time don't fit", r)
	}
	return r
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

func job(size int) codec.Job {
	return codec.Job{Name: "j", Script: "#!/bin/sh\n" + strings.Repeat("x", size)}
}

func submit(seq uint64, size int) codec.Submit {
	return codec.Submit{Seq: seq, ID: newID(), Job: job(size)}
}

// eventually waits for something that another goroutine does.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// bystander sends good jobs on a connection of its own until the func that is
// returned is called, which wants all of them accepted.
func (s *site) bystander(t testing.TB) (stop func() []time.Duration) {
	t.Helper()
	p := s.hello(t)
	quit, done := make(chan struct{}), make(chan struct{})
	var took []time.Duration
	go func() {
		defer close(done)
		for seq := uint64(1); ; seq++ {
			select {
			case <-quit:
				return
			default:
			}
			m := submit(seq, 100)
			from := time.Now()
			if _, err := p.Write(frame(t, m)); err != nil {
				t.Errorf("bystander: %v", err)
				return
			}
			got, err := p.receive()
			if a, ok := got.(codec.Accepted); err != nil || !ok || a.ID != m.ID || a.Seq != seq || a.Duplicate {
				t.Errorf("bystander: got %+v, %v", got, err)
				return
			}
			took = append(took, time.Since(from))
			time.Sleep(time.Millisecond)
		}
	}()
	end := sync.OnceFunc(func() { close(quit); <-done })
	t.Cleanup(end)
	return func() []time.Duration {
		end()
		if len(took) == 0 {
			t.Error("bystander: nothing sent")
		}
		return took
	}
}
