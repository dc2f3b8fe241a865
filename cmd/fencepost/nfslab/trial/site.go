package trial

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"fencepost/cmd/fencepost/nfslab"
	"fencepost/cmd/fencepost/nfslab/guest"
)

//go:embed cluster
var programs embed.FS

// Site is one spool with its hosts and its cluster. The cluster is out of the
// file system's reach: a host that is cut off from the share still reaches it,
// which is the more dangerous case.
type Site struct {
	Name   string // of the spool, below the mount
	Hosts  []*Member
	Office *nfslab.Host // has the mount and no daemon: commands, and what persons do

	lab              *nfslab.Lab
	mount            nfslab.HostConfig
	server           *nfslab.Agent // looks at the export where the server has it: nothing is cached
	binary           string        // in the guest
	say              func(format string, args ...any)
	lease, heartbeat time.Duration
}

// SiteConfig is a site to set up.
type SiteConfig struct {
	Name   string
	Binary string // the program, on this machine, static
	Hosts  []string
	Lossy  []string          // of them, those that can lose replies
	Mount  nfslab.HostConfig // of all hosts
	Office *nfslab.Host      // nil = one of its own
	Lease  time.Duration     // the instances'; the heartbeat is a tenth of it
	Slow   bool              // heartbeats are half as frequent: they are most of what idle hosts do
	Say    func(format string, args ...any)
	Keep   string // directory of this machine for what Provoke keeps
}

// inside is where the guest has what isn't on the share: all hosts see it.
func (s *Site) inside(name string) string { return path.Join("/mnt/trial", s.Name, name) }

// Spool is the spool's directory on every host.
func (s *Site) Spool() string { return path.Join(nfslab.Mount, s.Name) }

// exported is a file of the spool, where the server has it.
func (s *Site) exported(name string) string { return path.Join(guest.Export, s.Name, name) }

// NewSite sets a site up. No daemon runs yet.
func NewSite(ctx context.Context, l *nfslab.Lab, c SiteConfig) (*Site, error) {
	s := &Site{Name: c.Name, Office: c.Office, lab: l, mount: c.Mount, say: c.Say, lease: c.Lease, heartbeat: c.Lease / 10}
	if c.Slow {
		s.heartbeat *= 2
	}
	s.binary = s.inside("fencepost")
	var err error
	if s.server, err = l.StartAgent(l.Server); err != nil {
		return nil, err
	}
	if err := s.install(ctx, c); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if s.Office == nil {
		if s.Office, err = l.AddHost(ctx, s.hostConfig("office", false)); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	if _, err := s.Command(ctx, "init", "--no-enroll"); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	for _, name := range c.Hosts {
		m, err := s.add(ctx, name, slices.Contains(c.Lossy, name))
		if err == nil {
			_, err = s.Command(ctx, "enroll", m.Name)
		}
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.Hosts = append(s.Hosts, m)
	}
	return s, nil
}

// hostname is a host's name: two of one name in a laboratory, of two sites,
// would be twins to the server.
func (s *Site) hostname(name string) string {
	return name + "-" + strings.ToLower(strings.ReplaceAll(s.Name, ".", ""))
}

func (s *Site) hostConfig(name string, lossy bool) nfslab.HostConfig {
	c := s.mount
	c.Name, c.Lossy = s.hostname(name), lossy
	return c
}

// install brings the program and the cluster into the guest.
func (s *Site) install(ctx context.Context, c SiteConfig) error {
	dir := filepath.Join(s.lab.Share(), s.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	files, err := fs.Sub(programs, "cluster")
	if err != nil {
		return err
	}
	if err := os.CopyFS(dir, files); err != nil {
		return err
	}
	code, err := os.ReadFile(c.Binary)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "fencepost"), code, 0o755); err != nil {
		return err
	}
	at := s.inside("")
	conf := fmt.Sprintf("timeout = \"2m\"\nheartbeat = %q\nlease = %q\npoll = \"500ms\"\n[log]\nformat = \"json\"\n[cluster]\nname = \"command\"\nsweep_every = \"3s\"\n"+
		"[cluster.command]\nsubmit = [%q]\nrelease = [%q]\ncancel = [%q]\nprobe = [%q]\n"+
		"find = [\"/usr/bin/awk\", \"-f\", %q, %q]\nconfirm_after = \"2s\"\n", s.heartbeat, s.lease,
		at+"/submit", at+"/release", at+"/cancel", at+"/probe", at+"/find.awk", at+"/log")
	if err := os.WriteFile(filepath.Join(dir, "fencepost.toml"), []byte(conf), 0o644); err != nil {
		return err
	}
	from := path.Join(nfslab.Shared, s.Name)
	_, err = s.sh(ctx, fmt.Sprintf("mkdir -p /mnt/trial && mv %s %s.new && cp -r %s.new %s && rm -r %s.new && mkdir %s && : >%s/log && cd %s && chmod +x submit release cancel probe fencepost",
		from, from, from, at, from, from, at, at))
	return err
}

// sh runs a script where the server runs.
func (s *Site) sh(ctx context.Context, script string) (string, error) {
	out, err := s.lab.Server.Command("sh", "-c", script).Output(ctx)
	return string(out), err
}

// Command runs a command of fencepost's in the office.
func (s *Site) Command(ctx context.Context, args ...string) (string, error) {
	c := s.Office.Command(append([]string{s.binary}, args...)...)
	c.Env = s.env()
	out, err := c.Output(ctx)
	return string(out), err
}

