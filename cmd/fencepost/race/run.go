package race

import (
	"cmp"
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"fencepost/cmd/fencepost/race/history"
	"fencepost/lease"
	"fencepost/spool"
	"fencepost/spool/env/drill"
	"fencepost/spool/env/nfssim"
	"fencepost/spool/env/simenv"
	"fencepost/submit"
	"fencepost/submit/clustersim"
)

// run is one run under way.
type run struct {
	opt    Options
	w      *simenv.World
	plan   plan
	srv    *nfssim.Server
	sim    *clustersim.Sim
	format spool.Format
	hosts  []*host
	guests []*host // twins, clones, strangers: not there at the end
	byProc map[*simenv.Proc]*host
	rogue  *simenv.Proc
	orders []*order
	oracle *oracle
	bugs   map[drill.Bug]bool

	chaos   bool   // faults may happen
	full    bool   // the server is out of space
	copyIn  string // the directory in which the next file is copied
	faulted int    // how many did, at calls
	// troubled is until when some fault other than a clock's lasts.
	troubled time.Duration
	faults   Counts
	seen     Counts
	events   []history.Event
	cluster  struct{ lied, crashed bool }
	// recovered: a person has brought back what vanished, after all faults.
	recovered  bool
	recoveries int            // of a person, after all faults
	listed     map[string]int // how often the controller had crashed when a host listed it last
}

// Run makes one run.
func Run(opt Options) (res *Result) {
	r := newRun(opt)
	defer func() {
		if p := recover(); p != nil {
			r.w.Stop(fmt.Sprintf("panic: %v\n%s", p, debug.Stack()))
			res = r.result()
		}
	}()
	defer r.w.Close()
	r.clusterGoesOn()
	if opt.Protocol == ProtocolLegacy {
		r.legacy()
	} else {
		r.fencepost()
	}
	return r.result()
}

func newRun(opt Options) *run {
	tape := opt.tape()
	w := simenv.New(tape)
	w.Limit = stepLimit
	r := &run{opt: opt, w: w, byProc: map[*simenv.Proc]*host{}, bugs: map[drill.Bug]bool{}, faults: Counts{}, seen: Counts{}, listed: map[string]int{}}
	for _, b := range opt.Bugs {
		r.bugs[b] = true
	}
	r.plan = newPlan(tape.Lane("plan"), opt)
	r.oracle = newOracle(r)
	r.srv = nfssim.New(w, nfssim.Options{Version: r.plan.version, Lease: serverLease, Grace: serverLease, PageSize: 16})
	r.setUp()
	r.hooks()
	return r
}

// setUp makes the spool and enrols the hosts, before anything can go wrong.
func (r *run) setUp() {
	id := "5f0e0000-0000-4000-8000-000000000001"
	inbox := ""
	l := spool.DefaultLayout()
	r.format = spool.Format{Version: spool.FormatVersion, SpoolID: id,
		Stages: spool.FormatStages{Translate: spool.FormatStage{Dir: l.Translate}, Submit: spool.FormatStage{Dir: l.Submit}}}
	if r.plan.on[Writer] {
		r.format.Inboxes = []spool.FormatInbox{{Dir: inboxDir, Pattern: "*.json", Settle: settle.String()}}
		inbox = fmt.Sprintf("[[inbox]]\ndir = %q\npattern = \"*.json\"\nsettle = %q\n", inboxDir, settle)
	}
	admin := r.w.Machine("admin").Start("init")
	admin.SetFS(r.srv.Direct())
	admin.Go("init", func() {
		// The file first: Init would draw a name for its draft.
		text := fmt.Sprintf("version = %d\nspool_id = %q\n[stages.translate]\ndir = %q\n[stages.submit]\ndir = %q\n%s",
			spool.FormatVersion, id, l.Translate, l.Submit, inbox)
		if _, err := admin.FS().Create(spool.FormatFile, []byte(text)); err != nil {
			panic(err)
		}
		if _, _, err := spool.Init(admin.FS(), r.format); err != nil {
			panic(err)
		}
		for i := range r.opt.Hosts {
			if _, err := lease.Enroll(context.Background(), admin, lease.Member{Host: hostName(i), MachineID: "machine-" + hostName(i), By: "race"}); err != nil {
				panic(err)
			}
		}
		// Else a host that is configured for another cluster might be first.
		if _, err := submit.MakePin(admin, "race", map[string]string{"backend": "sim", "name": "one"}); err != nil {
			panic(err)
		}
	})
	r.w.Run(0)
	r.setUpCluster()
	for i := range r.opt.Hosts {
		r.hosts = append(r.hosts, r.newHost(hostName(i), hostName(i), r.mountOptions(i)))
	}
}

// fencepost: chaos, then healing until all is settled, then a stop and a
// cool-down in which what is late lands.
func (r *run) fencepost() {
	r.chaos = true
	r.clocksApart()
	for _, h := range r.hosts {
		r.w.After(time.Duration(h.n)*100*time.Millisecond, h.start)
	}
	r.sendAll()
	r.writeOrders()
	r.timeline()
	if !r.w.Run(r.plan.chaos) {
		return
	}
	r.heal()
	if !r.settle() {
		return
	}
	for _, h := range r.hosts {
		h.shutdown()
	}
	r.w.Run(r.w.Now() + longestLate + 2*grace)
	r.sim.Land()
	r.w.Run(r.w.Now() + time.Second) // what is due at the cluster starts
	r.final()
}

