package spool_test

import (
	"fmt"
	"testing"

	"fencepost/spool"
	"fencepost/spool/vfs/memfs"
)

// late is one run: a dies in the middle of its at-th change, which the server
// carries out just before the land-th operation of the host that recovers. It
// returns how many changes and operations there were.
func late(x act, at, land int) (changed, recovered int, err error) {
	m := memfs.New(memfs.Options{SyncExport: true})
	w := newWorld(m)
	a := w.start("a")
	if x.setUp != nil {
		x.setUp(w, a)
	}
	m.Inject = func(op memfs.Op) (v memfs.Verdict) {
		if op.View == "a" && changes[op.Kind] {
			if changed == at {
				v = memfs.Verdict{Late: true, Die: true}
			}
			changed++
		}
		return v
	}
	m.Before = func(op memfs.Op) {
		if op.View != "r" {
			return
		}
		if recovered == land {
			m.LandAll()
		}
		recovered++
	}
	_ = x.do(w, a)
	if err = w.recoverAll(); err == nil && len(m.Pending()) > 0 {
		m.LandAll() // after everything
		err = w.recoverAll()
	}
	if err != nil {
		err = fmt.Errorf("%w\n%v%s", err, tail(m.Trace()), m.Tree())
	}
	return changed, recovered, err
}

// TestLateOperations: what a killed instance had under way lands before each
// operation of its recovery, and after it.
func TestLateOperations(t *testing.T) {
	runs, stride := 0, 6
	if thorough {
		stride = 1
	}
	for _, x := range acts {
		if x.heavy() && !thorough {
			continue
		}
		t.Run(x.name, func(t *testing.T) {
			changed, _, err := late(x, -1, -1)
			if err != nil {
				t.Fatal(err)
			}
			for at := range changed {
				_, recovered, _ := late(x, at, 1<<30)
				for land := at % stride; land <= recovered; land += stride {
					runs++
					if _, _, err := late(x, at, land); err != nil {
						t.Fatalf("change %d lands before operation %d: %v", at, land, err)
					}
				}
			}
		})
	}
	t.Logf("%d runs", runs)
}

// TestPowerCut: what was answered survives a power cut of the machine that
// holds the files, although nothing that wasn't fsynced does.
func TestPowerCut(t *testing.T) {
	m := memfs.New(memfs.Options{})
	w := newWorld(m)
	a := w.start("a")
	must(w.accept(a, jobA))
	m.Crash(0)
	if err := w.check(); err != nil {
		t.Fatalf("%v\n%s", err, m.Tree())
	}
	w.epochs["a"] = 1
	a = w.start("a")
	// As package lease does when it has made them.
	mustDo(a.FS.Sync("hosts", "hosts/a", "claims", "claims/a", "sealed", "sealed/a", "drafts", "drafts/a"))
	if got := must(w.accept(a, jobA)); !got.Duplicate {
		t.Error("the gate forgot it")
	}
	c := must(claimIn(a, spool.Translate, jobA))
	mustDo(c.Draft(translate(payload(jobA))))
	must(c.Seal(""))
	m.Crash(0)
	if err := w.check(); err != nil {
		t.Fatalf("after the seal: %v\n%s", err, m.Tree())
	}
}
