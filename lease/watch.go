package lease

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"fencepost/spool"
	"fencepost/spool/env"
)

// WatchConfig is what a watcher needs.
type WatchConfig struct {
	Env       env.Env
	Self      string
	Epoch     uint64        // own; 0 for an observer without a lease, which fences nobody
	Heartbeat time.Duration // default 1 s; the pace of Round
	TTL       time.Duration // default 10 s
	Margin    time.Duration // default TTL/2
	// CommandAge is how long the epoch of a command may live; default 10 min.
	CommandAge time.Duration
	// Own is the own record, and when it was written: it needn't be read to be shown.
	// May be nil.
	Own func() (Record, time.Duration)
	// Warn tells of what deserves a line in the log. It must not block.
	Warn func(event string, kv ...any)
}

const defaultCommandAge = 10 * time.Minute

// Watcher observes the other hosts, each on the observer's own clock. Round is
// for one task; Hosts and Blamed may be called by any.
type Watcher struct {
	cfg WatchConfig
	f   files

	// Round's task alone.
	pace    int // dirRounds, or less where the TTL is short
	rounds  int
	uneasy  bool          // something is amiss, or couldn't be listed
	owned   []*watched    // as of the last listing
	bases   []string      // whose directories there are
	last    time.Duration // start of the last round
	wasGood bool          // it counted
	good    time.Duration // the time that passed while all was well with this observer
	hosts   map[string]*watched
	listing []string // of the roster, when members were read
	members map[string]Member
	blames  map[string]bool // seen; those of earlier are in from the start
	blamed  []time.Duration // when new ones were seen

	mu    sync.Mutex // never held across a call to Env
	state []HostState
	unfit string
}

// watched is what is known of one owner of epochs: a host, or its commands.
type watched struct {
	owner   string
	command bool

	looked  bool
	lookAt  int               // the round in which it is looked at in any case
	listAt  int               // the same, for its directories
	digest  [sha256.Size]byte // of the record, whatever it holds
	changed time.Duration     // own clock, when a change was seen, or the first look
	moved   bool              // a change was seen, not only a first look
	silent  time.Duration     // good time since
	lastAt  time.Duration     // the good time at the last look
	known   bool              // a record could be understood
	rec     Record            // the latest such
	highest uint64            // epoch of all such
	since   map[uint64]time.Duration
	over    map[uint64]Over
	refused map[uint64]int // fences that couldn't be written
	lock    *lockProbe     // under way or done, of this silence
	fenced  string         // why, for people: as of a look while it wasn't live
}

// NewWatcher starts without any knowledge.
func NewWatcher(cfg WatchConfig) *Watcher {
	if cfg.Heartbeat == 0 {
		cfg.Heartbeat = DefaultHeartbeat
	}
	if cfg.TTL == 0 {
		cfg.TTL = DefaultTTL
	}
	if cfg.Margin == 0 {
		cfg.Margin = cfg.TTL / 2
	}
	if cfg.CommandAge == 0 {
		cfg.CommandAge = defaultCommandAge
	}
	if cfg.Warn == nil {
		cfg.Warn = func(string, ...any) {}
	}
	return &Watcher{cfg: cfg, f: filesOf(cfg.Env), hosts: map[string]*watched{}, members: map[string]Member{},
		pace: pace(cfg.TTL, cfg.Heartbeat, dirRounds), uneasy: true}
}

// Round looks once; to be called every heartbeat, on a task that nobody waits
// for. ownRenewalWorked is Lease.Renewed: while the own writes fail, the silence
// of others proves nothing. It returns all epochs known to be over that still
// have directories, by host and number.
func (w *Watcher) Round(ctx context.Context, ownRenewalWorked bool) []Over {
	all := w.uneasy || w.rounds%(w.pace*allRounds) == 0
	err := w.owners(all || w.rounds%w.pace == 0, all)
	w.tick(err == nil && ownRenewalWorked)
	w.uneasy = err != nil
	if err != nil {
		w.cfg.Warn("watch-failed", "host", w.cfg.Self, "err", err)
		return nil
	}
	var over []Over
	for _, h := range w.choose(w.owned) {
		if ctx.Err() != nil {
			break
		}
		if !all && w.rounds < h.lookAt && (h.rests() || h.owner == w.cfg.Self) {
			continue
		}
		found, err := w.watch(ctx, h, all || w.rounds >= h.listAt)
		if err != nil {
			w.uneasy = true
			w.cfg.Warn("watch-failed", "host", h.owner, "err", err)
			continue
		}
		over = append(over, found...)
	}
	for _, h := range w.owned {
		w.uneasy = w.uneasy || w.amiss(h)
	}
	w.show()
	return over
}

// tick adds to the good time what passed since the last round, if both worked,
// and no more than two heartbeats: an observer that was stopped or suspended, or
// whose server hung, must not take its own pause for the others' silence.
func (w *Watcher) tick(good bool) {
	now := w.cfg.Env.Now()
	if good && w.wasGood {
		w.good += min(now-w.last, 2*w.cfg.Heartbeat)
	}
	w.last, w.wasGood = now, good
	w.rounds++
}

// owners lists everybody who is enrolled (roster) or has epoch directories (all), and
// makes them known. Any listing that fails makes the round a bad one.
func (w *Watcher) owners(roster, all bool) error {
	if !roster {
		return nil
	}
	w.lookForBlame()
	if err := w.readRoster(); err != nil {
		return err
	}
	if all {
		w.bases = nil
		for _, base := range epochBases {
			found, err := names(w.f.fs, base)
			if err != nil {
				return fmt.Errorf("list %s: %w", base, err)
			}
			w.bases = append(w.bases, found...)
		}
	}
	hosts := slices.Concat(slices.Collect(maps.Keys(w.members)), w.bases)
	slices.Sort(hosts)
	w.owned = nil
	for _, owner := range slices.Compact(hosts) {
		_, command, ok := ownerName(owner)
		if !ok {
			continue
		}
		h := w.hosts[owner]
		if h == nil {
			h = &watched{owner: owner, command: command, since: map[uint64]time.Duration{},
				over: map[uint64]Over{}, refused: map[uint64]int{}}
			w.hosts[owner] = h
		}
		w.owned = append(w.owned, h)
	}
	return nil
}

