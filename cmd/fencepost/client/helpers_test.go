package client_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"fencepost/cmd/fencepost/client"
	"fencepost/cmd/fencepost/ingest"
	"fencepost/codec"
	"fencepost/spool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store is the spool that the hosts of a test share.
type store struct {
	mu     sync.Mutex
	jobs   map[string]string // digest by id
	before func(ctx context.Context, host string) error
	after  func(host string) error // the job is durable, but the host doesn't say so
}

type host struct {
	*store
	name string
}

func (h host) Accept(ctx context.Context, r codec.Record) (bool, error) {
	if h.before != nil {
		if err := h.before(ctx, h.name); err != nil {
			return false, err
		}
	}
	h.mu.Lock()
	old, ok := h.jobs[r.ID]
	if !ok {
		h.jobs[r.ID] = r.Digest
	}
	h.mu.Unlock()
	if ok && old != r.Digest {
		return false, spool.ErrConflict
	}
	if h.after != nil {
		return ok, h.after(h.name)
	}
	return ok, nil
}

func (h host) State(_ context.Context, id string) (codec.State, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.jobs[id]; !ok {
		return codec.State{}, spool.ErrNotFound
	}
	return codec.State{State: codec.StateDone, ClusterID: "17"}, nil
}

type running struct {
	*ingest.Server
	addr string
	kill func() // as kill -9 would: connections and listener end at once
	stop func() // as SIGTERM would
}

func newStore() *store { return &store{jobs: map[string]string{}} }

// serve runs a host on the store until the test ends.
func (st *store) serve(t *testing.T, name string, change func(*ingest.Config)) *running {
	t.Helper()
	cfg := ingest.Config{Backend: host{st, name}, Host: name, SpoolID: "s", RetryAfter: time.Millisecond, Grace: 2 * time.Second}
	if change != nil {
		change(&cfg)
	}
	s, err := ingest.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var conns []net.Conn
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(ctx, noting{ln, func(c net.Conn) { mu.Lock(); conns = append(conns, c); mu.Unlock() }})
	}()
	r := &running{Server: s, addr: ln.Addr().String()}
	r.stop = func() { cancel(); <-done }
	r.kill = func() {
		ln.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}
		mu.Unlock()
	}
	t.Cleanup(r.stop)
	return r
}

type noting struct {
	net.Listener
	note func(net.Conn)
}

func (l noting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.note(c)
	}
	return c, err
}

func newClient(t *testing.T, change func(*client.Config), addrs ...string) *client.Client {
	t.Helper()
	cfg := client.Config{Addrs: addrs, MinPause: 5 * time.Millisecond, MaxPause: 50 * time.Millisecond, Timeout: 10 * time.Second}
	if change != nil {
		change(&cfg)
	}
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func job(name string) codec.Job { return codec.Job{Name: name, Command: []string{"true"}} }

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// sendAll sends n jobs at once, calls at in the middle, and wants all accepted.
func sendAll(t *testing.T, c *client.Client, n int, middle func()) map[string]int {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var done atomic.Int32
	hosts := map[string]int{}
	for i := range n {
		wg.Go(func() {
			r, err := c.Send(context.Background(), "", job(fmt.Sprintf("j%d", i)))
			if err != nil {
				t.Errorf("job %d: %v", i, err)
			}
			mu.Lock()
			hosts[r.Host]++
			mu.Unlock()
			if int(done.Add(1)) == n/4 && middle != nil {
				middle()
			}
		})
	}
	wg.Wait()
	return hosts
}

// fake is a host that does as it likes.
func fake(t *testing.T, script func(net.Conn)) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer nc.Close()
				stop := time.AfterFunc(3*time.Second, func() { nc.Close() })
				defer stop.Stop()
				script(nc)
			})
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	return ln.Addr().String()
}
