package doctor_test

import (
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fencepost/cmd/fencepost/doctor"
	"fencepost/cmd/fencepost/secure/securetest"
)

// TestDoor breaks each thing at the door, and wants it found by its check, with a
// fix, and by no other.
//
//nolint:funlen // one table
func TestDoor(t *testing.T) {
	hosts, clients, others := securetest.New(t, "hosts"), securetest.New(t, "clients"), securetest.New(t, "others")
	cert, key := hosts.Issue("a", nil)
	mine, mineKey := clients.Issue("nightly", nil)
	good := doctor.Door{Host: doctor.End{Cert: cert, Key: key, CA: []string{clients.File}},
		Send: doctor.End{Cert: mine, Key: mineKey, CA: []string{hosts.File}}, Names: []string{"a", "localhost"}}
	write := func(text string, mode os.FileMode) string {
		f := filepath.Join(t.TempDir(), "f")
		if err := errors.Join(os.WriteFile(f, []byte(text), mode), os.Chmod(f, mode)); err != nil {
			t.Fatal(err)
		}
		return f
	}
	issue := func(e *doctor.End, ca *securetest.CA, name string, change func(*x509.Certificate)) {
		e.Cert, e.Key = ca.Issue(name, change)
	}
	day := 24 * time.Hour
	for _, c := range []struct {
		what   string
		change func(*doctor.Door)
		id     string // "" = all is well
		want   doctor.Verdict
		says   string // in the evidence
	}{
		{"good", func(*doctor.Door) {}, "", "", ""},
		{"no certificate there", func(d *doctor.Door) { d.Host.Cert += "x" }, "FP070", doctor.Warn, "pemx: no such file"},
		{"no key there", func(d *doctor.Door) { d.Host.Key = filepath.Dir(d.Host.Key) }, "FP070", doctor.Warn, "not a regular file"},
		{"another's key", func(d *doctor.Door) { d.Host.Key = mineKey }, "FP070", doctor.Warn, "does not match"},
		{"no CA there", func(d *doctor.Door) { d.Host.CA = append(d.Host.CA, write("nothing", 0o644)) }, "FP070", doctor.Warn, "holds no certificate"},
		{"a key for all", func(d *doctor.Door) { d.Host.Key = write(read(t, key), 0o640) }, "FP071", doctor.Refuse, "tls.key"},
		{"a token for all", func(d *doctor.Door) {
			d.Secrets = []doctor.Secret{{Setting: "token_file", File: write("x", 0o604)}}
		}, "FP071", doctor.Refuse, "token_file"},
		{"a password for a group", func(d *doctor.Door) {
			d.Secrets = []doctor.Secret{{Setting: "http_token_file", File: write("x", 0o640), Group: true}}
		}, "", "", ""},
		{"ended", func(d *doctor.Door) {
			issue(&d.Host, hosts, "a", func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Now().Add(-3*day), time.Now().Add(-day) })
		}, "FP072", doctor.Warn, "ended on"},
		{"ends soon", func(d *doctor.Door) {
			issue(&d.Send, clients, "n", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(3*day + time.Hour) })
		}, "FP072", doctor.Warn, "in 3 days"},
		{"not yet", func(d *doctor.Door) {
			issue(&d.Host, hosts, "a", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(day) })
		}, "FP072", doctor.Warn, "begins on"},
		{"of another CA", func(d *doctor.Door) { issue(&d.Host, others, "a", nil) }, "FP073", doctor.Warn, "is of no CA in send.ca"},
		{"a client of another CA", func(d *doctor.Door) { issue(&d.Send, others, "n", nil) }, "FP073", doctor.Warn, "is of no CA in tls.client_ca"},
		{"old and new CA", func(d *doctor.Door) { d.Send.CA = []string{write(read(t, others.File)+read(t, hosts.File), 0o644)} }, "", "", ""},
		{"for clients only", func(d *doctor.Door) {
			issue(&d.Host, hosts, "a", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
		}, "FP073", doctor.Warn, "lacks serverAuth"},
		{"a CA that is none", func(d *doctor.Door) { d.Host.CA = append(d.Host.CA, mine) }, "FP073", doctor.Warn, "is no CA"},
		{"of another name", func(d *doctor.Door) { d.Names = []string{"a", "b"} }, "FP074", doctor.Warn, "this host is called a, b"},
		{"an address", func(d *doctor.Door) { d.Names = []string{"a", "127.0.0.1"} }, "", "", ""},
		{"without names", func(d *doctor.Door) {
			issue(&d.Host, hosts, "a", func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, nil })
		}, "FP074", doctor.Warn, "no subjectAltName"},
		{"a client that is called like an address", func(d *doctor.Door) { issue(&d.Send, clients, "10.0.0.1", nil) }, "FP074", doctor.Warn, "can't be a client's"},
		{"nothing is configured", func(d *doctor.Door) { *d = doctor.Door{Names: d.Names} }, "", "", ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			d := good
			c.change(&d)
			for id, f := range doctor.DoorChecks(d, os.DirFS("/")) {
				bad := f.Verdict != doctor.OK && f.Verdict != doctor.Skipped
				switch {
				case len(f.Evidence) == 0:
					t.Errorf("%s says nothing", id)
				case id != c.id && bad:
					t.Errorf("%s: got %+v", id, f)
				case id == c.id && (f.Verdict != c.want || f.Fix == "" || !strings.Contains(strings.Join(f.Evidence, "\n"), c.says)):
					t.Errorf("%s: got %+v, want %s, %q and a fix", id, f, c.want, c.says)
				}
			}
		})
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
