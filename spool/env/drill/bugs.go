package drill

// The seeded bugs: each breaks one rule of the protocol.
const (
	ENOENTLost      Bug = "enoent-lost"
	NoSweep         Bug = "no-sweep"
	NoStuck         Bug = "no-stuck"
	NoGate          Bug = "no-gate"
	GateAnyone      Bug = "gate-anyone"
	NoConflict      Bug = "no-conflict"
	NoExitGate      Bug = "no-exit-gate"
	NoOtherCheck    Bug = "no-other-check"
	NoSeal          Bug = "no-seal"
	CommitFirst     Bug = "commit-first"
	PublishCopy     Bug = "publish-copy"
	RetireFirst     Bug = "retire-first"
	FenceByMove     Bug = "fence-by-move"
	DropDrafts      Bug = "drop-drafts"
	AcceptDropDraft Bug = "accept-drop-draft"
	SameName        Bug = "same-name"
	SameToken       Bug = "same-token"
	EpochAdopt      Bug = "epoch-adopt"
	ClockExpiry     Bug = "clock-expiry"
	FlockAlone      Bug = "flock-alone"
	ReleaseFirst    Bug = "release-first"
	NewKey          Bug = "new-key"
	SweepByAbsence  Bug = "sweep-by-absence"
	UnfitJanitor    Bug = "unfit-janitor"
	NoFsync         Bug = "no-fsync"
	StatForList     Bug = "stat-for-list"
	ConfirmOnce     Bug = "confirm-once"
	IntentReturned  Bug = "intent-returned"
	AuditOneLook    Bug = "audit-one-look"
	AckFirst        Bug = "ack-first"
	StaleBucket     Bug = "stale-bucket"
	EpochBehind     Bug = "epoch-behind"
	AdoptByLink     Bug = "adopt-by-link"
	RecoverOnePass  Bug = "recover-one-pass"
	NameOnlyCheck   Bug = "name-only-check"
	NoPlaceCheck    Bug = "no-place-check"
	CancelOnAbsent  Bug = "cancel-on-absent"
	CancelRuns      Bug = "cancel-runs"
	RemoveByClock   Bug = "remove-by-clock"
	RemoveUnended   Bug = "remove-unended"
	AcceptClosed    Bug = "accept-closed"
)

// Seeded is a bug in words.
type Seeded struct {
	Bug  Bug
	Says string
	// Hole is its schedule in docs/schedules.md, if it has one.
	Hole string
	// With are other bugs that must be on, too, for this one to show: layers
	// that mask it. One with only With is no bug that is looked for alone.
	With []Bug
	// Layer: it is only ever a part of others.
	Layer bool
	// Focus are the simulator's faults that it shows under; empty = any mix.
	Focus string
	// Where are the calls that are struck, as parts of "OP FROM TO", by "|";
	// empty = any.
	Where string
}

