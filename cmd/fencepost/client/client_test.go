package client_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"fencepost/cmd/fencepost/client"
	"fencepost/cmd/fencepost/ingest"
	"fencepost/codec"
)

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
