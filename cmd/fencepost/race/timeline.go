package race

import (
	"strings"
	"time"

	"fencepost/spool"
	"fencepost/spool/env/nfssim"
	"fencepost/spool/env/simenv"
)

// timeline plans the faults that come by the clock.
func (r *run) timeline() {
	lane := r.w.Tape().Lane("moments")
	var on []moment
	for _, m := range moments() {
		if r.plan.on[m.fault] {
			on = append(on, m)
		}
	}
	for range r.plan.moments {
		at := time.Duration(lane.Pick(32)) * r.plan.chaos / 32
		what := lane.Pick(uint32(max(len(on), 1)))
		if len(on) == 0 {
			continue
		}
		r.w.After(at, func() {
			if r.chaos {
				on[what].strike(r, lane)
			}
		})
	}
}

// moment is a fault by the clock.
type moment struct {
	fault  Fault
	strike func(*run, *simenv.Lane)
}

// moments has all of them; a tape counts on their order.
func moments() []moment {
	return []moment{
		{ServerRestart, (*run).serverRestarts}, {Full, (*run).serverFull}, {Swizzle, (*run).swizzles}, {Skew, (*run).skews},
		{Slow, (*run).slows}, {Twin, (*run).twins}, {Clone, (*run).clones}, {Stranger, (*run).strangers}, {Unfit, (*run).unfits},
		{Misconfigured, (*run).misconfigures}, {Rogue, (*run).rogues}, {ClusterDown, (*run).clusterDown},
		{ClusterCrash, (*run).clusterCrashes}, {Cut, (*run).longCut}, {Crash, (*run).powerCut}, {Kill, (*run).killsAtRandom},
		{Restart, (*run).restarts}, {Copied, (*run).copies},
		{Recover, (*run).recovers},
	}
}

func (r *run) anyHost(lane *simenv.Lane) *host { return r.hosts[lane.Pick(uint32(len(r.hosts)))] }

// happens counts a fault by the clock, if its kind is on.
func (r *run) happens(f Fault, h *host, words string, d time.Duration) bool {
	if !r.plan.on[f] {
		return false
	}
	r.faults[string(f)]++
	if f != Skew {
		r.trouble(r.w.Now() + d)
	}
	r.recordFault(f, h, words, r.w.Now()+d)
	return true
}

func (r *run) serverRestarts(*simenv.Lane) {
	if r.happens(ServerRestart, nil, "the server starts again", serverLease) {
		r.srv.Restart()
		r.trouble(r.w.Now() + serverLease + nfssim.MaxPause) // of calls that came in its grace time
	}
}

func (r *run) serverFull(lane *simenv.Lane) {
	d := r.pause(lane)
	if r.happens(Full, nil, "no space left", d) {
		r.setFull(true)
		r.w.After(d, func() { r.setFull(false) })
	}
}

func (r *run) setFull(full bool) {
	r.full = full
	r.srv.SetFull(full)
}

// swizzles cuts hosts off one after the other; they come back in another order.
func (r *run) swizzles(lane *simenv.Lane) {
	if !r.plan.on[Swizzle] {
		return
	}
	for _, h := range r.hosts {
		begin, d := r.pause(lane)/2, r.pause(lane)
		r.happens(Swizzle, h, "cut off", d)
		r.w.After(begin, func() {
			if r.chaos {
				r.cut(h, d)
			}
		})
	}
}

func (r *run) skews(lane *simenv.Lane) {
	h, d := r.anyHost(lane), []time.Duration{time.Hour, -time.Hour, 30 * 24 * time.Hour, -90 * time.Second}[lane.Pick(4)]
	if r.happens(Skew, h, "its wall clock jumps by "+d.String(), 0) {
		h.machine.Skew(d)
	}
}

func (r *run) slows(lane *simenv.Lane) {
	h, d := r.anyHost(lane), r.pause(lane)
	if r.happens(Slow, h, "its calls take long", d) {
		h.slow = true
		r.w.After(d, func() { h.slow = false })
	}
}

// guest is a machine that shouldn't be there.
func (r *run) guestHost(name, label string, opt nfssim.MountOptions) *host {
	g := r.newHost(name, label, opt)
	g.guest = true
	r.guests = append(r.guests, g)
	return g
}

