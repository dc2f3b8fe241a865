package race

import (
	"strings"
	"time"

	"fencepost/spool"
	"fencepost/spool/env/nfssim"
	"fencepost/spool/env/simenv"
)

// hooks has the simulator asked about each call, told each effect.
func (r *run) hooks() {
	r.srv.OnCall = r.onCall
	r.srv.Fate = r.fate
	r.srv.OnEffect = r.onEffect
	if r.opt.Record {
		r.srv.OnAnswer = r.onAnswer
	}
}

// hostOf is whose call it is; nil for the set-up's and the auditor's.
func (r *run) hostOf(p *simenv.Proc) *host {
	if p == nil {
		return nil
	}
	return r.byProc[p]
}

func (r *run) isRogue(p *simenv.Proc) bool { return p != nil && p == r.rogue }

// matters says whether a name is a job's, or an epoch's: a fault there is worth
// more than one at a heartbeat.
func matters(name string) bool {
	top, rest, _ := strings.Cut(name, "/")
	switch top {
	case layoutXML, layoutJSON, spool.DirGate, spool.DirOnce, spool.DirDrafts, spool.DirClaims, spool.DirSealed, spool.DirDone,
		spool.DirFailed, spool.DirHeld, spool.DirParked, spool.DirRetention:
		return rest != ""
	case spool.DirHosts:
		return strings.Contains(rest, "/epochs/")
	}
	return false
}

// dull is how much rarer a fault is at a call that doesn't matter.
const dull = 25

// chance decides, at a call, for one of n modes, 0 being none.
func (r *run) chance(lane *simenv.Lane, c *nfssim.Call, n uint32) uint32 {
	rate := r.plan.rate
	switch {
	case r.opt.Where != "":
		if !r.meant(c.Op + " " + c.From + " " + c.To) {
			return 0
		}
		rate = often
	case !matters(c.From) && !matters(c.To):
		rate *= dull
	}
	v := lane.Rare(1, rate, n+1)
	if !r.chaos || r.faulted >= r.plan.most {
		return 0
	}
	return v
}

// often is the rate of faults at calls that are meant.
const often = 6

// meant says whether a call is one of those that faults strike.
func (r *run) meant(call string) bool {
	for part := range strings.SplitSeq(r.opt.Where, "|") {
		if strings.Contains(call, part) {
			return true
		}
	}
	return false
}

// did counts a fault.
func (r *run) did(f Fault, h *host, words string, until time.Duration) {
	r.faults[string(f)]++
	r.faulted++
	r.trouble(until)
	r.recordFault(f, h, words, until)
}

// trouble notes that something is wrong until then.
func (r *run) trouble(until time.Duration) { r.troubled = max(r.troubled, r.w.Now(), until) }

// The modes of a fault at a call, or at its effect.
const (
	modeNone uint32 = iota
	modeKill
	modeStop
	modeFreeze
	modeCrash
	modeCut
	modes
)

func (r *run) onCall(c *nfssim.Call) {
	h := r.hostOf(c.Proc)
	if r.opt.Record {
		r.recordCall(h, c)
	}
	if h == nil {
		return
	}
	if mode := r.chance(h.calls, c, modes-1); mode != modeNone {
		r.strike(h, c.Proc, mode, h.calls, "before "+c.Op+" "+c.From)
	}
}

// strike does to a host, or to one of its processes, what a mode says.
func (r *run) strike(h *host, p *simenv.Proc, mode uint32, lane *simenv.Lane, when string) {
	fault := [...]Fault{"", Kill, Stop, Freeze, Crash, Cut}[mode]
	if !r.plan.on[fault] {
		return
	}
	d := r.pause(lane)
	r.did(fault, h, when, r.w.Now()+d)
	switch mode {
	case modeKill:
		r.killIf(h, p, d)
	case modeStop:
		p.Stop()
		r.w.After(d, p.Continue)
	case modeFreeze:
		h.machine.Freeze()
		r.w.After(d, h.machine.Thaw)
	case modeCrash:
		h.crash(d)
	case modeCut:
		r.cut(h, d)
	}
}

func (r *run) cut(h *host, d time.Duration) {
	h.client.Cut()
	r.w.After(d, h.client.Join)
}

// latencies are how long a message travels; the first is the plain one.
func latencies() [8]time.Duration {
	return [8]time.Duration{200 * time.Microsecond, 50 * time.Microsecond, 600 * time.Microsecond, 2 * time.Millisecond,
		5 * time.Millisecond, 12 * time.Millisecond, 40 * time.Millisecond, 150 * time.Millisecond}
}

// The modes of a fault on the way.
const (
	wayNone uint32 = iota
	wayLose
	wayLate
	wayLateAndKill
	wayKill
	ways
)

func (r *run) fate(c *nfssim.Call) nfssim.Fate {
	h := r.hostOf(c.Proc)
	if h == nil {
		return nfssim.Fate{}
	}
	table := latencies()
	v := h.net.Rare(1, 4, 64)
	f := nfssim.Fate{Out: table[v&7], Back: table[v>>3]}
	if h.slow || h.commandSlow && c.Proc == h.command {
		f.Out, f.Back = 10*f.Out+100*time.Millisecond, 10*f.Back
	}
	mode := r.chance(h.net, c, ways-1)
	p := c.Proc
	switch {
	case mode == wayLose && r.plan.on[LostReply]:
		f.LoseReply = true
		r.did(LostReply, h, c.Op+" "+c.From, 0)
	case (mode == wayLate || mode == wayLateAndKill) && r.plan.on[Late]:
		f.Stall = r.pause(h.net) + r.pause(h.net)/2
		r.did(Late, h, c.Op+" "+c.From, r.w.Now()+f.Stall)
		if mode == wayLateAndKill && r.plan.on[Kill] {
			d := r.pause(h.net)
			r.w.After(f.Stall/8, func() { r.killUnderWay(h, p, d) })
		}
	case mode == wayKill && r.plan.on[Kill]:
		d := r.pause(h.net)
		r.w.After(f.Out/2, func() { r.killUnderWay(h, p, d) })
	}
	return f
}

func (r *run) killUnderWay(h *host, p *simenv.Proc, d time.Duration) {
	if h.proc == p && !p.Dead() || h.command == p && p != nil && !p.Dead() {
		r.did(Kill, h, "while a call is under way", r.w.Now()+d)
		r.killIf(h, p, d)
	}
}

// killIf kills a process that still runs: the host's program, or a person's
// command.
func (r *run) killIf(h *host, p *simenv.Proc, d time.Duration) {
	switch {
	case p.Dead():
	case h.proc == p:
		h.killed(d)
	case h.command == p:
		p.Kill()
	}
}

func (r *run) onEffect(e *nfssim.Effect) {
	c := change{op: e.Op, from: e.From, to: e.To, ino: e.Ino}
	if e.Call != nil {
		c.proc = e.Call.Proc
	}
	if r.opt.Record {
		r.recordEffect(e)
	}
	r.oracle.effect(c)
	if r.copyIn != "" && e.Op == opRename && r.chaos {
		r.copyOf(e.To)
	}
	h := r.hostOf(c.proc)
	if h == nil || e.Call == nil || h.proc != c.proc && h.command != c.proc || c.proc.Dead() {
		return
	}
	if mode := r.chance(h.effects, e.Call, modes-1); mode != modeNone {
		r.strike(h, c.proc, mode, h.effects, "after "+e.Op+" "+e.From)
	}
}
