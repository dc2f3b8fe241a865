package spool_test

import (
	"strings"
	"testing"

	"fencepost/spool"
)

// pairs are all functions that build and parse a name. Each parser accepts what
// its builder makes, and nothing else.
var pairs = map[string]struct {
	format func(spool.Name) string
	parse  func(string) (spool.Name, bool)
}{
	"entry":  {spool.FormatEntry, spool.ParseEntry},
	"claim":  {spool.FormatClaim, spool.ParseClaim},
	"sealed": {spool.FormatSealed, spool.ParseSealed},
	"draft":  {spool.FormatDraft, spool.ParseDraft},
	"done":   {spool.FormatDone, spool.ParseDone},
	"aside":  {spool.FormatAside, spool.ParseAside},
	"copy":   {spool.FormatCopy, spool.ParseCopy},
}

func TestNames(t *testing.T) {
	for _, tt := range []struct {
		kind, name string
		want       spool.Name
	}{
		{"entry", jobA + ".xml", spool.Name{ID: jobA, Ext: "xml"}},
		{"entry", jobA + "+3.1.json", spool.Name{ID: jobA, Gen: 3, Faults: 1, Ext: "json"}},
		{"entry", jobA + "+3.0.json", spool.Name{ID: jobA, Gen: 3, Ext: "json"}},
		{"claim", "translate~12~" + jobA + ".xml", spool.Name{Stage: "translate", Seq: 12, ID: jobA, Ext: "xml"}},
		{"claim", "submit~12~" + jobA + "+1.1.json", spool.Name{Stage: "submit", Seq: 12, ID: jobA, Gen: 1, Faults: 1, Ext: "json"}},
		{"sealed", "submit~12~" + jobA + "+1.1=100.json", spool.Name{Stage: "submit", Seq: 12, ID: jobA, Gen: 1, Faults: 1, Cluster: "100", Ext: "json"}},
		{"sealed", "submit~12~" + jobA + "=12_3%3Ba%2Fb.json", spool.Name{Stage: "submit", Seq: 12, ID: jobA, Cluster: "12_3;a/b", Ext: "json"}},
		{"draft", "new~1~" + jobA + ".xml", spool.Name{Stage: "new", Seq: 1, ID: jobA, Ext: "xml"}},
		{"draft", "accept~1~" + jobA + ".xml", spool.Name{Stage: "accept", Seq: 1, ID: jobA, Ext: "xml"}},
		{"done", "submit~h-1.example~4.12~" + jobA + "=100.json", spool.Name{Stage: "submit", Host: "h-1.example", Epoch: 4, Seq: 12, ID: jobA, Cluster: "100", Ext: "json"}},
		{"aside", "submit~" + jobA + "+1.1=100.json", spool.Name{Stage: "submit", ID: jobA, Gen: 1, Faults: 1, Cluster: "100", Ext: "json"}},
		{"copy", "copy~submit~a~4.12~" + jobA + "+2.0.json", spool.Name{Stage: "submit", Host: "a", Epoch: 4, Seq: 12, ID: jobA, Gen: 2, Ext: "json"}},
	} {
		p := pairs[tt.kind]
		if got, ok := p.parse(tt.name); !ok || got != tt.want {
			t.Errorf("parse %s %q = %+v, %v, want %+v", tt.kind, tt.name, got, ok, tt.want)
		}
		if got := p.format(tt.want); got != tt.name {
			t.Errorf("format %s = %q, want %q", tt.kind, got, tt.name)
		}
	}
}

