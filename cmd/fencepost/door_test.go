package main

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fencepost/cmd/fencepost/access"
	"fencepost/cmd/fencepost/secure"
	"fencepost/codec"
)

// Where tokens are wanted nobody is known before a signature, and then by its name
// and with its own limits.
func TestDoorTokens(t *testing.T) {
	const id, spoolID, secret = "01902d5a-7b3c-7def-8123-456789abcdef", "0190aaaa-0000-7000-8000-000000000000", "00112233445566778899aabbccddeeff"
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte("batch "+secret+"\ngone "+secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := &door{strict: true, now: time.Now}
	o.policy = &access.Policy{Rules: map[string]access.Rule{"batch": {Scripts: true, Conns: 3}, "gone": {Scripts: true, Shut: true}}}
	var err error
	if o.tokens, err = secure.NewTokens(secure.TokenConfig{File: file, Spool: spoolID, Skew: time.Minute, Now: time.Now}); err != nil {
		t.Fatal(err)
	}
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	for what, nc := range map[string]net.Conn{"plain": server, "TLS": tls.Server(server, &tls.Config{})} {
		p, err := o.identify(nc, codec.Hello{Client: "batch"})
		if err != nil || !p.Unproven || p.Verified {
			t.Fatalf("%s: got %+v, %v: HELLO is no proof", what, p, err)
		}
		for name, says := range map[string]string{"batch": "", "gone": "may do nothing", "nobody": "not known here"} {
			m := secure.Token{Name: name, Secret: secret}.Sign(codec.Query{Seq: 1, ID: id}, spoolID, time.Now())
			who, err := o.authenticate(p, m)
			if says == "" && (err != nil || who.Name != "batch" || who.Conns != 3) || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
				t.Errorf("%s, %s: got %+v, %v, want %q", what, name, who, err, says)
			}
		}
		if _, err := o.authenticate(p, codec.Query{Seq: 1, ID: id}); err == nil {
			t.Errorf("%s: without a token: taken", what)
		}
	}
}
