package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"fencepost/spool"
)

// The log has each event of the journal under the same name, with the same keys
// and values: what is grepped in one host's log is found again in trace.
func TestLogAndJournalAgree(t *testing.T) {
	names := eventNames(t)
	if len(names) < 30 || names[spool.EvClaimed] == "" || names["ready"] == "" {
		t.Fatalf("got %d events: can't read the sources", len(names))
	}
	notLogged := []string{"time", "n", "version", "config", "prev", "chain"} // the log has a time of its own, and is of one version
	for name := range names {
		var out bytes.Buffer
		d := &daemon{log: zerolog.New(&out).With().Str("host", "a").Logger()}
		e := spool.Event{Time: time.Now(), N: 7, Host: "a", Epoch: 3, Event: name, Job: whyJob, Stage: spool.Submit, Token: "a/3/15", Gen: 2,
			Faults: 1, Cluster: "17", Result: "by ops", Detail: "words", Seconds: 0.5, Version: "1.0"}
		d.tee(e)
		journal, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var want, got map[string]any
		if err := json.Unmarshal(journal, &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatalf("%s: %v in %q", name, err, out.String())
		}
		delete(got, "level")
		maps.DeleteFunc(want, func(key string, _ any) bool { return slices.Contains(notLogged, key) })
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: the log has\n%v, the journal\n%v", name, got, want)
		}
	}
}

// A line never has two values for one key: which host is meant must be plain.
func TestWarningsNameTheOtherHost(t *testing.T) {
	var out bytes.Buffer
	d := &daemon{log: zerolog.New(&out).With().Str("host", "a").Logger()}
	d.id.Host = "a"
	d.warn("epoch-over", "host", "b", "epoch", uint64(3), "why", "silent\x1b")
	d.warn("watch-failed", "host", "a", "err", errors.New("stale"))
	want := `{"level":"warn","host":"a","event":"epoch-over","other_host":"b","epoch":3,"why":"silent\\x1b"}` + "\n" +
		`{"level":"warn","host":"a","event":"watch-failed","err":"stale"}` + "\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

// Each event, of the journal or of the log alone, has its line in the page; and
// the page names none that nobody makes.
func TestEventsAreDocumented(t *testing.T) {
	data, err := os.ReadFile("../../docs/spec/journal.md")
	if err != nil {
		t.Fatal(err)
	}
	_, page, _ := strings.Cut(string(data), "\n## Events\n")
	page, _, _ = strings.Cut(page, "\n## Segments\n")
	documented := map[string]bool{}
	for _, line := range strings.Split(page, "\n") {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			for _, m := range regexp.MustCompile("`([a-z-]+)`").FindAllStringSubmatch(cells[1], -1) {
				documented[m[1]] = true
			}
		}
	}
	names := eventNames(t)
	for name, where := range names {
		if !documented[name] {
			t.Errorf("%s: docs/spec/journal.md has no line for %q", where, name)
		}
	}
	for name := range documented {
		if names[name] == "" {
			t.Errorf("docs/spec/journal.md has %q, which nothing makes", name)
		}
	}
}

// Every line of the log has an event: a word, no sentence.
func TestLogLinesHaveEvents(t *testing.T) {
	lines := 0
	sources(t, func(file string, f *ast.File) {
		ast.Inspect(f, func(n ast.Node) bool {
			fn, ok := n.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				return true
			}
			logged, named := 0, 0
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				sel, ok := call.Fun.(*ast.SelectorExpr)
				switch {
				case !ok:
				case sel.Sel.Name == "Msg" && len(call.Args) == 1, sel.Sel.Name == "Send" && len(call.Args) == 0:
					logged++
				case sel.Sel.Name == "Str" && len(call.Args) == 2 && literal(call.Args[0]) == "event":
					named++
				}
				return true
			})
			lines += logged
			if logged > named {
				t.Errorf("%s: %s logs %d lines, and names %d events", file, fn.Name.Name, logged, named)
			}
			return false
		})
	})
	if lines < 15 {
		t.Fatalf("got %d lines: can't read the sources", lines)
	}
}

// eventNames are all words that the sources give to events, with where.
func eventNames(t *testing.T) map[string]string {
	t.Helper()
	names := map[string]string{}
	sources(t, func(file string, f *ast.File) {
		add := func(e ast.Expr) {
			if word := literal(e); word != "" {
				names[word] = file
				if !regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(word) {
					t.Errorf("%s: the event %q is no word", file, word)
				}
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec: // EvClaimed = "claimed"
				for i, name := range n.Names {
					if regexp.MustCompile(`^Ev(ent)?[A-Z]`).MatchString(name.Name) && i < len(n.Values) {
						add(n.Values[i])
					}
				}
			case *ast.KeyValueExpr: // spool.Event{Event: "ready"}
				if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Event" {
					add(n.Value)
				}
			case *ast.CallExpr:
				sel, ok := n.Fun.(*ast.SelectorExpr)
				if !ok || len(n.Args) == 0 {
					break
				}
				switch {
				case sel.Sel.Name == "Str" && len(n.Args) == 2 && literal(n.Args[0]) == "event":
					add(n.Args[1])
				case strings.EqualFold(sel.Sel.Name, "warn") && len(n.Args) > 1 && len(n.Args)%2 == 1: // Warn("epoch-over", "host", ...)
					add(n.Args[0])
				case sel.Sel.Name == "noteDetail": // Operator.noteDetail("requested", ...)
					add(n.Args[0])
				}
			}
			return true
		})
	})
	return names
}

// sources parses all files that are shipped.
func sources(t *testing.T, look func(file string, f *ast.File)) {
	t.Helper()
	for _, dir := range []string{"spool", "lease", "submit", "cmd"} {
		err := filepath.WalkDir(filepath.Join("../..", dir), func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || path.Ext(file) != ".go" || strings.HasSuffix(file, "_test.go") || strings.Contains(file, "/race/") ||
				strings.Contains(file, "/nfslab/") || strings.Contains(file, "sim/") || strings.Contains(file, "test/") {
				return err
			}
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err == nil {
				look(file, f)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func literal(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	s, _ := strconv.Unquote(lit.Value)
	return s
}
