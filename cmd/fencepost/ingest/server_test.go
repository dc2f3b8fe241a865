package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fencepost/cmd/fencepost/ingest"
	"fencepost/codec"
	"fencepost/spool"
)

func TestAccept(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 1_234_567, time.UTC)
	s := start(t, func(c *ingest.Config) { c.Now = func() time.Time { return now } })
	p := s.hello(t)
	m := submit(1, 10)
	p.send(m)
	if got, want := p.want(), (codec.Accepted{Seq: 1, ID: m.ID, Host: "a"}); got != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	r, _ := s.b.get(m.ID)
	want := codec.Record{ID: m.ID, Job: m.Job, Client: "127.0.0.1", ReceivedBy: "a", Digest: codec.Digest(m.Job),
		ReceivedAt: now.Truncate(time.Millisecond)}
	if !r.Equal(want) {
		t.Errorf("got %+v\nwant %+v", r, want)
	}
	if err := r.Validate(); err != nil {
		t.Error(err)
	}

	m.Seq = 2
	p.send(m)
	if a, ok := p.want().(codec.Accepted); !ok || !a.Duplicate {
		t.Errorf("the same again: got %+v", a)
	}
	m.Seq, m.Job.Name = 3, "other"
	p.send(m)
	p.wantRefused(3, codec.CodeConflict)
	p.send(codec.Query{Seq: 4, ID: m.ID})
	if st, ok := p.want().(codec.State); !ok || st.State != codec.StateWaiting || st.Seq != 4 || st.ID != m.ID || st.Detail != "translate x" {
		t.Errorf("got %+v", st)
	}
	p.send(codec.Query{Seq: 5, ID: newID()})
	if st, ok := p.want().(codec.State); !ok || st.State != codec.StateUnknown {
		t.Errorf("got %+v", st)
	}
	p.send(codec.Ping{Nonce: 7})
	if got := p.want(); got != (codec.Pong{Nonce: 7}) {
		t.Errorf("got %+v", got)
	}
	st := s.Stats()
	if st.Accepted != 1 || st.Duplicates != 1 || st.Queries != 2 || st.Refused[codec.CodeConflict] != 1 || st.Open != 1 {
		t.Errorf("got %+v", st)
	}
}

// A peer that has sent all it has may close its half and read the answers.
func TestHalfClose(t *testing.T) {
	s := start(t, func(c *ingest.Config) {})
	s.b.accept = func(context.Context, codec.Record) error { time.Sleep(50 * time.Millisecond); return nil }
	p := s.hello(t)
	for seq := uint64(1); seq <= 5; seq++ {
		p.send(submit(seq, 10))
	}
	if err := p.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, ok := p.want().(codec.Accepted); !ok {
			t.Fatal("not accepted")
		}
	}
	if m, err := p.receive(); err == nil {
		t.Fatalf("got %+v after the last answer", m)
	}
}

