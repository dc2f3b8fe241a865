package race

import (
	"fmt"
	"slices"
	"strings"
)

// Fault is a kind of thing that goes wrong.
type Fault string

// The kinds.
const (
	Kill          Fault = "kill"
	Stop          Fault = "stop"
	Freeze        Fault = "freeze"
	Crash         Fault = "crash"
	Cut           Fault = "cut"
	Swizzle       Fault = "swizzle"
	Skew          Fault = "skew"
	LostReply     Fault = "lost-reply"
	Late          Fault = "late"
	Slow          Fault = "slow"
	ServerRestart Fault = "server-restart"
	Full          Fault = "full"
	Twin          Fault = "twin"
	Clone         Fault = "clone"
	Stranger      Fault = "stranger"
	Unfit         Fault = "unfit"
	Misconfigured Fault = "misconfigured"
	Rogue         Fault = "rogue"
	ClientRetry   Fault = "client-retry"
	ClientClash   Fault = "client-clash"
	BadJob        Fault = "bad-job"
	ClusterLies   Fault = "cluster-lies"
	ClusterLate   Fault = "cluster-late"
	ClusterDown   Fault = "cluster-down"
	ClusterLags   Fault = "cluster-lags"
	ClusterCrash  Fault = "cluster-crash"
	Restart       Fault = "restart"
	Copied        Fault = "copied"
	Writer        Fault = "writer"
	Recover       Fault = "recover"
	Retention     Fault = "retention"
)

// kind describes a fault.
type kind struct {
	fault Fault
	says  string
	// optIn: not in the default mix, since the promises don't cover it.
	optIn bool
}

// kinds has all of them; a tape counts on their order.
func kinds() []kind {
	return []kind{
		{Kill, "a process is killed (SIGKILL): before a call, while it is under way, or just after its effect", false},
		{Stop, "a process is stopped (SIGSTOP) at a call, for longer than a heartbeat or a lease", false},
		{Freeze, "a machine is paused at a call, its clocks too", false},
		{Crash, "a machine loses power: its caches and what it didn't sync are gone", false},
		{Cut, "a host is cut off from the server, perhaps for longer than the server's lease", false},
		{Swizzle, "hosts are cut off one after the other, and come back in another order", false},
		{Skew, "a host's wall clock jumps", false},
		{LostReply, "the server does it, the reply is lost, and the client asks again", false},
		{Late, "a request is delayed on its way, and lands after others have moved on", false},
		{Slow, "a host's calls take long for a while", false},
		{ServerRestart, "the server starts again: its memory of replies is gone, and a grace time begins", false},
		{Full, "the server is out of space for a while", false},
		{Twin, "another machine comes up under a host's name", false},
		{Clone, "a clone of a host's machine comes up: the same name, machine id and NFS client identifier", false},
		{Stranger, "a machine that isn't on the roster starts the program", false},
		{Unfit, "a host can't submit for a while", false},
		{Misconfigured, "a host is configured for another cluster", false},
		{Rogue, "a legacy consumer takes files out of a stage's directory", false},
		{ClientRetry, "a client that heard nothing asks another host, with the same id", false},
		{ClientClash, "a client sends another job under an id that is taken", false},
		{BadJob, "the cluster refuses a job as bad", false},
		{ClusterLies, "the cluster does what it is asked, and the answer is lost; or it says that it failed", false},
		{ClusterLate, "a request to the cluster takes effect long after it was given up", false},
		{ClusterDown, "the cluster doesn't answer for a while", false},
		{ClusterLags, "the cluster's listings show what was so some time ago", false},
		{ClusterCrash, "the cluster's controller crashes and forgets its last seconds; ids are used again (jobs have the guard)", false},
		{Restart, "a host's program is stopped in order, and started again", false},
		{Copied, "somebody copies a job's file in the stage's directory", false},
		{Writer, "a legacy program writes orders into an inbox, in place and slowly", false},
		{Recover, "a person runs audit --recover on a host, while faults last and when they are over", false},
		{Retention, "records are removed soon after a job's end, while hosts' clocks are days apart and ids are sent again", false},
	}
}

// AllFaults are the kinds of the default mix.
func AllFaults() []Fault {
	var all []Fault
	for _, k := range kinds() {
		if !k.optIn {
			all = append(all, k.fault)
		}
	}
	return all
}

// ParseFaults reads a list: names, "all", "none", and "-name" to take one away.
func ParseFaults(list string) ([]Fault, error) {
	chosen := map[Fault]bool{}
	for i, word := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' }) {
		name, off := strings.CutPrefix(word, "-")
		if i == 0 && off {
			setAll(chosen)
		}
		switch {
		case name == "all":
			setAll(chosen)
		case name == "none":
			clear(chosen)
		case !slices.ContainsFunc(kinds(), func(k kind) bool { return string(k.fault) == name }):
			return nil, fmt.Errorf("unknown fault %q; there are %s", name, strings.Join(faultNames(), ", "))
		default:
			chosen[Fault(name)] = !off
		}
	}
	var out []Fault
	for _, k := range kinds() {
		if chosen[k.fault] {
			out = append(out, k.fault)
		}
	}
	return out, nil
}

func setAll(chosen map[Fault]bool) {
	for _, f := range AllFaults() {
		chosen[f] = true
	}
}

func faultNames() []string {
	var names []string
	for _, k := range kinds() {
		names = append(names, string(k.fault))
	}
	return names
}

// DescribeFaults lists the kinds, one a line.
func DescribeFaults() string {
	var b strings.Builder
	for _, k := range kinds() {
		fmt.Fprintf(&b, "%-15s %s\n", k.fault, k.says)
	}
	return b.String()
}
