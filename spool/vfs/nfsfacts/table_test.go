package nfsfacts_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"fencepost/spool/vfs/nfsfacts"
)

func TestTable(t *testing.T) {
	var names []string
	for _, e := range nfsfacts.Table() {
		if e.Name == "" || e.Did == "" || e.So == "" || len(e.Want) == 0 {
			t.Errorf("%q lacks something: %+v", e.Name, e)
		}
		if slices.Contains(names, e.Name) {
			t.Errorf("%q is there twice", e.Name)
		}
		names = append(names, e.Name)
		var whats []string
		for _, w := range e.Want {
			if slices.Contains(whats, w.What) {
				t.Errorf("%s: %q is there twice", e.Name, w.What)
			}
			whats = append(whats, w.What)
			for v := range w.On {
				if !slices.Contains([]string{"4.2", "4.1", "4.0", "3"}, v) {
					t.Errorf("%s: version %q", e.Name, v)
				}
			}
		}
	}
}

func TestDiffers(t *testing.T) {
	e := &nfsfacts.Experiment{Name: "x", Only: []string{"4.2", "3"}, Want: []nfsfacts.Answer{
		{What: "rename", Is: "ENOENT|ESTALE", On: map[string]string{"3": "ok"}},
		{What: "link", Is: "ok"},
	}}
	saw := func(is ...string) (o []nfsfacts.Observation) {
		for i, s := range is {
			o = append(o, nfsfacts.Observation{What: []string{"rename", "link", "mkdir"}[i], Is: s})
		}
		return o
	}
	for _, c := range []struct {
		name string
		r    nfsfacts.Result
		want string // part of what it says; "" = as expected
	}{
		{"either", nfsfacts.Result{Version: "4.2", Seen: saw("ESTALE", "ok")}, ""},
		{"another", nfsfacts.Result{Version: "4.2", Seen: saw("ok", "ok")}, "rename: got ok, want ENOENT|ESTALE"},
		{"the version's own", nfsfacts.Result{Version: "3", Seen: saw("ok", "ok")}, ""},
		{"not the version's own", nfsfacts.Result{Version: "3", Seen: saw("ENOENT", "ok")}, "rename: got ENOENT, want ok"},
		{"too few", nfsfacts.Result{Version: "4.2", Seen: saw("ENOENT")}, "link: not observed"},
		{"too many", nfsfacts.Result{Version: "4.2", Seen: saw("ENOENT", "ok", "ok")}, "mkdir: ok: not in the table"},
		{"broken off", nfsfacts.Result{Version: "4.2", Seen: saw("ENOENT", "ok"), Err: errors.New("why")}, "broken off: why"},
		{"another version", nfsfacts.Result{Version: "4.0"}, ""},
		{"unsupported", nfsfacts.Result{Version: "4.2", Err: errors.ErrUnsupported}, ""},
	} {
		c.r.Experiment = e
		got := strings.Join(c.r.Differs(), "\n")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
