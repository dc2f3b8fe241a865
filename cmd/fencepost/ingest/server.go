package ingest

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/semaphore"

	"fencepost/codec"
)

// ErrClosed is returned by Serve after Shutdown.
var ErrClosed = errors.New("ingest: server is closed")

// errForced is why a context of the backend ends when the grace is over.
var errForced = errors.New("the server is being stopped")

// Server takes jobs in from any number of connections.
type Server struct {
	cfg     Config
	memory  *semaphore.Weighted
	accepts chan struct{} // a token for each call of Backend.Accept
	queries chan struct{} // a token for each call of Backend.State
	pending chan struct{} // a token for each request read
	linger  chan struct{} // a token for each connection refused at the door
	count   counters

	base  context.Context // ends when what is in flight is given up
	force context.CancelCauseFunc

	mu        sync.Mutex
	listeners []net.Listener // any type may stand here, so no map
	conns     map[*conn]bool
	perAddr   map[string]int
	perClient map[string]int
	strangers list.List // connections that haven't said hello, or not who they are, by their coming
	draining  bool
	running   int           // goroutines
	idle      chan struct{} // closed when running falls to 0 while draining
}

// maxLinger is how many refused connections may be waiting for their peers to
// read why. Beyond it they are told so in passing.
const maxLinger = 128

// maxDoorWait is how long the door stays with one that is told in passing: no
// other is let in meanwhile.
const maxDoorWait = 100 * time.Millisecond

// maxLines is how many lines a second of each of the levels info and warn are
// logged about peers.
const maxLines = 20

// New checks cfg and makes a server of it.
func New(cfg Config) (*Server, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, memory: semaphore.NewWeighted(cfg.Memory),
		accepts: make(chan struct{}, cfg.MaxAccepts), queries: make(chan struct{}, cfg.MaxQueries),
		pending: make(chan struct{}, cfg.MaxPending), linger: make(chan struct{}, maxLinger),
		conns: map[*conn]bool{}, perAddr: map[string]int{}, perClient: map[string]int{},
		idle: make(chan struct{}),
	}
	// What strangers can cause at will is not to fill the disk; the counters have it all.
	s.cfg.Log = cfg.Log.Sample(&zerolog.LevelSampler{
		InfoSampler: &zerolog.BurstSampler{Burst: maxLines, Period: time.Second},
		WarnSampler: &zerolog.BurstSampler{Burst: maxLines, Period: time.Second}})
	s.count.s.Refused, s.count.s.GoneAway = map[codec.Code]uint64{}, map[codec.Code]uint64{}
	s.base, s.force = context.WithCancelCause(context.Background())
	return s, nil
}

// Serve takes connections from ln until ctx ends or Shutdown is called; then it
// does what Shutdown does, with Config.Grace. It closes ln, and returns nil if
// everything ended in time.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	defer ln.Close()
	if !s.enter(ln) {
		return ErrClosed
	}
	stop := context.AfterFunc(ctx, s.drain)
	err := s.acceptLoop(ln)
	stop()
	s.leave()
	grace, cancel := context.WithTimeout(context.Background(), s.cfg.Grace)
	defer cancel()
	return errors.Join(err, s.Shutdown(grace))
}

// Shutdown takes no more connections and no more requests, waits for those in
// flight, says GOAWAY to every peer and closes. When ctx ends first, it closes
// everything as it is and tells the backend to give up.
func (s *Server) Shutdown(ctx context.Context) error {
	s.drain()
	select {
	case <-s.idle:
		return nil
	case <-ctx.Done():
	}
	s.force(errForced)
	s.closeConns()
	// What obeys its context is done with in a moment. What doesn't can't be
	// waited for: the process has to end although the share hangs.
	select {
	case <-s.idle:
		return nil
	case <-time.After(time.Second):
	}
	st := s.Stats()
	return fmt.Errorf("ingest: shut down: %d requests still wait for the share, their outcome is unknown", st.Pending)
}

// enter counts a goroutine that takes connections; false if it is too late.
func (s *Server) enter(ln net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	s.listeners = append(s.listeners, ln)
	s.running++
	return true
}

// spawn runs f on a goroutine that Shutdown waits for. The caller is one of
// them itself, so that running can't have fallen to 0.
func (s *Server) spawn(f func()) {
	s.mu.Lock()
	s.running++
	s.mu.Unlock()
	go func() {
		defer s.leave()
		f()
	}()
}

