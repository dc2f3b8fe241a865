package ingest_test

import (
	"bufio"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"fencepost/cmd/fencepost/ingest"
	"fencepost/codec"
)

// The client's name comes from its certificate, whatever HELLO claims.
func TestTLS(t *testing.T) {
	s := startWith(t, func(s *site, c *ingest.Config) { s.overTLS(t, c) })
	p := s.hello(t) // as "test"
	m := submit(1, 200_000)
	p.send(m)
	if _, ok := p.want().(codec.Accepted); !ok {
		t.Fatal("not accepted")
	}
	if r, _ := s.b.get(m.ID); r.Client != "nightly" {
		t.Errorf("got client %q", r.Client)
	}
	p.send(codec.GoAway{Code: codec.CodeIdle})
	if m, err := p.receive(); err == nil {
		t.Errorf("got %+v, want the end", m)
	}
}

// Peers that can't get through the handshake: each is told, in the words that
// it understands, and none is kept for long.
func TestTLSAtTheDoor(t *testing.T) {
	s := startWith(t, func(s *site, c *ingest.Config) { s.overTLS(t, c); c.Handshake = 500 * time.Millisecond })
	stop := s.bystander(t)
	plain := s.raw(t)
	p := &peer{plain, t, bufio.NewReader(plain)}
	p.send(codec.Hello{Versions: []uint64{1}, Client: "x"})
	if g := p.wantAway(codec.CodeNotAllowed); !strings.Contains(g.Reason, "TLS") {
		t.Errorf("without TLS: got %+v", g)
	}
	stranger := s.client.Clone()
	stranger.Certificates = nil
	tc := tls.Client(s.raw(t), stranger)
	_ = tc.SetDeadline(time.Now().Add(5 * time.Second))
	_ = tc.Handshake()
	_, err := tc.Read(make([]byte, 1))
	if err == nil || !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("without a certificate: got %v, want an alert", err)
	}
	lateHello(t, s, stranger)
	for _, bytes := range []string{"", "\x16", "\x16\x03\x01\x40\x00\x01", "GET / HTTP/1.0\r\n\r\n", strings.Repeat("\x16\x03\x01\xff\xff", 1000)} {
		nc := s.raw(t)
		_, _ = nc.Write([]byte(bytes))
		_ = nc.SetReadDeadline(time.Now().Add(5 * time.Second))
		from := time.Now()
		for err = nil; err == nil; {
			_, err = nc.Read(make([]byte, 100))
		}
		if strings.Contains(err.Error(), "timeout") || time.Since(from) > 4*time.Second {
			t.Errorf("%.20q: kept for %v (%v)", bytes, time.Since(from), err)
		}
	}
	stop()
	if n := s.Stats().NoTLS; n < 5 {
		t.Errorf("%d failed handshakes were counted", n)
	}
}

// lateHello is a client whose part of the handshake is over before the host has
// said no: what it sends then must not keep the host's reason from it.
func lateHello(t *testing.T, s *site, stranger *tls.Config) {
	t.Helper()
	var err error
	for range 5 { // the host stays for two seconds, which a busy machine may need
		before := s.Stats().NoTLS
		tc := tls.Client(s.raw(t), stranger)
		_ = tc.SetDeadline(time.Now().Add(5 * time.Second))
		if err = tc.Handshake(); err != nil {
			continue
		}
		eventually(t, "the host says no", func() bool { return s.Stats().NoTLS > before })
		hello := frame(t, codec.Hello{Versions: []uint64{1}, Client: "x"})
		for range 3 { // the first is what a closed socket would answer with a reset
			if _, werr := tc.NetConn().Write(hello); werr != nil {
				err = werr
			}
			time.Sleep(20 * time.Millisecond)
		}
		if err != nil {
			continue
		}
		if _, err = tc.Read(make([]byte, 1)); strings.Contains(err.Error(), "certificate required") {
			return
		}
	}
	t.Errorf("the reason got lost: %v", err)
}

// Beyond the limit peers are told so inside TLS, too.
func TestTLSTooMany(t *testing.T) {
	s := startWith(t, func(s *site, c *ingest.Config) { s.overTLS(t, c); c.MaxConns = 2 })
	a, b := s.hello(t), s.hello(t)
	for range 5 {
		s.dial(t).wantAway(codec.CodeBusy)
	}
	for _, p := range []*peer{a, b} {
		p.send(submit(1, 1))
		if _, ok := p.want().(codec.Accepted); !ok {
			t.Fatal("not accepted")
		}
	}
}

