package race_test

import (
	"testing"

	"fencepost/cmd/fencepost/race"
)

// BenchmarkRun makes one run of the default mix after the other. A step is a
// turn of a task, or an effect.
func BenchmarkRun(b *testing.B) {
	var steps uint64
	seed := uint64(1)
	b.ReportAllocs()
	for b.Loop() {
		o := race.Defaults()
		o.Seed = seed
		seed++
		steps += race.Run(o).Steps
	}
	b.ReportMetric(float64(steps)/b.Elapsed().Seconds(), "steps/s")
	b.ReportMetric(float64(steps)/float64(b.N), "steps/run")
}
