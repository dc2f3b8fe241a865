package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"fencepost/cmd/fencepost/config"
	"fencepost/cmd/fencepost/ingest"
	"fencepost/cmd/fencepost/node"
	"fencepost/cmd/fencepost/secure"
	"fencepost/cmd/fencepost/trust"
	"fencepost/cmd/fencepost/web"
	"fencepost/codec"
	"fencepost/lease"
	"fencepost/spool"
	"fencepost/spool/env"
	"fencepost/submit"
)

func newServeCmd(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run this host's part: take jobs in, translate, submit",
		Long: "serve runs the stages of this host until SIGTERM or SIGINT. It prints one line on standard\n" +
			"output when it is ready:\n\n  ready host=NAME epoch=N listen=ADDR:PORT http=ADDR:PORT\n\n" +
			"SIGHUP reads the configuration again (log.level, limits, tls, token_file, clients), SIGUSR1 opens\n" +
			"the log file again, SIGQUIT prints what it has in hand.\n\n" +
			"At a stop it takes no more work, finishes or returns what it has claimed, says goodbye and\n" +
			"exits with 0. At SIGHUP it reads the rules of clients and the job types again; its log names\n" +
			"what else has changed in the configuration, and wants a restart.\n\n" +
			"Exit 6: another instance has this host's lease. Exit 7: the host is not enrolled, or was\n" +
			"fenced by a person.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := g.config(cmd)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			tuneGC()
			return serve(ctx, g, cmd, c)
		},
	}
	g.bind(cmd, config.ServeKeys()...)
	return cmd
}

// daemon is what serve put together.
type daemon struct {
	g    *globals
	cfg  *config.Loaded
	log  zerolog.Logger
	id   lease.Identity
	node *node.Node
	dir  string
	sink *logSink
	keys secure.SpoolKeys
	door *door
	ln   net.Listener // nil without ingest
	unit *unit

	signals chan os.Signal // what is asked for while it runs

	httpLn  net.Listener // nil without a status page
	httpTLS *tls.Config  // nil = it speaks plain HTTP
	token   string       // that its viewers need; "" = none
	events  *web.Events  // nil without a status page
	files   *web.Files   // the same
	server  atomic.Pointer[ingest.Server]

	digest  atomic.Pointer[string] // of the settings in force, once they were read again
	mount   string                 // where the share comes from
	cluster submit.Cluster         // nil without the submit stage
}

func serve(ctx context.Context, g *globals, cmd *cobra.Command, c *config.Loaded) error {
	dir, err := g.spoolDir(cmd)
	if err != nil {
		return err
	}
	host, err := g.host(cmd)
	if err != nil {
		return err
	}
	log, sink, err := newLogger(g.stderr, c.Config)
	if err != nil {
		return err
	}
	defer sink.close()
	d := &daemon{g: g, cfg: c, dir: dir, log: log.With().Str("host", host).Logger(), sink: sink}
	// From the beginning: by default each of them ends a process.
	d.signals = make(chan os.Signal, 4)
	signal.Notify(d.signals, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGQUIT)
	defer signal.Stop(d.signals)
	if d.unit, err = newUnit(); err != nil {
		return err
	}
	defer d.unit.close()
	if err := d.takeSockets(); err != nil {
		return err
	}
	if d.id, err = d.identity(host); err != nil {
		return err
	}
	if err := d.checkUser(os.Geteuid()); err != nil {
		return err
	}
	if d.keys, err = secure.ReadSpoolKeys(c.SpoolKeyFile); err != nil {
		return &exitError{code: exitUsage, err: err}
	}
	if err := d.listenHTTP(); err != nil {
		return err
	}
	if d.httpLn != nil {
		defer d.httpLn.Close()
		d.events, d.files = web.NewEvents(), web.NewFiles()
	}
	if err := d.checkMount(ctx, cmd, dir); err != nil {
		return err
	}
	sp, err := d.openSpool(dir)
	if err != nil {
		return err
	}
	if d.door, err = d.openDoor(sp, c); err != nil {
		return err
	}
	if err := d.listen(); err != nil {
		return err
	}
	if d.ln != nil {
		defer d.ln.Close()
	}
	ncfg, err := d.nodeConfig(sp, dir)
	if err != nil {
		return err
	}
	d.node = node.New(ncfg)
	stopWeb, err := d.serveWeb(sp, dir)
	if err != nil {
		return err
	}
	defer stopWeb()
	return d.run(ctx, sp)
}