// A client has a limit of its own, and so have those who haven't said hello:
// neither keeps others out.
func TestLimitsOfEach(t *testing.T) {
	s := start(t, func(c *ingest.Config) {
		c.MaxConns, c.MaxStrange = 20, 3
		c.Identify = identifyAs
	})
	greedy := []*peer{s.helloAs(t, "greedy"), s.helloAs(t, "greedy")}
	p := s.dial(t)
	p.send(codec.Hello{Versions: []uint64{1}, Client: "greedy"})
	if g := p.wantAway(codec.CodeBusy); !strings.Contains(g.Reason, "client greedy has 2 connections") {
		t.Errorf("got %+v", g)
	}
	s.helloAs(t, "other")
	greedy[0].Close()
	eventually(t, "a place is free", func() bool { return s.Stats().Open == 2 })
	s.helloAs(t, "greedy")

	silent := s.dial(t)
	for range 3 {
		s.dial(t)
	}
	if g := silent.wantAway(codec.CodeBusy); !strings.Contains(g.Reason, "haven't said who they are") {
		t.Errorf("got %+v", g)
	}
	greedy[1].send(submit(1, 1))
	if _, ok := greedy[1].want().(codec.Accepted); !ok {
		t.Error("not accepted")
	}
}

// The door being full of refused peers that don't go away doesn't keep a good
// one from its answers, and each of them is told why, but inside TLS.
func TestFullDoor(t *testing.T) {
	for name, secured := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			s := startWith(t, func(s *site, c *ingest.Config) {
				c.MaxPerAddr, c.Handshake = 2, 20*time.Second
				if secured {
					s.overTLS(t, c)
				}
			})
			first := s.hello(t)
			s.raw(t)
			var refused []net.Conn
			for range 140 {
				refused = append(refused, s.raw(t)) // silent: each lingers for two seconds
			}
			from := time.Now()
			first.send(submit(1, 1))
			if _, ok := first.want().(codec.Accepted); !ok || time.Since(from) > 2*time.Second {
				t.Errorf("took %v", time.Since(from))
			}
			if secured {
				eventually(t, "some got no words", func() bool { return s.Stats().Dropped > 0 })
				return
			}
			for _, nc := range refused {
				(&peer{nc, t, bufio.NewReader(nc)}).wantAway(codec.CodeBusy)
			}
			if n := s.Stats().Dropped; n != 0 {
				t.Errorf("%d got no words", n)
			}
		})
	}
}

// A connection's time ends: it is told to connect again, and nothing is lost.
func TestConnectionAge(t *testing.T) {
	s := start(t, func(c *ingest.Config) { c.MaxAge = 300 * time.Millisecond })
	p := s.hello(t)
	p.send(submit(1, 1))
	if _, ok := p.want().(codec.Accepted); !ok {
		t.Fatal("not accepted")
	}
	time.Sleep(350 * time.Millisecond)
	p.send(submit(2, 1))
	if g := p.wantAway(codec.CodeIdle); g.LastSeq != 1 {
		t.Errorf("got %+v", g)
	}
}

// byKey believes a token's name, and gives each client two connections.
func byKey(_ ingest.Peer, m codec.Message) (ingest.Peer, error) {
	if codec.AuthOf(m) == nil {
		return ingest.Peer{}, &ingest.Refusal{Code: codec.CodeNotAllowed, Reason: "a token is wanted"}
	}
	return ingest.Peer{Name: codec.AuthOf(m).Key, Conns: 2}, nil
}

// signed is a job with a token of a client.
func signed(seq uint64, client string) codec.Submit {
	m := submit(seq, 1)
	m.Auth = &codec.Auth{Key: client, MAC: strings.Repeat("0", 64), Time: 1, Nonce: strings.Repeat("0", 16)}
	return m
}

// Where tokens alone say who is there, whoever only says HELLO is a stranger
// still: it doesn't keep others out, and not for long. Who has signed a request
// is one of its client's connections, as many as that may have.
func TestUnproven(t *testing.T) {
	s := start(t, func(c *ingest.Config) {
		c.MaxConns, c.MaxStrange, c.Handshake = 20, 3, time.Minute
		c.Identify = func(net.Conn, codec.Hello) (ingest.Peer, error) { return ingest.Peer{Unproven: true}, nil }
		c.Authenticate = byKey
	})
	prove := func(p *peer, client string) {
		t.Helper()
		p.send(signed(1, client))
		if _, ok := p.want().(codec.Accepted); !ok {
			t.Fatal("not accepted")
		}
	}
	first, second := s.hello(t), s.hello(t)
	prove(first, "batch")
	prove(second, "batch")
	third := s.hello(t)
	third.send(signed(1, "batch"))
	if r := third.wantRefused(1, codec.CodeBusy); !strings.Contains(r.Reason, "client batch has 2 connections") {
		t.Errorf("got %+v", r)
	}
	prove(s.hello(t), "other")
	wrong := s.hello(t)
	wrong.send(submit(1, 1))
	wrong.wantRefused(1, codec.CodeNotAllowed)
	first.Close()
	eventually(t, "a place is free", func() bool { return s.Stats().Open == 4 })
	third.send(signed(2, "batch"))
	if _, ok := third.want().(codec.Accepted); !ok {
		t.Error("not accepted, though a place is free")
	}
	// The first of those who only say HELLO makes way, nobody else does.
	for range 3 {
		s.hello(t)
	}
	wrong.wantAway(codec.CodeBusy)
	second.send(signed(2, "batch"))
	if _, ok := second.want().(codec.Accepted); !ok {
		t.Error("not accepted")
	}
}

