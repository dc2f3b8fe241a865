package memfs_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"fencepost/spool/vfs"
	"fencepost/spool/vfs/memfs"
)

// recorder stands in for a test that is expected to fail.
type recorder struct {
	testing.TB
	errors []string
}

func (r *recorder) Helper()             {}
func (r *recorder) Logf(string, ...any) {}
func (r *recorder) Errorf(f string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(f, args...))
}
func (r *recorder) Fatalf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }

// claim is a small protocol: host a renames an entry into its directory and
// must know afterwards whether it has it. look decides after an error.
func claim(look func(v vfs.FS, err error) (bool, error)) func(m *memfs.Mem) error {
	return func(m *memfs.Mem) error {
		var err error
		m.Quiet(func() {
			v := m.View("setup")
			for _, dir := range []string{"xml", "claims"} {
				err = errors.Join(err, v.Mkdir(dir))
			}
			_, cerr := v.Create("xml/job", nil)
			err = errors.Join(err, cerr)
		})
		if err != nil {
			return err
		}
		a := m.View("a")
		got, aerr := false, error(nil)
		for range 5 { // unknown: try again
			if err := a.Rename("xml/job", "claims/job"); err == nil {
				got, aerr = true, nil
			} else {
				got, aerr = look(a, err)
			}
			if aerr == nil {
				break
			}
		}
		m.Calm()
		names, err := m.View("check").List("claims")
		if err != nil {
			return err
		}
		if has := slices.Contains(names, "job"); has != got && aerr == nil {
			return fmt.Errorf("a thinks %v, the truth is %v", got, has)
		}
		return nil
	}
}

// byListing is right: an error of the listing is unknown again, and a missing
// name only means so if the source is gone, too.
func byListing(v vfs.FS, _ error) (bool, error) {
	claims, err := v.List("claims")
	if err != nil || slices.Contains(claims, "job") {
		return err == nil, err
	}
	xml, err := v.List("xml")
	if err == nil && slices.Contains(xml, "job") {
		err = errors.New("not done: again")
	}
	return false, err
}

// byStat passes single faults, and breaks in pairs: the second one hits the
// look.
func byStat(v vfs.FS, _ error) (bool, error) {
	_, err := v.Identify("claims/job")
	if errors.Is(err, syscall.ENOENT) {
		_, err = v.Identify("xml/job")
		if err == nil {
			err = errors.New("not done: again")
		} else if errors.Is(err, syscall.ENOENT) {
			return false, nil
		}
		return false, err
	}
	return err == nil, err
}

// byErrno believes ENOENT.
func byErrno(_ vfs.FS, err error) (bool, error) {
	if errors.Is(err, syscall.ENOENT) {
		return false, nil
	}
	return false, err
}

var planA = memfs.Plan{Views: []string{"a"}, Pairs: 100_000, Late: 1000}

func TestSweepClean(t *testing.T) {
	s := memfs.Sweep(t, planA, claim(byListing))
	if s.Ops != 1 || s.Singles < 10 || s.Pairs != s.PairsAll || s.Pairs < 100 || s.Lates != 1 {
		t.Errorf("the sweep was small: %v", s)
	}
}

func TestSweepSingle(t *testing.T) {
	r := &recorder{TB: t}
	memfs.Sweep(r, memfs.Plan{Views: []string{"a"}}, claim(byErrno))
	if len(r.errors) == 0 {
		t.Fatal("a claim that believes ENOENT passed")
	}
	report := strings.Join(r.errors, "\n")
	for _, want := range []string{
		`with faults "0+ENOENT"`, "a thinks false, the truth is true",
		"a rename xml/job -> claims/job: ENOENT   <- applied", "\nclaims/job  #", `Replay: "0+ENOENT"`,
	} {
		if !strings.Contains(report, want) {
			t.Errorf("no %q in %s", want, report)
		}
	}
}

func TestSweepPairs(t *testing.T) {
	r := &recorder{TB: t}
	memfs.Sweep(r, memfs.Plan{Views: []string{"a"}}, claim(byStat))
	if len(r.errors) > 0 {
		t.Errorf("single faults already: %v", r.errors)
	}
	s := memfs.Sweep(r, planA, claim(byStat))
	if len(r.errors) == 0 {
		t.Errorf("a claim that believes a stat passed: %v", s)
	}
}

func TestSweepReplay(t *testing.T) {
	for plan, fails := range map[string]bool{"0+ENOENT": true, "0-EIO": false, "0+die": false, "0+EIO 1-EIO": true} {
		r := &recorder{TB: t}
		memfs.Sweep(r, memfs.Plan{Views: []string{"a"}, Replay: plan}, claim(byErrno))
		if got := len(r.errors) > 0; got != fails {
			t.Errorf("%q: fails %v, want %v: %v", plan, got, fails, r.errors)
		}
	}
	for _, bad := range []string{"x", "1-", "1-EWHAT", "-EIO", "1~die@"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q was taken", bad)
				}
			}()
			memfs.Sweep(&recorder{TB: t}, memfs.Plan{Replay: bad}, func(*memfs.Mem) error { return nil })
		}()
	}
}

// TestSweepLate: a job that is put back under its old name is taken again by a
// rename of the dead; under a new name it isn't.
func TestSweepLate(t *testing.T) {
	scenario := func(again string) func(m *memfs.Mem) error {
		return func(m *memfs.Mem) error {
			a, b := m.View("a"), m.View("b")
			err := errors.Join(b.Mkdir("a-dir"), b.Mkdir("b-dir"))
			_, cerr := b.Create("job", nil)
			if err = errors.Join(err, cerr); err != nil {
				return err
			}
			if err := a.Rename("job", "a-dir/job"); err == nil {
				return nil
			}
			if b.Rename("job", "b-dir/job") == nil { // a has died, b claims
				if err := b.Rename("b-dir/job", again); err != nil {
					return err
				}
				m.Calm()
				if !has(m, again) {
					return errors.New("the dead took it")
				}
			}
			return nil
		}
	}
	plan := memfs.Plan{Views: []string{"a"}, Late: 100}
	r := &recorder{TB: t}
	s := memfs.Sweep(r, plan, scenario("job"))
	if len(r.errors) == 0 {
		t.Errorf("the old name was safe: %v", s)
	}
	memfs.Sweep(t, plan, scenario("job+1"))
}

func TestSweepPanics(t *testing.T) {
	r := &recorder{TB: t}
	memfs.Sweep(r, memfs.Plan{Views: []string{"a"}, Options: memfs.Options{MaxOps: 100}}, func(m *memfs.Mem) error {
		for m.View("a").Mkdir("d") != nil {
		}
		return nil
	})
	if len(r.errors) == 0 || !strings.Contains(r.errors[0], "more than 100 operations") {
		t.Errorf("got %v", r.errors)
	}
}

func BenchmarkSweep(b *testing.B) {
	runs := 0
	for b.Loop() {
		s := memfs.Sweep(&recorder{TB: b}, planA, claim(byListing))
		runs += s.Singles + s.Pairs + s.Lates + 1
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(runs), "ns/run")
}
