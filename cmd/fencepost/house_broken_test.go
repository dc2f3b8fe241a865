package main_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// sound is a small repository that breaks no rule.
func sound() map[string]string {
	doc := "// Package x is one.\n//\n// Guarantees: much.\n//\n// Assumes: little.\n//\n// Does not: sing.\npackage x\n"
	return map[string]string{
		"go.mod": "module fencepost\n", "go.sum": "", "LICENSE": "", "CHANGELOG.md": "# Changelog\n",
		"README.md":        "# Name\n\n[docs](docs/README.md#a-heading-or-2)\n",
		"CONTRIBUTING.md":  "    apt-get install -y --no-install-recommends one two\n",
		".ci/run":          "#!/bin/sh\npackages=(\n\tone\n\ttwo\n)\n",
		"docs/README.md":   "# Docs\n\n## A heading, or 2\n\n## 8. Eight\n",
		"codec/doc.go":     doc,
		"codec/codec.go":   "package x\n\nimport \"time\"\n\n// A does.\nfunc A(t time.Time) string { return t.String() }\n",
		"spool/doc.go":     doc,
		"spool/vfs/doc.go": doc,
		"spool/env/doc.go": doc,
		"spool/spool.go": "package x\n\nimport (\n\t\"errors\"\n\t\"time\"\n\n\t\"fencepost/spool/env\"\n\t\"fencepost/spool/vfs\"\n)\n\n" +
			"// ErrA says so; section 8 of docs/README.md.\nvar ErrA = errors.New(\"a\")\n\nvar _ = vfs.X\n\nvar table = map[string]int{\"a\": 1}\n\n" +
			"func a(e env.Env) time.Duration { table := table; table[\"a\"] = 2; n := 0; n++; return e.Now() }\n",
		"lease/doc.go":             doc,
		"submit/doc.go":            doc,
		"submit/local/doc.go":      doc,
		"cmd/fencepost/doc.go":     doc,
		"cmd/fencepost/main.go":    "package x\n\nfunc main() { go func() {}() }\n",
		"cmd/fencepost/a_test.go":  "package x\n\nimport (\n\t\"testing\"\n\n\t_ \"fencepost/spool\"\n)\n\nfunc TestA(t *testing.T) {}\n",
		"spool/spooltest/doc.go":   strings.Replace(doc, "package x", "package spooltest", 1),
		"spool/spooltest/suite.go": "package spooltest\n\nimport \"testing\"\n\nfunc Run(t *testing.T) {}\n",
	}
}

