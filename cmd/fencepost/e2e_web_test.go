package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fencepost/cmd/fencepost/secure"
	"fencepost/cmd/fencepost/secure/securetest"
)

// A daemon with a status page says where it is, to who started it and to the
// other hosts; the page has the job that just went through.
func TestStatusPage(t *testing.T) {
	s := newSite(t, []string{"a"})
	p := s.start("a", "--http", "127.0.0.1:0")
	var doc struct {
		Hosts []struct{ HTTP string }
	}
	if err := json.Unmarshal([]byte(s.run(0, "hosts", "--json", "--spool", s.spool)), &doc); err != nil || len(doc.Hosts) != 1 {
		t.Fatalf("hosts: got %+v, %v", doc, err)
	}
	base := "http://" + doc.Hosts[0].HTTP
	client := http.Client{Timeout: 20 * time.Second}
	get := func(path string) (int, string) {
		resp, err := client.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(data)
	}
	for _, path := range []string{"/readyz", "/healthz"} {
		if code, body := get(path); code != http.StatusOK {
			t.Errorf("%s: got %d %s", path, code, body)
		}
	}
	file := filepath.Join(s.dir, "web.json")
	if err := os.WriteFile(file, []byte(`{"name":"web","script":"#!/bin/sh\ntrue\n"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	id := strings.TrimSpace(s.run(0, "send", "--wait", "--to", p.addr, file))
	if code, body := get("/jobs/" + id); code != http.StatusOK || !strings.Contains(body, "accepted") || !strings.Contains(body, "done by") {
		t.Errorf("job page: got %d\n%s", code, body)
	}
	if code, body := get("/metrics"); code != http.StatusOK || !strings.Contains(body, `fencepost_claims_total{result="won",stage="submit"} 1`) ||
		!strings.Contains(body, `fencepost_file_operation_seconds_count{op="heartbeat",result="ok"}`) {
		t.Errorf("metrics: got %d\n%s", code, body)
	}
	// Nobody is let in from elsewhere by mistake.
	if _, stderr, code := s.try("serve", "--spool", s.spool, "--host", "a", "--http", "0.0.0.0:0"); code != 2 || !strings.Contains(stderr, "http_token_file") {
		t.Errorf("open page: got exit %d, %s, want 2", code, stderr)
	}
}

// A page that other machines can reach, kept by certificates: who shows one of the
// right CA reads it, over TLS; who shows none doesn't.
func TestStatusPageWithCertificates(t *testing.T) {
	s := newSite(t, []string{"a"})
	hosts, viewers := securetest.New(t, "hosts"), securetest.New(t, "viewers")
	cert, key := hosts.Issue("a", nil)
	conf := s.file("page.toml", fmt.Sprintf("http = \"0.0.0.0:0\"\nhttp_client_ca = [%q]\nrun_as_root = true\n[tls]\ncert = %q\nkey = %q\n", viewers.File, cert, key))
	s.start("a", "--config", conf)
	var doc struct {
		Hosts []struct{ HTTP string }
	}
	if err := json.Unmarshal([]byte(s.run(0, "hosts", "--json", "--spool", s.spool)), &doc); err != nil || len(doc.Hosts) != 1 {
		t.Fatalf("hosts: got %+v, %v", doc, err)
	}
	_, port, err := net.SplitHostPort(doc.Hosts[0].HTTP)
	if err != nil {
		t.Fatal(err)
	}
	withCert := secure.Files{CA: []string{hosts.File}}
	withCert.Cert, withCert.Key = viewers.Issue("ops", nil)
	for _, c := range []struct {
		files secure.Files
		want  int
	}{{withCert, http.StatusOK}, {secure.Files{CA: []string{hosts.File}}, http.StatusForbidden}} {
		tc, err := secure.Client(c.files)
		if err != nil {
			t.Fatal(err)
		}
		tc.NextProtos = []string{"http/1.1"}
		tr := &http.Transport{TLSClientConfig: tc}
		client := http.Client{Transport: tr, Timeout: 20 * time.Second}
		resp, err := client.Get("https://127.0.0.1:" + port + "/api/v1/status")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		tr.CloseIdleConnections()
		if resp.StatusCode != c.want {
			t.Errorf("with %q: got %d, want %d", c.files.Cert, resp.StatusCode, c.want)
		}
	}
}
