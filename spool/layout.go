package spool

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// The directories of a spool. docs/spec/spool-layout.md describes them.
const (
	FormatFile  = "fencepost.toml"
	ClusterFile = "cluster.json"

	DirRoster    = "roster"
	DirHosts     = "hosts"
	DirGate      = "gate"
	DirOnce      = "once"
	DirDrafts    = "drafts"
	DirClaims    = "claims"
	DirSealed    = "sealed"
	DirDone      = "done"
	DirFailed    = "failed"
	DirHeld      = "held"
	DirParked    = "parked"
	DirStarted   = "started"
	DirLocal     = "local"
	DirRequests  = "requests"
	DirIntruders = "intruders"
	DirForeign   = "intruders/foreign"
	DirRetention = "retention"
)

// FixedDirs are made by init, parents first; stage directories come beside.
var fixedDirs = []string{DirRoster, DirHosts, DirGate, DirOnce, DirDrafts, DirClaims, DirSealed,
	DirDone, DirFailed, DirHeld, DirParked, DirStarted, DirLocal, DirRequests, DirIntruders, DirForeign, DirRetention}

// ---- hosts: hosts/HOST/... ---------------------------------------------------

// HostDir is hosts/HOST.
func HostDir(host string) string { return path.Join(DirHosts, host) }

// LockPath is the file that a host's flock is on: permanent.
func LockPath(host string) string { return path.Join(DirHosts, host, "lock") }

// HeartbeatPath is the record that a live instance rewrites.
func HeartbeatPath(host string) string { return path.Join(DirHosts, host, "heartbeat") }

// EpochsDir holds a directory for each number that was ever given out.
func EpochsDir(host string) string { return path.Join(DirHosts, host, "epochs") }

// FencedDir holds a file for each epoch that was fenced.
func FencedDir(host string) string { return path.Join(DirHosts, host, "fenced") }

// JournalDir holds the logs of each epoch.
func JournalDir(host string) string { return path.Join(DirHosts, host, "journal") }

// JournalPath is the first segment of one instance's log.
func JournalPath(host string, epoch uint64) string {
	return path.Join(JournalDir(host), epochName(epoch)+logExt)
}

const logExt = ".jsonl"

// formatSegment is a segment of the log that begins with first: N.jsonl,
// N.1.jsonl, N.2.jsonl, ...
func formatSegment(first string, k int) string {
	if k == 0 {
		return first
	}
	return strings.TrimSuffix(first, logExt) + "." + strconv.Itoa(k) + logExt
}

// parseSegment says which log a file in a journal directory belongs to, and
// which segment it is.
func parseSegment(s string) (log string, k int, ok bool) {
	log, ok = strings.CutSuffix(s, logExt)
	if i := strings.LastIndexByte(log, '.'); i > 0 {
		if u, err := strconv.ParseUint(log[i+1:], 10, 31); err == nil && u > 0 && strconv.FormatUint(u, 10) == log[i+1:] {
			return log[:i], int(u), ok
		}
	}
	return log, 0, ok && log != ""
}

// Unique says whether a name is a draft's: it bears a token, so that nobody makes
// it twice. See vfs.OS.
func Unique(name string) bool {
	dir, base := path.Split(name)
	_, ok := ParseDraft(base)
	return ok && strings.HasPrefix(dir, DirDrafts+"/")
}

// RosterPath is a host's enrolment.
func RosterPath(host string) string { return path.Join(DirRoster, host+".json") }

// ---- what belongs to one instance -------------------------------------------

func epochName(epoch uint64) string { return strconv.FormatUint(epoch, 10) }

func parseEpoch(s string) (epoch uint64, ok bool) {
	ok = parseUint(s, &epoch)
	return epoch, ok && epoch > 0 && epochName(epoch) == s
}

// EpochDir is claims/HOST/EPOCH and its like: base is DirClaims, DirSealed or
// DirDrafts. Each is made once and by its instance alone.
func EpochDir(base, host string, epoch uint64) string {
	return base + "/" + host + "/" + epochName(epoch)
}

// ---- what belongs to one job ------------------------------------------------

// GatePath is the hard link that lets an id in once.
func GatePath(id string) string { return DirGate + "/" + Bucket(id) + "/" + id }

// StageGatePath is the hard link that lets an id in once at a later stage than
// the first, whether it came back from a foreign program or begins there.
func StageGatePath(stage Stage, id string) string {
	return DirGate + "/" + Bucket(id) + "/" + string(stage) + "~" + id
}

// OncePath is the hard link that lets an id out of a stage once.
func OncePath(stage Stage, id string) string {
	return DirOnce + "/" + Bucket(id) + "/" + string(stage) + "~" + id
}

// StartedPath is the link that the guard makes: one start of the job.
func StartedPath(id string) string { return path.Join(DirStarted, Bucket(id), id) }

// LocalDir is where the embedded cluster keeps a job's output.
func LocalDir(id string) string { return path.Join(DirLocal, id) }

// DonePath is the place of a final record.
func DonePath(n Name) string { return DirDone + "/" + Bucket(n.ID) + "/" + FormatDone(n) }

// RequestPath is what a person asked for a job: kind is "hold" or "cancel".
func RequestPath(kind, id string) string { return DirRequests + "/" + kind + "~" + id }

// ---- stages -----------------------------------------------------------------

// A StageDir says where a stage's entries wait, and in which form.
type StageDir struct {
	Stage Stage
	Dir   string
	Ext   string
}

// Layout says where the stages' directories are.
type Layout struct {
	Translate string // "xml" by default
	Submit    string // "json" by default
	Inboxes   []Inbox
	Foreign   map[Stage]Handover // the stages whose work a foreign program does
}

// DefaultLayout is what init makes unless told otherwise.
func DefaultLayout() Layout { return Layout{Translate: "xml", Submit: "json"} }

// Input is where a stage's entries wait.
func (l Layout) Input(s Stage) StageDir {
	switch s {
	case Translate:
		return StageDir{s, l.Translate, entryExt(s)}
	case Submit:
		return StageDir{s, l.Submit, entryExt(s)}
	}
	panic(fmt.Sprintf("spool: stage %q takes no entries", s))
}

// entryExt is the extension of a stage's entries.
func entryExt(s Stage) string {
	if s == Submit {
		return "json"
	}
	return "xml"
}

// Stages are the stages that take entries, in the order of the flow.
func Stages() []Stage { return []Stage{Translate, Submit} }

// Next is the stage that takes what a stage publishes; ok is false at the end.
func Next(s Stage) (Stage, bool) { return Submit, s == Translate }

// EntryPath is where an entry waits.
func (l Layout) EntryPath(s Stage, n Name) string {
	d := l.Input(s)
	n.Ext = d.Ext
	return d.Dir + "/" + FormatEntry(n)
}
