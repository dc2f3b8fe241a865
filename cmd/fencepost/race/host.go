package race

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fencepost/cmd/fencepost/node"
	"fencepost/codec"
	"fencepost/lease"
	"fencepost/spool"
	"fencepost/spool/env/drill"
	"fencepost/spool/env/nfssim"
	"fencepost/spool/env/simenv"
	"fencepost/submit"
	"fencepost/submit/clustersim"
)

// host is a machine with an NFS client that runs one instance after another.
type host struct {
	r       *run
	n       int
	name    string // that it runs under
	label   string // of its lane in the picture
	id      lease.Identity
	machine *simenv.Machine
	client  *nfssim.Client
	guest   bool

	proc   *simenv.Proc
	node   *node.Node
	cancel context.CancelFunc
	starts int
	began  time.Duration
	down   bool // powered off, or told to stop: not started again by itself

	calls, net, effects, cluster *simenv.Lane
	slow                         bool
	command                      *simenv.Proc // a person's
	commandSlow                  bool
}

func (r *run) newHost(name, label string, opt nfssim.MountOptions) *host {
	h := &host{r: r, n: len(r.hosts), name: name, label: label, machine: r.w.Machine(label)}
	h.id = lease.Identity{Host: name, MachineID: "machine-" + label, BootID: "boot-" + label, Version: "race", ConfigDigest: "race"}
	h.client = r.srv.Mount(h.machine, opt)
	t := r.w.Tape()
	h.calls, h.net, h.effects, h.cluster = t.Lane("call/"+label), t.Lane("net/"+label), t.Lane("effect/"+label), t.Lane("cluster/"+label)
	return h
}

// environment is a process's Env, with the simulator's door.
type environment struct {
	*simenv.Proc
	r *run
}

// Broken implements drill.Drill.
func (e environment) Broken(b drill.Bug) bool { return e.r.bugs[b] }

// Reached implements drill.Drill.
func (e environment) Reached(m drill.Mark) { e.r.seen[string(m)]++ }

// start starts a process, unless one runs.
func (h *host) start() {
	if h.proc != nil && !h.proc.Dead() || h.machine.Frozen() {
		return
	}
	r := h.r
	h.starts++
	h.began = r.w.Now()
	h.down = false
	p := h.machine.Start(fmt.Sprintf("%s/%d", h.label, h.starts))
	h.proc = p
	r.byProc[p] = h
	fs := h.client.FS(p)
	fs.NoFsync = r.bugs[drill.NoFsync]
	p.SetFS(fs)
	e := environment{p, r}
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel = cancel
	h.node = node.New(h.config(e))
	n := h.node
	p.Go("main", func() {
		err := n.Run(ctx, func(uint64) { r.sendAtReady(h) })
		h.exited(p, err)
	})
	r.note(h, "start", fmt.Sprintf("process %s starts", p.Name()))
}

func (h *host) config(e environment) node.Config {
	r := h.r
	id := h.id
	id.PID, id.Nonce = h.starts, fmt.Sprintf("%s-%d", h.label, h.starts)
	sp := spool.New(e, r.format)
	c := node.Config{Env: e, Spool: sp, Identity: id, Heartbeat: heartbeat, TTL: ttl,
		Stages:   []spool.Stage{spool.Ingest, spool.Translate, spool.Submit},
		NoBirths: !r.plan.births,
		Workers:  2, Poll: poll, MaxPoll: maxPoll, ClaimMax: claimMax, SealMax: sealMax, Grace: grace, AuditEvery: auditEvery,
		Convert: codec.Translate, Parse: node.Adoptee(h.name, e.Wall), Cluster: r.clusterOf(h, e, sp.NamePrefix()), Submit: r.submitOptions(), Tee: h.tee, Warn: h.warn}
	if r.plan.on[Retention] {
		c.AuditEvery, c.Retention, c.Settle = removeEvery, retention, removeSettle
	}
	return c
}

// tee sees the journal's events: they are counted, and never believed.
func (h *host) tee(ev spool.Event) {
	h.r.seen[ev.Event]++
	if ev.Event == spool.EvVanished || ev.Event == spool.EvDuplicated {
		h.r.oracle.alarmed(ev.Event, ev.Job)
	}
	h.r.recordEvent(h, ev)
}

// exited: a supervisor starts it again, unless it was told to stop or refused.
func (h *host) exited(p *simenv.Proc, err error) {
	h.node = nil
	p.Kill()
	if err != nil {
		h.r.note(h, "exit", err.Error())
	}
	var refused *lease.RefusedError
	if errors.As(err, &refused) {
		h.r.seen["refused"]++
	}
	switch {
	case h.down || h.guest:
	case refused != nil:
		h.restart(5 * time.Second)
	default:
		h.restart(time.Second)
	}
}

// warn is what would be in the program's log.
func (h *host) warn(event string, kv ...any) {
	h.r.seen["log "+event]++
	if h.r.opt.Record {
		h.r.note(h, "log", fmt.Sprint(append([]any{"log: " + event + ":"}, spaced(kv)...)...))
	}
}

func spaced(kv []any) (out []any) {
	for _, v := range kv {
		out = append(out, " ", v)
	}
	return out
}

func (h *host) restart(after time.Duration) {
	h.r.w.After(after, func() {
		if !h.down {
			h.start()
		}
	})
}

// killed ends the process; it is started again after a while.
func (h *host) killed(after time.Duration) {
	h.node = nil
	h.proc.Kill()
	h.restart(after)
}

// crash is a loss of power.
func (h *host) crash(after time.Duration) {
	if h.proc != nil {
		h.node = nil
		h.proc.Kill()
	}
	if h.command != nil {
		h.command.Kill()
	}
	h.client.Crash()
	h.id.BootID = fmt.Sprintf("boot-%s-%d", h.label, h.starts+1)
	h.restart(after)
}

// shutdown tells the process to end in order.
func (h *host) shutdown() {
	h.down = true
	if h.cancel != nil && h.proc != nil && !h.proc.Dead() {
		h.cancel()
		h.proc.Poll()
	}
}

// running: it can be asked for something.
func (h *host) running() bool { return h.node != nil && h.proc != nil && !h.proc.Dead() }

func (r *run) submitOptions() submit.Options {
	o := submit.DefaultOptions()
	o.Workers, o.ConfirmAfter, o.ListEvery, o.PastFor, o.ProbeEvery, o.SweepEvery = 2, confirmAfter, listEvery, pastFor, probeEvery, sweepEvery
	o.Poll, o.MaxPoll, o.StrictGuard = poll, maxPoll, r.plan.guard
	if r.plan.caps.Key {
		o.KeyWindow = keyWindow
	}
	return o
}

// cluster is the simulated cluster as a host's program sees it: what is handed
// over is looked at on its way.
type cluster struct {
	*clustersim.Client
	r *run
}

var _ submit.Cluster = cluster{}

func (c cluster) Submit(ctx context.Context, req submit.Request) (string, error) {
	c.r.oracle.submitted(req.Key, req.Document)
	return c.Client.Submit(ctx, req)
}

func (r *run) clusterOf(h *host, e environment, prefix string) submit.Cluster {
	p := h.proc
	return cluster{r.sim.Client(e, clustersim.Site{Host: h.label, Prefix: prefix, Kill: func() {
		if h.proc == p {
			h.killed(h.r.pause(h.cluster))
		}
	}}), r}
}