// TestHouseRulesBite breaks each rule, and only that one.
func TestHouseRulesBite(t *testing.T) {
	lines := func(n int) string { return strings.Repeat("\t_ = 1\n", n) }
	cases := []struct{ rule, file, text, want string }{
		{"imports go one way", "spool/up.go", "package x\n\nimport _ \"fencepost/lease\"\n", "spool must not import lease"},
		{"imports go one way", "spool/up_test.go", "package x\n\nimport _ \"fencepost/submit\"\n", "spool must not import submit"},
		{"imports go one way", "spool/vfs/up.go", "package x\n\nimport _ \"fencepost/spool\"\n", "spool/vfs must not import spool"},
		{"imports go one way", "lease/side.go", "package x\n\nimport _ \"fencepost/codec\"\n", "lease must not import codec"},
		{"imports go one way", "submit/down.go", "package x\n\nimport _ \"fencepost/submit/local\"\n", "submit must not import submit/local"},
		{"imports go one way", "docs/x/doc.go", sound()["lease/doc.go"], "outside the layout"},
		{"codec touches nothing outside", "codec/out.go", "package x\n\nimport _ \"os\"\n", "imports os"},
		{"codec touches nothing outside", "codec/out.go", "package x\n\nimport clock \"time\"\n\nvar _ = clock.Now()\n", "time.Now"},
		{"test support is not shipped", "spool/use.go", "package x\n\nimport _ \"fencepost/spool/spooltest\"\n", "which is for tests"},
		{"the environment is the only door", "spool/door.go", "package x\n\nfunc b() { go b() }\n", "go statement"},
		{"the environment is the only door", "lease/door.go", "package x\n\nfunc b() { select {} }\n", "select"},
		{"the environment is the only door", "lease/door.go", "package x\n\nvar _ chan int\n", "channel"},
		{"the environment is the only door", "submit/door.go", "package x\n\nimport \"context\"\n\nfunc b(c context.Context) { <-c.Done() }\n", "receive"},
		{"the environment is the only door", "submit/door.go", "package x\n\nimport \"time\"\n\nfunc b() { time.Sleep(1) }\n", "time.Sleep"},
		{"the environment is the only door", "submit/door.go", "package x\n\nimport clock \"time\"\n\nvar _ = clock.Now\n", "time.Now"},
		{"the environment is the only door", "spool/door.go", "package x\n\nimport \"math/rand/v2\"\n\nvar _ = rand.IntN\n", "IntN"},
		{"the environment is the only door", "spool/door.go", "package x\n\nimport \"sync\"\n\ntype b struct{ w sync.WaitGroup }\n", "sync.WaitGroup"},
		{"the environment is the only door", "spool/door.go", "package x\n\nimport \"os\"\n\nvar _ = os.Rename\n", "os.Rename"},
		{"no effects in the order of a map", "spool/order.go", "package x\n\nfunc b(m map[string]int, f func()) {\n\tfor range m {\n\t\tf()\n\t}\n}\n", "calls f"},
		{"no effects in the order of a map", "lease/order.go", "package x\n\ntype t struct{}\n\nfunc (t) do() {}\n\nfunc b(m map[string]t) {\n\tfor _, x := range m {\n\t\tx.do()\n\t}\n}\n", "calls x.do"},
		{"no mutable package variables", "spool/vars.go", "package x\n\nvar count int\n", "count has no value"},
		{"no mutable package variables", "codec/vars.go", "package x\n\nvar seen = make(map[string]bool)\n", "seen is made to be filled"},
		{"no mutable package variables", "lease/vars.go", "package x\n\nimport \"sync\"\n\nvar mu sync.Mutex\n", "mu is a sync.Mutex"},
		{"no mutable package variables", "spool/vars.go", "package x\n\nfunc b() { table[\"b\"] = 1 }\n", "table is changed"},
		{"no mutable package variables", "spool/vars.go", "package x\n\nfunc b() any { return &table }\n", "table is changed"},
		{"no mutable package variables", "spool/vars.go", "package x\n\nfunc b() { clear(table) }\n", "table is changed"},
		{"the environment is the only door", "spool/door.go", "package x\n\nimport \"github.com/google/uuid\"\n\nvar _ = uuid.New()\n", "uuid.New"},
		{"no init functions", "lease/start.go", "package x\n\nfunc init() {}\n", "an init function"},
		{"functions fit a page", "lease/long.go", "package x\n\nfunc long() {\n" + lines(70) + "}\n", "long has 72 lines"},
		{"functions fit a page", "lease/long_test.go", "package x\n\n//nolint:funlen\nfunc long() {\n" + lines(70) + "}\n", "long has 72 lines"},
		{"files fit a subject", "lease/long.go", "package x\n\nvar (\n" + lines(400) + ")\n", "404 lines"},
		{"packages state their contract", "submit/local/doc.go", "// Package x is one. Guarantees nothing.\npackage x\n", "no part Guarantees"},
		{"packages state their contract", "lease/more/x.go", "package more\n", "lease/more: has no doc.go"},
		{"packages state their contract", "lease/x.go", "// Package x is another.\npackage x\n", "beside doc.go's"},
		{"nothing left open", "spool/open.go", "package x\n\n// TO" + "DO: more\n", "spool/open.go:3"},
		{"nothing left open", "docs/open.md", "# Open\n\nThis is not " + "implemented.\n", "docs/open.md:3"},
		{"no private paths or hosts", "docs/mine.md", "# Mine\n\ncd /ro" + "ot/x\n", "docs/mine.md:3"},
		{"no private paths or hosts", "docs/mine.md", "# Mine\n\nhttps://proxy.gol" + "ang.example\n", "docs/mine.md:3"},
		{"links resolve", "docs/link.md", "# Link\n\n[a](gone.md)\n", "docs/link.md:3: gone.md: no such file"},
		{"links resolve", "docs/link.md", "# Link\n\n[a](README.md#gone)\n", "no such heading"},
		{"references resolve", "lease/cite.go", "package x\n\n// See docs/gone.md.\n", "docs/gone.md"},
		{"references resolve", "lease/cite.go", "package x\n\n// See docs/README.md#gone.\n", "docs/README.md#gone"},
		{"references resolve", "lease/cite.go", "package x\n\n// See section 9\n// of docs/README.md.\n", "has no section 9"},
		{"top level is the layout", "notes.txt", "mine\n", "notes.txt: not part"},
		{"packages to install are named once", "lease/apt.go", "package x\n\nconst a = \"apt-get install -y three\"\n", "three is not in"},
		{"packages to install are named once", "CONTRIBUTING.md", "    apt-get install -y one\n", "names 1 packages"},
	}
	if found := breaks(t, sound()); len(found) > 0 {
		t.Fatalf("the sound one breaks rules: %q", found)
	}
	left := houseRules()
	for _, c := range cases {
		t.Run(c.rule+" "+c.file+" "+c.want, func(t *testing.T) {
			files := sound()
			files[c.file] = c.text
			found := breaks(t, files)
			if len(found) == 0 || !slices.ContainsFunc(found[c.rule], func(s string) bool { return strings.Contains(s, c.want) }) {
				t.Errorf("got %q, want %q to say %q", found, c.rule, c.want)
			}
			delete(found, c.rule)
			if len(found) > 0 {
				t.Errorf("other rules broke, too: %q", found)
			}
		})
		left = slices.DeleteFunc(left, func(r rule) bool { return r.name == c.rule })
	}
	for _, r := range left {
		t.Errorf("rule %q is never broken here", r.name)
	}
}

// TestHouseRulesExcuse: a reason excuses a long function and a long file.
func TestHouseRulesExcuse(t *testing.T) {
	files := sound()
	files["lease/long.go"] = "//nolint:filelen // one table\n\npackage x\n\n// long is long.\n//\n//nolint:funlen // one table\nfunc long() {\n" +
		strings.Repeat("\t_ = 1\n", 500) + "}\n"
	if found := breaks(t, files); len(found) > 0 {
		t.Errorf("got %q, want nothing", found)
	}
}

// breaks returns what is found, by rule.
func breaks(t *testing.T, files map[string]string) map[string][]string {
	t.Helper()
	tree := fstest.MapFS{}
	for name, text := range files {
		tree[name] = &fstest.MapFile{Data: []byte(text)}
	}
	h, err := readHouse(tree)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for _, r := range houseRules() {
		if f := r.find(h); len(f) > 0 {
			found[r.name] = f
		}
	}
	return found
}
