package virtual_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"reflect"
	"testing"
	"time"

	"fencepost/cmd/fencepost/bench/virtual"
)

// run computes points for some numbers of hosts, on a kind of server that change
// has made different.
func run(t *testing.T, server string, change func(*virtual.Config), hosts ...int) []virtual.Point {
	t.Helper()
	rep := report(t, server, change, hosts...)
	for _, p := range rep.Points {
		t.Logf("%s %s, %d hosts: %.0f jobs/s, %.2f calls, %.3f lost, %.2f listings, to submitted p50 %.4f p99 %.4f, %+v", server, p.Shape, p.Hosts,
			p.JobsPerSecond, p.Calls, p.LostClaims, p.Listings, p.Loaded.Submitted.P50, p.Loaded.Submitted.P99, p.Use)
	}
	return rep.Points
}

func report(t *testing.T, server string, change func(*virtual.Config), hosts ...int) *virtual.Report {
	t.Helper()
	m, err := virtual.ModelOf(server)
	if err != nil {
		t.Fatal(err)
	}
	cfg := virtual.Config{Seed: 1, Server: server, Model: m, Shapes: []string{virtual.ShapeSelf}, Hosts: hosts, Workers: 4, Jobs: 16, Size: 300,
		Window: 2 * time.Second, Version: "test", Parallel: 2}
	if change != nil {
		change(&cfg)
	}
	rep, err := virtual.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// TestSameSeedSameReport: and another seed gives another one.
func TestSameSeedSameReport(t *testing.T) {
	seed := func(n uint64) func(*virtual.Config) {
		return func(c *virtual.Config) { c.Seed, c.Shapes, c.Window = n, []string{virtual.ShapeOne}, time.Second }
	}
	first, again := report(t, virtual.ServerLinux, seed(7), 8), report(t, virtual.ServerLinux, seed(7), 8)
	if !reflect.DeepEqual(first, again) {
		t.Errorf("seed 7 gave\n%+v\nand\n%+v", first, again)
	}
	other := report(t, virtual.ServerLinux, seed(8), 8)
	other.Seed = first.Seed
	if reflect.DeepEqual(first, other) {
		t.Error("seed 8 gave what seed 7 gave")
	}
}

// TestOneHost: what a job costs one host is what its calls cost, by hand; and what
// the host reaches is what its kernel lets it.
func TestOneHost(t *testing.T) {
	for _, server := range virtual.Servers() {
		p := run(t, server, nil, 1)[0]
		m, _ := virtual.ModelOf(server)
		change, read := m.RoundTrip+m.Change, m.RoundTrip+m.Read
		// OPEN, WRITE, RENAME, LINK, RENAME, WRITE of the journal; CLOSE, ACCESS.
		if got, want := p.Idle.Accept.P50, (6*change + 2*read).Seconds(); math.Abs(got-want) > 1e-9 {
			t.Errorf("%s: accept took %v s, want %v", server, got, want)
		}
		// RENAME, OPEN, WRITE, RENAME, RENAME; CLOSE. Then RENAME, LINK, ACCESS: what
		// the cluster's answer waits for. What is removed and journalled meanwhile may
		// be in the way.
		least := (7*change + 2*read).Seconds()
		if got := p.Idle.Submitted.P50; got < least-1e-9 || got > 1.6*least {
			t.Errorf("%s: accept to submitted took %v s, want %v or a little more", server, got, least)
		}
		// docs/scaling.md has what real clients and a real server were seen to do.
		for kind, want := range map[string]float64{"RENAME": 8, "LINK": 2, "ACCESS": 2, "OPEN": 2, "CLOSE": 2, "REMOVE": 1} {
			if got := p.Kinds[kind]; math.Abs(got-want) > 0.1 {
				t.Errorf("%s: %.2f %s a job, want %v", server, got, kind, want)
			}
		}
		if p.Calls < 19 || p.Calls > 24 || p.LostClaims > 0.01 {
			t.Errorf("%s: %.2f calls a job, %.3f lost claims", server, p.Calls, p.LostClaims)
		}
		// Seven renames from one directory to another, one at a time.
		bound := 1 / (7 * change.Seconds())
		if p.JobsPerSecond > 1.01*bound || p.JobsPerSecond < 0.8*bound {
			t.Errorf("%s: %.0f jobs a second, want nearly %.0f", server, p.JobsPerSecond, bound)
		}
	}
}

// TestLatencyBound: one job at a time takes what its calls take, however many
// workers there are.
func TestLatencyBound(t *testing.T) {
	p := run(t, virtual.ServerFiler, func(c *virtual.Config) { c.Jobs = 1 }, 1)[0]
	m, _ := virtual.ModelOf(virtual.ServerFiler)
	if bound := 1 / (15 * (m.RoundTrip + m.Change)).Seconds(); p.JobsPerSecond > bound || p.JobsPerSecond < bound/2 {
		t.Errorf("%.0f jobs a second, want somewhat less than %.0f", p.JobsPerSecond, bound)
	}
}

// TestHostsAddUp: as long as the server has room, each host adds what it can.
func TestHostsAddUp(t *testing.T) {
	p := run(t, virtual.ServerFiler, func(c *virtual.Config) { c.Window = time.Second }, 1, 2, 4)
	for i := 1; i < len(p); i++ {
		if p[i].JobsPerSecond < 1.5*p[i-1].JobsPerSecond {
			t.Errorf("%d hosts: %.0f jobs a second, %d hosts %.0f", p[i-1].Hosts, p[i-1].JobsPerSecond, p[i].Hosts, p[i].JobsPerSecond)
		}
		if most := 1.15 * p[0].Calls; p[i].Calls > most {
			t.Errorf("%d hosts: %.2f calls a job, want at most %.2f", p[i].Hosts, p[i].Calls, most)
		}
	}
}

// TestServerFull: no more gets done than the server has room for, and nearly that
// much; with twice the hosts it is the same, but for what births spare.
func TestServerFull(t *testing.T) {
	// RENAME 8, LINK 2, REMOVE 1, OPEN to write 2, WRITE 2 and of the journal.
	durable := func(p virtual.Point) float64 {
		return p.Kinds["RENAME"] + p.Kinds["LINK"] + p.Kinds["REMOVE"] + 2 + p.Kinds["WRITE"]
	}
	small := func(c *virtual.Config) { c.Model.Slots, c.Model.Change = 1, 400*time.Microsecond }
	p := run(t, virtual.ServerFiler, small, 4, 8)
	for _, p := range p {
		bound := 1 / (400e-6 * durable(p))
		if p.JobsPerSecond > 1.05*bound || p.JobsPerSecond < 0.85*bound || p.Use.Changes < 0.95 {
			t.Errorf("%d hosts: %.0f jobs a second, want nearly %.0f; the server was in use for %.2f of the time", p.Hosts, p.JobsPerSecond, bound, p.Use.Changes)
		}
	}
	if ratio := p[1].JobsPerSecond / p[0].JobsPerSecond; ratio < 0.85 || ratio > 1.2 {
		t.Errorf("twice the hosts make %.2f of the jobs", ratio)
	}
	// One rename between directories at a time: seven a job, less those that births
	// spare; one is within a directory.
	q := run(t, virtual.ServerLinux, nil, 8)[0]
	if bound := 1 / ((q.Kinds["RENAME"] - 1) * 500e-6); q.JobsPerSecond > 1.01*bound || q.JobsPerSecond < 0.9*bound || q.Use.Renames < 0.95 {
		t.Errorf("%.0f jobs a second, want nearly %.0f; renames were under way for %.2f of the time", q.JobsPerSecond, bound, q.Use.Renames)
	}
}

// TestNoHerd: hosts don't take each other's claims away, whether the server has
// room or is full, and whoever feeds them.
func TestNoHerd(t *testing.T) {
	for _, server := range virtual.Servers() {
		for _, p := range run(t, server, func(c *virtual.Config) {
			c.Shapes, c.Window = []string{virtual.ShapeSelf, virtual.ShapeOne}, 2*time.Second
		}, 8) {
			if p.LostClaims > 0.1 {
				t.Errorf("%s, %s: %.3f lost claims a job, want at most 0.1", server, p.Shape, p.LostClaims)
			}
			if p.Listings > 0.5 || p.Calls > 28 {
				t.Errorf("%s, %s: %.2f listings and %.2f calls a job", server, p.Shape, p.Listings, p.Calls)
			}
		}
	}
}

// TestApart: a host that takes in for all does more if it does that alone.
func TestApart(t *testing.T) {
	p := run(t, virtual.ServerFiler, func(c *virtual.Config) { c.Shapes = []string{virtual.ShapeOne, virtual.ShapeApart} }, 4)
	if p[0].JobsPerSecond > 0.85*p[1].JobsPerSecond {
		t.Errorf("%.0f jobs a second come through a host that does everything, %.0f through one that takes in alone", p[0].JobsPerSecond, p[1].JobsPerSecond)
	}
}

// TestIdle: what hosts ask for that have nothing to do doesn't grow with their
// number, past those that each watches.
func TestIdle(t *testing.T) {
	p := run(t, virtual.ServerFiler, func(c *virtual.Config) { c.Window, c.Jobs, c.Model.RoundTrip = time.Second, 1, 20*time.Millisecond }, 8, 24)
	if p[0].IdleCalls < 1 || p[1].IdleCalls > 1.3*p[0].IdleCalls {
		t.Errorf("each of 8 idle hosts makes %.1f calls a second, each of 24 %.1f", p[0].IdleCalls, p[1].IdleCalls)
	}
}

// TestPlot: the picture is well-formed, whatever the points.
func TestPlot(t *testing.T) {
	for _, points := range [][]virtual.Point{
		nil,
		{{Shape: virtual.ShapeSelf, Hosts: 1, JobsPerSecond: 0.5, Calls: 21}},
		{{Shape: virtual.ShapeSelf, Hosts: 1, JobsPerSecond: 100, Calls: 21}, {Shape: virtual.ShapeSelf, Hosts: 64, JobsPerSecond: 4321, Calls: 30},
			{Shape: virtual.ShapeApart, Hosts: 2, JobsPerSecond: 7, Calls: 1}, {Shape: virtual.ShapeOne, Hosts: 3, JobsPerSecond: 99, Calls: 22}},
	} {
		var b bytes.Buffer
		if err := (&virtual.Report{Server: "<&>", Points: points}).Plot(&b); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b.Bytes(), []byte("NaN")) || bytes.Contains(b.Bytes(), []byte("Inf")) {
			t.Errorf("%d points: a number is none", len(points))
		}
		for d := xml.NewDecoder(&b); ; {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("the picture is no XML: %v", err)
			}
		}
	}
}

// TestInterrupted: it ends when it is told to.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m, _ := virtual.ModelOf(virtual.ServerFiler)
	cfg := virtual.Config{Seed: 1, Model: m, Shapes: virtual.Shapes(), Hosts: []int{64}, Workers: 4, Jobs: 16, Size: 300, Window: time.Minute}
	if _, err := virtual.Run(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
