package modellab_test

import (
	"testing"
	"time"

	"fencepost/spool/env/nfssim/modellab"
	"fencepost/spool/vfs/nfsfacts"
)

// TestFacts holds the model against the table.
func TestFacts(t *testing.T) {
	for _, version := range []string{"4.2", "4.1", "4.0", "3"} {
		t.Run(version, func(t *testing.T) {
			for _, e := range nfsfacts.Table() {
				t.Run(e.Name, func(t *testing.T) {
					l := modellab.New(version, 10*time.Second, 2)
					r := e.Do(l)
					if err := l.Close(); err != nil {
						t.Error(err)
					}
					if why, ok := r.Skipped(); ok {
						t.Skip(why)
					}
					for _, line := range r.Differs() {
						t.Error(line)
					}
					for _, o := range r.Seen {
						t.Logf("%s: %s", o.What, o.Is)
					}
				})
			}
		})
	}
}
