package race

import (
	"fmt"
	"strings"

	"fencepost/spool/env/drill"
)

// ParseBugs reads a list of seeded bugs.
func ParseBugs(list string) ([]drill.Bug, error) {
	var out []drill.Bug
	for _, name := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' }) {
		if !drill.Known(drill.Bug(name)) {
			return nil, fmt.Errorf("unknown seeded bug %q", name)
		}
		out = append(out, drill.Bug(name))
	}
	return out, nil
}

// DescribeBugs lists the seeded bugs, one a line.
func DescribeBugs() string {
	var b strings.Builder
	for _, s := range drill.Bugs() {
		fmt.Fprintf(&b, "%-22s %s\n", s.Bug, s.Says)
	}
	return b.String()
}
