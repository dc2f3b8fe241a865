package virtual

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"fencepost/cmd/fencepost/bench"
	"fencepost/spool"
)

// Report is what was computed.
type Report struct {
	Seed          uint64  `json:"seed"`
	Server        string  `json:"server"`
	Model         Model   `json:"model"`
	Workers       int     `json:"workers"`
	Jobs          int     `json:"jobs_under_way"` // for each host
	ScriptBytes   int     `json:"script_bytes"`
	WindowSeconds float64 `json:"window_seconds"`
	Version       string  `json:"version"`
	Points        []Point `json:"points"`
}

// Point is one number of hosts under one load. Times are in seconds.
type Point struct {
	Shape string `json:"shape"`
	Hosts int    `json:"hosts"`

	Done          int                `json:"done"` // jobs, in the window
	JobsPerSecond float64            `json:"jobs_per_second"`
	Calls         float64            `json:"calls"` // to the server, for a job
	Kinds         map[string]float64 `json:"kinds"`
	Listings      float64            `json:"listings"`    // for a job
	LostClaims    float64            `json:"lost_claims"` // for a job

	Loaded bench.Latencies `json:"latency_loaded"`
	Idle   bench.Latencies `json:"latency_idle"`

	// Calls a second and host that aren't for a job: under load, and of hosts
	// without anything to do.
	Beside    float64 `json:"beside_calls_per_second"`
	IdleCalls float64 `json:"idle_calls_per_second"`

	Use Use `json:"server_use"`
}

// Use is for which part of the time something of the server was in use.
type Use struct {
	Changes     float64 `json:"changes"` // its slots for durable changes
	Reads       float64 `json:"reads"`
	Renames     float64 `json:"renames"` // the one rename between directories; 0 if there may be several
	Directory   float64 `json:"directory"`
	DirectoryOf string  `json:"directory_name"` // the one that was in use most

	// HostRenames is for which part of the time the busiest host was renaming from
	// one directory to another, of which its kernel does one at a time.
	HostRenames float64 `json:"host_renames"`
}

// Run computes all points.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	m := cfg.Model
	m.RoundTripSeconds, m.ChangeSeconds, m.ReadSeconds = m.RoundTrip.Seconds(), m.Change.Seconds(), m.Read.Seconds()
	rep := &Report{Seed: cfg.Seed, Server: cfg.Server, Model: m, Workers: cfg.Workers, Jobs: cfg.Jobs, ScriptBytes: cfg.Size,
		WindowSeconds: cfg.Window.Seconds(), Version: cfg.Version, Points: make([]Point, len(cfg.Shapes)*len(cfg.Hosts))}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(cfg.Parallel, 1))
	done := make(chan struct{}, len(rep.Points))
	// The largest first: they take the longest.
	for _, i := range slices.Backward(indexes(len(rep.Points))) {
		shape, hosts := cfg.Shapes[i%len(cfg.Shapes)], cfg.Hosts[i/len(cfg.Shapes)]
		g.Go(func() error {
			p, err := point(ctx, cfg, shape, hosts)
			if err != nil {
				return fmt.Errorf("%d hosts, load %q: %w", hosts, shape, err)
			}
			rep.Points[i%len(cfg.Shapes)*len(cfg.Hosts)+i/len(cfg.Shapes)] = p
			done <- struct{}{}
			if cfg.Progress != nil {
				cfg.Progress(len(done), cap(done))
			}
			return nil
		})
	}
	return rep, g.Wait()
}

