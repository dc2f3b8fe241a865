package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fencepost/cmd/fencepost/ingest"
	"fencepost/cmd/fencepost/node"
	"fencepost/cmd/fencepost/web"
	"fencepost/lease"
	"fencepost/spool"
	"fencepost/spool/env"
	"fencepost/spool/vfs"
)

// newWebSite is a status page's source on a spool that nobody works on.
func newWebSite(t testing.TB, dir string) *webSite {
	t.Helper()
	fs, err := vfs.OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	e := env.NewReal(fs)
	sp, err := spool.Open(e)
	if err != nil {
		t.Fatal(err)
	}
	id := lease.Identity{Host: "a", Version: "test"}
	n := node.New(node.Config{Env: e, Spool: sp, Identity: id})
	return &webSite{share: &share{Spool: sp, Dir: dir}, node: n, id: id, ttl: 10 * time.Millisecond, ingest: func() *ingest.Stats { return nil },
		digest: func() string { return id.ConfigDigest }}
}

// body gets a page of a handler.
func body(t testing.TB, h http.Handler, path string) string {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "http://localhost"+path, nil)
	h.ServeHTTP(w, r)
	text, err := io.ReadAll(w.Body)
	if err != nil || w.Code != http.StatusOK {
		t.Fatalf("%s: got %d %v\n%s", path, w.Code, err, text)
	}
	return string(text)
}