// TestNamesForeign: another spelling of a name is another file: it would be a
// second gate.
func TestNamesForeign(t *testing.T) {
	foreign := []string{
		"", ".", "xml", ".xml", "+.xml", jobA, jobA + ".", jobA + ".txt", jobA + ".XML", jobA + ".xml.tmp", jobA + ".xml~", " " + jobA + ".xml", jobA + ".xml\n",
		jobA + "+0.0.xml", jobA + "+1.xml", jobA + "+01.0.xml", jobA + "+1.00.xml", jobA + "+.0.xml", jobA + "++1.0.xml", jobA + "+-1.0.xml",
		jobA + "+1.0.0.xml", jobA + "+1.0 .xml", jobA + "+100001.0.xml", jobA + "+99999999999999999999.0.xml", jobA + "1.0.xml", jobA + "-1.0.xml",
		strings.ToUpper(jobA) + ".xml", jobA[1:] + ".xml", jobA + "a.xml", strings.ReplaceAll(jobA, "-", "") + ".xml", "{" + jobA + "}.xml",
		jobA + "=1.xml", jobA + "=.xml", ".nfs000000000000001a00000002", "ORDER17.xml", "canary-a.xml",
		"adopt~1~" + jobA + ".xml", "translate~01~" + jobA + ".xml", "translate~-1~" + jobA + ".xml", "translate~+1~" + jobA + ".xml", "translate~~" + jobA + ".xml",
		"Translate~1~" + jobA + ".xml", "translate~1~" + jobA + "+0.0.xml", "translate~1~2~" + jobA + ".xml", "~1~" + jobA + ".xml", "translate~9223372036854775808~" + jobA + ".xml",
		"submit~1~" + jobA + "=.json", "submit~1~" + jobA + "=%3b.json", "submit~1~" + jobA + "=%41.json", "submit~1~" + jobA + "=%4.json", "submit~1~" + jobA + "=a b.json",
		"submit~1~" + jobA + "=1=2.json", "submit~1~" + jobA + "=" + strings.Repeat("1", 101) + ".json", "submit~1~" + jobA + "=1+1.0.json",
		"submit~A~1.1~" + jobA + ".json", "submit~a~1~" + jobA + ".json", "submit~a~01.1~" + jobA + ".json", "submit~a~1.01~" + jobA + ".json", "submit~-a~1.1~" + jobA + ".json",
		"copy~" + jobA + ".json", "copy~submit~a~1.1~" + jobA + "=7.json", "copy~copy~submit~a~1.1~" + jobA + ".json",
	}
	for kind, p := range pairs {
		for _, name := range foreign {
			if n, ok := p.parse(name); ok {
				t.Errorf("parse %s %q = %+v, want foreign", kind, name, n)
			}
		}
	}
}

// TestNamesApart: a name of one place is none of another's, but that a claim is
// sealed under its own name where there is no cluster id.
func TestNamesApart(t *testing.T) {
	n := spool.Name{Stage: spool.Submit, Host: "a", Epoch: 4, Seq: 12, ID: jobA, Gen: 2, Faults: 1, Cluster: "100", Ext: "json"}
	for kind, p := range pairs {
		for other, q := range pairs {
			if _, ok := q.parse(p.format(n)); ok && kind != other && kind != "draft" && (kind != "claim" || other != "sealed") {
				t.Errorf("%s %q is a %s, too", kind, p.format(n), other)
			}
		}
	}
}

func TestClusterIDs(t *testing.T) {
	for id, want := range map[string]bool{
		"1": true, "123;cluster": true, "12_3": true, "a/b": true, "1.server.example": true, "%": true, "é": true, "..": true,
		strings.Repeat("1", 100): true, strings.Repeat("1", 101): false, strings.Repeat("/", 34): false, "": false, "1\n2": false, "1\r": false, "a\x00": false,
	} {
		if got := spool.ValidClusterID(id); got != want {
			t.Errorf("ValidClusterID(%q) = %v, want %v", id, got, want)
		}
		if got, ok := spool.DecodeClusterID(spool.EncodeClusterID(id)); want && (!ok || got != id) {
			t.Errorf("%q comes back as %q, %v", id, got, ok)
		}
	}
}