// readRoster reads it again if its listing has changed, and now and then.
func (w *Watcher) readRoster() error {
	listing, err := names(w.f.fs, spool.DirRoster)
	if err != nil {
		return err
	}
	if slices.Equal(listing, w.listing) && w.rounds%rosterRounds != 0 {
		return nil
	}
	// One bad enrolment must not stop the watching of all.
	members, err := Roster(w.f.fs)
	if err != nil && !isFinal(err) {
		return err
	}
	w.listing, w.members = listing, map[string]Member{}
	for _, m := range members {
		w.members[m.Host] = m
	}
	return nil
}

// watch looks at one host and returns its epochs that are over. Its directories are
// listed if dirs is set, or if its record tells of what they have to show.
func (w *Watcher) watch(ctx context.Context, h *watched, dirs bool) ([]Over, error) {
	highest := h.highest
	changed, err := w.read(h)
	if err != nil {
		h.lastAt = w.good // this stretch doesn't count
		return nil, err
	}
	epochs := slices.Sorted(maps.Keys(h.since))
	if dirs = dirs || h.highest != highest || h.rec.Goodbye && len(epochs) > 0; dirs {
		if epochs, err = epochDirs(w.f.fs, h.owner); err != nil {
			h.lastAt = w.good
			return nil, err
		}
	}
	w.age(h, epochs, changed)
	w.plan(h, dirs)
	if dirs || changed {
		w.seeFence(h)
	}
	var found []Over
	for _, n := range epochs {
		if _, done := h.over[n]; !done {
			if err := w.declare(ctx, h, n); err != nil {
				return found, err
			}
		}
		if over, done := h.over[n]; done {
			found = append(found, over)
		}
	}
	return found, nil
}

// age adds the good time since the last look to the silence and to the age of
// each epoch's directory, and forgets those that are gone.
func (w *Watcher) age(h *watched, epochs []uint64, changed bool) {
	passed := w.good - h.lastAt
	h.lastAt = w.good
	if h.looked && !changed {
		h.silent += passed
	}
	h.looked = true
	since := map[uint64]time.Duration{}
	for _, n := range epochs {
		if age, seen := h.since[n]; seen {
			since[n] = age + passed
		} else {
			since[n] = 0
		}
	}
	h.since = since
	for n := range h.over {
		if _, there := since[n]; !there {
			delete(h.over, n)
		}
	}
}

// read reads the record and notes whether it changed: by its bytes, so that one
// that this version doesn't understand counts as life, too. An error means that
// this look doesn't count.
func (w *Watcher) read(h *watched) (changed bool, err error) {
	if h.command {
		return false, nil
	}
	data, err := readRaw(w.f.fs, h.owner)
	if notThere(err) {
		// Perhaps from a cache; and a host that was never started has none.
		there, lerr := has(w.f.fs, spool.HeartbeatPath(h.owner))
		if there || (lerr != nil && !notThere(lerr)) {
			return false, errors.Join(err, lerr)
		}
		data, err = nil, nil
	}
	if err != nil {
		return false, err
	}
	digest := sha256.Sum256(data)
	if h.looked && digest == h.digest {
		return false, nil
	}
	h.moved = h.looked
	h.digest, h.changed, h.silent, h.lock = digest, w.cfg.Env.Now(), 0, nil
	if r, err := DecodeRecord(data); err == nil && r.Host == h.owner {
		h.known, h.rec, h.highest = true, r, max(h.highest, r.Epoch)
	}
	return true, nil
}

// lookForBlame counts the false fences that others blame this host for. Two
// within an hour: its view is broken, and it fences no more in its life. Those
// from before its start were another instance's.
func (w *Watcher) lookForBlame() {
	found, err := names(w.f.fs, blameDir(w.cfg.Self))
	if err != nil {
		return
	}
	if w.blames == nil {
		w.blames = map[string]bool{}
		for _, n := range found {
			w.blames[n] = true
		}
		return
	}
	now := w.cfg.Env.Now()
	for _, n := range found {
		if !w.blames[n] {
			w.blames[n] = true
			w.blamed = append(w.blamed, now)
		}
	}
	w.setBlamed(countSince(w.blamed, now, restartWindow))
}

// setBlamed stops this watcher when it was blamed twice within the window, and
// lets it go on when that is past: were it for ever, hosts that had a bad minute
// together could leave nobody who looks after the dead.
func (w *Watcher) setBlamed(blames int) {
	unfit := ""
	switch was := w.Blamed() != ""; {
	case was == (blames >= 2):
		return
	case was:
		w.cfg.Warn("fences-again", "host", w.cfg.Self)
	default:
		unfit = fmt.Sprintf("fenced live hosts, %d times within an hour: its view of the share can't be trusted", blames)
		w.cfg.Warn("fences-no-more", "host", w.cfg.Self, "blames", blames)
	}
	w.mu.Lock()
	w.unfit = unfit
	w.mu.Unlock()
}

// Blamed says why this watcher fences no more, for Record.Unfit; empty = it does.
func (w *Watcher) Blamed() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.unfit
}

// Hosts is what the watcher knew after the last round, by name.
func (w *Watcher) Hosts() []HostState {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.state)
}
