package bench

import (
	"path"
	"strings"

	"fencepost/spool"
)

// What a host asks the share for when it has no job in hand.
const (
	forHeartbeat = "heartbeat" // its own record
	forFlags     = "flags"     // was it fenced, drained, revoked
	forOthers    = "others"    // the records of other hosts
	forEpochs    = "epochs"    // whose directories there are
	forStages    = "stages"    // listings of the stages' directories, for work and for canaries
	forRequests  = "requests"  // what a person asked for jobs
	forAudit     = "audit"     // whose turn it is, and the audit itself
	forOwn       = "own"       // the sweep of the own directories
	forJournal   = "journal"
	forJobs      = "jobs" // shown by stage
)

// Purposes are all that an operation may be for, in the order of a table.
func Purposes() []string {
	return []string{forHeartbeat, forFlags, forOthers, forEpochs, forStages, forRequests, forOwn, forAudit, forJournal,
		stageAccept, string(spool.Translate), string(spool.Submit), rowOther}
}

// purposeOf tells by kind and name what a host does an operation for.
func purposeOf(host, kind, name string) string {
	part := strings.Split(name, "/")
	own := len(part) > 1 && part[1] == host
	l := spool.DefaultLayout()
	switch dir := part[0]; {
	case dir == spool.DirHosts && strings.Contains(name, "/journal"):
		return forJournal
	case name == spool.HostDir(host)+"/heartbeat":
		return forHeartbeat
	case dir == spool.DirHosts && own && path.Base(name) == "blamed":
		return forEpochs
	case dir == spool.DirHosts && own, name == spool.RosterPath(host):
		return forFlags
	case dir == spool.DirHosts && len(part) > 2:
		return forOthers
	case dir == spool.DirRoster:
		return forEpochs
	case kind != "list" && kind != "read":
		return forJobs
	case (dir == spool.DirClaims || dir == spool.DirSealed || dir == spool.DirDrafts) && len(part) < 3:
		return forEpochs
	case (dir == spool.DirClaims || dir == spool.DirSealed || dir == spool.DirDrafts) && kind == "list" && own:
		return forOwn
	case dir == spool.DirRequests:
		return forRequests
	case kind == "list" && (name == l.Translate || name == l.Submit):
		return forStages
	case kind == "list" || dir == spool.DirIntruders:
		return forAudit
	}
	return forJobs
}