func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	if s.running == 0 && s.draining {
		close(s.idle)
	}
}

// drain stops taking connections and requests. It doesn't wait.
func (s *Server) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return
	}
	s.draining = true
	for _, ln := range s.listeners {
		ln.Close()
	}
	for c := range s.conns {
		c.stopReading()
	}
	if s.running == 0 {
		close(s.idle)
	}
}

func (s *Server) closeConns() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.fail(errForced)
	}
}

func (s *Server) acceptLoop(ln net.Listener) error {
	pause := 5 * time.Millisecond
	for {
		nc, err := ln.Accept()
		if err == nil {
			pause = 5 * time.Millisecond
			s.count.do(func(st *Stats) { st.Connections++ })
			s.admit(nc)
			continue
		}
		if s.isDraining() {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			s.drain()
			return fmt.Errorf("ingest: accept connection: %w", err)
		}
		// Out of descriptors, a peer that was gone already: others may come.
		s.cfg.Log.Warn().Err(err).Str("event", "accept-failed").Dur("pause", pause).Msg("can't accept a connection")
		select {
		case <-time.After(pause):
		case <-s.base.Done():
		}
		pause = min(2*pause, time.Second)
	}
}

func (s *Server) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

// admit serves a connection or refuses it, with words, on another goroutine.
func (s *Server) admit(nc net.Conn) {
	c := newConn(s, nc)
	code, reason := s.register(c)
	if code == "" {
		s.spawn(c.run)
		return
	}
	select {
	case s.linger <- struct{}{}:
	default:
		c.brushOff(code, reason)
		return
	}
	s.spawn(func() {
		defer func() { <-s.linger }()
		c.turnAway(code, reason)
	})
}

// register makes c one of the connections, or says why not.
func (s *Server) register(c *conn) (codec.Code, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining:
		return codec.CodeDraining, "this host is stopping"
	case len(s.conns) >= s.cfg.MaxConns:
		return codec.CodeBusy, fmt.Sprintf("%d connections are open, which is the limit", s.cfg.MaxConns)
	case s.cfg.MaxPerAddr > 0 && s.perAddr[c.addr] >= s.cfg.MaxPerAddr:
		return codec.CodeBusy, fmt.Sprintf("%d connections from this address are open, which is the limit", s.cfg.MaxPerAddr)
	}
	if s.strangers.Len() >= s.cfg.MaxStrange {
		s.makeWay()
	}
	s.conns[c] = true
	s.perAddr[c.addr]++
	c.place = s.strangers.PushBack(c)
	s.count.do(func(st *Stats) { st.Open++ })
	return "", ""
}

// makeWay sends away who has been a stranger for longest: of those who mean it,
// nobody is for long, and a newcomer may be one of them. mu is held.
func (s *Server) makeWay() {
	front := s.strangers.Front()
	old := s.strangers.Remove(front).(*conn)
	old.place = nil
	old.sendAway()
}

// introduce makes c one of its client's connections, or says why not. One that is
// still unproven stays a stranger.
func (s *Server) introduce(c *conn, p Peer) error {
	if p.Unproven {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case c.known:
		return nil // several requests may prove it at once
	case c.place == nil:
		return errMadeWay
	}
	if n := s.perClient[p.Name]; p.Conns > 0 && n >= p.Conns {
		return &goAway{codec.CodeBusy, fmt.Sprintf("client %s has %d connections, which is its limit", oneLine(p.Name), n)}
	}
	s.perClient[p.Name]++
	s.strangers.Remove(c.place)
	c.place, c.known, c.client = nil, true, p.Name
	return nil
}

// isStrange says whether nobody knows yet who is at the other end of c.
func (s *Server) isStrange(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !c.known
}

func (s *Server) unregister(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if s.perAddr[c.addr]--; s.perAddr[c.addr] == 0 {
		delete(s.perAddr, c.addr)
	}
	if c.place != nil {
		s.strangers.Remove(c.place)
		c.place = nil
	}
	if c.known {
		if s.perClient[c.client]--; s.perClient[c.client] == 0 {
			delete(s.perClient, c.client)
		}
	}
	s.count.do(func(st *Stats) { st.Open-- })
}
