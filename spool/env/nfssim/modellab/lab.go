package modellab

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"fencepost/spool/env/nfssim"
	"fencepost/spool/env/simenv"
	"fencepost/spool/vfs/nfsfacts"
)

// Lab is a model with hosts.
type Lab struct {
	w     *simenv.World
	s     *nfssim.Server
	hosts []*host
	of    map[*nfssim.Client]*host
	n     int // of hosts, for their names
}

// replyMemory is a Linux server's.
const replyMemory = 2 * time.Minute

// callTime is how long a call may take that the experiment waits for.
const callTime = time.Hour

// New returns a laboratory with a server of a version and hosts.
func New(version string, lease time.Duration, hosts int) *Lab {
	w := simenv.New(simenv.Draw(1))
	l := &Lab{w: w, of: map[*nfssim.Client]*host{}, s: nfssim.New(w, nfssim.Options{Version: version, Lease: lease, ReplyMemory: replyMemory})}
	l.s.OnEffect = l.effect
	for range hosts {
		h, _ := l.add(nfsfacts.HostOptions{})
		l.hosts = append(l.hosts, h)
	}
	return l
}

var _ nfsfacts.Lab = (*Lab)(nil)

// Server is the model.
func (l *Lab) Server() *nfssim.Server { return l.s }

// Version is the mounts'.
func (l *Lab) Version() string { return l.s.Version() }

// Lease is the server's lease time.
func (l *Lab) Lease() time.Duration { return l.s.Lease() }

// Host is the i-th host.
func (l *Lab) Host(i int) nfsfacts.Host { return l.hosts[i] }

// AddHost adds a host.
func (l *Lab) AddHost(o nfsfacts.HostOptions) (nfsfacts.Host, error) { return l.add(o) }

func (l *Lab) add(o nfsfacts.HostOptions) (*host, error) {
	l.n++
	name := fmt.Sprint("host", l.n)
	var mount nfssim.MountOptions
	for _, option := range strings.FieldsFunc(o.Mount, func(r rune) bool { return r == ',' }) {
		if err := set(&mount, option); err != nil {
			return nil, err
		}
	}
	if twin, ok := o.Twin.(*host); ok {
		mount.Identifier = twin.m.Name()
	}
	mount.NewPort = o.NewPort
	h := &host{l: l, m: l.w.Machine(name)}
	h.c = l.s.Mount(h.m, mount)
	l.of[h.c] = h
	return h, nil
}

// set takes in a mount option.
func set(m *nfssim.MountOptions, option string) error {
	key, value, _ := strings.Cut(option, "=")
	switch key {
	case "soft":
		m.Soft = true
	case "nolock":
		m.NoLock = true
	case "local_lock":
		m.LocalLock = value == "flock" || value == "all"
	case "lookupcache":
		m.LookupCache = value
	case "timeo": // in tenths of a second
		n, err := strconv.Atoi(value)
		m.SoftTime = time.Duration(n) * 100 * time.Millisecond
		return err
	case "retrans":
	default:
		return fmt.Errorf("mount option %s: %w", option, errors.ErrUnsupported)
	}
	return nil
}

// Sleep lets virtual time go by.
func (l *Lab) Sleep(d time.Duration) { l.w.Run(l.w.Now() + d) }

// RestartServer restarts the model's server.
func (l *Lab) RestartServer() error {
	l.s.Restart()
	return nil
}

// Close ends the world.
func (l *Lab) Close() error {
	l.w.Close()
	if why := l.w.Failure(); why != "" {
		return errors.New(why)
	}
	return nil
}

// effect cuts a host off in the moment in which its reply is to be lost.
func (l *Lab) effect(e *nfssim.Effect) {
	if e.Call == nil {
		return
	}
	if h := l.of[e.Call.Client]; h != nil && h.lose == e.Op {
		h.lose = ""
		h.c.Cut()
	}
}

// host is a machine with a client.
type host struct {
	l     *Lab
	m     *simenv.Machine
	c     *nfssim.Client
	procs []*process
	lose  string
}

