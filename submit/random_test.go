package submit_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"fencepost/spool/vfs/memfs"
	"fencepost/submit"
	"fencepost/submit/clustersim"
)

// chaos is one seeded run: three hosts, a dozen jobs, and trouble of the kinds
// that the seed chooses.
type chaos struct {
	w       *world
	coin    *rand.Rand
	caps    submit.Caps
	guard   bool
	crashes bool // the controller dies
	pauses  bool // hosts are stopped and frozen, for longer than their lease
	lies    bool // replies are lost, on the share and at the cluster
	paused  map[*proc]int
	log     []string
}

func newChaos(t testing.TB, seed uint64) *chaos {
	c := &chaos{coin: rand.New(rand.NewPCG(seed, 7)), paused: map[*proc]int{}}
	k := kinds[c.coin.IntN(len(kinds))]
	c.caps = k.caps
	c.guard = c.caps.List && c.coin.IntN(2) == 0
	c.crashes = c.caps.List && c.coin.IntN(2) == 0
	// A pause between check and act together with a crash in that gap is what
	// only the guard closes.
	c.pauses = (c.guard || !c.crashes) && c.coin.IntN(3) > 0
	c.lies = c.coin.IntN(3) > 0
	so := simOptions(c.caps)
	so.Guard = c.guard
	so.RunTime = time.Duration(1+c.coin.IntN(20)) * time.Second
	so.StartAfter = time.Duration(c.coin.IntN(10)) * time.Second
	if c.pauses {
		so.Latency = time.Duration(c.coin.IntN(1000)) * time.Millisecond
	}
	if c.caps.List {
		so.ListLag = time.Duration(c.coin.IntN(4)) * time.Second
	}
	if c.caps.Past || c.guard {
		so.MinJobAge = time.Duration(20+c.coin.IntN(60)) * time.Second
	}
	m := memfs.New(memfs.Options{SyncExport: true, MaxOps: 50_000_000, NoTrace: true, Shuffle: seed})
	c.w = newWorld(t, m, seed, so)
	c.w.mayPark = c.mayPark
	m.After = func(op memfs.Op) {
		for _, p := range c.w.procs {
			if p.host.Name() == op.View && p.view.Dead() {
				p.host.Kill()
			}
		}
	}
	if c.lies {
		m.Inject, c.w.sim.Inject = c.lieShare, c.lieCluster
	}
	c.note("%s, guard %v, crashes %v, pauses %v, lies %v, %+v", k.name, c.guard, c.crashes, c.pauses, c.lies, so)
	return c
}

func (c *chaos) note(format string, args ...any) {
	c.log = append(c.log, fmt.Sprintf("%v "+format, append([]any{c.w.env.Now()}, args...)...))
}

func (c *chaos) mayPark(_, why string) bool {
	switch {
	case !c.caps.Hold && !c.caps.Key:
		return strings.Contains(why, "unclear") || strings.Contains(why, "may have been submitted")
	case c.crashes && strings.Contains(why, "still held after 3 releases"):
		return true // each was forgotten
	case c.crashes && !c.guard:
		return strings.Contains(why, "nothing proves") || strings.Contains(why, "another job of this key")
	}
	return false
}

// lieShare loses replies of the share.
func (c *chaos) lieShare(op memfs.Op) memfs.Verdict {
	switch op.Kind {
	case memfs.Rename, memfs.Link, memfs.Mkdir, memfs.Remove, memfs.Rmdir, memfs.Create:
	default:
		return memfs.Verdict{}
	}
	if c.coin.IntN(200) > 0 {
		return memfs.Verdict{}
	}
	errs := []error{syscall.EIO, syscall.ESTALE, syscall.ENOENT}
	if op.Kind == memfs.Link || op.Kind == memfs.Mkdir {
		errs[2] = syscall.EEXIST
	}
	v := memfs.Verdict{Apply: c.coin.IntN(2) == 0, Err: errs[c.coin.IntN(3)]}
	c.note("%v: %v", op, v)
	return v
}

