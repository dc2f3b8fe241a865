package client_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fencepost/cmd/fencepost/client"
	"fencepost/cmd/fencepost/ingest"
	"fencepost/cmd/fencepost/secure"
	"fencepost/cmd/fencepost/secure/securetest"
	"fencepost/codec"
)

// TestTLS: a job gets through with a right certificate; what is wrong with one,
// on either side, is said at once and not tried for a minute.
func TestTLS(t *testing.T) {
	hosts, clients, others := securetest.New(t, "hosts"), securetest.New(t, "clients"), securetest.New(t, "others")
	cert, key := hosts.Issue("a", nil)
	server, err := secure.Server(secure.Files{Cert: cert, Key: key, CA: []string{clients.File}, Require: true, Reload: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	st := newStore()
	var seen string
	a := st.serve(t, "a", func(c *ingest.Config) {
		c.TLS, c.Features = server, []string{"token", "types"}
		c.Identify = func(nc net.Conn, _ codec.Hello) (ingest.Peer, error) {
			name, _, err := secure.PeerName(nc.(*tls.Conn).ConnectionState())
			return ingest.Peer{Name: name, Verified: true}, err
		}
		c.Authenticate = func(p ingest.Peer, m codec.Message) (ingest.Peer, error) {
			if auth := codec.AuthOf(m); auth != nil {
				seen = auth.Key
			}
			return p, nil
		}
	})
	files := func(ca *securetest.CA, from *securetest.CA) secure.Files {
		f := secure.Files{CA: []string{ca.File}}
		if from != nil {
			f.Cert, f.Key = from.Issue("nightly", nil)
		}
		return f
	}
	for _, c := range []struct {
		what string
		conf *secure.Files
		name string // of the server
		says string
	}{
		{"good", ptr(files(hosts, clients)), "", ""},
		{"no certificate", ptr(files(hosts, nil)), "", "certificate required"},
		{"another CA's", ptr(files(hosts, others)), "", "certificate required"},
		{"a host of another CA", ptr(files(others, clients)), "", "unknown authority"},
		{"a host of another name", ptr(files(hosts, clients)), "elsewhere", "elsewhere"},
		{"no TLS", nil, "", "speaks TLS"},
	} {
		cl := newClient(t, func(cfg *client.Config) {
			cfg.Token = &secure.Token{Name: "nightly", Secret: strings.Repeat("x", 32)}
			if c.conf != nil {
				var err error
				if cfg.TLS, err = secure.Client(*c.conf); err != nil {
					t.Fatal(err)
				}
				cfg.TLS.ServerName = c.name
			}
		}, a.addr)
		_, err := cl.Send(context.Background(), "", job("x"))
		var refused *client.RefusedError
		switch {
		case c.says == "" && (err != nil || seen != "nightly"):
			t.Errorf("%s: got %v, signed by %q", c.what, err, seen)
		case c.says != "" && (!errors.As(err, &refused) || refused.Code != codec.CodeNotAllowed || !strings.Contains(refused.Reason, c.says)):
			t.Errorf("%s: got %v, want a refusal: %s", c.what, err, c.says)
		}
	}
}

// A host's own trouble with TLS is no refusal: it is asked again.
func TestTLSTrouble(t *testing.T) {
	hosts := securetest.New(t, "hosts")
	cert, key := hosts.Issue("a", nil)
	server, err := secure.Server(secure.Files{Cert: cert, Key: key, Reload: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	var tries atomic.Int32
	a := newStore().serve(t, "a", func(c *ingest.Config) {
		c.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			if tries.Add(1) == 1 {
				return nil, errors.New("no memory")
			}
			return server.GetConfigForClient(nil)
		}}
	})
	c := newClient(t, func(cfg *client.Config) {
		if cfg.TLS, err = secure.Client(secure.Files{CA: []string{hosts.File}}); err != nil {
			t.Fatal(err)
		}
	}, a.addr)
	if r, err := c.Send(context.Background(), "", job("x")); err != nil || r.Tries != 2 {
		t.Errorf("got %+v, %v", r, err)
	}
}

func ptr[T any](v T) *T { return &v }

// A host that names neither feature gets neither signatures nor types.
func TestOldHost(t *testing.T) {
	st := newStore()
	signed := false
	a := st.serve(t, "a", func(c *ingest.Config) {
		c.Authenticate = func(p ingest.Peer, m codec.Message) (ingest.Peer, error) {
			signed = signed || codec.AuthOf(m) != nil
			return p, nil
		}
	})
	c := newClient(t, func(cfg *client.Config) { cfg.Token = &secure.Token{Name: "n", Secret: strings.Repeat("x", 32)} }, a.addr)
	if _, err := c.Send(context.Background(), "", job("x")); err != nil || signed {
		t.Errorf("got %v, signed %v", err, signed)
	}
	var refused *client.RefusedError
	if _, err := c.Send(context.Background(), "", codec.Job{Name: "x", Type: "t"}); !errors.As(err, &refused) || !strings.Contains(refused.Reason, "no job types") {
		t.Errorf("a type: got %v", err)
	}
}
