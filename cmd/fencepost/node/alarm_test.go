package node_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fencepost/cmd/fencepost/node"
	"fencepost/spool"
	"fencepost/spool/env/envtest"
	"fencepost/submit"
)

// run starts nodes and waits until they are ready.
func (w *world) run(hosts map[string]*envtest.Host, change func(*node.Config)) map[string]*node.Node {
	w.t.Helper()
	nodes, ready := map[string]*node.Node{}, 0
	for _, name := range slices.Sorted(mapsKeys(hosts)) {
		cfg := w.config(hosts[name], name)
		if change != nil {
			change(&cfg)
		}
		n := node.New(cfg)
		nodes[name] = n
		hosts[name].Go("node", func() {
			if err := n.Run(context.Background(), func(uint64) { ready++ }); err != nil {
				w.t.Error(err)
			}
		})
	}
	if !w.w.RunUntil(2*time.Minute, func() bool { return ready >= len(hosts) }) {
		w.t.Fatal("not ready")
	}
	return nodes
}

func mapsKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func (w *world) alarms(h *envtest.Host) (out []spool.Alarm) {
	w.w.Do(h, "alarms", func() {
		var err error
		if out, err = spool.New(h, w.sp).Alarms(); err != nil {
			w.t.Error(err)
		}
	})
	return out
}

// TestAlarmWithinAMinute: a foreign program takes all that waits in xml/, jobs
// and canaries, at the worst moment as well as at others: within a minute the
// alarm names the job and the stage, by default settings; when the job is
// recovered, it is submitted once, and its alarm is gone.
func TestAlarmWithinAMinute(t *testing.T) {
	for _, after := range []time.Duration{0, 7 * time.Second, 13 * time.Second, 19 * time.Second} {
		t.Run(after.String(), func(t *testing.T) {
			w := newWorld(t, "a", "b")
			hosts := map[string]*envtest.Host{"a": w.w.Host("a", w.m.View("a")), "b": w.w.Host("b", w.m.View("b"))}
			nodes := w.run(hosts, func(c *node.Config) { c.Stages = []spool.Stage{spool.Ingest} })
			w.w.RunFor(50*time.Second + after)
			a := hosts["a"]
			w.send(a, nodes["a"], 1)
			rogue := w.w.Host("rogue", w.m.View("rogue"))
			w.w.Do(rogue, "take", func() {
				names, _ := rogue.FS().List("xml")
				for _, n := range names {
					_ = rogue.FS().Remove("xml/" + n)
				}
			})
			w.w.RunFor(time.Minute)
			var kinds []string
			for _, al := range w.alarms(rogue) {
				kinds = append(kinds, fmt.Sprintf("%s %s %s", al.Kind, al.Stage, al.Job))
			}
			slices.Sort(kinds)
			want := []string{"canary translate ", "canary translate ", "vanished translate " + w.jobs[0]}
			if !slices.Equal(kinds, want) {
				t.Fatalf("after a minute: %q, want %q", kinds, want)
			}
			if n := nodes["a"].Alarms().Vanished + nodes["b"].Alarms().Vanished; n != 1 {
				t.Errorf("counted %d vanished, want 1", n)
			}
		})
	}
}

// TestAuditorDies: the host whose turn the audits are is killed.
func TestAuditorDies(t *testing.T) {
	w := newWorld(t, "a", "b")
	hosts := map[string]*envtest.Host{"a": w.w.Host("a", w.m.View("a")), "b": w.w.Host("b", w.m.View("b"))}
	nodes := w.run(hosts, func(c *node.Config) { c.Stages = []spool.Stage{spool.Ingest} })
	w.w.RunFor(time.Minute)
	dies, lives := "a", "b"
	if nodes["b"].Alarms().Audits > nodes["a"].Alarms().Audits {
		dies, lives = "b", "a"
	}
	w.send(hosts[lives], nodes[lives], 1)
	hosts[dies].Kill()
	w.w.Do(hosts[lives], "take", func() { _ = hosts[lives].FS().Remove("xml/" + w.jobs[0] + ".xml") })
	w.w.RunFor(80 * time.Second)
	if got := w.alarms(hosts[lives]); len(got) != 1 || got[0].Job != w.jobs[0] {
		t.Errorf("alarms: %+v", got)
	}
}

// ---- poison, backoff ------------------------------------------------------------

