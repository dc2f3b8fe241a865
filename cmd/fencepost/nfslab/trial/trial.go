package trial

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"fencepost/cmd/fencepost/nfslab"
	"fencepost/cmd/fencepost/nfslab/guest"
)

const exportDir = guest.Export

var exportBase = path.Base(guest.Export)

// Violation is a promise that was broken.
type Violation struct{ What string }

func (v *Violation) Error() string { return "VIOLATION: " + v.What }

func violation(format string, args ...any) error { return &Violation{fmt.Sprintf(format, args...)} }

// Fault is something that was done to the site.
type Fault struct{ What, Detail string }

// Took is a time that was measured.
type Took struct {
	What string
	Time time.Duration
}

// Form is a trial's size.
type Form struct {
	Jobs  int  // in all
	Full  bool // every fault, one after the other; else the most telling ones, together
	Lease time.Duration
}

// Config is a trial to be held.
type Config struct {
	Name   string // of the spool
	Binary string // the program, static
	Mount  nfslab.HostConfig
	Form   Form
	Keep   string // directory of this machine for what is kept of a violation; "" = nothing is
	Say    func(format string, args ...any)
}

// Trial is what happened.
type Trial struct {
	Name   string
	mu     sync.Mutex
	Faults []Fault // guarded by mu
	Took   []Took  // guarded by mu
	Cost   *Cost   // nil if it wasn't measured
	Jobs   int     // accepted
	Time   time.Duration

	lab      *nfslab.Lab
	site     *Site
	verdict  Verdict
	answered []string      // guarded by mu while a step is taken
	patience time.Duration // for what must end
	say      func(format string, args ...any)
}

func (t *Trial) did(what, detail string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Faults = append(t.Faults, Fault{what, detail})
	t.say("  %s: %s", what, detail)
}

func (t *Trial) took(what string, d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Took = append(t.Took, Took{what, d})
}

// Build builds the program for the laboratory. It is the one that is shipped,
// but static, since the guest has the machine's libraries only by chance.
func Build(ctx context.Context, output string) error {
	return nfslab.Build(ctx, output, "fencepost/cmd/fencepost")
}

// Run holds a trial. A *Violation is the error if a promise was broken; any other
// says that the trial couldn't be held.
func Run(ctx context.Context, l *nfslab.Lab, c Config) (t *Trial, err error) {
	if c.Say == nil {
		c.Say = func(string, ...any) {}
	}
	t = &Trial{Name: c.Name, lab: l, say: c.Say, patience: 5 * time.Minute}
	began := time.Now()
	defer func() { t.Time = time.Since(began) }()
	t.site, err = NewSite(ctx, l, SiteConfig{Name: c.Name, Binary: c.Binary, Hosts: []string{"a", "b", "c"},
		Lossy: []string{"a", "b"}, Mount: c.Mount, Lease: c.Form.Lease, Slow: !c.Form.Full, Say: c.Say})
	if err != nil {
		return t, fmt.Errorf("set up: %w", err)
	}
	defer func() { err = errors.Join(err, t.site.Close()) }()
	if err = t.startAll(ctx); err == nil {
		if c.Form.Full {
			err = t.runFull(ctx, c.Form)
		} else {
			err = t.runShort(ctx, c.Form)
		}
	}
	if err == nil {
		err = t.stopAll(ctx)
	}
	if err != nil && c.Keep != "" {
		err = errors.Join(err, t.site.Keep(ctx, c.Keep))
	}
	return t, err
}

func (t *Trial) startAll(ctx context.Context) error {
	errs := make(chan error)
	for _, m := range t.site.Hosts {
		go func() { errs <- m.Start(ctx) }()
	}
	var all error
	for range t.site.Hosts {
		all = errors.Join(all, <-errs)
	}
	return all
}

// stopAll ends all as an administrator would. Nothing of any epoch is left.
func (t *Trial) stopAll(ctx context.Context) error {
	for _, m := range t.site.Hosts {
		if err := m.Stop(ctx); err != nil {
			return violation("SIGTERM: %v", err)
		}
	}
	return t.noneLeft(ctx)
}

// step is a fault, or several at once.
type step func(context.Context) error

// phase takes steps, each while jobs come in, n in all, and judges at its end.
func (t *Trial) phase(ctx context.Context, name string, n int, steps ...step) error {
	began := time.Now()
	t.say("%s, with %d jobs", name, n)
	type sent struct {
		ids []string
		err error
	}
	jobs := make(chan sent, len(steps))
	var failed error
	for i, do := range steps {
		go func() {
			ids, err := t.site.send(ctx, n*(i+1)/len(steps)-n*i/len(steps), 5*time.Minute, t.site.Hosts...)
			jobs <- sent{ids, err}
		}()
		if failed = errors.Join(failed, t.onTheWay(ctx)); failed == nil {
			failed = do(ctx)
		}
	}
	for range steps {
		s := <-jobs // the steps are over
		t.answered = append(t.answered, s.ids...)
		failed = errors.Join(failed, s.err)
	}
	if failed == nil {
		failed = t.startEnded(ctx)
	}
	if failed != nil {
		return fmt.Errorf("%s: %w", name, failed)
	}
	if err := t.check(ctx, t.answered); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	t.Jobs = len(t.answered)
	t.say("  %d jobs in all, each started once; %d held submissions cancelled; %.0f s",
		t.verdict.Started, t.verdict.Cancelled, time.Since(began).Seconds())
	return nil
}

// onTheWay waits until jobs are.
func (t *Trial) onTheWay(ctx context.Context) error {
	return await(ctx, takeTime, "jobs are on their way", func() (bool, error) {
		p, err := t.site.places(ctx)
		return len(p.OnTheWay) > 0, err
	})
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// Versions are those of the kernel and of the packages in use.
func Versions(ctx context.Context, l *nfslab.Lab) string {
	out, err := l.Server.Command("sh", "-c", "uname -sr; exec dpkg-query -W -f '${Package} ${Version}\\n' "+
		"user-mode-linux nfs-kernel-server nfs-common").Output(ctx)
	if err != nil {
		return "unknown: " + err.Error()
	}
	return strings.TrimSpace(strings.ReplaceAll(string(out), "\n", ", "))
}

// TempBinary builds the program into a directory.
func TempBinary(ctx context.Context, dir string) (string, error) {
	file := filepath.Join(dir, "fencepost")
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	return file, Build(ctx, file)
}
