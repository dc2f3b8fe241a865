package slurmjob

import (
	"strings"

	"fencepost/codec"
	"fencepost/submit"
)

// IsID says whether s can be a job's id.
func IsID(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != "" && s[0] != '0' && len(s) <= 20
}

// Key takes the job id out of a job's name at the cluster; "" if it is none of
// ours.
func Key(name, prefix string) string {
	key, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return ""
	}
	if id, err := codec.CanonicalID(key); err != nil || id != key {
		return ""
	}
	return key
}

// Nodes says whether a list of nodes names any.
func Nodes(s string) bool {
	return s != "" && s != "(null)" && s != "None assigned" && s != "n/a"
}

// states maps Slurm's base states. What isn't here is held-other: it is
// unknown to this version, and a person should look.
var states = map[string]submit.State{
	"PENDING": submit.Pending, "REQUEUED": submit.Pending, "REQUEUE_FED": submit.Pending,
	"RUNNING": submit.Running, "CONFIGURING": submit.Running, "COMPLETING": submit.Running,
	"RESIZING": submit.Running, "SIGNALING": submit.Running, "STAGE_OUT": submit.Running,
	"STOPPED": submit.Running, "SUSPENDED": submit.Running,
	"COMPLETED": submit.Done,
	"FAILED":    submit.Failed, "TIMEOUT": submit.Failed, "NODE_FAIL": submit.Failed, "BOOT_FAIL": submit.Failed,
	"OUT_OF_MEMORY": submit.Failed, "PREEMPTED": submit.Failed, "DEADLINE": submit.Failed,
	"LAUNCH_FAILED": submit.Failed, "RECONFIG_FAIL": submit.Failed,
	"CANCELLED": submit.Cancelled, "REVOKED": submit.Cancelled,
	"REQUEUE_HOLD": submit.HeldOther, "RESV_DEL_HOLD": submit.HeldOther, "SPECIAL_EXIT": submit.HeldOther,
}

// State tells our kind of hold from others by the reason.
func State(base, reason string) submit.State {
	s, ok := states[base]
	switch {
	case !ok:
		return submit.HeldOther
	case s != submit.Pending:
		return s
	case reason == "JobHeldUser":
		return submit.Held
	case strings.Contains(strings.ToLower(reason), "held") || strings.Contains(reason, "JobHoldMaxRequeue"):
		return submit.HeldOther // JobHeldAdmin, "launch failed requeued held", ...
	}
	return submit.Pending
}