func (d *daemon) identity(host string) (lease.Identity, error) {
	id, err := lease.Local(host, d.cfg.MachineID)
	if err != nil {
		return id, &exitError{code: exitUsage, err: err}
	}
	id.Version, id.ConfigDigest = version(), d.cfg.Digest()
	return id, nil
}

// openSpool opens the spool, but not for ever: a share that doesn't answer
// stops a start with a message instead of a hang.
func (d *daemon) openSpool(dir string) (*spool.Spool, error) {
	return deadline(d.cfg.Timeout.Duration, dir, func() (*spool.Spool, error) {
		fs, err := d.g.openFS(dir)
		if err != nil {
			return nil, openError(err)
		}
		forGroup(fs, d.cfg.SpoolUsers)
		if d.cfg.ForeignFiles == "quarantine" {
			if err := inspectOwners(fs, dir, d.cfg.SpoolUsers); err != nil {
				return nil, err
			}
		}
		fs = trust.FS{FS: fs, Key: func() ([]byte, error) { return d.keys.Files, nil }}
		if d.files != nil {
			fs = d.files.Wrap(fs)
		}
		sp, err := spool.Open(env.NewReal(fs))
		if err == nil {
			sp.Limits.Faults = d.cfg.MaxFaults
		}
		return sp, err
	})
}

// deadline runs f on a goroutine of its own, which is left alone if the share
// doesn't answer: nothing ends a call on a dead share.
func deadline[T any](limit time.Duration, dir string, f func() (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	ch := make(chan result, 1)
	go func() {
		v, err := f()
		ch <- result{v, err}
	}()
	select {
	case r := <-ch:
		return r.v, r.err
	case <-time.After(limit):
		var none T
		return none, fmt.Errorf("%s: %w within %s", dir, errNoAnswer, limit)
	}
}

func (d *daemon) serves(stage spool.Stage) bool {
	for _, s := range d.cfg.Stages {
		if s == string(stage) {
			return true
		}
	}
	return false
}

// listen opens the ingest socket before anything is taken, so that a port that
// is taken costs no epoch.
func (d *daemon) listen() error {
	if !d.serves(spool.Ingest) || d.ln != nil {
		return nil
	}
	ln, err := net.Listen("tcp", d.cfg.Listen)
	if err != nil {
		return &exitError{code: exitFailed, err: fmt.Errorf("listen for jobs: %w", err),
			next: "choose another --listen ADDR:PORT (port 0 picks a free one), or stop what has it"}
	}
	d.ln = ln
	return nil
}

func (d *daemon) nodeConfig(sp *spool.Spool, dir string) (node.Config, error) {
	c := d.cfg
	opt := submit.DefaultOptions()
	opt.Workers, opt.Poll = c.Workers, c.Poll.Duration
	opt.ProbeEvery, opt.SweepEvery = c.Cluster.ProbeEvery.Duration, c.Cluster.SweepEvery.Duration
	opt.MaxPoll = max(2*time.Second, opt.Poll)
	cfg := node.Config{Env: sp.Env, Spool: sp, Identity: d.id, Heartbeat: c.Heartbeat.Duration, TTL: c.Lease.Duration,
		Workers: c.Workers, Poll: c.Poll.Duration, MaxPoll: opt.MaxPoll, ClaimMax: c.ClaimMax.Duration,
		SealMax: c.SealMax.Duration, Grace: 30 * time.Second, Convert: codec.Translate,
		Parse: node.Adoptee(d.id.Host, sp.Env.Wall), Mount: d.mount, Tee: d.tee, Warn: d.warn, Digest: d.configDigest, JournalKey: d.keys.Journal}
	if c.RemoveOld {
		cfg.Retention = c.Retention.Duration
	}
	for _, s := range c.Stages {
		cfg.Stages = append(cfg.Stages, spool.Stage(s))
	}
	if d.ln != nil {
		cfg.Listen = d.ln.Addr().String()
	}
	if d.httpLn != nil {
		cfg.HTTP = d.httpLn.Addr().String()
	}
	if _, foreign := sp.Layout.Foreign[spool.Submit]; d.serves(spool.Submit) && !foreign {
		root, err := filepath.Abs(dir)
		if err != nil {
			return cfg, err
		}
		d.cluster, err = newCluster(c.Config, clusterSite{sp: sp, root: root, id: d.id, epoch: d.epoch}, &opt)
		if err != nil {
			return cfg, &exitError{code: exitUsage, err: err}
		}
		cfg.Cluster = d.cluster
		if c.Cluster.Name == "local" && c.SpoolKeyFile != "" {
			d.log.Warn().Str("event", "unsigned-scripts").Msg("spool_key_file is set, but the embedded cluster runs scripts and work directories that lie on the share unsigned: who can write there can change what runs")
		}
	}
	cfg.Submit = opt
	return cfg, nil
}

// epoch is that of the running instance, 0 if there is none.
func (d *daemon) epoch() uint64 {
	if d.node == nil {
		return 0
	}
	in, err := d.node.Instance()
	if err != nil {
		return 0
	}
	return in.Epoch
}

// run runs the node, and beside it the ingest server from the moment that the
// first instance is ready.
func (d *daemon) run(ctx context.Context, sp *spool.Spool) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if c, ok := d.cluster.(recoverer); ok {
		after := make(chan struct{})
		go func() { defer close(after); d.lookAfter(ctx, c) }()
		defer func() { cancel(nil); <-after }()
	}
	desk := &reception{d: d, sp: sp, fail: cancel, cfg: d.cfg, door: d.door}
	var signals sync.WaitGroup
	signals.Go(func() { d.obey(ctx, desk) })
	started := false
	err := d.node.Run(ctx, func(epoch uint64) {
		if !started {
			if err := desk.open(ctx); err != nil {
				cancel(err)
				return
			}
			signals.Go(func() { d.unit.watch(ctx, d.log, d.node.Stalled) })
		}
		d.sayReady(epoch, started)
		started = true
	})
	own := context.Cause(ctx)
	cancel(nil)
	d.unit.say("STOPPING=1")
	signals.Wait()
	desk.wait()
	if own != nil && !errors.Is(own, context.Canceled) && err == nil {
		err = own
	}
	var refused *lease.RefusedError
	if errors.As(err, &refused) {
		d.recordIntruder(sp, refused.Reason)
	}
	return err
}