// lieCluster loses replies of the cluster.
func (c *chaos) lieCluster(call clustersim.Call) clustersim.Verdict {
	if c.coin.IntN(40) > 0 {
		return clustersim.Verdict{}
	}
	var v clustersim.Verdict
	switch c.coin.IntN(6) {
	case 0:
		v = clustersim.Verdict{Apply: true, Err: outcome(submit.Unknown)}
	case 1:
		v = clustersim.Verdict{Err: outcome(submit.Unknown)}
	case 2:
		v = clustersim.Verdict{Err: outcome(submit.Unavailable)}
	case 3:
		v = clustersim.Verdict{Err: outcome(submit.Unfit)}
	case 4:
		v = clustersim.Verdict{Apply: true, Hang: time.Duration(c.coin.IntN(10)) * time.Second}
		if c.crashes && !c.guard {
			return clustersim.Verdict{}
		}
	case 5:
		if call.Op != clustersim.OpSubmit || c.crashes && !c.guard {
			return clustersim.Verdict{}
		}
		v = clustersim.Verdict{Late: time.Duration(c.coin.IntN(30)) * time.Second, Err: outcome(submit.Unknown)}
	}
	c.note("%v: %+v", call, v)
	return v
}

// step does one thing.
func (c *chaos) step() {
	w := c.w
	p := w.procs[c.coin.IntN(len(w.procs))]
	switch c.coin.IntN(8) {
	case 0, 1:
		c.note("kill %s/%d", p.host.Name(), p.over.Epoch)
		p.host.Kill()
	case 2, 3:
		if c.pauses && c.paused[p] == 0 && p.alive() {
			c.pause(p)
		}
	case 4:
		if c.crashes {
			d := time.Duration(c.coin.IntN(5000)) * time.Millisecond
			c.note("crash, %v forgotten", d)
			w.sim.Crash(d)
		}
	case 5:
		w.sim.Down = !w.sim.Down
		c.note("down %v", w.sim.Down)
	case 6:
		w.feed(1 + c.coin.IntN(3))
	}
	for _, name := range []string{"a", "b", "c"} {
		if c.coin.IntN(3) == 0 && c.idle(name) {
			c.note("start %s", name)
			w.start(name)
		}
	}
}

// pause stops a host, for which its peers may take it for gone.
func (c *chaos) pause(p *proc) {
	long := c.coin.IntN(2) == 0
	c.note("pause %s/%d, fenced %v", p.host.Name(), p.over.Epoch, long)
	c.paused[p] = 1 + c.coin.IntN(4)
	if c.coin.IntN(2) == 0 {
		p.host.Stop()
	} else {
		p.host.Freeze()
	}
	if long {
		p.fence()
	}
}

func (c *chaos) idle(name string) bool {
	for _, p := range c.w.procs {
		if p.host.Name() == name && !p.view.Dead() && !p.ended {
			return false
		}
	}
	return true
}

func (c *chaos) run() error {
	w := c.w
	w.feed(6)
	for _, h := range []string{"a", "b", "c"} {
		w.start(h)
	}
	for range 25 {
		w.env.RunFor(time.Duration(c.coin.IntN(8000)) * time.Millisecond)
		for _, p := range w.procs {
			if c.paused[p] > 0 {
				if c.paused[p]--; c.paused[p] == 0 {
					c.note("continue %s/%d", p.host.Name(), p.over.Epoch)
					p.host.Continue()
					p.host.Thaw()
				}
			}
		}
		c.step()
	}
	c.note("heal")
	return w.heal()
}

func TestRandom(t *testing.T) {
	t.Parallel()
	first, n := 1, 40
	if raced {
		n = 5
	}
	if s := os.Getenv("FENCEPOST_SEED"); s != "" {
		first, _ = strconv.Atoi(s)
		n = 1
	} else if thorough {
		n = 5000
	}
	if s := os.Getenv("FENCEPOST_FIRST"); s != "" {
		first, _ = strconv.Atoi(s)
	}
	for seed := first; seed < first+n; seed++ {
		c := newChaos(t, uint64(seed))
		if err := c.run(); err != nil {
			t.Errorf("FENCEPOST_SEED=%d: %v\n%s\n%s", seed, err, strings.Join(c.log, "\n"), c.w.describe())
		}
		c.w.scope.close()
		if t.Failed() {
			return
		}
	}
}
