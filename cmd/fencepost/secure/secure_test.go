package secure_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"fencepost/cmd/fencepost/secure"
	"fencepost/cmd/fencepost/secure/securetest"
)

// shake does a handshake of both ends and returns the client's name as the
// server sees it.
func shake(t *testing.T, server, client *tls.Config) (name string, err error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	b, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	a, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	defer b.Close()
	_ = a.SetDeadline(time.Now().Add(10 * time.Second))
	_ = b.SetDeadline(time.Now().Add(10 * time.Second))
	var wg sync.WaitGroup
	var cerr error
	wg.Go(func() {
		c := client.Clone()
		c.ServerName = "127.0.0.1"
		tc := tls.Client(b, c)
		if cerr = tc.Handshake(); cerr == nil {
			_, cerr = tc.Read(make([]byte, 1)) // the server's word on our certificate
			if errors.Is(cerr, io.EOF) {
				cerr = nil
			}
		}
		b.Close()
	})
	tc := tls.Server(a, server)
	err = tc.Handshake()
	if err == nil {
		name, _, err = secure.PeerName(tc.ConnectionState())
		_ = tc.CloseWrite()
	}
	a.Close()
	wg.Wait()
	return name, errors.Join(err, cerr)
}

func mustServer(t *testing.T, f secure.Files) *tls.Config {
	t.Helper()
	c, err := secure.Server(f)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustClient(t *testing.T, f secure.Files) *tls.Config {
	t.Helper()
	c, err := secure.Client(f)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMutualTLS(t *testing.T) {
	hosts, clients, others := securetest.New(t, "hosts"), securetest.New(t, "clients"), securetest.New(t, "others")
	hostCert, hostKey := hosts.Issue("host-a", nil)
	good := func(f secure.Files) secure.Files { f.CA = []string{hosts.File}; return f }
	issue := func(ca *securetest.CA, name string, change func(*x509.Certificate)) secure.Files {
		cert, key := ca.Issue(name, change)
		return good(secure.Files{Cert: cert, Key: key})
	}
	server := secure.Files{Cert: hostCert, Key: hostKey, CA: []string{clients.File}, Require: true}
	optional := server
	optional.Require = false
	for _, c := range []struct {
		name   string
		server secure.Files
		client secure.Files
		want   string // client's name
		err    string
	}{
		{"good", server, issue(clients, "nightly", nil), "nightly", ""},
		{"none, required", server, good(secure.Files{}), "", "certificate"},
		{"none, optional", optional, good(secure.Files{}), "", ""},
		{"another CA", server, issue(others, "nightly", nil), "", "certificate"},
		{"another CA, optional", optional, issue(others, "nightly", nil), "", ""}, // it isn't even shown: the host names its CAs
		{"expired", server, issue(clients, "nightly", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) }), "", "ended"},
		{"ends soon, warned of", server, issue(clients, "nightly", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(time.Hour) }), "nightly", ""},
		{"not yet", server, issue(clients, "nightly", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }), "", "certificate"},
		{"for servers only", server, issue(clients, "nightly", func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}), "", "certificate"},
		{"an address for a name", server, issue(clients, "127.0.0.1", nil), "", "can't be a client's name"},
		{"a line break in its name", server, issue(clients, "a\nb", nil), "", "can't be a client's name"},
		{"no name", server, issue(clients, "", nil), "", "can't be a client's name"},
		{"a host that isn't ours", secure.Files{Cert: issue(others, "host-a", nil).Cert, Key: "", CA: nil}, good(secure.Files{}), "", "authority"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.server.Key == "" {
				c.server.Key = strings.TrimSuffix(c.server.Cert, ".pem") + ".key"
			}
			conf, err := secure.Client(c.client)
			name := ""
			if err == nil {
				name, err = shake(t, mustServer(t, c.server), conf)
			}
			if name != c.want || (c.err == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("got %q, %v, want %q, %q", name, err, c.want, c.err)
			}
		})
	}
}

