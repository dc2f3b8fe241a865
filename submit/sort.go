package submit

import (
	"cmp"
	"maps"
	"slices"
)

// sortedJobs lists a listing's jobs in the order of their ids, so that a run
// can be repeated.
func sortedJobs(l listing) []Job {
	return slices.SortedFunc(maps.Values(l.byID), func(a, b Job) int { return cmp.Compare(a.ID, b.ID) })
}
