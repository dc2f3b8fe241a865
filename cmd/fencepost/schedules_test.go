package main_test

import (
	"fmt"
	"go/ast"
	"os"
	"regexp"
	"strings"
	"testing"
)

var (
	namedTest = regexp.MustCompile("`([a-z/0-9]+)\\.(Test\\w+)`")
	scheduled = regexp.MustCompile(`(?m)^\| (\d+(?:\.\d+)?) \|`)
)

// TestSchedules holds docs/schedules.md against the tests: each one that it
// names is there, each test of a schedule is named, and no number is missing.
func TestSchedules(t *testing.T) {
	h, err := readHouse(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	for _, p := range h.pkgs {
		for _, f := range p.files {
			for _, d := range f.syntax.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && f.test && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") {
					tests[p.dir+"."+fn.Name.Name] = true
				}
			}
		}
	}
	doc := h.text["docs/schedules.md"]
	named := map[string]bool{}
	for _, m := range namedTest.FindAllStringSubmatch(doc, -1) {
		if name := m[1] + "." + m[2]; tests[name] {
			named[name] = true
		} else {
			t.Errorf("docs/schedules.md names %s, which isn't there", name)
		}
	}
	for name := range tests {
		if strings.Contains(name, ".TestHole") && !named[name] {
			t.Errorf("docs/schedules.md doesn't name %s", name)
		}
	}
	rows := map[string]bool{}
	for _, m := range scheduled.FindAllStringSubmatch(doc, -1) {
		if rows[m[1]] {
			t.Errorf("schedule %s has two rows", m[1])
		}
		rows[m[1]] = true
	}
	for round, last := range map[string]int{"": 27, "2.": 11, "3.": 2, "4.": 4, "5.": 8} {
		for n := range last {
			if want := fmt.Sprint(round, n+1); !rows[want] {
				t.Errorf("docs/schedules.md has no row %s", want)
			}
		}
	}
}
