package nfslab

import (
	"context"
	"errors"
	"path"
	"slices"
	"syscall"
	"time"

	"fencepost/cmd/fencepost/nfslab/guest"
	"fencepost/spool/vfs/nfsfacts"
)

// Facts is a view of a laboratory for the experiments of package nfsfacts:
// some hosts of its own, all with one kind of mount.
type Facts struct {
	lab    *Lab
	config HostConfig
	hosts  []*factsHost
}

// hostTime is how long a host may take to come up.
const hostTime = 2 * time.Minute

// NewFacts adds n hosts for experiments.
func (l *Lab) NewFacts(ctx context.Context, n int, c HostConfig) (*Facts, error) {
	f := &Facts{lab: l, config: c}
	for range n {
		h, err := f.add(ctx, c)
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		f.hosts = append(f.hosts, h)
	}
	return f, nil
}

func (f *Facts) add(ctx context.Context, c HostConfig) (*factsHost, error) {
	ctx, cancel := context.WithTimeout(ctx, hostTime)
	defer cancel()
	h, err := f.lab.AddHost(ctx, c)
	if err != nil {
		return nil, err
	}
	return &factsHost{h}, nil
}

// Version is the mounts' version of NFS.
func (f *Facts) Version() string { return f.config.Version }

// Lease is the server's lease time.
func (f *Facts) Lease() time.Duration { return Lease }

// Host is the i-th host.
func (f *Facts) Host(i int) nfsfacts.Host { return f.hosts[i] }

// AddHost adds a host for one experiment.
func (f *Facts) AddHost(o nfsfacts.HostOptions) (nfsfacts.Host, error) {
	c := f.config
	if o.Mount != "" {
		c.Options = o.Mount
	}
	c.Lossy, c.NewPort = o.Lossy, o.NewPort
	if twin, ok := o.Twin.(*factsHost); ok {
		c.Name = twin.Name
	}
	return f.add(context.Background(), c)
}

// Sleep sleeps.
func (f *Facts) Sleep(d time.Duration) { time.Sleep(d) }

// RestartServer restarts the server of all.
func (f *Facts) RestartServer() error { return f.lab.RestartServer() }

// Close switches the hosts off. The server stays.
func (f *Facts) Close() (err error) {
	for _, h := range f.hosts {
		err = errors.Join(err, h.Close())
	}
	return err
}

type factsHost struct{ *Host }

func (h *factsHost) Start() (nfsfacts.Process, error) {
	a, err := h.StartAgent()
	if err != nil {
		return nil, err
	}
	return &factsProcess{a}, nil
}

// All hosts share one kernel and its clocks.
func (h *factsHost) Pause() error  { return errors.ErrUnsupported }
func (h *factsHost) Resume() error { return errors.ErrUnsupported }

type factsProcess struct{ agent *Agent }

func on(name string) string { return path.Join(Mount, name) }

func (p *factsProcess) call(c guest.Call) error {
	_, err := p.agent.Call(c)
	return err
}

func (p *factsProcess) Open(name string, flags int) (int, error) {
	a, err := p.agent.Call(guest.Call{Op: "open", Name: on(name), Flags: flags})
	return a.Fd, err
}

func (p *factsProcess) Read(fd int, n int) ([]byte, error) {
	a, err := p.agent.Call(guest.Call{Op: "read", Fd: fd, N: n})
	return a.Data, err
}

func (p *factsProcess) Write(fd int, data []byte) error {
	return p.call(guest.Call{Op: "write", Fd: fd, Data: data})
}

func (p *factsProcess) Fsync(fd int) error { return p.call(guest.Call{Op: "fsync", Fd: fd}) }
func (p *factsProcess) Close(fd int) error { return p.call(guest.Call{Op: "close", Fd: fd}) }

func (p *factsProcess) Flock(fd int, how int) error {
	return p.call(guest.Call{Op: "flock", Fd: fd, Flags: how})
}

func (p *factsProcess) Stat(name string) (uint64, error) {
	a, err := p.agent.Call(guest.Call{Op: "stat", Name: on(name)})
	return a.Ino, err
}

func (p *factsProcess) List(dir string) ([]string, error) {
	a, err := p.agent.Call(guest.Call{Op: "list", Name: on(dir)})
	return slices.Clip(a.Names), err
}

func (p *factsProcess) two(op, from, to string) error {
	return p.call(guest.Call{Op: op, Name: on(from), To: on(to)})
}

func (p *factsProcess) Rename(from, to string) error { return p.two("rename", from, to) }
func (p *factsProcess) RenameNoReplace(from, to string) error {
	return p.two("renamenoreplace", from, to)
}
func (p *factsProcess) Link(from, to string) error { return p.two("link", from, to) }

func (p *factsProcess) Mkdir(dir string) error { return p.call(guest.Call{Op: "mkdir", Name: on(dir)}) }
func (p *factsProcess) Rmdir(dir string) error { return p.call(guest.Call{Op: "rmdir", Name: on(dir)}) }
func (p *factsProcess) Remove(name string) error {
	return p.call(guest.Call{Op: "remove", Name: on(name)})
}

func (p *factsProcess) Stop() error     { return p.agent.Signal(syscall.SIGSTOP) }
func (p *factsProcess) Continue() error { return p.agent.Signal(syscall.SIGCONT) }
func (p *factsProcess) Kill() error     { return p.agent.Kill() }

func (p *factsProcess) Begin(f func(nfsfacts.Process) error) nfsfacts.Pending {
	c := make(pending, 1)
	go func() { c <- f(p) }()
	return c
}

// pending gets the call's answer.
type pending chan error

func (c pending) Wait(d time.Duration) (error, bool) {
	select {
	case err := <-c:
		c <- err
		return err, true
	case <-time.After(d):
		return nil, false
	}
}
