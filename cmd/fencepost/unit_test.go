package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// TestWatchdogIsFedByProgressOnly: while a loop doesn't come round the watchdog
// starves, whoever else is alive; when it does again, it is fed again.
func TestWatchdogIsFedByProgressOnly(t *testing.T) {
	dir, err := os.MkdirTemp("", "sd")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "n")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	var since atomic.Int64
	u := &unit{watchdog: 60 * time.Millisecond}
	var log bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		u.watch(ctx, zerolog.New(&log), func() (string, time.Duration) { return "submit", time.Duration(since.Load()) })
	}()
	next := func() string {
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		buf := make([]byte, 1000)
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
	for range 3 {
		if got := next(); got != "WATCHDOG=1" {
			t.Errorf("with progress: got %q", got)
		}
	}
	since.Store(int64(time.Hour))
	starved := 0
	for range 20 {
		if got := next(); got == "STATUS=no progress of submit for 1h0m0s" {
			starved++
		} else if starved > 0 {
			t.Errorf("without progress: got %q", got)
		}
	}
	if starved < 10 {
		t.Errorf("without progress it was fed on and on")
	}
	since.Store(0)
	for range 1000 {
		if next() == "WATCHDOG=1" {
			break
		}
	}
	cancel()
	<-ended
	if n := strings.Count(log.String(), "no-progress"); n != 1 {
		t.Errorf("logged %d times, want once\n%s", n, log.String())
	}
}
