package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
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
	for _, v := range []string{"4.2", "4.2", "4.0", "3"} {
		h, err := l.AddHost(ctx, nfslab.HostConfig{Version: v})
		say("host", err)
		if err == nil {
			out, err := h.Command("sh", "-c", "hostname; date > /mnt/spool/$(hostname); ls -la /mnt/spool; grep spool /proc/self/mountinfo; ps ax | head -50").Output(ctx)
			say(string(out), err)
		}
	}
	say(l.Close())
}
