package virtual

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fencepost/cmd/fencepost/bench"
	"fencepost/cmd/fencepost/node"
	"fencepost/codec"
	"fencepost/lease"
	"fencepost/spool"
	"fencepost/spool/env"
	"fencepost/spool/env/nfssim"
	"fencepost/spool/env/simenv"
	"fencepost/submit"
)

// world is a spool on a simulated server, with hosts, each on a machine of its
// own.
type world struct {
	cfg    Config
	w      *simenv.World
	server *server
	format spool.Format
	hosts  []*host
	ready  int
	failed error

	job    codec.Job
	digest string
	ids    *simenv.Lane
	jobs   map[string]*job // under way
	seen   *sums           // nil: nothing is counted
}

// job is one on its way. over wakes who sent it.
type job struct {
	sent, accepted, handed time.Duration
	over                   env.Signal
}

type host struct {
	name   string
	client *nfssim.Client
	proc   *simenv.Proc
	node   *node.Node
}

func newWorld(cfg Config, shape string, hosts int) *world {
	tape := simenv.Draw(cfg.Seed)
	w := simenv.New(tape)
	srv := nfssim.New(w, nfssim.Options{Latency: cfg.Model.RoundTrip / 2, PageSize: pageSize})
	r := &world{cfg: cfg, w: w, server: newServer(w, cfg.Model), job: bench.Job(cfg.Size), ids: tape.Lane("ids"), jobs: map[string]*job{}}
	r.digest = codec.Digest(r.job)
	r.setUp(srv, hosts)
	srv.Admit = r.server.admit
	for i := range hosts {
		r.hosts = append(r.hosts, r.newHost(srv, hostName(i), stagesOf(shape, i, hosts)))
	}
	return r
}

// stagesOf are those of the i-th host.
func stagesOf(shape string, i, hosts int) []spool.Stage {
	switch {
	case shape == ShapeApart && i == 0 && hosts > 1:
		return []spool.Stage{spool.Ingest}
	case shape == ShapeSelf || i == 0:
		return []spool.Stage{spool.Ingest, spool.Translate, spool.Submit}
	}
	return []spool.Stage{spool.Translate, spool.Submit}
}

// entrance is the host that takes the i-th job in.
func (r *world) entrance(shape string, i int) *host {
	if shape == ShapeSelf {
		return r.hosts[i%len(r.hosts)]
	}
	return r.hosts[0]
}

// pageSize is how many names are in a page of a listing that has a quarter of a
// megabyte, with what else is in it for each.
const pageSize = 1000

func hostName(i int) string { return fmt.Sprintf("host-%02d", i+1) }

// setUp makes the spool and enrols the hosts.
func (r *world) setUp(srv *nfssim.Server, hosts int) {
	l := spool.DefaultLayout()
	r.format = spool.Format{Version: spool.FormatVersion, SpoolID: "5f0e0000-0000-4000-8000-000000000001",
		Stages: spool.FormatStages{Translate: spool.FormatStage{Dir: l.Translate}, Submit: spool.FormatStage{Dir: l.Submit}}}
	admin := r.w.Machine("admin").Start("init")
	admin.SetFS(srv.Direct())
	admin.Go("init", func() {
		// The file first: Init would draw a name for its draft.
		text := fmt.Sprintf("version = %d\nspool_id = %q\n[stages.translate]\ndir = %q\n[stages.submit]\ndir = %q\n",
			spool.FormatVersion, r.format.SpoolID, l.Translate, l.Submit)
		_, err := admin.FS().Create(spool.FormatFile, []byte(text))
		if err == nil {
			_, _, err = spool.Init(admin.FS(), r.format)
		}
		for i := range hosts {
			_, eerr := lease.Enroll(context.Background(), admin, lease.Member{Host: hostName(i), MachineID: "machine-" + hostName(i), By: "fencepost bench"})
			err = errors.Join(err, eerr)
		}
		r.failed = err
	})
	r.w.Run(0)
}

func (r *world) newHost(srv *nfssim.Server, name string, stages []spool.Stage) *host {
	m := r.w.Machine(name)
	client := srv.Mount(m, nfssim.MountOptions{LookupCache: nfssim.LookupPos, Thorough: true})
	p := m.Start(name)
	p.SetFS(client.FS(p))
	h := &host{name: name, client: client, proc: p}
	opt := submit.DefaultOptions()
	opt.Workers = r.cfg.Workers
	id := lease.Identity{Host: name, MachineID: "machine-" + name, BootID: "boot", PID: 1, Nonce: "nonce-" + name, Version: r.cfg.Version, ConfigDigest: "bench"}
	h.node = node.New(node.Config{Env: p, Spool: spool.New(p, r.format), Identity: id, Heartbeat: heartbeat, TTL: ttl, Stages: stages,
		Workers: r.cfg.Workers, Poll: opt.Poll, MaxPoll: opt.MaxPoll, ClaimMax: 10 * time.Minute, SealMax: 10 * time.Minute, Grace: 2 * time.Second,
		Convert: codec.Translate, Cluster: &bench.Instant{}, Submit: opt, Tee: r.saw, Warn: r.warn})
	return h
}

