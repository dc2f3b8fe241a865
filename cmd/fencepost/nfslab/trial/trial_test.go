package trial_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"fencepost/cmd/fencepost/nfslab"
	"fencepost/cmd/fencepost/nfslab/trial"
)

// boot boots a laboratory, or says why it can't.
func boot(t *testing.T) *nfslab.Lab {
	t.Helper()
	if missing := nfslab.Missing(); len(missing) > 0 {
		if os.Getenv("CI") != "" {
			t.Fatalf("not installed: %s", missing)
		}
		t.Skipf("not installed: %s", missing)
	}
	if testing.Short() {
		t.Skip("takes minutes")
	}
	l, err := nfslab.Boot(t.Context(), nfslab.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the laboratory says:\n%s", l.Log())
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// TestTrial: the real program, on real NFS, with real faults; and a judge that
// also catches programs that are wrong. cmd/nfslab does all of this at length.
func TestTrial(t *testing.T) {
	t.Parallel()
	l := boot(t)
	dir := t.TempDir()
	good, err := trial.TempBinary(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	say := func(format string, args ...any) {
		t.Logf("%4.0f s  "+format, append([]any{time.Since(began).Seconds()}, args...)...)
	}
	form := trial.Short()
	form.Jobs = 24
	keep, err := os.MkdirTemp("", "trial-kept-")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := trial.Run(t.Context(), l, trial.Config{Name: "short", Binary: good, Form: form, Say: say, Keep: keep}); err != nil {
		t.Errorf("%v\nkept: %s", err, keep)
	} else if err := os.RemoveAll(keep); err != nil {
		t.Error(err)
	}
	for _, b := range trial.Broken() {
		if b.Name == "eexist-is-taken" {
			continue // like the one before, with another call
		}
		caught, err := b.Catch(t.Context(), l, good, dir, say)
		if err != nil {
			t.Error(err)
			continue
		}
		say("caught: %s: %s", b.What, caught)
	}
}

// The patches of the broken builds must be made anew when the code changes.
func TestPatchesApply(t *testing.T) {
	t.Parallel()
	for _, b := range trial.Broken() {
		if copies, err := trial.Patch(t.Context(), b.Name, t.TempDir()); err != nil || len(copies) == 0 {
			t.Errorf("%s: %d files, %v", b.Name, len(copies), err)
		}
	}
	if _, err := trial.Patch(t.Context(), "none", t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a patch that isn't there: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := trial.BuildBroken(ctx, "move-directory", t.TempDir()+"/x"); err == nil {
		t.Error("built, although broken off")
	}
}