func (d *daemon) newServer(sp *spool.Spool, c *config.Loaded, o *door) (*ingest.Server, error) {
	return ingest.New(d.ingestConfig(sp, c, o, &backend{node: d.node, marks: newMarks(sp, d.dir, c.Limits),
		states: &states{look: sp.LocateAll, pause: looksApart}}))
}

// sayReady prints the one line that scripts wait for; a later epoch of the same
// process is a line in the log.
func (d *daemon) sayReady(epoch uint64, again bool) {
	words := []string{"ready", "host=" + d.id.Host, fmt.Sprintf("epoch=%d", epoch)}
	if d.ln != nil {
		words = append(words, "listen="+d.ln.Addr().String())
	}
	if d.httpLn != nil {
		words = append(words, "http="+d.httpLn.Addr().String())
	}
	d.unit.say("READY=1", fmt.Sprintf("STATUS=epoch %d, stages %s", epoch, d.cfg.Stages))
	if again {
		d.log.Warn().Str("event", "serving").Uint64("epoch", epoch).Msg("ready again, under a new epoch")
		return
	}
	fmt.Fprintln(d.g.stdout, strings.Join(words, " "))
	d.log.Info().Str("event", "serving").Uint64("epoch", epoch).Str("spool", d.cfg.Spool).Msg("ready")
}

func (d *daemon) recordIntruder(sp *spool.Spool, why string) {
	ctx, cancel := context.WithTimeout(context.Background(), d.cfg.Timeout.Duration)
	defer cancel()
	id := d.id
	id.From = lease.Here()
	if err := lease.RecordIntruder(ctx, sp.Env, id, why); err != nil {
		d.log.Error().Err(err).Str("event", "refusal-not-recorded").Msg("record this refusal on the spool")
	}
}

// runDir is a directory of this machine for what must not be on the share.
func runDir() string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" && os.Getuid() != 0 {
		return filepath.Join(dir, "fencepost")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("fencepost-%d", os.Getuid()))
}
