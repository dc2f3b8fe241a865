package trial_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"fencepost/cmd/fencepost/nfslab"
	"fencepost/cmd/fencepost/nfslab/trial"
)

// The counts are those of a real file, shortened.
func TestParseMountstats(t *testing.T) {
	t.Parallel()
	const text = `device rootfs mounted on / with fstype rootfs
device 10.9.0.1:/ mounted on /mnt/other with fstype nfs4 statvers=1.1
	per-op statistics
	        READ: 7 7 0 1 1 0 0 0 0
device 10.9.0.1:/ mounted on /mnt/spool with fstype nfs4 statvers=1.1
	opts:	rw,vers=4.2,rsize=131072
	age:	12
	RPC iostats version: 1.1  p/v: 100003/4 (nfs)
	xprt:	tcp 0 1 1 0 0 20 20 0 20 0 2 0 0
	per-op statistics
	        NULL: 1 1 0 44 24 0 0 0 0
	        READ: 0 0 0 0 0 0 0 0 0
	      RENAME: 12 13 0 2816 1216 0 4 5 1

device proc mounted on /proc with fstype proc
`
	got, err := trial.ParseMountstats(text, "/mnt/spool")
	if err != nil || !maps.Equal(got, trial.Ops{"NULL": 1, "RENAME": 12}) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", strings.Replace(text, "RENAME: 12", "RENAME: x", 1), strings.Replace(text, "RENAME: 12 13 0 2816 1216 0 4 5 1", "RENAME:", 1)} {
		if got, err := trial.ParseMountstats(bad, "/mnt/spool"); err == nil {
			t.Errorf("got %v of %q", got, bad)
		}
	}
}

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

// TestTrial: the real program, on real NFS, with real faults; with
// FENCEPOST_TEST_LONG=1 also a judge that catches programs that are wrong.
// cmd/nfslab does all of this at length.
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
	t.Run("mounts", func(t *testing.T) {
		if err := trial.Mounts(t.Context(), l, good, say); err != nil {
			t.Error(err)
		}
	})
	form := trial.Short()
	form.Jobs = 18
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
		if os.Getenv("FENCEPOST_TEST_LONG") == "" || b.Name == "eexist-is-taken" { // the last is like the one before, with another call
			continue
		}
		caught, err := b.Catch(t.Context(), l, "", dir, say)
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