// TestPoisonEndsAside: a job whose translation kills its host, again and again,
// ends in parked/ with the reason of every try; the others go on; a person's
// unpark lets it begin again without faults.
func TestPoisonEndsAside(t *testing.T) {
	w := newWorld(t, "a", "b", "c")
	poison, faults := "", 2
	var dead []string // to be started again
	deaths := 0
	hosts := map[string]*envtest.Host{}
	config := func(h *envtest.Host, name string) node.Config {
		cfg := w.config(h, name)
		cfg.Spool.Limits.Faults = faults
		convert := cfg.Convert
		cfg.Convert = func(data []byte) ([]byte, error) {
			if poison != "" && strings.Contains(string(data), poison) {
				dead = append(dead, name)
				deaths++
				h.Kill()
				_ = h.Sleep(context.Background(), time.Hour) // a dead process does nothing more
			}
			return convert(data)
		}
		return cfg
	}
	nodes := map[string]*node.Node{}
	start := func(name string) {
		h := w.w.Host(name, w.m.View(name))
		n := node.New(config(h, name))
		hosts[name], nodes[name] = h, n
		h.Go("node", func() { _ = n.Run(context.Background(), func(uint64) {}) })
	}
	for _, name := range []string{"a", "b", "c"} {
		start(name)
	}
	w.w.RunFor(30 * time.Second)
	poison = fmt.Sprintf("0190a1b2-c3d4-7000-8000-%012x", 3) // the last: its host is dead soon after
	w.send(hosts["a"], nodes["a"], 4)
	slices.Reverse(w.jobs)
	for range 60 { // their supervisors start them again
		w.w.RunFor(10 * time.Second)
		for _, name := range dead {
			start(name)
		}
		dead = nil
	}
	if deaths != faults+1 {
		t.Errorf("%d hosts died of it, want %d", deaths, faults+1)
	}
	look := w.w.Host("look", w.m.View("look"))
	w.w.Do(look, "look", func() {
		s := spool.New(look, w.sp)
		wantParked(t, s, poison, faults+1)
		for _, id := range w.jobs[1:] {
			if w.c.runs[id] != 1 {
				t.Errorf("job %s: %d submissions, want 1", id, w.c.runs[id])
			}
		}
		// Cured, it goes through.
		poison = ""
		op := &spool.Operator{Spool: s, Host: "look", By: "p", Reason: "cured"}
		if _, err := op.Again(context.Background(), w.jobs[0]); err != nil {
			t.Error(err)
		}
		if found, _ := s.Locate(w.jobs[0]); len(found) != 1 || found[0].Name.Faults != 0 {
			t.Errorf("after unpark: %v", found)
		}
	})
	w.w.RunFor(3 * time.Minute)
	if w.c.runs[w.jobs[0]] != 1 {
		t.Errorf("after unpark: %d submissions, want 1", w.c.runs[w.jobs[0]])
	}
}

// wantParked wants a job parked, with the reasons of that many tries.
func wantParked(t *testing.T, s *spool.Spool, id string, tries int) {
	t.Helper()
	found, err := s.Locate(id)
	if err != nil || len(found) != 1 || found[0].Place != spool.PlaceParked {
		t.Errorf("%s: %v, %v, want it parked", id, found, err)
	}
	why, err := s.Why(spool.DirParked, id)
	got := 0
	for _, r := range why.Why {
		if strings.Contains(r.Reason, "lock is free") || strings.Contains(r.Reason, "began") || strings.Contains(r.Reason, "silent") {
			got++
		}
	}
	if err != nil || got < tries {
		t.Errorf("reasons of %d tries, want %d: %+v, %v", got, tries, why.Why, err)
	}
}

// outage is a cluster that answers with an error for a while.
type outage struct {
	*plain
	err error
}

func (o *outage) Submit(ctx context.Context, r submit.Request) (string, error) {
	if o.err != nil {
		return "", o.err
	}
	return o.plain.Submit(ctx, r)
}

// TestOutageIsNobodysFault: an hour in which the cluster is down, or both hosts
// are unfit, counts no fault and sends no job aside.
func TestOutageIsNobodysFault(t *testing.T) {
	for _, outcome := range []submit.Outcome{submit.Unavailable, submit.Unfit} {
		t.Run(outcome.String(), func(t *testing.T) {
			w := newWorld(t, "a", "b")
			o := &outage{plain: w.c, err: &submit.Error{Outcome: outcome, Op: "submit", Detail: "no"}}
			hosts := map[string]*envtest.Host{"a": w.w.Host("a", w.m.View("a")), "b": w.w.Host("b", w.m.View("b"))}
			nodes := w.run(hosts, func(c *node.Config) { c.Cluster = o; c.Poll = time.Second; c.Submit.Poll = time.Second })
			w.send(hosts["a"], nodes["a"], 5)
			w.w.RunFor(time.Hour)
			w.w.Do(hosts["a"], "look", func() {
				_ = spool.New(hosts["a"], w.sp).Scan(func(f spool.Found) {
					if f.Name.Faults != 0 || f.Place == spool.PlaceFailed || f.Place == spool.PlaceParked {
						t.Errorf("%s: want no fault", f.Path)
					}
				})
			})
			o.err = nil
			w.w.RunFor(5 * time.Minute)
			w.check(hosts["b"])
		})
	}
}
