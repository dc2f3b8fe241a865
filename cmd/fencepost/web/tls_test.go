package web_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"fencepost/cmd/fencepost/secure"
	"fencepost/cmd/fencepost/secure/securetest"
	"fencepost/cmd/fencepost/web"
)

// secured serves pages over TLS, to viewers with a certificate of ca.
func secured(t *testing.T, hosts, ca *securetest.CA, token string) string {
	t.Helper()
	cert, key := hosts.Issue("host-a", nil)
	conf, err := secure.Server(secure.Files{Cert: cert, Key: key, CA: []string{ca.File}, Protocol: "http/1.1"})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := web.New(web.Config{Source: newSource(), TLS: conf, Certificates: true, Token: token, Limit: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	return "https://" + ln.Addr().String()
}

// viewer is a client that knows the hosts' CA, with a certificate of ca if there
// is one.
func viewer(t *testing.T, hosts, ca *securetest.CA) *http.Client {
	t.Helper()
	f := secure.Files{CA: []string{hosts.File}}
	if ca != nil {
		f.Cert, f.Key = ca.Issue("ops", nil)
	}
	conf, err := secure.Client(f)
	if err != nil {
		t.Fatal(err)
	}
	conf.NextProtos = []string{"http/1.1"}
	tr := &http.Transport{TLSClientConfig: conf}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

// With client certificates a viewer shows one of the right CA, or the token if
// there is one; whether the host lives everybody may ask; plain HTTP gets nothing.
func TestCertificates(t *testing.T) {
	hosts, ops, others := securetest.New(t, "hosts"), securetest.New(t, "ops"), securetest.New(t, "others")
	const token = "correct-horse-battery"
	alone, both := secured(t, hosts, ops, ""), secured(t, hosts, ops, token)
	for _, c := range []struct {
		name, url string
		client    *http.Client
		token     string
		want      int
	}{
		{"with a certificate", alone + "/", viewer(t, hosts, ops), "", 200},
		{"without", alone + "/", viewer(t, hosts, nil), "", 403},
		{"metrics without", alone + "/metrics", viewer(t, hosts, nil), "", 403},
		{"events without", alone + "/api/v1/events", viewer(t, hosts, nil), "", 403},
		{"of another CA", alone + "/", viewer(t, hosts, others), "", 403}, // it isn't shown: the host names its CAs
		{"does it live", alone + "/healthz", viewer(t, hosts, nil), "", 200},
		{"a token that isn't asked for", alone + "/", viewer(t, hosts, nil), token, 403},
		{"with a certificate, no token", both + "/", viewer(t, hosts, ops), "", 200},
		{"without, with the token", both + "/metrics", viewer(t, hosts, nil), token, 200},
		{"without either", both + "/", viewer(t, hosts, nil), "", 401},
		{"plain HTTP", strings.Replace(alone, "https", "http", 1) + "/", &http.Client{Timeout: 20 * time.Second}, "", 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			req, err := http.NewRequest(http.MethodGet, c.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.token != "" {
				req.Header.Set("Authorization", "Bearer "+c.token)
			}
			resp, err := c.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != c.want {
				t.Errorf("got %d, want %d", resp.StatusCode, c.want)
			}
		})
	}
	// A certificate is read from the handshake alone.
	conf := &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12} //nolint:gosec // to see it refused
	if conn, err := tls.Dial("tcp", strings.TrimPrefix(alone, "https://"), conf); err == nil {
		conn.Close()
		t.Error("TLS 1.2 got through")
	}
}
