package main

import (
	"context"
	"io"
	"path/filepath"
	"strings"

	"fencepost/cmd/fencepost/nfslab"
)

// benchOn runs fencepost bench, with the given flags, on a host of a laboratory: on
// a real NFS mount, where it counts the calls to the server.
func benchOn(ctx context.Context, args []string, out io.Writer) (err error) {
	l, err := nfslab.Boot(ctx, nfslab.Config{})
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer func() {
		stop()
		if closed := l.Close(); err == nil {
			err = closed
		}
	}()
	if err := nfslab.Build(ctx, filepath.Join(l.Share(), "fencepost"), "fencepost/cmd/fencepost"); err != nil {
		return err
	}
	h, err := l.AddHost(ctx, nfslab.HostConfig{})
	if err != nil {
		return err
	}
	defer h.Close()
	said := &strings.Builder{}
	run := h.Command(append([]string{nfslab.Shared + "/fencepost", "bench", "--spool", nfslab.Mount}, args...)...)
	run.Stdout, run.Stderr = out, said
	run.Dir = "/tmp"
	if err := run.Start(); err != nil {
		return err
	}
	err = run.Wait()
	_, _ = io.WriteString(out, said.String())
	return err
}