func TestRefusals(t *testing.T) {
	errs := []struct {
		err  error
		code codec.Code
		says string
	}{
		{fmt.Errorf("x: %w", spool.ErrConflict), codec.CodeConflict, "another job"},
		{fmt.Errorf("x: %w", spool.ErrTooOld), codec.CodeTooOld, "retention"},
		{fmt.Errorf("x: %w", ingest.ErrBusy), codec.CodeBusy, "at the moment"},
		{fmt.Errorf("x: %w", spool.ErrFenced), codec.CodeUnavailable, "fenced"},
		{fmt.Errorf("/secret: %w: %w", syscall.ENOSPC, spool.ErrNotAccepted), codec.CodeNoSpace, "no space left"},
		{fmt.Errorf("/secret: %w", syscall.ENOSPC), codec.CodeUnavailable, "no space left: not known to be accepted"},
		{fmt.Errorf("/secret: %w", syscall.EDQUOT), codec.CodeUnavailable, "not known to be accepted"},
		{fmt.Errorf("/secret: %w", syscall.EIO), codec.CodeInternal, "input/output error"},
		{errors.New("/secret"), codec.CodeInternal, "not known to be accepted"},
		{&codec.FieldError{Field: "name", Reason: "is\nbad"}, codec.CodeInvalidJob, "name is bad"},
		{&ingest.Refusal{Code: codec.CodeNotAllowed, Reason: strings.Repeat("ü", 2000)}, codec.CodeNotAllowed, "üü"},
		{&ingest.Refusal{Code: "moon", Reason: "r", RetryAfter: time.Hour}, "moon", "r"},
	}
	s := start(t, nil)
	n := 0
	s.b.accept = func(context.Context, codec.Record) error { n++; return errs[n-1].err }
	p := s.hello(t)
	for i, e := range errs {
		p.send(submit(uint64(i+1), 10))
		r := p.wantRefused(uint64(i+1), e.code)
		if !strings.Contains(r.Reason, e.says) || strings.Contains(r.Reason, "secret") {
			t.Errorf("%v: reason is %q", e.err, r.Reason)
		}
	}
	if r := s.Stats().Refused["moon"]; r != 1 {
		t.Errorf("got %d counted", r)
	}
}

func TestTooOld(t *testing.T) {
	s := start(t, func(c *ingest.Config) { c.Retention = time.Hour })
	p := s.hello(t)
	for i, c := range []struct {
		id string
		ok bool
	}{
		{"01902d5a-7b3c-7def-8123-456789abcdef", false},
		{"01902d5a-7b3c-4def-8123-456789abcdef", true}, // version 4 has no time
		{newID(), true},
	} {
		p.send(codec.Submit{Seq: uint64(i + 1), ID: c.id, Job: job(1)})
		if c.ok {
			if _, ok := p.want().(codec.Accepted); !ok {
				t.Errorf("%s: not accepted", c.id)
			}
		} else {
			p.wantRefused(uint64(i+1), codec.CodeTooOld)
		}
	}
}

// Answers come when they are ready, and the window is filled.
func TestOutOfOrder(t *testing.T) {
	s := start(t, func(c *ingest.Config) { c.Window = 4 })
	var mu sync.Mutex
	hold := map[string]chan struct{}{}
	s.b.accept = func(_ context.Context, r codec.Record) error {
		mu.Lock()
		ch := hold[r.ID]
		mu.Unlock()
		<-ch
		return nil
	}
	p := s.hello(t)
	var sent []codec.Submit
	for seq := uint64(1); seq <= 4; seq++ {
		m := submit(seq, 10)
		mu.Lock()
		hold[m.ID] = make(chan struct{})
		mu.Unlock()
		sent = append(sent, m)
		p.send(m)
	}
	p.send(submit(5, 10))
	p.wantRefused(5, codec.CodeWindowExceeded)
	for _, i := range []int{2, 0, 3, 1} {
		close(hold[sent[i].ID])
		if a, ok := p.want().(codec.Accepted); !ok || a.Seq != sent[i].Seq {
			t.Fatalf("got %+v, want %d", a, sent[i].Seq)
		}
	}
	hold = map[string]chan struct{}{}
	m := submit(6, 10)
	hold[m.ID] = make(chan struct{})
	close(hold[m.ID])
	p.send(m)
	if a, ok := p.want().(codec.Accepted); !ok || a.Seq != 6 {
		t.Fatalf("got %+v", a)
	}
}

func TestPanic(t *testing.T) {
	s := start(t, nil)
	s.b.accept = func(_ context.Context, r codec.Record) error {
		if r.Job.Name == "bomb" {
			panic("boom")
		}
		return nil
	}
	p := s.hello(t)
	bomb := submit(1, 1)
	bomb.Job.Name = "bomb"
	p.send(bomb)
	p.wantRefused(1, codec.CodeInternal)
	p.send(submit(2, 1))
	if _, ok := p.want().(codec.Accepted); !ok {
		t.Fatal("not accepted")
	}
	if n := s.Stats().Panics; n != 1 {
		t.Errorf("got %d panics", n)
	}
}

