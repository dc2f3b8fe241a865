package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"fencepost/cmd/fencepost/config"
)

// page reads a page of docs/.
func page(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile("../../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// rows are the cells of a page's tables below a heading, without their heads.
func rows(text, heading string) (out [][]string) {
	_, text, _ = strings.Cut("\n"+text, "\n"+heading+"\n")
	text, _, _ = strings.Cut(text, "\n## ")
	head := true
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "|") {
			head = true
			continue
		}
		if strings.HasPrefix(line, "|--") {
			head = false
		} else if !head {
			out = append(out, strings.Split(strings.Trim(strings.TrimSpace(line), "| "), " | "))
		}
	}
	return out
}

var quoted = regexp.MustCompile("`([^`]+)`")

// limitsWrong holds the table of limits against the settings: each key of [limits]
// once, with its default and that one's unit, and nothing else.
func limitsWrong(text string) (wrong []string) {
	def := config.Default()
	texts := map[string]string{}
	for _, s := range config.Settings() {
		if key, ok := strings.CutPrefix(s.Key, "limits."); ok {
			texts[key] = def.Text(s)
		}
	}
	// What 0 means.
	words := map[string]string{"unknown": "half of that", "per_address": "none", "rate": "none", "burst": "none"}
	seen := map[string]bool{}
	for _, row := range rows(text, "# Limits") {
		for _, m := range quoted.FindAllStringSubmatch(row[0], -1) {
			key := m[1]
			want, known := texts[key]
			if want == "0" {
				want = words[key]
			}
			got := ""
			if len(row) > 2 {
				got, _, _ = strings.Cut(row[1], ",")
			}
			switch {
			case !known:
				wrong = append(wrong, key+" is no key of [limits]")
			case seen[key]:
				wrong = append(wrong, key+" is there twice")
			case got != want:
				wrong = append(wrong, fmt.Sprintf("%s: the page says %q, the default is %q", key, got, want))
			}
			seen[key] = true
		}
	}
	for key := range texts {
		if !seen[key] {
			wrong = append(wrong, key+" is not in the table")
		}
	}
	return wrong
}

func TestLimitsAreDocumented(t *testing.T) {
	text := page(t, "ops/limits.md")
	for _, wrong := range limitsWrong(text) {
		t.Errorf("docs/ops/limits.md: %s", wrong)
	}
	// And it notices.
	for what, c := range map[string][2]string{
		"window is not in the table":               {"| `window` ", "| `accepts` "},
		`job: the page says "3MiB", the default`:   {"| `job` | 2MiB", "| `job` | 3MiB"},
		`depth: the page says "none", the default`: {"| 100000 |", "| none |"},
		`idle_timeout: the page says "5", the def`: {"| 5m |", "| 5 |"},
		"widow is no key of [limits]":              {"| `window` ", "| `widow` "},
		"accepts is there twice":                   {"| `window` | 64", "| `accepts` | 64"},
	} {
		broken := strings.Replace(text, c[0], c[1], 1)
		if wrong := strings.Join(limitsWrong(broken), "\n"); broken == text || !strings.Contains(wrong, what) {
			t.Errorf("with %q for %q: got %q, want %q", c[1], c[0], wrong, what)
		}
	}
}

// packageDir is where the package is that the tables of security.md call so.
func packageDir(name string) string {
	if name == "main" {
		name = "cmd/fencepost"
	}
	for _, dir := range []string{name, "cmd/fencepost/" + name} {
		if _, err := os.Stat("../../" + dir); err == nil {
			return "../../" + dir
		}
	}
	return ""
}

// declares says whether a test of a package, or of one within it, has this name.
func declares(dir, name string) bool {
	files, _ := filepath.Glob(dir + "/*_test.go")
	deeper, _ := filepath.Glob(dir + "/*/*_test.go")
	decl := regexp.MustCompile(`(?m)^func ` + name + `\(`)
	return slices.ContainsFunc(append(files, deeper...), func(f string) bool {
		data, err := os.ReadFile(f)
		return err == nil && decl.Match(data)
	})
}

var testName = regexp.MustCompile(`^(Test|Fuzz)[A-Z]\w*$`)