func indexes(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// sums are over the jobs that got done in a phase.
type sums struct{ accept, submitted []time.Duration }

func (s *sums) add(j *job) {
	s.accept = append(s.accept, j.accepted-j.sent)
	s.submitted = append(s.submitted, max(j.handed-j.accepted, 0))
}

func (s *sums) latencies() bench.Latencies {
	return bench.Latencies{Accept: bench.QuantilesOf(s.accept), Submitted: bench.QuantilesOf(s.submitted)}
}

// point computes one: hosts come up and rest, take single jobs, then as many as
// they can.
func point(ctx context.Context, cfg Config, shape string, hosts int) (Point, error) {
	r := newWorld(cfg, shape, hosts)
	defer r.w.Close()
	p := Point{Shape: shape, Hosts: hosts}
	for _, phase := range []func() error{
		r.start,
		func() error { return r.run(settling) },
		func() error { return r.rest(&p) },
		func() error {
			r.seen = &sums{}
			err := r.sendSingles(shape)
			p.Idle = r.seen.latencies()
			r.seen = nil
			return err
		},
		func() error { r.load(shape); return r.run(warming) },
		func() error { return r.measure(&p) },
	} {
		if ctx.Err() != nil {
			return p, context.Cause(ctx)
		}
		if err := phase(); err != nil {
			return p, err
		}
	}
	return p, nil
}

// rest counts what hosts without work ask for.
func (r *world) rest(p *Point) error {
	r.server.asked = counts{}
	err := r.run(idling)
	c := r.server.asked
	all := c.beside
	for _, kind := range slices.Sorted(maps.Keys(c.jobs)) {
		all += c.jobs[kind]
	}
	p.IdleCalls = float64(all) / idling.Seconds() / float64(len(r.hosts))
	return err
}

func (r *world) measure(p *Point) error {
	r.server.asked, r.seen = counts{}, &sums{}
	lost, marks, renaming := r.lost(), r.server.marks(), r.renaming()
	if err := r.run(r.cfg.Window); err != nil {
		return err
	}
	c, secs := r.server.asked, r.cfg.Window.Seconds()
	p.Done = len(r.seen.accept)
	if p.Done == 0 {
		return fmt.Errorf("no job was done in %s", r.cfg.Window)
	}
	jobs := float64(p.Done)
	p.JobsPerSecond = jobs / secs
	p.Loaded = r.seen.latencies()
	p.Kinds = map[string]float64{}
	for _, kind := range slices.Sorted(maps.Keys(c.jobs)) {
		p.Kinds[kind] = float64(c.jobs[kind]) / jobs
		p.Calls += p.Kinds[kind]
	}
	p.Listings, p.LostClaims = float64(c.lists)/jobs, float64(r.lost()-lost)/jobs
	p.Beside = float64(c.beside) / secs / float64(len(r.hosts))
	p.Use = r.server.use(marks, r.cfg.Window)
	for i, d := range r.renaming() {
		p.Use.HostRenames = max(p.Use.HostRenames, float64(d-renaming[i])/float64(r.cfg.Window))
	}
	return nil
}

// lost is the number of claims that another host was quicker with.
func (r *world) lost() (n int) {
	for _, h := range r.hosts {
		claims := h.node.Stats().Claims
		for _, stage := range spool.Stages() {
			n += claims[stage].Lost
		}
	}
	return n
}

// renaming is for how long each host was, so far.
func (r *world) renaming() (all []time.Duration) {
	for _, h := range r.hosts {
		all = append(all, h.client.Renaming())
	}
	return all
}

// marks are how long everything was in use so far.
func (s *server) marks() map[*gate]time.Duration {
	m := map[*gate]time.Duration{s.renames: s.renames.used(), s.durable: s.durable.used(), s.reads: s.reads.used()}
	for _, ino := range slices.Sorted(maps.Keys(s.dirs)) {
		m[s.dirs[ino]] = s.dirs[ino].used()
	}
	return m
}

func (s *server) use(since map[*gate]time.Duration, window time.Duration) Use {
	part := func(g *gate) float64 { return float64(g.used()-since[g]) / float64(window) }
	u := Use{Changes: part(s.durable), Reads: part(s.reads), Renames: part(s.renames)}
	for _, ino := range slices.Sorted(maps.Keys(s.dirs)) {
		if p := part(s.dirs[ino]); p > u.Directory {
			u.Directory, u.DirectoryOf = p, s.dirs[ino].name
		}
	}
	return u
}