// Only TLS 1.3, and only our protocol.
func TestOldTLS(t *testing.T) {
	ca := securetest.New(t, "ca")
	cert, key := ca.Issue("a", nil)
	server := mustServer(t, secure.Files{Cert: cert, Key: key})
	for name, change := range map[string]func(*tls.Config){
		"1.2":           func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 },
		"another proto": func(c *tls.Config) { c.NextProtos = []string{"h2"} },
	} {
		c := mustClient(t, secure.Files{CA: []string{ca.File}})
		change(c)
		if _, err := shake(t, server, c); err == nil {
			t.Errorf("%s: got through", name)
		}
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A new certificate, and CAs that overlap: the old and the new client come
// through while both are there, then the new one alone. Nonsense changes nothing.
func TestReload(t *testing.T) {
	hosts, before, after := securetest.New(t, "hosts"), securetest.New(t, "before"), securetest.New(t, "after")
	dir := t.TempDir()
	cert, key, ca := filepath.Join(dir, "cert"), filepath.Join(dir, "key"), filepath.Join(dir, "ca")
	install := func(name string) {
		c, k := hosts.Issue(name, nil)
		copyFile(t, c, cert)
		copyFile(t, k, key)
	}
	install("one")
	copyFile(t, before.File, ca)
	var warned []string
	server := mustServer(t, secure.Files{Cert: cert, Key: key, CA: []string{ca}, Require: true,
		Warn: func(err error) { warned = append(warned, err.Error()) }})
	client := func(ca *securetest.CA, name string) *tls.Config {
		c, k := ca.Issue(name, nil)
		return mustClient(t, secure.Files{Cert: c, Key: k, CA: []string{hosts.File}})
	}
	old, new := client(before, "old"), client(after, "new")
	step := func(what string, oldOK, newOK bool) {
		t.Helper()
		for _, c := range []struct {
			conf *tls.Config
			ok   bool
			name string
		}{{old, oldOK, "old"}, {new, newOK, "new"}} {
			if name, err := shake(t, server, c.conf); (err == nil) != c.ok || c.ok && name != c.name {
				t.Errorf("%s: client %s: got %q, %v, want ok %v", what, c.name, name, err, c.ok)
			}
		}
	}
	step("one CA", true, false)
	both, err := os.ReadFile(before.File)
	if err == nil {
		var more []byte
		more, err = os.ReadFile(after.File)
		both = append(both, more...)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ca, both, 0o600); err != nil {
		t.Fatal(err)
	}
	install("two")
	step("both CAs", true, true)
	var seen string
	spy := new.Clone()
	spy.VerifyConnection = func(st tls.ConnectionState) error { seen = st.PeerCertificates[0].Subject.CommonName; return nil }
	if _, err := shake(t, server, spy); err != nil || seen != "two" {
		t.Errorf("the host's certificate is %q (%v), want the new one", seen, err)
	}
	if len(warned) > 0 {
		t.Errorf("warned: %q", warned)
	}
	if err := os.WriteFile(ca, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	step("nonsense", true, true)
	step("nonsense again", true, true)
	if len(warned) != 1 || !strings.Contains(warned[0], "stays in force") {
		t.Errorf("warned: %q, want one warning", warned)
	}
	copyFile(t, after.File, ca)
	step("the new CA", false, true)
}

// A certificate that runs out while the host runs is warned of, once a day, though
// its file never changes; and a new key that others may read isn't taken.
func TestExpiryLater(t *testing.T) {
	hosts := securetest.New(t, "hosts")
	cert, key := hosts.Issue("a", nil) // for 30 days
	now := time.Now()
	var warned []string
	server := mustServer(t, secure.Files{Cert: cert, Key: key, Warn: func(err error) { warned = append(warned, err.Error()) },
		Now: func() time.Time { return now }})
	client := mustClient(t, secure.Files{CA: []string{hosts.File}})
	for day, want := range map[int]string{10: "", 17: "in 12 days", 29: "in 0 days", 31: "ended at"} {
		warned, now = nil, time.Now().Add(time.Duration(day)*24*time.Hour)
		for range 3 {
			if _, err := shake(t, server, client); err != nil {
				t.Errorf("day %d: %v", day, err)
			}
		}
		if want == "" && len(warned) > 0 || want != "" && (len(warned) != 1 || !strings.Contains(warned[0], want)) {
			t.Errorf("day %d: warned %q, want %q once", day, warned, want)
		}
	}
	now, warned = time.Now(), nil
	c2, k2 := hosts.Issue("b", nil)
	copyFile(t, c2, cert)
	copyFile(t, k2, key)
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	var seen string
	spy := client.Clone()
	spy.VerifyConnection = func(st tls.ConnectionState) error { seen = st.PeerCertificates[0].Subject.CommonName; return nil }
	if _, err := shake(t, server, spy); err != nil || seen != "a" || len(warned) != 1 || !strings.Contains(warned[0], "chmod 600") {
		t.Errorf("a key that all may read: got %q, %v, warned %q", seen, err, warned)
	}
}

func TestFilesAtTheStart(t *testing.T) {
	ca := securetest.New(t, "ca")
	cert, key := ca.Issue("a", nil)
	_, otherKey := ca.Issue("b", nil)
	open := filepath.Join(t.TempDir(), "open.key")
	copyFile(t, key, open)
	if err := os.Chmod(open, 0o640); err != nil {
		t.Fatal(err)
	}
	shortCert, shortKey := ca.Issue("a", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(time.Hour) })
	var warned error
	if _, err := secure.Server(secure.Files{Cert: shortCert, Key: shortKey, Warn: func(err error) { warned = err }}); err != nil || warned == nil {
		t.Errorf("a certificate for an hour: got %v, warned %v", err, warned)
	}
	for _, c := range []struct{ cert, key, ca, want string }{
		{cert, key, ca.File, ""},
		{cert, otherKey, ca.File, "match"},
		{cert, open, ca.File, "chmod 600"},
		{cert, key + "x", ca.File, "no such file"},
		{cert, key, key, "holds no certificate"},
		{cert, key, filepath.Dir(key), "not a regular file"},
	} {
		_, err := secure.Server(secure.Files{Cert: c.cert, Key: c.key, CA: []string{c.ca}})
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v", c, err)
		}
	}
}