// settle lets time go by until every job has ended and what the dead left is
// gone.
func (r *run) settle() bool {
	end := r.w.Now() + healing
	for r.w.Now() < end {
		if !r.w.Run(r.w.Now() + time.Second) {
			return false
		}
		if r.oracle.settled() && r.tidy() == "" && r.oracle.unremoved() == "" {
			return true
		}
	}
	why := cmp.Or(r.oracle.unsettled(), r.tidy(), r.oracle.unremoved())
	r.oracle.violate(Liveness, "stuck", r.firstUnsettled(), "%v after all faults were over there is still something to do:\n%s", healing, why)
	return false
}

func (r *run) firstUnsettled() string {
	for _, j := range r.oracle.order {
		if strings.Contains(r.oracle.unsettled(), j.id) {
			return j.id
		}
	}
	return ""
}

// tidy names a directory of an instance that isn't there any more.
func (r *run) tidy() string {
	live := map[string]bool{}
	for _, h := range r.hosts {
		if h.node == nil {
			return "host " + h.name + " doesn't run"
		}
		st := h.node.Stats()
		if st.Epoch == 0 {
			return "host " + h.name + " has no lease"
		}
		live[fmt.Sprintf("%s/%d", h.name, st.Epoch)] = true
	}
	for _, base := range []string{spool.DirClaims, spool.DirSealed, spool.DirDrafts} {
		owners, _ := r.srv.ReadDir(base)
		for _, owner := range owners {
			if strings.HasSuffix(owner, spool.CommandHost("")) {
				continue // one that was killed is only over after an hour
			}
			epochs, _ := r.srv.ReadDir(base + "/" + owner)
			for _, e := range epochs {
				if !live[owner+"/"+e] {
					return base + "/" + owner + "/" + e + " is still there"
				}
			}
		}
	}
	return ""
}

// final checks, when nothing happens any more, that what the program counts is
// what is true.
func (r *run) final() {
	admin := r.w.Machine("auditor").Start("audit")
	admin.SetFS(r.srv.Direct())
	var b spool.Balance
	var err error
	ended := false
	admin.Go("audit", func() {
		b, err = spool.New(admin, r.format).Audit(context.Background(), time.Second)
		ended = true
	})
	r.w.Run(r.w.Now() + 10*time.Second)
	o := r.oracle
	accepted, stolen := 0, 0
	for _, j := range o.order {
		if j.gate != 0 && !j.removed {
			accepted++
		}
		if j.stolen && j.gate != 0 && !j.removed && len(liveOf(j)) == 0 {
			stolen++
		}
	}
	done := o.count(atDone) - o.halfRemoved()
	for _, j := range o.order {
		if j.starts == 0 && slices.ContainsFunc(j.places, func(p place) bool { return p.where == atDone }) {
			o.violate(Safety, "never-ran", j.id, "job %d has a final record, and never ran", j.n)
		}
	}
	copied := slices.ContainsFunc(o.order, func(j *job) bool { return j.copied })
	switch {
	case r.w.Failure() != "" || copied:
	case !ended || err != nil:
		o.violate(Safety, "audit", "", "the audit failed: %v", err)
	case b.Accepted != accepted || b.Done != done || len(b.Vanished) != stolen || len(b.Duplicated) != 0 || b.Difference != stolen && stolen == 0:
		o.violate(Safety, "audit", "", "the audit says %+v; true are %d accepted, %d done, %d taken by others", b, accepted, done, stolen)
	}
	o.started("")
}

func liveOf(j *job) (live []place) {
	for _, p := range j.places {
		if p.live() {
			live = append(live, p)
		}
	}
	return live
}

func (r *run) result() *Result {
	o := r.oracle
	if r.w.Failure() != "" && o.found == nil {
		class := Safety
		if strings.HasPrefix(r.w.Failure(), "still not over") {
			class = Liveness
		}
		o.found = &Violation{Class: class, Kind: "stopped", Text: r.w.Failure(), At: r.w.Now()}
	}
	res := &Result{Options: r.opt, Hash: r.w.Hash(), Steps: r.w.Steps(), Time: r.w.Now(), Faults: r.faults, Seen: r.seen,
		Violation: o.found, Entries: r.w.Tape().Entries(), History: r.events,
		Done: o.count(atDone) + o.removedJobs(), Parked: o.parked, Failed: o.failed}
	for _, j := range o.order {
		if j.gate != 0 {
			res.Accepted++
		}
		if j.stolen {
			res.Stolen++
		}
	}
	return res
}

// state is what the share holds of a job.
func (r *run) state(id string) string {
	var b strings.Builder
	for _, j := range r.oracle.order {
		if id != "" && j.id != id {
			continue
		}
		fmt.Fprintf(&b, "job %d %s: accepted=%v answered=%v stolen=%v\n", j.n, j.id, j.gate != 0, j.acked, j.stolen)
		for _, p := range j.places {
			fmt.Fprintf(&b, "  %s\n", p.path)
		}
	}
	for _, j := range r.sim.Jobs() {
		if id == "" || strings.HasSuffix(j.Name, id) {
			fmt.Fprintf(&b, "  cluster %s %s %s\n", j.ID, j.State, j.Token)
		}
	}
	b.WriteString(r.srv.Locks())
	return b.String()
}

func (r *run) hostNamed(name string) *host {
	for _, h := range r.hosts {
		if h.name == name {
			return h
		}
	}
	return nil
}

func hostName(i int) string {
	if i < 26 {
		return string(rune('a' + i))
	}
	return fmt.Sprintf("h%d", i)
}
