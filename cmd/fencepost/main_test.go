package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/rogpeppe/go-internal/txtar"
)

func TestMain(m *testing.M) {
	// The program starts itself for some things. Started so by a test in this
	// process it is the test binary, which would run all tests, each of which...
	if self := filepath.Base(os.Args[0]); strings.HasSuffix(self, ".test") && len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		os.Stderr.WriteString(self + " is the test binary, not the program\n")
		os.Exit(exitUsage)
	}
	testscript.Main(tidy{m}, map[string]func(){"fencepost": main})
}

// builtVar tells where the end-to-end tests, in a package of their own, built
// the binary.
const builtVar = "FENCEPOST_TEST_BUILT"

// tidy removes that binary.
type tidy struct{ *testing.M }

func (m tidy) Run() int {
	code := m.M.Run()
	if dir := os.Getenv(builtVar); dir != "" {
		_ = os.RemoveAll(dir)
	}
	return code
}

// TestScripts runs the program as a person would. Each script says what it
// pins. FENCEPOST_TEST_UPDATE=1 rewrites the golden output in them.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       os.Getenv("FENCEPOST_TEST_UPDATE") != "",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Vars = append(e.Vars, "HOME="+e.WorkDir)
			return unpack(filepath.Join(e.WorkDir, "sample"))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": cmdCode, "mask": cmdMask},
	})
}

// cmdCode is "code N PROGRAM ARG...": runs it and wants that exit code.
func cmdCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N PROGRAM ARG...")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	if err != nil {
		got = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("exit code %s, want %s", got, args[0])
	}
}

// cmdMask is "mask FILE": the standard output of the last command, with what
// depends on the moment and the place left out.
func cmdMask(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: mask FILE")
	}
	text := strings.ReplaceAll(ts.ReadFile("stdout"), ts.Getenv("WORK"), "WORK")
	for _, m := range []struct{ pattern, with string }{
		{`\b2[0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z`, "TIME"},
		{`("[a-z_]*seconds": ?)[0-9.]+`, "${1}SECONDS"}, {`(?m)(^|[\t ~])[0-9.]+[smhd]( ago)?(\t|$)`, "${1}AGE$2$3"},
	} {
		text = regexp.MustCompile(m.pattern).ReplaceAllString(text, m.with)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// unpack makes the sample spool.
func unpack(dir string) error {
	a, err := txtar.ParseFile("testdata/sample.txtar")
	if err != nil {
		return err
	}
	for _, f := range a.Files {
		name := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o770); err != nil {
			return err
		}
		if err := os.WriteFile(name, f.Data, 0o640); err != nil {
			return err
		}
	}
	// An accept that passed its gate is one file with two names.
	const job = "01900000-0000-7000-8000-00000000000a"
	gate := filepath.Join(dir, "gate", "0190000", job)
	if err := os.Remove(gate); err != nil {
		return err
	}
	return os.Link(filepath.Join(dir, "drafts/a/3/accept~1~"+job+".xml"), gate)
}

// inProcess runs the program without a process.
func inProcess(t *testing.T, g *globals, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	g.stdout, g.stderr, g.environ = &out, &errs, nil
	code = run(context.Background(), g, args)
	return code, out.String(), errs.String()
}
