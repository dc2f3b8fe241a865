package local_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"fencepost/submit/local"
)

// The run directory has a name that anybody can guess, mostly below /tmp: what
// another user of the machine made there is not taken.
func TestRunDirOfOthers(t *testing.T) {
	for what, c := range map[string]struct {
		spoil func(run string) error
		says  string // "" = it is taken
	}{
		"new":              {func(string) error { return nil }, ""},
		"below a /tmp":     {func(run string) error { return os.Chmod(filepath.Dir(run), 0o777|os.ModeSticky) }, ""},
		"others may write": {func(run string) error { return errors.Join(os.Mkdir(run, 0o700), os.Chmod(run, 0o777)) }, "others may write"},
		"another's": {func(run string) error {
			if os.Geteuid() != 0 {
				return errors.Join(os.Mkdir(run, 0o700), os.Chmod(run, 0o777))
			}
			return errors.Join(os.Mkdir(run, 0o755), os.Chown(run, 4711, 4711))
		}, "run"},
		"another's link": {func(run string) error {
			mine := filepath.Join(filepath.Dir(run), "elsewhere")
			if os.Geteuid() != 0 {
				return errors.Join(os.Mkdir(mine, 0o700), os.Chmod(mine, 0o777), os.Symlink(mine, run))
			}
			return errors.Join(os.Mkdir(mine, 0o700), os.Symlink(mine, run), os.Lchown(run, 4711, 4711))
		}, "run directory"},
		"a link": {func(run string) error {
			mine := filepath.Join(filepath.Dir(run), "elsewhere")
			return errors.Join(os.Mkdir(mine, 0o700), os.Chmod(mine, 0o777), os.Symlink(mine, run))
		}, "others may write"},
	} {
		t.Run(what, func(t *testing.T) {
			cfg := config(t, newSpool(t))
			cfg.RunDir = filepath.Join(t.TempDir(), "run")
			if err := c.spoil(cfg.RunDir); err != nil {
				t.Fatal(err)
			}
			_, err := local.New(cfg)
			if (c.says == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
}

// A link in the place of a slot isn't followed: the file that it leads to would be
// cut to nothing.
func TestSlotIsNoLink(t *testing.T) {
	cfg := config(t, newSpool(t))
	c, err := local.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	precious := filepath.Join(t.TempDir(), "precious")
	dir := filepath.Join(cfg.RunDir, cfg.SpoolID+"~"+cfg.Host)
	if err := errors.Join(os.WriteFile(precious, []byte("precious"), 0o600), os.Symlink(precious, filepath.Join(dir, "slot.0"))); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Slots(context.Background()); err == nil {
		t.Error("a slot that is a link counts")
	}
	if err := c.TakeSlot(); err == nil {
		t.Error("a slot that is a link was taken")
	}
	if data, _ := os.ReadFile(precious); string(data) != "precious" {
		t.Errorf("got %q", data)
	}
}

// What a job prints goes into a file of the spool, whatever somebody has put in
// its place: nothing outside is written, and nobody waits for a pipe's reader.
func TestOutputIsAFile(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	precious := filepath.Join(outside, "precious")
	if err := errors.Join(os.Mkdir(filepath.Join(root, "local"), 0o700), os.Mkdir(filepath.Join(root, "local/b"), 0o700),
		os.WriteFile(precious, []byte("precious"), 0o600), os.Symlink(outside, filepath.Join(root, "local/a")),
		os.Symlink(precious, filepath.Join(root, "local/b/link")), syscall.Mkfifo(filepath.Join(root, "local/b/pipe"), 0o600),
		os.Mkdir(filepath.Join(root, "local/b/dir"), 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"local/a/precious", "local/a/new", "local/b/link", "local/b/pipe", "local/b/dir"} {
		if f, err := local.OpenOutput(root, name); err == nil {
			t.Errorf("%s: opened", name)
			f.Close()
		}
	}
	for range 2 { // it is appended to
		f, err := local.OpenOutput(root, "local/b/stdout")
		if err == nil {
			_, err = f.WriteString("x")
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if data, _ := os.ReadFile(filepath.Join(root, "local/b/stdout")); string(data) != "xx" {
		t.Errorf("got %q", data)
	}
	if data, _ := os.ReadFile(precious); string(data) != "precious" {
		t.Errorf("outside: got %q", data)
	}
	if left, _ := filepath.Glob(filepath.Join(outside, "*")); len(left) != 1 {
		t.Errorf("outside: got %q", left)
	}
}