func (r *run) twins(lane *simenv.Lane) {
	h := r.anyHost(lane)
	if r.happens(Twin, h, "another machine takes its name", 0) {
		r.guestHost(h.name, h.label+"-twin", nfssim.MountOptions{Identifier: h.label}).start()
	}
}

func (r *run) clones(lane *simenv.Lane) {
	h := r.anyHost(lane)
	if r.happens(Clone, h, "a clone of the machine comes up", 0) {
		g := r.guestHost(h.name, h.label+"-clone", nfssim.MountOptions{Identifier: h.label})
		g.id.MachineID = h.id.MachineID
		g.start()
	}
}

func (r *run) strangers(*simenv.Lane) {
	if r.happens(Stranger, nil, "a machine that nobody enrolled starts the program", 0) {
		r.guestHost("stranger", "stranger", nfssim.MountOptions{}).start()
	}
}

func (r *run) longCut(lane *simenv.Lane) {
	h := r.anyHost(lane)
	if d := 2*serverLease + r.pause(lane); r.happens(Cut, h, "cut off for longer than the server's lease", d) {
		r.cut(h, d)
	}
}

func (r *run) powerCut(lane *simenv.Lane) {
	h, d := r.anyHost(lane), r.pause(lane)
	if r.happens(Crash, h, "loses power", d) {
		h.crash(d)
	}
}

func (r *run) killsAtRandom(lane *simenv.Lane) {
	h, d := r.anyHost(lane), r.pause(lane)
	if h.running() && r.happens(Kill, h, "killed", d) {
		h.killed(d)
	}
}

func (r *run) restarts(lane *simenv.Lane) {
	h := r.anyHost(lane)
	if h.running() && r.happens(Restart, h, "stopped in order, and started again", grace) {
		h.shutdown()
		r.w.After(time.Second, func() { h.down = false })
		r.w.After(grace+time.Second, h.start)
	}
}

// copies has somebody make a copy of the next file that waits in a stage's
// directory: a second file of a job.
func (r *run) copies(lane *simenv.Lane) {
	dir := []string{layoutJSON, layoutXML}[lane.Pick(2)]
	if r.plan.on[Copied] {
		r.copyIn = dir
	}
}

// copyOf copies a file that has just come.
func (r *run) copyOf(path string) {
	dir, name, _ := strings.Cut(path, "/")
	p, ok := parsePlace(path)
	j := r.oracle.jobs[p.name.ID]
	if dir != r.copyIn || !ok || j == nil || j.gate == 0 || !r.happens(Copied, nil, "cp "+path, 0) {
		return
	}
	r.copyIn = ""
	j.copied = true
	p.name.Gen += 90
	fs := r.srv.Direct()
	r.srv.SetFull(false)
	if data, _, err := fs.Read(dir+"/"+name, 1<<20); err == nil {
		_, _ = fs.Create(dir+"/"+spool.FormatEntry(p.name), data)
	}
	r.srv.SetFull(r.full)
}

// heal ends all faults. What is on its way still lands.
func (r *run) heal() {
	r.chaos = false
	r.faultsEnd()
	r.recordNote("all faults are over")
	r.setFull(false)
	for _, g := range r.guests {
		g.down = true
		g.machine.Thaw()
		g.client.Join()
		// Its machine is shut down in order: version 3 never frees the locks of
		// one that just goes away, and a person has to.
		if g.proc != nil {
			g.proc.Kill()
		}
		if r.plan.version == "3" { // also one that lost power: it boots for that
			boot := g.machine.Start("boot")
			boot.SetFS(g.client.FS(boot))
			boot.Go("mount", func() { _, _ = boot.FS().List(spool.DirHosts) })
		}
	}
	if r.rogue != nil {
		r.rogue.Kill()
	}
	if r.plan.on[Recover] {
		r.w.After(whenHealed, r.recoverAll)
	}
	for _, h := range r.hosts {
		h.slow = false
		h.machine.Thaw()
		h.machine.Skew(0)
		h.client.Join()
		if h.proc != nil {
			h.proc.Continue()
		}
	}
	r.healCluster()
	r.w.After(time.Second, func() {
		for _, h := range r.hosts {
			if !h.running() {
				h.start()
			}
		}
	})
}