// start starts the hosts, one after the other within a heartbeat, and waits
// until they are ready.
func (r *world) start() error {
	for i, h := range r.hosts {
		r.w.After(time.Duration(i)*heartbeat/time.Duration(len(r.hosts)), func() {
			h.proc.Go("main", func() {
				err := h.node.Run(context.Background(), func(uint64) { r.ready++ })
				r.failed = errors.Join(r.failed, fmt.Errorf("host %s ended: %w", h.name, err))
			})
		})
	}
	if !r.w.RunUntil(time.Minute, func() bool { return r.ready == len(r.hosts) || r.failed != nil }) {
		r.failed = errors.Join(r.failed, fmt.Errorf("%d of %d hosts got ready", r.ready, len(r.hosts)))
	}
	return r.trouble()
}

// run lets time go by.
func (r *world) run(d time.Duration) error {
	r.w.Run(r.w.Now() + d)
	return r.trouble()
}

func (r *world) trouble() error {
	if why := r.w.Failure(); why != "" {
		return errors.New(why)
	}
	return r.failed
}

// warn: in a world without faults nothing goes wrong.
func (r *world) warn(event string, kv ...any) {
	r.failed = errors.Join(r.failed, fmt.Errorf("%s: %v", event, kv))
}

// saw takes note of what an event says of a job.
func (r *world) saw(ev spool.Event) {
	switch ev.Event {
	case spool.EvFailed, spool.EvParked, spool.EvRejected, spool.EvVanished, spool.EvDuplicated, spool.EvTrouble:
		r.failed = errors.Join(r.failed, fmt.Errorf("%s %s: %s", ev.Event, ev.Job, ev.Detail))
	case spool.EvSubmitted:
		if j := r.jobs[ev.Job]; j != nil {
			j.handed = r.w.Now()
		}
	case spool.EvDone:
		if j := r.jobs[ev.Job]; j != nil {
			delete(r.jobs, ev.Job)
			if r.seen != nil {
				r.seen.add(j)
			}
			j.over.Notify()
		}
	}
}

// send has a host take a job in, and waits until it is done.
func (r *world) send(h *host) {
	id := r.newID()
	j := &job{sent: r.w.Now(), over: h.proc.NewSignal()}
	r.jobs[id] = j
	data, err := codec.EncodeXML(codec.Record{ID: id, Job: r.job, Client: "bench", ReceivedAt: h.proc.Wall().Truncate(time.Millisecond),
		ReceivedBy: h.name, Digest: r.digest})
	if err == nil {
		_, err = h.node.Accept(id, data, nil)
	}
	if err != nil {
		r.failed = errors.Join(r.failed, fmt.Errorf("host %s: accept %s: %w", h.name, id, err))
		return
	}
	j.accepted = r.w.Now()
	j.over.Wait(context.Background(), time.Hour)
}

// newID is a UUIDv7 of the world's time.
func (r *world) newID() string {
	ms := uint64(r.hosts[0].proc.Wall().UnixMilli())
	a, b := r.ids.Raw(), r.ids.Raw()
	return fmt.Sprintf("%08x-%04x-7%03x-%04x-%012x", ms>>16&0xffffffff, ms&0xffff, a&0xfff, 0x8000|a>>16&0x3fff, b&0xffffffffffff)
}

// load keeps so many jobs of each host under way, for ever.
func (r *world) load(shape string) {
	for i := range r.cfg.Jobs * len(r.hosts) {
		h := r.entrance(shape, i)
		// Not all at once: what is sent together goes on together for a while.
		r.w.After(warming/2*time.Duration(i)/time.Duration(r.cfg.Jobs*len(r.hosts)), func() {
			h.proc.Go("client", func() {
				for r.failed == nil {
					r.send(h)
				}
			})
		})
	}
}

// sendSingles sends jobs one at a time, to hosts in turn.
func (r *world) sendSingles(shape string) error {
	for i := range singles {
		h := r.entrance(shape, i)
		over := false
		h.proc.Go("client", func() {
			r.send(h)
			over = true
		})
		if !r.w.RunUntil(r.w.Now()+time.Minute, func() bool { return over || r.failed != nil }) && r.failed == nil {
			return fmt.Errorf("a job that was sent to host %s isn't done after a minute", h.name)
		}
		if err := r.run(singlePause); err != nil {
			return err
		}
	}
	return nil
}