// However many strangers hold the door, who comes and says who it is gets in: the
// one that has been a stranger for longest makes way.
func TestCrowdedDoor(t *testing.T) {
	for name, secured := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			s := startWith(t, func(s *site, c *ingest.Config) {
				c.MaxConns, c.MaxStrange, c.Handshake = 300, 20, time.Minute
				if secured {
					s.overTLS(t, c)
				}
			})
			good := s.hello(t)
			for range 100 {
				s.raw(t)
			}
			late := s.hello(t)
			for _, p := range []*peer{good, late} {
				p.send(submit(1, 1))
				if _, ok := p.want().(codec.Accepted); !ok {
					t.Error("not accepted")
				}
			}
			eventually(t, "those who made way are gone", func() bool { return s.Stats().Open <= 22 })
		})
	}
}

// A stranger that goes on asking has no more time than one that is silent; who has
// said who it is stays.
func TestUnprovenTime(t *testing.T) {
	s := start(t, func(c *ingest.Config) {
		c.Handshake = 2 * time.Second
		c.Identify = func(net.Conn, codec.Hello) (ingest.Peer, error) { return ingest.Peer{Unproven: true}, nil }
		c.Authenticate = byKey
	})
	stays := s.hello(t)
	stays.send(signed(1, "batch"))
	stays.want()
	if g := s.hello(t).wantAway(codec.CodeTimeout); !strings.Contains(g.Reason, "who this is") {
		t.Errorf("silent: got %+v", g)
	}
	stays.send(signed(2, "batch"))
	if _, ok := stays.want().(codec.Accepted); !ok {
		t.Error("who has said who it is was let go, too")
	}
	p := s.hello(t)
	for seq := uint64(1); seq < 1000; seq++ {
		if _, err := p.Write(frame(t, submit(seq, 1))); err != nil {
			t.Fatalf("%d: ended without a word: %v", seq, err)
		}
		if g, ok := p.want().(codec.GoAway); ok {
			if g.Code != codec.CodeTimeout {
				t.Errorf("got %+v", g)
			}
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("never let go")
}

// Admit and Authenticate decide, and the digest is that of what was sent.
func TestAdmit(t *testing.T) {
	s := start(t, func(c *ingest.Config) {
		c.Features = []string{"token", "types"}
		c.Authenticate = byKey
		c.Admit = func(client string, job codec.Job, _ time.Time) (codec.Job, error) {
			if job.Type == "slow" {
				return job, &ingest.Refusal{Code: codec.CodeBusy, Reason: "later", RetryAfter: 7 * time.Second}
			}
			return codec.Job{Name: job.Name, Command: []string{"/bin/" + client}}, nil
		}
	})
	p := s.hello(t)
	sub := codec.Submit{Seq: 1, ID: newID(), Job: codec.Job{Name: "j", Type: "t"}}
	p.send(sub)
	p.wantRefused(1, codec.CodeNotAllowed)
	p.send(codec.Query{Seq: 2, ID: sub.ID})
	p.wantRefused(2, codec.CodeNotAllowed)
	auth := &codec.Auth{Key: "nightly", MAC: strings.Repeat("0", 64), Time: 1, Nonce: strings.Repeat("0", 16)}
	sub.Seq, sub.Auth = 3, auth
	p.send(sub)
	if _, ok := p.want().(codec.Accepted); !ok {
		t.Fatal("not accepted")
	}
	if r, _ := s.b.get(sub.ID); r.Client != "nightly" || r.Digest != codec.Digest(sub.Job) || r.Job.Type != "" || r.Job.Command[0] != "/bin/nightly" {
		t.Errorf("got %+v", r)
	}
	sub.Seq, sub.ID, sub.Job.Type = 4, newID(), "slow"
	p.send(sub)
	if r := p.wantRefused(4, codec.CodeBusy); r.RetryAfterMS != 7000 {
		t.Errorf("got %+v", r)
	}
}