func (s *Site) env() []string {
	return []string{"FENCEPOST_SPOOL=" + s.Spool(), "FENCEPOST_CONFIG=" + s.inside("fencepost.toml")}
}

// list lists a directory of the spool; nothing if it isn't there.
func (s *Site) list(dir string) ([]string, error) {
	a, err := s.server.Call(guest.Call{Op: "list", Name: s.exported(dir)})
	if errors.Is(err, syscall.ENOENT) {
		return nil, nil
	}
	return a.Names, err
}

// has says whether a file or directory of the spool is there.
func (s *Site) has(name string) (bool, error) {
	_, err := s.server.Call(guest.Call{Op: "stat", Name: s.exported(name)})
	if errors.Is(err, syscall.ENOENT) {
		return false, nil
	}
	return err == nil, err
}

// epoch is the highest that a host ever made.
func (s *Site) epoch(host string) (top uint64, err error) {
	names, err := s.list("hosts/" + host + "/epochs")
	for _, n := range names {
		e, _ := strconv.ParseUint(n, 10, 64)
		top = max(top, e)
	}
	return top, err
}

// await waits until a condition holds, and says what it waits for if it never
// does.
func await(ctx context.Context, limit time.Duration, what string, holds func() (bool, error)) error {
	end := time.Now().Add(limit)
	for {
		ok, err := holds()
		if ok || err != nil {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("after %s: not yet: %s", limit, what)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, context.Cause(ctx))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Places is where all jobs are, by the names on disk.
type Places struct {
	Accepted []string // ids: what the gate has
	Done     int
	Aside    []string // failed, parked or held
	OnTheWay []string
}

// places looks. What moves meanwhile may be seen twice or not at all.
func (s *Site) places(ctx context.Context) (p Places, err error) {
	out, err := s.sh(ctx, "cd "+s.exported("")+" && find gate xml json claims sealed drafts done failed parked held -type f")
	if err != nil {
		return p, err
	}
	for _, file := range strings.Fields(out) {
		dir, _, _ := strings.Cut(file, "/")
		base := path.Base(file)
		switch {
		case strings.HasPrefix(base, "canary-"):
		case dir == "gate":
			p.Accepted = append(p.Accepted, base)
		case dir == "done":
			p.Done++
		case dir == "failed", dir == "parked", dir == "held":
			p.Aside = append(p.Aside, file)
		default:
			p.OnTheWay = append(p.OnTheWay, file)
		}
	}
	return p, nil
}

// cluster is the cluster's log.
func (s *Site) cluster(ctx context.Context) (string, error) { return s.sh(ctx, "cat "+s.inside("log")) }

// send sends n jobs: a share of them to each of some hosts first, and to the
// others if that one doesn't answer. It returns the ids that were answered as
// accepted.
func (s *Site) send(ctx context.Context, n int, limit time.Duration, to ...*Member) (ids []string, err error) {
	type answer struct {
		out string
		err error
	}
	answers := make(chan answer, len(to))
	for i := range to {
		args := []string{"send", "--jsonl", "--timeout", limit.String()}
		for k := range to {
			args = append(args, "--to", to[(i+k)%len(to)].listen())
		}
		file, err := s.jobs(n*(i+1)/len(to) - n*i/len(to))
		if err != nil {
			return nil, err
		}
		go func() {
			out, err := s.Command(ctx, append(args, file)...)
			answers <- answer{out, err}
		}()
	}
	for range to {
		a := <-answers
		ids = append(ids, strings.Fields(a.out)...)
		err = errors.Join(err, a.err)
	}
	return ids, err
}

// jobs writes n job documents, one a line, and names the file as the guest
// has it.
func (s *Site) jobs(n int) (string, error) {
	var b strings.Builder
	for i := range n {
		line, err := json.Marshal(map[string]any{"name": fmt.Sprintf("trial-%d", i), "script": "#!/bin/sh\ntrue\n"})
		if err != nil {
			return "", err
		}
		b.Write(append(line, '\n'))
	}
	name := fmt.Sprintf("jobs-%016x.jsonl", rand.Uint64())
	return path.Join(nfslab.Shared, s.Name, name),
		os.WriteFile(filepath.Join(s.lab.Share(), s.Name, name), []byte(b.String()), 0o644)
}

// Keep copies what is needed to understand a violation to a directory of this
// machine: the spool with its journals, the daemons' logs, the cluster's.
func (s *Site) Keep(ctx context.Context, dir string) error {
	at := path.Join(nfslab.Shared, s.Name)
	_, err := s.sh(ctx, fmt.Sprintf("tar -cf %s/spool.tar -C %s . ; cp %s %s/cluster.log", at, s.exported(""), s.inside("log"), at))
	return errors.Join(err, os.MkdirAll(dir, 0o755), os.CopyFS(filepath.Join(dir, s.Name), os.DirFS(filepath.Join(s.lab.Share(), s.Name))))
}

// Close switches the hosts off.
func (s *Site) Close() (err error) {
	for _, m := range s.Hosts {
		err = errors.Join(err, m.Close())
	}
	if s.Office != nil {
		err = errors.Join(err, s.Office.Close())
	}
	return errors.Join(err, s.server.Signal(syscall.SIGKILL))
}
