package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
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

func TestSend(t *testing.T) {
	st := newStore()
	a := st.serve(t, "a", nil)
	c := newClient(t, nil, a.addr)
	ctx := context.Background()
	id := newID()
	r, err := c.Send(ctx, strings.ToUpper(id), job("x"))
	if err != nil || r != (client.Result{ID: id, Host: "a", Tries: 1}) {
		t.Fatalf("got %+v, %v", r, err)
	}
	if r, err = c.Send(ctx, id, job("x")); err != nil || !r.Duplicate {
		t.Errorf("again: got %+v, %v", r, err)
	}
	if r, err = c.Send(ctx, "", job("x")); err != nil || len(r.ID) != 36 || r.ID == id {
		t.Errorf("without id: got %+v, %v", r, err)
	}
	if s, err := c.Query(ctx, id); err != nil || s.State != codec.StateDone || s.ClusterID != "17" {
		t.Errorf("got %+v, %v", s, err)
	}
	if s, err := c.Query(ctx, newID()); err != nil || s.State != codec.StateUnknown {
		t.Errorf("got %+v, %v", s, err)
	}
	for _, e := range []struct {
		id   string
		job  codec.Job
		code codec.Code
	}{
		{id, job("other"), codec.CodeConflict},
		{"x", job("x"), codec.CodeInvalidJob},
		{newID(), job("-x"), codec.CodeInvalidJob},
	} {
		var refused *client.RefusedError
		if _, err := c.Send(ctx, e.id, e.job); !errors.As(err, &refused) || refused.Code != e.code {
			t.Errorf("%s: got %v", e.code, err)
		}
	}
	if n := a.Stats().Connections; n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestTooLarge(t *testing.T) {
	a := newStore().serve(t, "a", func(c *ingest.Config) { c.MaxJob = 1000 })
	c := newClient(t, nil, a.addr)
	j := job("x")
	j.Args = []string{strings.Repeat("x", 1000)}
	var refused *client.RefusedError
	if _, err := c.Send(context.Background(), "", j); !errors.As(err, &refused) || refused.Code != codec.CodeTooLarge {
		t.Errorf("got %v", err)
	}
}

// Many goroutines share a connection, and keep to the host's window.
func TestWindow(t *testing.T) {
	st := newStore()
	st.before = func(context.Context, string) error { time.Sleep(time.Millisecond); return nil }
	a := st.serve(t, "a", func(c *ingest.Config) { c.Window = 4 })
	c := newClient(t, nil, a.addr)
	sendAll(t, c, 200, nil)
	s := a.Stats()
	if s.Accepted != 200 || s.Refused[codec.CodeWindowExceeded] != 0 || s.Connections != 1 {
		t.Errorf("got %+v", s)
	}
}

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

// A host that dies: its answers are lost, its jobs are not, and none is in twice.
func TestHostKilled(t *testing.T) {
	st := newStore()
	st.before = func(context.Context, string) error { time.Sleep(2 * time.Millisecond); return nil }
	a, b := st.serve(t, "a", nil), st.serve(t, "b", nil)
	c := newClient(t, nil, a.addr, b.addr)
	hosts := sendAll(t, c, 400, a.kill)
	if len(st.jobs) != 400 || hosts["a"] == 0 || hosts["b"] == 0 || hosts["a"]+hosts["b"] != 400 {
		t.Errorf("%d jobs, answered by %v", len(st.jobs), hosts)
	}
}

func TestHostStops(t *testing.T) {
	st := newStore()
	st.before = func(context.Context, string) error { time.Sleep(2 * time.Millisecond); return nil }
	a, b := st.serve(t, "a", nil), st.serve(t, "b", nil)
	c := newClient(t, nil, a.addr, b.addr)
	hosts := sendAll(t, c, 400, func() { go a.stop() })
	if len(st.jobs) != 400 || hosts["a"]+hosts["b"] != 400 {
		t.Errorf("%d jobs, answered by %v", len(st.jobs), hosts)
	}
	// What was in flight was answered: nothing had to be asked twice.
	if n := a.Stats().Duplicates + b.Stats().Duplicates; n != 0 {
		t.Errorf("%d duplicates", n)
	}
}

// The answer is lost after the job was accepted: the same id is a duplicate at
// the other host.
func TestAnswerLost(t *testing.T) {
	st := newStore()
	lost := make(chan struct{}, 1)
	st.after = func(host string) error {
		if host == "a" {
			lost <- struct{}{}
			time.Sleep(time.Second)
		}
		return nil
	}
	a, b := st.serve(t, "a", nil), st.serve(t, "b", nil)
	go func() { <-lost; a.kill() }()
	c := newClient(t, nil, a.addr, b.addr)
	r, err := c.Send(context.Background(), "", job("x"))
	if err != nil || !r.Duplicate || r.Host != "b" || r.Tries != 2 || len(st.jobs) != 1 {
		t.Errorf("got %+v, %v, %d jobs", r, err, len(st.jobs))
	}
}

// Refusals that pass: at the next host, after a pause at the same one.
func TestRetryableRefusal(t *testing.T) {
	st := newStore()
	var n atomic.Int32
	st.before = func(_ context.Context, host string) error {
		if host == "a" && n.Add(1) <= 3 {
			return ingest.ErrBusy
		}
		return nil
	}
	a, b := st.serve(t, "a", nil), st.serve(t, "b", nil)
	one := newClient(t, nil, a.addr)
	if r, err := one.Send(context.Background(), "", job("x")); err != nil || r.Tries != 4 {
		t.Errorf("got %+v, %v", r, err)
	}
	n.Store(0)
	two := newClient(t, nil, a.addr, b.addr)
	if r, err := two.Send(context.Background(), "", job("x")); err != nil || r.Host != "b" || r.Tries != 2 {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestGiveUp(t *testing.T) {
	st := newStore()
	st.before = func(context.Context, string) error { return errors.New("the share is ill") }
	a := st.serve(t, "a", nil)
	short := func(c *client.Config) { c.Timeout = 100 * time.Millisecond }
	var gaveUp *client.GaveUpError
	_, err := newClient(t, short, a.addr).Send(context.Background(), "", job("x"))
	if !errors.As(err, &gaveUp) || !gaveUp.Maybe || gaveUp.Tries < 2 {
		t.Errorf("got %v", err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := ln.Addr().String()
	ln.Close()
	_, err = newClient(t, short, dead).Send(context.Background(), "", job("x"))
	if !errors.As(err, &gaveUp) || gaveUp.Maybe || !strings.Contains(err.Error(), "refused") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err = newClient(t, nil, dead).Send(ctx, "", job("x")); !errors.As(err, &gaveUp) || gaveUp.Maybe {
		t.Errorf("got %v", err)
	}
	c := newClient(t, nil, dead)
	time.AfterFunc(20*time.Millisecond, func() { c.Close() })
	if _, err = c.Send(context.Background(), "", job("x")); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("got %v", err)
	}
}

// Hosts that are no use: each is left for the next one.
func TestBadHosts(t *testing.T) {
	st := newStore()
	good := st.serve(t, "good", nil)
	welcome, err := codec.AppendMessage(nil, codec.Welcome{Version: 1, Host: "x", Spool: "s", MaxFrame: 1 << 20, MaxJob: 1 << 19, Window: 9})
	if err != nil {
		t.Fatal(err)
	}
	for name, script := range map[string]func(nc net.Conn){
		"closes at once":   func(net.Conn) {},
		"speaks HTTP":      func(nc net.Conn) { _, _ = nc.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) },
		"never welcomes":   func(nc net.Conn) { _, _ = io.Copy(io.Discard, nc) },
		"welcomes, closes": func(nc net.Conn) { _, _ = nc.Write(welcome) },
		"welcomes, silent": func(nc net.Conn) { _, _ = nc.Write(welcome); _, _ = io.Copy(io.Discard, nc) },
		"stops reading":    func(nc net.Conn) { _, _ = nc.Write(welcome); time.Sleep(time.Second) },
		"answers nonsense": func(nc net.Conn) {
			f, _ := codec.AppendMessage(welcome, codec.Accepted{Seq: 77, ID: newID(), Host: "x"})
			_, _ = nc.Write(f)
			_, _ = io.Copy(io.Discard, nc)
		},
		"another job's answer": func(nc net.Conn) {
			f, _ := codec.AppendMessage(welcome, codec.GoAway{Code: codec.CodeProtocol, Reason: "no"})
			_, _ = nc.Write(f)
		},
	} {
		t.Run(name, func(t *testing.T) {
			addr := fake(t, script)
			c := newClient(t, func(c *client.Config) {
				c.Connect, c.Ping, c.Silence = 200*time.Millisecond, 50*time.Millisecond, 200*time.Millisecond
			}, addr, good.addr)
			r, err := c.Send(context.Background(), "", job("x"))
			if err != nil || r.Host != "good" {
				t.Errorf("got %+v, %v", r, err)
			}
		})
	}
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

// A host that lives but doesn't answer for long is left only after Answer, or
// kept if it does answer: it shows that it lives by PONG.
func TestSlowHostIsKept(t *testing.T) {
	st := newStore()
	st.before = func(context.Context, string) error { time.Sleep(500 * time.Millisecond); return nil }
	a, b := st.serve(t, "a", nil), st.serve(t, "b", nil)
	c := newClient(t, func(c *client.Config) { c.Ping, c.Silence = 30*time.Millisecond, 150*time.Millisecond }, a.addr, b.addr)
	r, err := c.Send(context.Background(), "", job("x"))
	if err != nil || r.Host != "a" || r.Tries != 1 {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestAnotherSpool(t *testing.T) {
	a := newStore().serve(t, "a", nil)
	b := newStore().serve(t, "b", func(c *ingest.Config) { c.SpoolID = "other" })
	c := newClient(t, func(c *client.Config) { c.Timeout = 200 * time.Millisecond }, a.addr, b.addr)
	if _, err := c.Send(context.Background(), "", job("x")); err != nil {
		t.Fatal(err)
	}
	a.kill()
	if _, err := c.Send(context.Background(), "", job("x")); err == nil {
		t.Error("sent to another spool")
	}
	if n := b.Stats().Accepted; n != 0 {
		t.Errorf("%d accepted there", n)
	}
}

// A connection that the host let go of for idleness costs nothing.
func TestIdleConnection(t *testing.T) {
	st := newStore()
	a := st.serve(t, "a", func(c *ingest.Config) { c.Idle = 50 * time.Millisecond })
	c := newClient(t, func(c *client.Config) { c.MinPause = time.Minute }, a.addr)
	for range 3 {
		if r, err := c.Send(context.Background(), "", job("x")); err != nil || r.Tries != 1 {
			t.Errorf("got %+v, %v", r, err)
		}
		time.Sleep(120 * time.Millisecond)
	}
	if n := a.Stats().Connections; n != 3 {
		t.Errorf("%d connections", n)
	}
}

func TestRefusedAtTheDoor(t *testing.T) {
	st := newStore()
	no := func(c *ingest.Config) {
		c.Identify = func(net.Conn, codec.Hello) (string, error) { return "", errors.New("no") }
	}
	a, b := st.serve(t, "a", no), st.serve(t, "b", no)
	c := newClient(t, nil, a.addr, b.addr)
	var refused *client.RefusedError
	r, err := c.Send(context.Background(), "", job("x"))
	if !errors.As(err, &refused) || refused.Code != codec.CodeNotAllowed || r.Tries != 2 {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestConfig(t *testing.T) {
	for _, addrs := range [][]string{nil, {"host"}, {"a:1", "b"}} {
		if _, err := client.New(client.Config{Addrs: addrs}); err == nil {
			t.Errorf("%q: no error", addrs)
		}
	}
	if _, err := client.New(client.Config{Addrs: []string{"a:1"}, Name: "a\nb"}); err == nil {
		t.Error("a bad name: no error")
	}
}