func TestTokens(t *testing.T) {
	want := spool.Token{Spool: testSpoolID, Host: "a.example", Epoch: 3, Seq: 14, Gen: 2}
	s := testSpoolID + "/a.example/3/14/2"
	if got, ok := spool.ParseToken(s); !ok || got != want || want.String() != s {
		t.Errorf("ParseToken(%q) = %+v, %v; String %q", s, got, ok, want)
	}
	for _, bad := range []string{"", s + "/", s + "/1", "x" + s[35:] + "/", testSpoolID + "/A/3/14/2", testSpoolID + "/a/03/14/2", testSpoolID + "/a/3/14/-2", testSpoolID + "/a/3/14/", s + " "} {
		if got, ok := spool.ParseToken(bad); ok {
			t.Errorf("ParseToken(%q) = %+v", bad, got)
		}
	}
}

func TestBucket(t *testing.T) {
	for id, want := range map[string]string{jobA: "01890a5", jobC: "r5f", "00000000-0000-4000-8000-0000000000ff": "rff"} {
		if got := spool.Bucket(id); got != want {
			t.Errorf("Bucket(%s) = %q, want %q", id, got, want)
		}
	}
}

func TestHosts(t *testing.T) {
	for host, want := range map[string]bool{
		"a": true, "a1.b-c.example": true, strings.Repeat("a", 63): true, strings.Repeat("a", 64): false, "": false, "A": false,
		"a_b": false, "-a": false, "a-": false, ".a": false, "a.": false, "a~cmd": false, "a/b": false, "..": false, "é": false,
	} {
		if got := spool.ValidHost(host); got != want {
			t.Errorf("ValidHost(%q) = %v, want %v", host, got, want)
		}
	}
}

// FuzzParse: whatever is parsed is built again as it was.
func FuzzParse(f *testing.F) {
	for _, p := range pairs {
		f.Add(p.format(spool.Name{Stage: spool.Submit, Host: "a", Epoch: 4, Seq: 12, ID: jobA, Gen: 2, Faults: 1, Cluster: "1;0", Ext: "json"}))
	}
	f.Add(jobA + "+0.0.xml")
	f.Add(testSpoolID + "/a/1/2/3")
	f.Fuzz(func(t *testing.T, s string) {
		for kind, p := range pairs {
			n, ok := p.parse(s)
			if !ok {
				continue
			}
			if got := p.format(n); got != s {
				t.Errorf("%s %q is built as %q", kind, s, got)
			}
			if strings.ContainsAny(s, "/\x00") || !spool.ValidID(n.ID) {
				t.Errorf("%s %q was taken", kind, s)
			}
		}
		if tok, ok := spool.ParseToken(s); ok && tok.String() != s {
			t.Errorf("token %q is built as %q", s, tok)
		}
		if id, ok := spool.DecodeClusterID(s); ok && spool.EncodeClusterID(id) != s {
			t.Errorf("cluster id %q is built as %q", s, spool.EncodeClusterID(id))
		}
	})
}

// FuzzFormat: whatever is built from legal parts is parsed as it was, and fits
// a file name.
func FuzzFormat(f *testing.F) {
	f.Add(uint64(1), uint64(2), 3, 1, "a", "100", false)
	f.Add(uint64(1<<40), uint64(1<<40), 100_000, 100_000, strings.Repeat("h", 63), "a/b;c", true)
	f.Fuzz(func(t *testing.T, epoch, seq uint64, gen, faults int, host, cluster string, translate bool) {
		n := spool.Name{Stage: spool.Submit, Host: host, Epoch: epoch >> 24, Seq: seq >> 24, ID: jobA, Gen: gen, Faults: faults, Cluster: cluster, Ext: "json"}
		if translate {
			n.Stage, n.Ext = spool.Translate, "xml"
		}
		if gen < 0 || faults < 0 || gen > 100_000 || faults > 100_000 || !spool.ValidHost(host) || !spool.ValidClusterID(cluster) {
			return
		}
		for kind, p := range pairs {
			s := p.format(n)
			if got, ok := p.parse(s); !ok || p.format(got) != s || got.ID != n.ID || kind != "draft" && (got.Gen != gen || got.Faults != faults) {
				t.Errorf("%s %q is parsed as %+v, %v", kind, s, got, ok)
			}
			if len(s) > 255 {
				t.Errorf("%s %q has %d bytes", kind, s, len(s))
			}
		}
	})
}