// The page says what the commands print: the same keys, and of a spool that
// stands still the same values.
func TestWebSaysWhatCommandsPrint(t *testing.T) {
	sample := t.TempDir()
	if err := unpack(sample); err != nil {
		t.Fatal(err)
	}
	if code := run(context.Background(), quiet(), []string{"init", "--no-enroll", "--spool", sample}); code != exitOK {
		t.Fatalf("init: got exit %d", code)
	}
	srv, err := web.New(web.Config{Source: newWebSite(t, sample)})
	if err != nil {
		t.Fatal(err)
	}
	const job = "01900000-0000-7000-8000-00000000001c"
	for path, args := range map[string][]string{"/api/v1/status": {"status"}, "/api/v1/hosts": {"hosts"}, "/api/v1/intruders": {"intruders"},
		"/api/v1/jobs": {"jobs"}, "/api/v1/jobs/" + job: {"trace", job}, "/api/v1/jobs/" + job + "/why": {"why", job}, "/api/v1/audit": {"audit", "--wait", "10ms"}} {
		_, want, stderr := inProcess(t, newGlobals(), append(args, "--json", "--spool", sample)...)
		if stderr != "" && want == "" {
			t.Fatal(stderr)
		}
		if got := body(t, srv.Handler(), path); withoutAges(got) != withoutAges(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
		}
	}
	for _, path := range []string{"/", "/jobs", "/jobs/" + job, "/audit", "/intruders", "/live", "/metrics"} {
		body(t, srv.Handler(), path)
	}
	// Its records are removed: the journals know it still.
	if err := errors.Join(os.Remove(filepath.Join(sample, spool.GatePath(job))),
		os.WriteFile(filepath.Join(sample, spool.DirRetention, "closed~"+spool.Bucket(job)), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if srv, err = web.New(web.Config{Source: newWebSite(t, sample)}); err != nil { // one that hasn't looked yet
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/jobs/" + job: "Its records were removed", "/api/v1/jobs/" + job + "/why": `"state": "removed"`} {
		if got := body(t, srv.Handler(), path); !strings.Contains(got, want) {
			t.Errorf("%s: no %q in\n%s", path, want, got)
		}
	}
}

// The page's TLS needs the host's certificate; off loopback something has to keep
// strangers out, and certificates do.
func TestPageTLSSettings(t *testing.T) {
	dir := t.TempDir()
	for toml, want := range map[string]string{
		"http = \"0.0.0.0:0\"":                                "http_client_ca",
		"http = \"0.0.0.0:0\"\nhttp_client_ca = [\"ca.pem\"]": "needs tls.cert and tls.key",
		"http = \"127.0.0.1:0\"\nhttp_tls = true":             "needs tls.cert and tls.key",
		"http = \"0.0.0.0:0\"\nhttp_client_ca = [\"ca.pem\"]\n[tls]\ncert = \"c.pem\"\nkey = \"k.pem\"": "",
	} {
		file := filepath.Join(dir, "c.toml")
		if err := os.WriteFile(file, []byte(toml), 0o600); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := inProcess(t, newGlobals(), "config", "check", "--config", file)
		if (want == "") != (code == exitOK) || !strings.Contains(stderr, want) {
			t.Errorf("%q: got exit %d, %s, want %q", toml, code, stderr, want)
		}
	}
}

// withoutAges leaves out what depends on the moment: ages, and hosts that may
// have been looked at for longer.
func withoutAges(doc string) string {
	var out []string
	for _, line := range strings.Split(strings.TrimSpace(doc), "\n") {
		if !strings.Contains(line, "_age_") && !strings.Contains(line, "oldest_seconds") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

func TestToken(t *testing.T) {
	dir := t.TempDir()
	for i, c := range []struct {
		text string
		mode os.FileMode
		ok   bool
	}{{"0123456789abcdef\n", 0o600, true}, {"0123456789abcdef", 0o640, true}, {"0123456789abcdef", 0o644, false}, {"short", 0o600, false},
		{"0123456789abcdef\n0123456789abcdef\n", 0o600, false}} {
		file := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(file, []byte(c.text), c.mode); err != nil {
			t.Fatal(err)
		}
		if token, err := readToken(file); (err == nil) != c.ok || c.ok && token != "0123456789abcdef" {
			t.Errorf("%q %o: got %q, %v, want ok %t", c.text, c.mode, token, err, c.ok)
		}
	}
	if _, err := readToken(filepath.Join(dir, "none")); err == nil {
		t.Error("a missing file is no token")
	}
}

// BenchmarkOverview renders the overview, look included, on a spool with
// 100,000 files: half at the gate, half done or waiting. It must take less than
// a second; floor lists the same directories.
func BenchmarkOverview(b *testing.B) {
	const jobs = 50_000
	dir := b.TempDir()
	if code := run(context.Background(), quiet(), []string{"init", "--no-enroll", "--spool", dir}); code != exitOK {
		b.Fatalf("init: got exit %d", code)
	}
	for i := range jobs {
		id := fmt.Sprintf("0190%04x-%04x-7000-8000-%012x", i/256, i%256, i)
		gate := filepath.Join(dir, spool.GatePath(id))
		place := filepath.Join(dir, "json", id+".json")
		if i%4 > 0 {
			place = filepath.Join(dir, spool.DirDone, spool.Bucket(id), fmt.Sprintf("submit~a~1.%d~%s=%d.json", i+1, id, i))
		}
		for _, f := range []string{gate, place} {
			if err := os.MkdirAll(filepath.Dir(f), 0o750); err != nil {
				b.Fatal(err)
			}
			if err := os.WriteFile(f, nil, 0o600); err != nil {
				b.Fatal(err)
			}
		}
	}
	site := newWebSite(b, dir)
	b.Run("page", func(b *testing.B) {
		for b.Loop() {
			srv, err := web.New(web.Config{Source: site, Limit: 30 * time.Second, AuditEvery: time.Hour})
			if err != nil {
				b.Fatal(err)
			}
			w := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodGet, "http://localhost/api/v1/status", nil)
			srv.Handler().ServeHTTP(w, r)
			if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), fmt.Sprintf(`"accepted": %d`, jobs)) {
				b.Fatalf("got %d\n%s", w.Code, w.Body)
			}
		}
	})
	b.Run("floor", func(b *testing.B) {
		for b.Loop() {
			n := 0
			err := filepath.WalkDir(dir, func(string, os.DirEntry, error) error { n++; return nil })
			if err != nil || n < 2*jobs {
				b.Fatal(n, err)
			}
		}
	})
}

func quiet() *globals {
	g := newGlobals()
	g.stdout, g.stderr, g.environ = io.Discard, io.Discard, nil
	return g
}