func TestPanicOfConnection(t *testing.T) {
	s := start(t, func(c *ingest.Config) {
		c.Identify = func(_ net.Conn, h codec.Hello) (ingest.Peer, error) {
			switch h.Client {
			case "bomb":
				panic("boom")
			case "mallory":
				return ingest.Peer{}, errors.New("no")
			}
			return ingest.Peer{Name: "known-" + h.Client}, nil
		}
	})
	for client, code := range map[string]codec.Code{"bomb": codec.CodeInternal, "mallory": codec.CodeNotAllowed} {
		p := s.dial(t)
		p.send(codec.Hello{Versions: []uint64{1}, Client: client})
		p.wantAway(code)
	}
	p := s.hello(t)
	m := submit(1, 1)
	p.send(m)
	p.want()
	if r, _ := s.b.get(m.ID); r.Client != "known-test" {
		t.Errorf("got client %q", r.Client)
	}
}

// A share that hangs: the client is told in time, others than its requests too,
// and the server ends although the call never does.
func TestBackendHangs(t *testing.T) {
	release := make(chan struct{})
	s := start(t, func(c *ingest.Config) { c.Answer = 200 * time.Millisecond; c.MaxAccepts = 2 })
	s.b.accept = func(context.Context, codec.Record) error { <-release; return errors.New("late") }
	p := s.hello(t)
	for seq := uint64(1); seq <= 3; seq++ { // the third waits for its turn
		p.send(submit(seq, 10))
	}
	for range 3 {
		if r, ok := p.want().(codec.Refused); !ok || r.Code != codec.CodeUnavailable {
			t.Fatalf("got %+v", r)
		}
	}
	p.send(codec.Query{Seq: 4, ID: newID()})
	if _, ok := p.want().(codec.State); !ok {
		t.Fatal("a query waits, too")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); err == nil || !strings.Contains(err.Error(), "2 requests still wait") {
		t.Errorf("got %v", err)
	}
	close(release)
	<-s.done
	s.stop()
}

func TestShutdown(t *testing.T) {
	release, entered := make(chan struct{}), make(chan struct{}, 8)
	s := start(t, nil)
	s.b.accept = func(context.Context, codec.Record) error { entered <- struct{}{}; <-release; return nil }
	busy, idle, half := s.hello(t), s.hello(t), s.hello(t)
	busy.send(submit(1, 10))
	busy.send(submit(2, 10))
	half.write(frame(t, submit(1, 1000))[:500])
	<-entered
	<-entered
	s.stop()
	if g := idle.wantAway(codec.CodeDraining); g.LastSeq != 0 {
		t.Errorf("got %+v", g)
	}
	half.wantAway(codec.CodeDraining)
	if _, err := net.Dial("tcp", s.addr); err == nil {
		t.Error("the server still listens")
	}
	close(release)
	for range 2 {
		if _, ok := busy.want().(codec.Accepted); !ok {
			t.Fatal("not accepted")
		}
	}
	if g := busy.wantAway(codec.CodeDraining); g.LastSeq != 2 {
		t.Errorf("got %+v", g)
	}
	if err := <-s.done; err != nil {
		t.Error(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(context.Background(), ln); !errors.Is(err, ingest.ErrClosed) {
		t.Errorf("serve again: got %v", err)
	}
}

func TestConfig(t *testing.T) {
	ok := ingest.Config{Backend: &backend{}, Host: "a", SpoolID: "s"}
	if _, err := ingest.New(ok); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*ingest.Config){
		"backend": func(c *ingest.Config) { c.Backend = nil },
		"host":    func(c *ingest.Config) { c.Host = "a b" },
		"spool":   func(c *ingest.Config) { c.SpoolID = "" },
		"job":     func(c *ingest.Config) { c.MaxJob = codec.MaxJob + 1 },
		"memory":  func(c *ingest.Config) { c.Memory = 1 << 20 },
	} {
		c := ok
		change(&c)
		if _, err := ingest.New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