// testsWrong says which tests a cell of security.md names that aren't there: it is
// made of parts such as "codec `FuzzXML`, vectors `job-control`, `job-nonchar`".
func testsWrong(cell string) (wrong []string) {
	named := 0
	for _, part := range strings.Split(cell, ";") {
		dir, kind := "", ""
		for _, m := range regexp.MustCompile("[a-z/]+|`[^`]+`").FindAllString(part, -1) {
			name, isName := strings.CutPrefix(m, "`")
			name = strings.TrimSuffix(name, "`")
			switch {
			case m == "vector" || m == "vectors" || m == "documents":
				kind = strings.TrimSuffix(m, "s") + "s"
			case !isName && dir == "":
				if dir = packageDir(m); dir == "" {
					wrong = append(wrong, "no package is called "+m)
				}
			case !isName:
				wrong = append(wrong, fmt.Sprintf("what is %q?", m))
			case testName.MatchString(name):
				if named++; dir == "" || !declares(dir, name) {
					wrong = append(wrong, name+" is no test of "+dir)
				}
			default:
				named++
				if files, _ := filepath.Glob(dir + "/testdata/" + kind + "/" + name + ".*"); kind == "" || len(files) == 0 {
					wrong = append(wrong, name+" is none of "+dir+"'s "+kind)
				}
			}
		}
	}
	if named == 0 {
		wrong = append(wrong, "names no test")
	}
	return wrong
}

// securityWrong holds the tables of security.md against the tests that are there.
func securityWrong(text string) (wrong []string) {
	threats, targets := rows(text, "## Threats"), rows(text, "## Fuzzing")
	if len(threats) < 25 || len(targets) < 10 {
		return []string{fmt.Sprintf("the tables have %d and %d rows", len(threats), len(targets))}
	}
	for _, row := range threats {
		if len(row) != 4 || !regexp.MustCompile(`^\d+(, \d+)*$`).MatchString(row[1]) {
			wrong = append(wrong, fmt.Sprintf("%s: not of the form threat, CWE numbers, where, test", row[0]))
			continue
		}
		for _, w := range testsWrong(row[3]) {
			wrong = append(wrong, row[0]+": "+w)
		}
	}
	for _, row := range targets {
		for _, w := range testsWrong(row[len(row)-1]) {
			wrong = append(wrong, row[0]+": "+w)
		}
	}
	return wrong
}

func TestSecurityIsDocumented(t *testing.T) {
	text := page(t, "security.md")
	for _, wrong := range securityWrong(text) {
		t.Errorf("docs/security.md: %s", wrong)
	}
	// And it notices.
	for what, c := range map[string][2]string{
		"TestOldTSL is no test of":    {"`TestOldTLS`", "`TestOldTSL`"},
		"FuzzJason is no test of":     {"codec `FuzzJSON` |", "codec `FuzzJason` |"},
		"job-queue-optoin is none of": {"`job-queue-option`", "`job-queue-optoin`"},
		"no package is called secur":  {"| secure `TestOldTLS`", "| secur `TestOldTLS`"},
		"names no test":               {"access `TestRules` |", "somebody looked |"},
		"not of the form threat":      {"| 862 | `access", "| many | `access"},
	} {
		broken := strings.Replace(text, c[0], c[1], 1)
		if wrong := strings.Join(securityWrong(broken), "\n"); broken == text || !strings.Contains(wrong, what) {
			t.Errorf("with %q for %q: got %q, want %q", c[1], c[0], wrong, what)
		}
	}
}

// TestFuzzTargetsAreThere: each thing that comes from elsewhere has a target, and
// each target a corpus in the repository: files, or seeds in its code.
func TestFuzzTargetsAreThere(t *testing.T) {
	text := page(t, "security.md")
	for _, what := range []string{"frames, split reads", "CBOR bodies", "XML against encoding/xml, XML to JSON to the job", "JSON against encoding/json",
		"text in every place of every form", "names of files", "lease records", "journals, cut at any byte", "configuration", "output of sbatch, squeue"} {
		if !slices.ContainsFunc(rows(text, "## Fuzzing"), func(row []string) bool { return strings.HasPrefix(row[0], what) }) {
			t.Errorf("docs/security.md: no target for %s", what)
		}
	}
	seeded := regexp.MustCompile(`(?s)\nfunc (Fuzz\w+)\(f \*testing\.F\) \{(.*?)\n\}`)
	err := filepath.WalkDir("../..", func(name string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, "_test.go") {
			return nil //nolint:nilerr // another test's file, just removed
		}
		data, err := os.ReadFile(name)
		if err != nil || strings.HasSuffix(name, "docs_security_test.go") {
			return nil //nolint:nilerr // the same
		}
		for _, m := range seeded.FindAllStringSubmatch(string(data), -1) {
			files, _ := filepath.Glob(filepath.Join(filepath.Dir(name), "testdata", "fuzz", m[1], "*"))
			if len(files) == 0 && !strings.Contains(m[2], "f.Add(") {
				t.Errorf("%s: %s has no corpus", name, m[1])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
