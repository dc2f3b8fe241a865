package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	sd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"fencepost/spool"
)

// unit is the service manager that started this process, if one did: what it
// wants to be told, and the sockets that it opened.
type unit struct {
	watchdog time.Duration // it ends this process after so long a silence; 0 = never
	sockets  map[string][]net.Listener

	gaveJobs, gaveHTTP bool // which of them are listened on
}

// Names of sockets, as FileDescriptorName= of a socket unit has them.
const (
	socketJobs = "jobs"
	socketHTTP = "http"
)

func newUnit() (*unit, error) {
	u := &unit{}
	var err error
	if u.watchdog, err = sd.SdWatchdogEnabled(false); err != nil {
		return nil, fmt.Errorf("WATCHDOG_USEC: %w", err)
	}
	if u.sockets, err = activation.ListenersWithNames(); err != nil {
		return nil, fmt.Errorf("sockets of the service manager: %w", err)
	}
	return u, nil
}

func (u *unit) close() {
	for _, all := range u.sockets {
		for _, ln := range all {
			_ = ln.Close()
		}
	}
}

// say tells the service manager. Nobody is there, or it doesn't listen: then
// nothing depends on it.
func (u *unit) say(lines ...string) { _, _ = sd.SdNotify(false, strings.Join(lines, "\n")) }

// watch feeds the watchdog while every loop comes round. Being alive is not
// enough: a process that hangs in one place is alive in others.
func (u *unit) watch(ctx context.Context, log zerolog.Logger, stalled func() (string, time.Duration)) {
	if u.watchdog <= 0 {
		return
	}
	hungry := false
	for tick := time.NewTicker(u.watchdog / 6); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
		loop, since := stalled()
		if since < u.watchdog/2 {
			u.say("WATCHDOG=1")
			hungry = false
			continue
		}
		if !hungry {
			hungry = true
			log.Error().Str("event", "no-progress").Str("loop", loop).Dur("since", since).Msg("no progress: the watchdog isn't fed")
		}
		u.say(fmt.Sprintf("STATUS=no progress of %s for %s", loop, since.Round(time.Second)))
	}
}

// takeSockets takes the sockets over that the service manager opened. They are
// what is listened on, whatever listen and http say, and have to pass the same
// checks.
func (d *daemon) takeSockets() error {
	for name, all := range d.unit.sockets {
		if len(d.unit.sockets) == 1 && name != socketHTTP {
			name = socketJobs // of a socket unit that names nothing
		}
		if len(all) != 1 || !slices.Contains([]string{socketJobs, socketHTTP}, name) {
			return &exitError{code: exitUsage, err: fmt.Errorf("%d sockets called %q come from the service manager", len(all), name),
				next: "a socket unit has one ListenStream=, and FileDescriptorName=" + socketJobs + " or " + socketHTTP}
		}
		if _, tcp := all[0].(*net.TCPListener); !tcp {
			return &exitError{code: exitUsage, err: fmt.Errorf("socket %s: %s is no TCP socket", name, all[0].Addr()), next: "ListenStream=ADDRESS:PORT in the socket unit"}
		}
		c := *d.cfg
		switch {
		case name == socketHTTP:
			d.httpLn, c.HTTP, d.unit.gaveHTTP = all[0], all[0].Addr().String(), true
		case !d.serves(spool.Ingest):
			return &exitError{code: exitUsage, err: fmt.Errorf("a socket for jobs, and this host doesn't serve ingest"), next: "add ingest to stages, or disable the socket unit"}
		default:
			d.ln, c.Listen, d.unit.gaveJobs = all[0], all[0].Addr().String(), true
		}
		if err := c.Validate(); err != nil {
			return &exitError{code: exitUsage, err: fmt.Errorf("socket %s: %w", name, err)}
		}
		d.cfg = &c
	}
	return nil
}

// monotonic is the time that a service manager compares reloads by.
func monotonic() string {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return "0"
	}
	return fmt.Sprint(ts.Nano() / 1000)
}
