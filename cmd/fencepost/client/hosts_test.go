package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fencepost/cmd/fencepost/client"
	"fencepost/cmd/fencepost/ingest"
	"fencepost/codec"
)

// A refusal for good after an unknown outcome is no "not accepted": who hears that
// sends the job again under another id.
func TestRefusedAfterMaybe(t *testing.T) {
	st := newStore()
	st.after = func(host string) error { // the job is in, and a doesn't know
		if host == "a" {
			return &ingest.Refusal{Code: codec.CodeUnavailable, Reason: "the share did not answer in time"}
		}
		return nil
	}
	a := st.serve(t, "a", nil)
	b := st.serve(t, "b", func(c *ingest.Config) {
		c.Admit = func(_ string, job codec.Job, _ time.Time) (codec.Job, error) {
			return job, &ingest.Refusal{Code: codec.CodeNotAllowed, Reason: "not here"}
		}
	})
	c := newClient(t, nil, a.addr, b.addr)
	var gave *client.GaveUpError
	_, err := c.Send(context.Background(), "", job("x"))
	if !errors.As(err, &gave) || !gave.Maybe || gave.Tries != 2 || !strings.Contains(err.Error(), "not known to be accepted") || !strings.Contains(err.Error(), "not here") {
		t.Errorf("got %v", err)
	}
	var refused *client.RefusedError
	if errors.As(err, &refused) {
		t.Error("it counts as a refusal for good, too")
	}
	// Without the first it is one.
	c = newClient(t, nil, b.addr)
	if _, err := c.Send(context.Background(), "", job("x")); !errors.As(err, &refused) {
		t.Errorf("got %v", err)
	}
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
		c.Identify = func(net.Conn, codec.Hello) (ingest.Peer, error) { return ingest.Peer{}, errors.New("no") }
	}
	a, b := st.serve(t, "a", no), st.serve(t, "b", no)
	c := newClient(t, nil, a.addr, b.addr)
	var refused *client.RefusedError
	r, err := c.Send(context.Background(), "", job("x"))
	if !errors.As(err, &refused) || refused.Code != codec.CodeNotAllowed || r.Tries != 2 {
		t.Errorf("got %+v, %v", r, err)
	}
}
