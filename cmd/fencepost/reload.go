package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"fencepost/cmd/fencepost/config"
	"fencepost/spool"
)

// reception is the ingest server of the moment. Another one, under other rules,
// takes over its socket: no connection that waits there is lost.
type reception struct {
	d    *daemon
	sp   *spool.Spool
	fail func(error)

	wg sync.WaitGroup

	mu     sync.Mutex
	cfg    *config.Loaded // the rules: of the server of the moment, or of the first one
	door   *door
	opened bool
	leave  context.CancelFunc // ends the server of the moment
}

// open lets clients in, when the first instance is ready.
func (r *reception) open(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opened = true
	return r.serve(ctx, r.cfg, r.door)
}

func (r *reception) isOpen() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.opened
}

// change puts other rules into force.
func (r *reception) change(ctx context.Context, c *config.Loaded, o *door) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.opened {
		if err := r.serve(ctx, c, o); err != nil {
			return err
		}
	}
	r.cfg, r.door = c, o
	return nil
}

// serve starts a server, and then tells the one before to go: its clients are
// asked to connect again, and what they are waiting for is answered.
func (r *reception) serve(ctx context.Context, c *config.Loaded, o *door) error {
	if r.d.ln == nil {
		return nil
	}
	ln, err := again(r.d.ln)
	if err != nil {
		return fmt.Errorf("ingest: %w", err)
	}
	srv, err := r.d.newServer(r.sp, c, o)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	before := r.leave
	own, cancel := context.WithCancel(ctx)
	r.leave = cancel
	r.d.server.Store(srv)
	r.wg.Go(func() {
		defer cancel()
		if err := srv.Serve(own, ln); own.Err() == nil {
			r.fail(fmt.Errorf("ingest: %w", err))
		}
	})
	if before != nil {
		before()
	}
	return nil
}

func (r *reception) wait() { r.wg.Wait() }

// again is another descriptor of a socket: a server closes its own at its end.
func again(ln net.Listener) (net.Listener, error) {
	tcp, ok := ln.(*net.TCPListener)
	if !ok {
		return nil, fmt.Errorf("%s is no TCP socket", ln.Addr())
	}
	f, err := tcp.File()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return net.FileListener(f)
}

// reloadable are the settings that can change while the daemon runs: keys, and
// tables that end in a dot. What other hosts rely on is not among them, but for
// the job types: until all hosts have read them again, their digests differ.
var reloadable = [...]string{"log.level", "limits.", "tls.", "token_file", "token_skew", "clients", "types"}

func canReload(s config.Setting) bool {
	return (!s.Shared || s.Key == "types") && slices.ContainsFunc(reloadable[:], func(key string) bool {
		return s.Key == key || strings.HasSuffix(key, ".") && strings.HasPrefix(s.Key, key)
	})
}

// obey does what signals ask for, until ctx is done.
func (d *daemon) obey(ctx context.Context, desk *reception) {
	now := d.cfg
	for {
		select {
		case <-ctx.Done():
			return
		case sig := <-d.signals:
			switch sig {
			case syscall.SIGHUP:
				now = d.reload(ctx, desk, now)
			case syscall.SIGUSR1:
				d.reopenLog()
			case syscall.SIGQUIT:
				d.printHeld()
			}
		}
	}
}

// reload reads the configuration again. All of it counts, or nothing does.
func (d *daemon) reload(ctx context.Context, desk *reception, old *config.Loaded) *config.Loaded {
	if desk.isOpen() { // else it isn't ready, and mustn't say so
		d.unit.say("RELOADING=1", "MONOTONIC_USEC="+monotonic())
		defer d.unit.say("READY=1")
	}
	next, changed, err := d.readAgain(old)
	if err == nil && len(changed) > 0 {
		err = d.apply(ctx, desk, next)
	}
	if err != nil {
		d.log.Error().Err(err).Str("event", "reload-refused").Msg("the configuration isn't reloaded: what was set before counts on")
		d.unit.say("STATUS=reload refused: " + strings.ReplaceAll(err.Error(), "\n", "; "))
		return old
	}
	digest := next.Digest()
	d.digest.Store(&digest)
	if in, err := d.node.Instance(); err == nil {
		in.Journal.Add(spool.Event{Event: "reloaded", Detail: "config digest " + digest})
	}
	d.log.Info().Str("event", "reloaded").Strs("changed", changed).Str("digest", digest).Msg("read the configuration again")
	d.unit.say("STATUS=reloaded: " + cmp.Or(strings.Join(changed, ", "), "nothing had changed"))
	return next
}

// readAgain reads all sources again, and refuses what can't change.
func (d *daemon) readAgain(old *config.Loaded) (next *config.Loaded, changed []string, err error) {
	next, err = config.Load(config.Sources{File: d.g.configFile, Environ: d.g.environ, Flags: d.g.given, ReadFile: d.g.readFile})
	if err != nil {
		return nil, nil, err
	}
	// As they are for as long as there are sockets of the service manager.
	if d.unit.gaveJobs {
		next.Listen = old.Listen
	}
	if d.unit.gaveHTTP {
		next.HTTP = old.HTTP
	}
	var fixed []string
	for _, s := range old.Changed(next) {
		changed = append(changed, s.Key)
		if !canReload(s) {
			fixed = append(fixed, s.Key)
		}
	}
	if len(fixed) > 0 {
		return nil, nil, fmt.Errorf("%s can't change while the daemon runs: put it back, or restart; only log.level, limits, tls, token_file, token_skew, clients and types can", strings.Join(fixed, ", "))
	}
	return next, changed, nil
}

func (d *daemon) apply(ctx context.Context, desk *reception, next *config.Loaded) error {
	o, err := d.openDoor(desk.sp, next)
	if err != nil {
		return err
	}
	if err := desk.change(ctx, next, o); err != nil {
		return err
	}
	return d.sink.setLevel(next.Log.Level)
}

func (d *daemon) reopenLog() {
	if d.sink.file == "" {
		d.log.Warn().Str("event", "reopen-log").Msg("logs to standard error: there is no file to open again")
		return
	}
	if err := d.sink.reopen(); err != nil {
		d.log.Error().Err(err).Str("event", "reopen-log").Msg("the old file is written on")
		return
	}
	d.log.Info().Str("event", "reopen-log").Str("file", d.sink.file).Send()
}

// printHeld says what is being worked on, from memory: the share may not answer.
func (d *daemon) printHeld() {
	var b strings.Builder
	in, err := d.node.Instance()
	loop, since := d.node.Stalled()
	if err != nil {
		fmt.Fprintf(&b, "host %s: %v\n", d.id.Host, err)
	} else {
		held := in.Held()
		fmt.Fprintf(&b, "host %s, epoch %d: %d files in hand\n", d.id.Host, in.Epoch, len(held))
		for _, h := range held {
			fmt.Fprintf(&b, "  %s  for %s\n", h.Path, h.For.Round(time.Millisecond))
		}
	}
	fmt.Fprintf(&b, "  the loop that hasn't come round for longest: %s, %s\n", loop, since.Round(time.Millisecond))
	fmt.Fprint(d.g.stderr, b.String())
}

// configDigest is that of the settings in force.
func (d *daemon) configDigest() string {
	if digest := d.digest.Load(); digest != nil {
		return *digest
	}
	return d.id.ConfigDigest
}