// Close switches the machine off.
func (h *host) Close() error {
	h.c.Cut()
	for _, p := range h.procs {
		_ = p.Kill()
	}
	h.c.Crash()
	return nil
}

func (h *host) Cut() error {
	h.c.Cut()
	return nil
}

func (h *host) Join() error {
	h.c.Join()
	return nil
}

func (h *host) LoseReply(op string) error {
	h.lose = op
	return nil
}

func (h *host) Pause() error {
	h.m.Freeze()
	return nil
}

func (h *host) Resume() error {
	h.m.Thaw()
	return nil
}

// Start starts a process, with one task that makes its calls.
func (h *host) Start() (nfsfacts.Process, error) {
	p := &process{h: h, p: h.m.Start("process")}
	p.sys = h.c.Sys(p.p)
	h.procs = append(h.procs, p)
	return p, nil
}

// process makes its calls in a task each.
type process struct {
	h   *host
	p   *simenv.Proc
	sys *nfssim.Sys
}

// pending is a call under way.
type pending struct {
	l     *Lab
	ended bool
	err   error
}

func (c *pending) Wait(d time.Duration) (error, bool) {
	c.l.w.RunUntil(c.l.w.Now()+d, func() bool { return c.ended })
	return c.err, c.ended
}

func (p *process) Begin(f func(nfsfacts.Process) error) nfsfacts.Pending {
	c := &pending{l: p.h.l}
	p.p.Go("call", func() {
		c.err = f(p)
		c.ended = true
	})
	return c
}

// call makes a call and waits for its end, if it isn't part of one that waits
// already.
func (p *process) call(f func() error) error {
	if p.h.l.w.Current() != nil {
		return f()
	}
	err, ended := p.Begin(func(nfsfacts.Process) error { return f() }).Wait(callTime)
	switch {
	case p.p.Dead():
		return syscall.ESRCH
	case !ended:
		return syscall.ETIMEDOUT
	}
	return err
}

func (p *process) Open(name string, flags int) (fd int, err error) {
	err = p.call(func() error { fd, err = p.sys.Open(name, flags); return err })
	return fd, err
}

func (p *process) Read(fd, n int) (data []byte, err error) {
	err = p.call(func() error { data, err = p.sys.Read(fd, n); return err })
	return data, err
}

func (p *process) Write(fd int, data []byte) error {
	return p.call(func() error { return p.sys.Write(fd, data) })
}
func (p *process) Fsync(fd int) error { return p.call(func() error { return p.sys.Fsync(fd) }) }
func (p *process) Close(fd int) error { return p.call(func() error { return p.sys.Close(fd) }) }
func (p *process) Flock(fd, how int) error {
	return p.call(func() error { return p.sys.Flock(fd, how) })
}

func (p *process) Stat(name string) (ino uint64, err error) {
	err = p.call(func() error { ino, err = p.sys.Stat(name); return err })
	return ino, err
}

func (p *process) List(dir string) (names []string, err error) {
	err = p.call(func() error { names, err = p.sys.List(dir); return err })
	return names, err
}

func (p *process) Rename(from, to string) error {
	return p.call(func() error { return p.sys.Rename(from, to) })
}
func (p *process) RenameNoReplace(from, to string) error {
	return p.call(func() error { return p.sys.RenameNoReplace(from, to) })
}
func (p *process) Link(from, to string) error {
	return p.call(func() error { return p.sys.Link(from, to) })
}
func (p *process) Mkdir(dir string) error { return p.call(func() error { return p.sys.Mkdir(dir) }) }
func (p *process) Rmdir(dir string) error { return p.call(func() error { return p.sys.Rmdir(dir) }) }
func (p *process) Remove(name string) error {
	return p.call(func() error { return p.sys.Remove(name) })
}

func (p *process) Stop() error {
	p.p.Stop()
	return nil
}

func (p *process) Continue() error {
	p.p.Continue()
	return nil
}

func (p *process) Kill() error {
	p.p.Kill()
	return nil
}
