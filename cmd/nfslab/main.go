package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"fencepost/cmd/fencepost/nfslab"
	"fencepost/cmd/fencepost/nfslab/guest"
)

func main() {
	if code, ok := guest.Main(os.Args[1:]); ok {
		os.Exit(code)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	t := time.Now()
	say := func(what ...any) { fmt.Println(append([]any{time.Since(t).Round(time.Millisecond)}, what...)...) }
	l, err := nfslab.Boot(ctx, nfslab.Config{Log: os.Stderr})
	say("booted", err)
	if err != nil {
		os.Exit(1)
	}
	h, err := l.AddHost(ctx, nfslab.HostConfig{})
	say("host", err)
	h, err = l.AddHost(ctx, nfslab.HostConfig{})
	say("host", err)
	_ = h
	_ = strings.Fields
	out, err := h.Command("dmesg").Output(ctx)
	say(string(out), err)
	say(l.Close())
}
