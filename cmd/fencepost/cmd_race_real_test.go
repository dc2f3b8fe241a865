package main

import (
	"syscall"
	"testing"

	"fencepost/spool/vfs"
)

// A share that doesn't answer can't be drawn: exit 8, and no file is made.
func TestDrawDeadShare(t *testing.T) {
	g, stop := newGlobals(), make(chan struct{})
	defer close(stop)
	g.openFS = func(string) (vfs.FS, error) { <-stop; return nil, syscall.EIO }
	wantTimeout(t, g, "open ", []string{"race", "--draw", t.TempDir(), "--html", t.TempDir() + "/x.html", "--timeout", "30ms"})
}
