package node_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"fencepost/cmd/fencepost/node"
	"fencepost/lease"
	"fencepost/spool"
	"fencepost/spool/env/envtest"
	"fencepost/spool/vfs/memfs"
	"fencepost/submit"
)

// plain is a cluster that takes everything at once; it counts.
type plain struct {
	mu   sync.Mutex
	runs map[string]int
}

func (p *plain) Caps() submit.Caps { return submit.Caps{} }
func (p *plain) Pin(context.Context) (map[string]string, error) {
	return map[string]string{"backend": "plain"}, nil
}
func (p *plain) Probe(context.Context) error        { return nil }
func (p *plain) Slots(context.Context) (int, error) { return -1, nil }
func (p *plain) Submit(_ context.Context, r submit.Request) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.runs[r.Key]++
	return "c" + r.Key[:8] + r.Key[24:], nil
}
func (p *plain) List(context.Context) ([]submit.Job, error) { return nil, submit.ErrNotSupported }
func (p *plain) Release(context.Context, []string) error    { return submit.ErrNotSupported }
func (p *plain) Cancel(context.Context, string) error       { return submit.ErrNotSupported }
func (p *plain) Past(context.Context, string) (submit.Past, error) {
	return submit.Past{}, submit.ErrNotSupported
}

// world is a spool with hosts, in virtual time.
type world struct {
	t    *testing.T
	w    *envtest.World
	m    *memfs.Mem
	sp   spool.Format
	c    *plain
	jobs []string

	hosts map[string]*envtest.Host // whose operations take a while
}

func newWorld(t *testing.T, hosts ...string) *world {
	t.Helper()
	w := &world{t: t, w: envtest.New(t, 1), m: memfs.New(memfs.Options{}), c: &plain{runs: map[string]int{}}}
	admin := w.w.Host("admin", w.m.View("admin"))
	w.w.Do(admin, "init", func() {
		f, err := spool.NewFormat()
		if err != nil {
			t.Fatal(err)
		}
		if w.sp, _, err = spool.Init(admin.FS(), f); err != nil {
			t.Fatal(err)
		}
	})
	for _, h := range hosts {
		w.enroll(h)
	}
	return w
}

func (w *world) enroll(host string) {
	admin := w.w.Host("admin", w.m.View("admin"))
	w.w.Do(admin, "enroll", func() {
		if _, err := lease.Enroll(context.Background(), admin, lease.Member{Host: host, By: "test"}); err != nil {
			w.t.Error(err)
		}
	})
}

func (w *world) config(h *envtest.Host, name string) node.Config {
	opt := submit.DefaultOptions()
	return node.Config{Env: h, Spool: spool.New(h, w.sp), Identity: lease.Identity{Host: name, MachineID: "machine-" + name,
		BootID: "boot", PID: 1, Nonce: fmt.Sprintf("nonce-%s-%d", name, h.Now()), Version: "test", ConfigDigest: "digest"},
		Heartbeat: time.Second, TTL: 10 * time.Second, Stages: []spool.Stage{spool.Ingest, spool.Translate, spool.Submit},
		Workers: 2, Poll: 200 * time.Millisecond, MaxPoll: 2 * time.Second, ClaimMax: 10 * time.Minute, SealMax: 10 * time.Minute,
		Grace: 10 * time.Second, Cluster: w.c, Submit: opt,
		Convert: convert,
		Warn:    func(event string, kv ...any) { w.t.Log(name, event, kv) },
	}
}

func (w *world) send(h *envtest.Host, n *node.Node, count int) {
	w.t.Helper()
	for range count {
		id, data := xmlJob(w.t, len(w.jobs))
		w.w.Do(h, "send", func() {
			if _, err := n.Accept(id, data, nil); err != nil {
				w.t.Error(err)
			}
		})
		w.jobs = append(w.jobs, id)
	}
}

// check wants every job submitted once, and the balance right.
func (w *world) check(h *envtest.Host) {
	w.t.Helper()
	for _, id := range w.jobs {
		if got := w.c.runs[id]; got != 1 {
			w.t.Errorf("job %s: got %d submissions, want 1", id, got)
		}
	}
	w.w.Do(h, "audit", func() {
		b, err := spool.New(h, w.sp).Audit(context.Background(), time.Second)
		if err != nil || !b.OK() || b.Done != len(w.jobs) {
			w.t.Errorf("audit: got %+v, %v, want %d done", b, err, len(w.jobs))
		}
	})
}

func TestOneHostToTheEnd(t *testing.T) {
	w := newWorld(t, "a")
	a := w.w.Host("a", w.m.View("a"))
	n := node.New(w.config(a, "a"))
	ctx, cancel := context.WithCancelCause(context.Background())
	ended := false
	ready := false
	a.Go("node", func() {
		if err := n.Run(ctx, func(uint64) { ready = true }); err != nil {
			t.Error(err)
		}
		ended = true
	})
	w.w.RunUntil(time.Minute, func() bool { return ready })
	w.send(a, n, 20)
	w.w.RunFor(30 * time.Second)
	w.check(a)
	w.w.Do(a, "stop", func() { cancel(errors.New("stop")) })
	w.w.RunUntil(time.Minute, func() bool { return ended })
}

func TestTakeoverAfterKill(t *testing.T) {
	w := newWorld(t, "a", "b")
	a, b := w.w.Host("a", w.m.View("a")), w.w.Host("b", w.m.View("b"))
	na, nb := node.New(w.config(a, "a")), node.New(w.config(b, "b"))
	ready := 0
	for h, n := range map[*envtest.Host]*node.Node{a: na, b: nb} {
		h.Go("node", func() {
			if err := n.Run(context.Background(), func(uint64) { ready++ }); err != nil {
				t.Error(err)
			}
		})
	}
	w.w.RunUntil(time.Minute, func() bool { return ready == 2 })
	w.send(a, na, 10)
	w.send(b, nb, 10)
	a.Kill()
	w.w.RunFor(time.Minute)
	w.check(b)
}
