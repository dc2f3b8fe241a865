package race

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// enough seeds of a mix meet every kind of fault, and every rare branch: what a
// campaign of so many has not met counts.
const enough = 2000

// Exit codes of a campaign.
const (
	ExitPass     = 0
	ExitSafety   = 1
	ExitLiveness = 2
	ExitDiffer   = 3 // one seed, two runs
	ExitUnknown  = 4 // unknown, or something that must happen never did
	ExitUsage    = 64
)

// Missing names what must have happened in so many runs, and didn't.
func (c Campaign) Missing(s Summary) []string {
	if s.Seeds < enough || c.Options.Protocol != ProtocolFencepost {
		return nil
	}
	var missing []string
	for _, f := range c.Options.Faults {
		if s.Faults[string(f)] == 0 {
			missing = append(missing, "fault "+string(f))
		}
	}
	if len(c.Options.Faults) < len(AllFaults()) {
		return missing // a part of the mix need not meet all
	}
	for _, m := range mustSee() {
		if s.Seen[m] == 0 {
			missing = append(missing, m)
		}
	}
	return missing
}

// Code is the campaign's exit code.
func (c Campaign) Code(s Summary) int {
	code := ExitPass
	for _, b := range s.Bad {
		switch {
		case b.Violation.Class == Safety:
			return ExitSafety
		case b.Violation.Class == Liveness:
			code = ExitLiveness
		}
	}
	switch {
	case code != ExitPass:
	case len(s.Differ) > 0:
		code = ExitDiffer
	case len(c.Missing(s)) > 0 || s.Seeds == 0:
		code = ExitUnknown
	}
	return code
}

// Verdict is a campaign in one line.
func (c Campaign) Verdict(s Summary) string {
	word := map[int]string{ExitPass: "pass", ExitSafety: "FAIL (safety)", ExitLiveness: "FAIL (liveness)", ExitDiffer: "FAIL (nondeterminism)",
		ExitUnknown: "UNKNOWN"}[c.Code(s)]
	line := fmt.Sprintf("%s: %d seeds (%d..%d), %s steps (%s/s), %s virtual, %d violations, %d jobs accepted (%d done, %d parked, %d failed, %d taken by others), %d seeds run twice; faults: %s",
		word, s.Seeds, c.From, s.Last, count(s.Steps), count(uint64(float64(s.Steps)/max(s.Real.Seconds(), 1e-9))), s.Virtual.Round(time.Second),
		len(s.Bad), s.Accepted, s.Done, s.Parked, s.Failed, s.Stolen, s.Twice, s.Faults)
	if m := c.Missing(s); len(m) > 0 {
		line += "; never happened: " + strings.Join(m, ", ")
	}
	return line
}

func count(n uint64) string {
	switch {
	case n >= 10_000_000:
		return fmt.Sprintf("%.1f M", float64(n)/1e6)
	case n >= 10_000:
		return fmt.Sprintf("%d k", n/1000)
	}
	return fmt.Sprint(n)
}

// mustSee are the events and branches that a campaign of the default mix must
// come by.
func mustSee() []string {
	all := []string{"accepted", "duplicate", "claimed", "submitted", "sealed", "published", "released", "done", "returned", "reclaimed",
		"rejected", "parked", "rolled-forward", "lost", "unclear", "ghost-cancelled", "vanished", "canary-taken", "refused", "adopted", "recovered", "born", "waited"}
	slices.Sort(all)
	return all
}
