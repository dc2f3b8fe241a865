package main_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestModel runs the quick part of the model in docs/model; the whole of it is
// a phase of .ci/run.
func TestModel(t *testing.T) {
	for _, tool := range []string{"spin", "gcc"} {
		switch _, err := exec.LookPath(tool); {
		case err == nil:
		case os.Getenv("CI") != "":
			t.Fatalf("%s is required in CI: apt-get install %s", tool, tool)
		default:
			t.Skipf("%s isn't installed (apt-get install %s)", tool, tool)
		}
	}
	t.Parallel()
	out, err := runModel(t, "../../docs/model", "quick")
	if err != nil {
		t.Errorf("docs/model/run.sh quick: %v\n%s", err, out)
	}

	// That it can fail: by a bug in what is shipped, and by a switch without one.
	dir := t.TempDir()
	model, err := os.ReadFile("../../docs/model/claim.pml")
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("../../docs/model/run.sh")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"claim.pml": model,
		"run.sh": []byte(strings.NewReplacer(
			`"accept     -DACCEPTING -DHOSTS=2 -DFAULTS=2"`, "",
			`"translate  -DTRANSLATING -DHOSTS=2 -DFAULTS=2"`, `"translate  -DTRANSLATING -DDROP_EARLY -DHOSTS=2 -DFAULTS=2"`,
			`"submit     -DSUBMITTING -DHOSTS=2 -DFAULTS=2"`, "",
			`quickly="NO_SEAL DROP_EARLY"`, `quickly="NOT_A_BUG"`,
			`"NO_SEAL `, `"NOT_A_BUG `).Replace(string(script))),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	out, err = runModel(t, dir, "quick")
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 ||
		!bytes.Contains(out, []byte("VIOLATION: it is lost")) || !bytes.Contains(out, []byte("NO VIOLATION, though")) {
		t.Errorf("got %v, want exit status 1 for a bug in what is shipped and a switch without one\n%s", err, out)
	}
}

func runModel(t *testing.T, dir, what string) ([]byte, error) {
	cmd := exec.CommandContext(t.Context(), "bash", filepath.Join(dir, "run.sh"), what)
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	return cmd.CombinedOutput()
}

// TestModelSwitches holds the three lists of switches against each other: what
// run.sh tries is in the model, and is explained, with a schedule that is there.
func TestModelSwitches(t *testing.T) {
	h, err := readHouse(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	model, err := os.ReadFile("../../docs/model/claim.pml")
	if err != nil {
		t.Fatal(err)
	}
	_, bugs, _ := strings.Cut(h.text["docs/model/run.sh"], "\nbugs=(\n")
	bugs, _, _ = strings.Cut(bugs, "\n)")
	var tried, explained []string
	for _, m := range regexp.MustCompile(`(?m)^\t"([A-Z_]+) `).FindAllStringSubmatch(bugs, -1) {
		tried = append(tried, m[1])
		if !regexp.MustCompile(`(?m)^#.*\b` + m[1] + `\b`).Match(model) {
			t.Errorf("docs/model/run.sh tries %s, which docs/model/claim.pml doesn't have", m[1])
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([A-Z_]+)` \\| [^|]+ \\| ([0-9.]+) \\|").FindAllStringSubmatch(h.text["docs/model/README.md"], -1) {
		explained = append(explained, m[1])
		if !strings.Contains(h.text["docs/schedules.md"], "\n| "+m[2]+" |") {
			t.Errorf("docs/model/README.md: %s: docs/schedules.md has no schedule %s", m[1], m[2])
		}
	}
	if len(tried) < 10 || !slices.Equal(tried, explained) {
		t.Errorf("docs/model/run.sh tries %q, README.md beside it explains %q", tried, explained)
	}
}
