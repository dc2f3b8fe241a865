package trust_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fencepost/cmd/fencepost/trust"
	"fencepost/spool/vfs"
)

const (
	id    = "01902d5a-7b3c-7def-8123-456789abcdef"
	other = "01902d5a-7b3c-7def-8123-456789abcdee"
)

func open(t *testing.T, dir string, key string) trust.FS {
	t.Helper()
	fs, err := vfs.OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fs.Close() })
	return trust.FS{FS: fs, Key: func() ([]byte, error) {
		if key == "" {
			return nil, nil
		}
		return []byte(key), nil
	}}
}

func TestJobOf(t *testing.T) {
	for name, want := range map[string]string{
		"gate/ab/" + id:                           id,
		"gate/ab/submit~" + id:                    id,
		"once/ab/submit~" + id:                    id,
		"drafts/a/1/new~3~" + id + ".xml":         id,
		"claims/a/1/translate~3~" + id + ".xml":   id,
		"claims/a/1/submit~3~" + id + "+2.1.json": id,
		"sealed/a/1/submit~3~" + id + "=17.json":  id,
		"failed/submit~" + id + "+1.0.json":       id,
		"claims/a/1/adopt~3~" + id + ".xml":       "", // a foreign file
		"drafts/a/1/translate~3~" + id + ".xml":   "", // to be handed over
		"drafts/a/1/submit~3~" + id + ".json":     "", // the same
		"drafts/a/1/translate~3~" + id + ".json":  id,
		"failed/adopt~" + id + ".xml":             "",
		"failed/" + id + ".why.json":              "",
		"inbox/" + id + ".xml":                    "",
		"xml/" + id + ".xml":                      "", // read when it was claimed
		"hosts/a/journal/1.jsonl":                 "",
		"fencepost.toml":                          "",
		"roster/a.json":                           "",
		"claims/a/1/garbage.xml":                  "",
	} {
		if got, ok := trust.JobOf(name); got != want || ok != (want != "") {
			t.Errorf("%s: got %q, %v, want %q", name, got, ok, want)
		}
	}
}

// site is a share with three views of it.
type site struct {
	t                      *testing.T
	dir                    string
	with, another, without trust.FS
	n                      int
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir()}
	for _, d := range []string{"drafts/a/1", "claims/a/1", "roster"} {
		if err := os.MkdirAll(filepath.Join(s.dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s.with, s.another, s.without = open(t, s.dir, "key"), open(t, s.dir, "another"), open(t, s.dir, "")
	return s
}

// store makes a file through fs, and puts it, changed as somebody on the share
// could, where it is read as a claim of job as.
func (s *site) store(fs trust.FS, as, data string, change func(string) string) string {
	s.t.Helper()
	s.n++
	draft := "drafts/a/1/accept~" + strings.Repeat("1", s.n) + "~" + id + ".xml"
	claim := "claims/a/1/translate~" + strings.Repeat("1", s.n) + "~" + as + ".xml"
	if _, err := fs.Create(draft, []byte(data)); err != nil {
		s.t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(s.dir, draft))
	if err != nil {
		s.t.Fatal(err)
	}
	if change != nil {
		raw = []byte(change(string(raw)))
	}
	if err := os.WriteFile(filepath.Join(s.dir, claim), raw, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return claim
}

const xml, json = "<?xml version=\"1.0\"?>\n<job/>\n", "{\n}\n"

func TestSigned(t *testing.T) {
	s := newSite(t)
	with, another, without, store := s.with, s.another, s.without, s.store
	for _, data := range []string{xml, json, ""} {
		claim := store(with, id, data, nil)
		if got, _, err := with.Read(claim, int64(len(data))); string(got) != data || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, data)
		}
		if _, _, err := another.Read(claim, 100); !errors.Is(err, vfs.ErrUntrusted) || !errors.Is(err, vfs.ErrNotRegular) {
			t.Errorf("another key: %v", err)
		}
		if _, _, err := without.Read(claim, 100); err == nil || errors.Is(err, vfs.ErrUntrusted) {
			t.Errorf("no key: got %v, want an error that isn't the job's fault", err)
		}
		if _, _, err := with.Read(claim, int64(len(data))-1); !errors.Is(err, vfs.ErrTooLarge) {
			t.Errorf("too large: %v", err)
		}
		if got, _, err := without.Read(store(without, id, data, nil), 100); string(got) != data || err != nil {
			t.Errorf("no keys at all: got %q, %v", got, err)
		}
	}
	if _, err := with.Create("roster/a.json", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if got, _, err := another.Read("roster/a.json", 100); string(got) != "{}" || err != nil {
		t.Errorf("what is no job's: got %q, %v", got, err)
	}
}

func TestTampered(t *testing.T) {
	s := newSite(t)
	with, without, store := s.with, s.without, s.store
	for what, claim := range map[string]string{
		"unsigned":       store(without, id, xml, nil),
		"changed":        store(with, id, xml, func(s string) string { return strings.Replace(s, "job", "jub", 1) }),
		"cut":            store(with, id, xml, func(s string) string { return s[:len(s)-1] }),
		"grown":          store(with, id, xml, func(s string) string { return "\n" + s }),
		"of another job": store(with, other, xml, nil),
		"signed twice":   store(with, id, xml, func(s string) string { return s + s[len(xml):] }),
		"other form": store(with, id, xml, func(s string) string {
			return strings.NewReplacer("<!-- fencepost", "# fencepost", " -->", "").Replace(s)
		}),
	} {
		got, _, err := with.Read(claim, 1000)
		if what == "other form" {
			// The same contents under the same key: no harm.
			if string(got) != xml || err != nil {
				t.Errorf("%s: got %q, %v", what, got, err)
			}
			continue
		}
		if !errors.Is(err, vfs.ErrUntrusted) {
			t.Errorf("%s: got %q, %v", what, got, err)
		}
	}
}

func TestOwners(t *testing.T) {
	check := trust.Owners(false, 0, 1000)
	job := "claims/a/1/translate~3~" + id + ".xml"
	for _, c := range []struct {
		name      string
		mode, uid uint32
		ok        bool
	}{
		{job, 0o100440, 1000, true}, {job, 0o100640, 0, true}, {job, 0o100440, 1001, false}, {job, 0o100460, 1000, false},
		{job, 0o100442, 1000, false}, {"inbox/x.xml", 0o100666, 1001, true}, {"claims/a/1/adopt~3~" + id + ".xml", 0o100666, 1001, true},
	} {
		if err := check(c.name, c.mode, c.uid); (err == nil) != c.ok || err != nil && !errors.Is(err, vfs.ErrUntrusted) {
			t.Errorf("%+v: got %v", c, err)
		}
	}
}