// Bugs are all seeded bugs.
func Bugs() []Seeded {
	return []Seeded{
		{Bug: ENOENTLost, Says: "a rename that is answered ENOENT counts as lost, without a look", With: []Bug{NoSweep, NoStuck}, Hole: "16"},
		{Bug: NoSweep, Says: "nobody looks for strays in an instance's own directories", Layer: true},
		{Bug: NoStuck, Says: "nobody moves on what is stuck", Layer: true},
		{Bug: NoGate, Says: "a job is accepted without passing the gate"},
		{Bug: GateAnyone, Says: "EEXIST at the gate counts as passed, whoever has it"},
		{Bug: NoConflict, Says: "another job under a known id is answered with ACCEPTED", Hole: "8"},
		{Bug: NoExitGate, Says: "a second copy of a job passes the exit gate", Hole: "7", With: []Bug{NoOtherCheck}, Focus: "copied"},
		{Bug: NoOtherCheck, Says: "a job is released although another of its key runs", Layer: true},
		{Bug: NoSeal, Says: "an output is published without a seal"},
		{Bug: CommitFirst, Says: "a claim is sealed before its output is written"},
		{Bug: PublishCopy, Says: "an output is published by making the next stage's file, not by a rename"},
		{Bug: RetireFirst, Says: "a sealed file is removed before its output is published"},
		{Bug: FenceByMove, Says: "an epoch is fenced by moving its claim directory away", Hole: "1"},
		{Bug: DropDrafts, Says: "reclaim drops drafts before the claim directory is proven gone", Hole: "1"},
		{Bug: AcceptDropDraft, Says: "reclaim drops an accept's draft that isn't linked yet", Hole: "8", Focus: "stop,late", Where: "link drafts/|rename drafts/"},
		{Bug: SameName, Says: "an entry comes back under the name that it had", Hole: "17"},
		{Bug: SameToken, Says: "all claims of an instance have the same number"},
		{Bug: EpochAdopt, Says: "an epoch that exists already is taken for the own one", Hole: "2.2", Focus: "clone,kill,server-restart,restart"},
		{Bug: EpochBehind, Says: "an epoch is begun although a higher one was made before it", Hole: "3.3", Focus: "clone,full,late", Where: "epochs/"},
		{Bug: ClockExpiry, Says: "a host is gone when its record's time is old by the observer's wall clock"},
		{Bug: FlockAlone, Says: "a host is gone when its flock is free", Hole: "11", Focus: "skew"},
		{Bug: ReleaseFirst, Says: "a job is released at the cluster before its seal"},
		{Bug: NewKey, Says: "an unclear submission is repeated under a new key"},
		{Bug: SweepByAbsence, Says: "held jobs that no sealed file names are cancelled", Hole: "3"},
		{Bug: UnfitJanitor, Says: "a host that sees another cluster looks after sealed jobs", Hole: "4", Focus: "misconfigured,kill"},
		{Bug: NoFsync, Says: "files aren't synced before they are renamed"},
		{Bug: StatForList, Says: "a look after an error opens the name, instead of listing its directory", With: []Bug{NoSweep, NoStuck}},
		{Bug: ConfirmOnce, Says: "a job is done when one listing shows it released", Hole: "2.10", Focus: "cluster-crash"},
		{Bug: IntentReturned, Says: "an intent of a dead instance goes back to its stage", Hole: "2.9", Focus: "kill"},
		{Bug: AuditOneLook, Says: "a job that one listing doesn't show is reported as vanished", Hole: "14"},
		{Bug: StaleBucket, Says: "a directory that a client's cache says isn't there isn't looked for", Hole: "3.1"},
		{Bug: AdoptByLink, Says: "a foreign file is accepted where it lies, and taken out of its inbox after that", Hole: "10", Focus: "writer"},
		{Bug: RecoverOnePass, Says: "a job that one look doesn't find is entered again", Hole: "7", Focus: "recover,slow,kill,restart", Where: "rename xml/"},
		{Bug: NameOnlyCheck, Says: "a job is released by its name, whosever submission it is", Hole: "5", With: []Bug{NoPlaceCheck}, Focus: "cluster-late,cluster-crash", Where: "cluster submit"},
		{Bug: NoPlaceCheck, Says: "a sealed file that isn't there any more is acted for", Layer: true},
		{Bug: CancelOnAbsent, Says: "who doesn't find its claim cancels what it submitted for it", Hole: "2", With: []Bug{CancelRuns}, Focus: "cut,kill,server-restart", Where: "rename claims/"},
		{Bug: CancelRuns, Says: "the cluster's cancel doesn't spare what runs", Layer: true},
		{Bug: RemoveByClock, Says: "records are removed by age, though another host may let their ids in again", Hole: "5.1", Focus: "retention"},
		{Bug: RemoveUnended, Says: "records are removed of a time in which a job hasn't ended", Hole: "5.4", Focus: "retention,restart,kill"},
		{Bug: AcceptClosed, Says: "an instance lets ids in without a look at what is closed", Hole: "5.2", Focus: "retention,restart"},
		{Bug: AckFirst, Says: "ACCEPTED is answered before the gate"},
	}
}
