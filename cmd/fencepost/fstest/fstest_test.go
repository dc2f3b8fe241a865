package fstest_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fencepost/cmd/fencepost/fstest"
	"fencepost/spool/vfs"
	"fencepost/spool/vfs/mountstats"
)

// childVar makes the test binary a child of a run.
const childVar = "FENCEPOST_TEST_FSTEST"

func TestMain(m *testing.M) {
	dir := os.Getenv(childVar)
	if dir == "" {
		os.Exit(m.Run())
	}
	fsys, err := vfs.OpenOS(dir)
	if err == nil {
		err = fstest.RunChild(context.Background(), config(dir, "a", honest(fsys, dir)), os.Stdin, os.Stdout, os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func honest(fsys vfs.FS, dir string) fstest.FS {
	return fstest.Dir{FS: fsys, Path: dir, Begin: func(string, string) func() { return func() {} }}
}

func config(dir, host string, fsys fstest.FS) fstest.Config {
	return fstest.Config{FS: fsys, Me: fstest.Who{Host: host, BootID: "boot-" + host, Mount: "nas:/x"},
		Wait: 20 * time.Second, Patience: 30 * time.Second,
		Sizes: fstest.Sizes{Names: 60, Rounds: 1, Pages: 4, Hammer: 300 * time.Millisecond, Limit: 4 * time.Second},
		Child: func(ctx context.Context, args ...string) *exec.Cmd {
			cmd := exec.CommandContext(ctx, os.Args[0], args...)
			cmd.Env = append(os.Environ(), childVar+"="+dir)
			return cmd
		},
		Say: func(string, ...any) {}}
}

// outcome is what one side came to.
type outcome struct {
	rep *fstest.Report
	err error
}

// both runs two sides in this process, host b through wrap.
func both(t *testing.T, dir string, wrap func(fstest.FS) fstest.FS, change func(*fstest.Config)) (a, b outcome) {
	t.Helper()
	fsys, err := vfs.OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fsys.Close() })
	var all sync.WaitGroup
	for _, side := range []struct {
		host string
		wrap func(fstest.FS) fstest.FS
		out  *outcome
	}{{"a", same, &a}, {"b", wrap, &b}} {
		cfg := config(dir, side.host, side.wrap(honest(fsys, dir)))
		if change != nil {
			change(&cfg)
		}
		all.Go(func() { side.out.rep, side.out.err = fstest.Run(t.Context(), cfg) })
	}
	all.Wait()
	return a, b
}

func same(fs fstest.FS) fstest.FS { return fs }

// empty checks that nothing was left behind.
func empty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func failed(r *fstest.Report) (names []string) {
	for _, ph := range r.Phases {
		if !ph.Pass {
			names = append(names, ph.Name)
		}
	}
	return names
}

func TestTwoHosts(t *testing.T) {
	dir := t.TempDir()
	a, b := both(t, dir, same, func(c *fstest.Config) {
		n := uint64(0)
		c.Calls = func() (mountstats.Counts, error) {
			n += 7
			return mountstats.Counts{"RENAME": n}, nil
		}
	})
	for _, o := range []outcome{a, b} {
		if o.err != nil || !o.rep.Pass || o.rep.Hosts != 2 || o.rep.Proves != "two hosts" {
			t.Fatalf("got %+v, %v", o.rep, o.err)
		}
		var names []string
		for _, ph := range o.rep.Phases {
			names = append(names, ph.Name)
			if len(ph.Evidence) == 0 || ph.Proves == "" || ph.Calls["RENAME"] != 7 {
				t.Errorf("got %+v", ph)
			}
			for _, e := range ph.Evidence {
				t.Logf("%s: %s", ph.Name, e)
			}
		}
		if !slices.Equal(names, fstest.PhaseNames()) {
			t.Errorf("got phases %q", names)
		}
	}
	if a.rep.Me.Host != "a" || a.rep.Peer.Host != "b" || b.rep.Peer.Host != "a" {
		t.Errorf("got %+v and %+v", a.rep, b.rep)
	}
	empty(t, dir)
}

// The same with two real processes, one started by the other.
func TestAlone(t *testing.T) {
	dir := t.TempDir()
	fsys, err := vfs.OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer fsys.Close()
	cfg := config(dir, "a", honest(fsys, dir))
	cfg.Alone = true
	rep, err := fstest.Run(t.Context(), cfg)
	if err != nil || !rep.Pass || rep.Hosts != 1 || !strings.Contains(rep.Proves, "proves nothing about the share between hosts") {
		t.Fatalf("got %+v, %v", rep, err)
	}
	empty(t, dir)
}

// liar is a file system that breaks one thing. Only what the phases do is
// concerned, not the messages of the two sides.
type liar struct {
	fstest.FS
	breaks string
	mu     *sync.Mutex
	first  map[string][]byte // what was read first, of a name
	lists  map[string][]string
	did    map[string]bool // and "over": the session is being removed
}

func lie(breaks string) func(fstest.FS) fstest.FS {
	return func(fs fstest.FS) fstest.FS {
		return liar{fs, breaks, &sync.Mutex{}, map[string][]byte{}, map[string][]string{}, map[string]bool{}}
	}
}

// once sleeps once for a reason; who comes meanwhile waits, too.
func (l liar) once(why string, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.did[why] {
		l.did[why] = true
		time.Sleep(d)
	}
}

// late lets the other host win most of a race, so that this one has something to
// lie about.
const late = 300 * time.Millisecond

// phaseOf is the phase that a name belongs to.
func phaseOf(name string) string {
	parts := strings.Split(name, "/")
	if len(parts) < 4 || parts[2] == "say" {
		return ""
	}
	return parts[2]
}

func (l liar) Create(name string, data []byte) (vfs.ID, error) {
	if l.breaks == "create" && phaseOf(name) == "create" {
		l.once("create", late)
	}
	if strings.Contains(name, "/say/over~") {
		l.mu.Lock()
		l.did["over"] = true
		l.mu.Unlock()
	}
	id, err := l.FS.Create(name, data)
	if l.breaks == "create" && errors.Is(err, syscall.EEXIST) && phaseOf(name) != "" {
		return id, nil
	}
	return id, err
}

func (l liar) Mkdir(dir string) error {
	if l.breaks == "mkdir" && phaseOf(dir) == "mkdir" {
		l.once("mkdir", late)
	}
	err := l.FS.Mkdir(dir)
	if l.breaks == "mkdir" && errors.Is(err, syscall.EEXIST) && phaseOf(dir) != "" {
		return nil
	}
	return err
}

func (l liar) Link(from, to string) error {
	if l.breaks == "copy" { // as a file system without links
		data, _, err := l.FS.Read(from, 1<<20)
		if err == nil {
			_, err = l.FS.Create(to, data)
		}
		return err
	}
	if l.breaks == "link" && strings.Contains(to, "gate") {
		l.once("link", late)
	}
	err := l.FS.Link(from, to)
	if l.breaks == "link" && errors.Is(err, syscall.EEXIST) {
		return nil
	}
	return err
}

func (l liar) Rename(from, to string) error {
	if (strings.HasPrefix(l.breaks, "rename") || l.breaks == "late") && phaseOf(from) == "rename" {
		l.once("rename", late)
	}
	if l.breaks == "copy and remove" && phaseOf(from) == "rename" {
		data, _, err := l.FS.Read(from, 1<<20)
		if err == nil {
			l.once("read", 3*late)
			_, err = l.FS.Create(to, data)
		}
		if err == nil {
			_ = l.FS.Remove(from) // whether or not somebody else did
		}
		return err
	}
	err := l.FS.Rename(from, to)
	switch {
	case l.breaks == "rename" && errors.Is(err, syscall.ENOENT) && phaseOf(from) == "rename":
		return nil
	case l.breaks == "rename eio" && errors.Is(err, syscall.ENOENT) && phaseOf(from) == "rename":
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: syscall.EIO}
	case l.breaks == "fence" && errors.Is(err, syscall.ENOENT) && phaseOf(from) == "fence":
		return nil // it went into a directory that is no more
	}
	return err
}

func (l liar) Rmdir(dir string) error {
	err := l.FS.Rmdir(dir)
	if l.breaks == "rmdir" && errors.Is(err, syscall.ENOTEMPTY) {
		return nil
	}
	return err
}

type noLock struct{}

func (noLock) Unlock() error { return nil }

func (l liar) TryLock(name string) (vfs.Lock, error) {
	lock, err := l.FS.TryLock(name)
	switch {
	case l.breaks == "flock" && errors.Is(err, vfs.ErrLocked):
		return noLock{}, nil
	case l.breaks == "both inside" && errors.Is(err, vfs.ErrLocked) && strings.HasSuffix(name, "/hammer"):
		return noLock{}, nil
	case l.breaks == "nolock":
		return nil, &fs.PathError{Op: "lock", Path: name, Err: syscall.ENOLCK}
	case l.breaks == "lock stays" && phaseOf(name) == "kill":
		if err == nil {
			err = errors.Join(&fs.PathError{Op: "lock", Path: name, Err: vfs.ErrLocked}, lock.Unlock())
		}
		return nil, err
	}
	return lock, err
}

func (l liar) Read(name string, limit int64) ([]byte, vfs.ID, error) {
	data, id, err := l.FS.Read(name, limit)
	ph := phaseOf(name)
	switch {
	case l.breaks == "torn crash" && ph == "crash" && len(data) > 5000, l.breaks == "torn writes" && ph == "writes":
		data[len(data)/2] ^= 1
	case l.breaks == "short" && ph == "crash" && len(data) > 5000 && strings.HasSuffix(name, "/log"):
		data = data[:4096]
	case l.breaks == "stale record" && ph == "record":
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.first[name] == nil {
			l.first[name] = data
		}
		data = l.first[name]
	}
	return data, id, err
}

func (l liar) List(dir string) ([]string, error) {
	names, err := l.FS.List(dir)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch ph := phaseOf(dir); {
	case l.did["over"]:
	case l.breaks == "stale listing" && ph == "delays":
		if _, ok := l.lists[dir]; !ok {
			l.lists[dir] = names
		}
		return l.lists[dir], err
	case l.breaks == "files vanish" && ph == "crash":
		return slices.DeleteFunc(names, func(n string) bool { return n == "file-0003" }), err
	}
	return names, err
}

func (l liar) Stat(name string) (fstest.Info, error) {
	if l.breaks == "stale stat" && strings.HasSuffix(name, "/new") {
		return fstest.Info{}, &fs.PathError{Op: "stat", Path: name, Err: syscall.ENOENT}
	}
	return l.FS.Stat(name)
}

// Each way of being broken on one of two hosts makes its phase fail, on both
// sides, and no other.
func TestBroken(t *testing.T) {
	for breaks, want := range map[string]string{
		"torn writes": "writes", "create": "create", "mkdir": "mkdir", "link": "link", "copy": "link", "rename": "rename",
		"rename eio": "rename", "copy and remove": "rename", "fence": "fence", "rmdir": "fence", "flock": "lock kill", "nolock": "lock kill",
		"lock stays": "kill", "both inside": "lock", "torn crash": "crash", "short": "crash", "files vanish": "crash", "stale record": "record", "stale listing": "delays",
	} {
		t.Run(breaks, func(t *testing.T) {
			t.Parallel()
			var a, b outcome
			var dir string
			// On a busy machine the two may not meet inside the lock.
			for tries := 6; tries > 0; tries-- {
				dir = t.TempDir()
				a, b = both(t, dir, lie(breaks), func(c *fstest.Config) {
					if c.Me.Host == "a" && breaks == "copy and remove" {
						c.FS = lie("late")(c.FS) // its rename comes between the other's copy and removal
					}
				})
				if breaks != "both inside" || a.err != nil || !a.rep.Pass {
					break
				}
			}
			for _, o := range []outcome{a, b} {
				if o.err != nil {
					t.Fatal(o.err)
				}
				if got := strings.Join(failed(o.rep), " "); got != want || o.rep.Pass {
					t.Errorf("%s: failed %q, want %q", o.rep.Me.Host, got, want)
				}
				for _, ph := range o.rep.Phases {
					for _, problem := range ph.Problems {
						t.Logf("%s: %s: %s", o.rep.Me.Host, ph.Name, problem)
					}
				}
			}
			empty(t, dir)
		})
	}
}

// A name that stat doesn't see is reported, and is no failure: nothing rests on
// it.
func TestStaleStat(t *testing.T) {
	a, b := both(t, t.TempDir(), lie("stale stat"), func(c *fstest.Config) { c.Only = []string{"delays"} })
	for _, o := range []outcome{a, b} {
		if o.err != nil || !o.rep.Pass || !slices.Contains(o.rep.Phases[0].Evidence, "b doesn't see a new file by stat of a within 4s") {
			t.Errorf("got %+v, %v", o.rep, o.err)
		}
	}
}

func TestNobodyComes(t *testing.T) {
	dir := t.TempDir()
	fsys, err := vfs.OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer fsys.Close()
	cfg := config(dir, "a", honest(fsys, dir))
	cfg.Wait = time.Second
	if _, err := fstest.Run(t.Context(), cfg); !errors.Is(err, fstest.ErrNoPeer) {
		t.Errorf("got %v", err)
	}
	empty(t, dir)
}

// A side that is interrupted says so; the other doesn't wait for it, and both
// clear up.
func TestInterrupted(t *testing.T) {
	dir := t.TempDir()
	fsys, err := vfs.OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer fsys.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	var errs [2]error
	start := time.Now()
	for i, host := range []string{"a", "b"} {
		cfg, ctx := config(dir, host, honest(fsys, dir)), ctx
		if i == 0 {
			cfg.Say = func(format string, args ...any) {
				if fmt.Sprintf(format, args...) == "lock" {
					cancel()
				}
			}
		} else {
			ctx = t.Context()
		}
		all.Go(func() { _, errs[i] = fstest.Run(ctx, cfg) })
	}
	all.Wait()
	if !errors.Is(errs[0], context.Canceled) || !errors.Is(errs[1], fstest.ErrPeerLost) || !strings.Contains(fmt.Sprint(errs[1]), "a stopped in phase") {
		t.Errorf("got %v and %v", errs[0], errs[1])
	}
	if spent := time.Since(start); spent > 20*time.Second {
		t.Errorf("took %s", spent)
	}
	empty(t, dir)
}

// Of two real processes one is killed: the other says so in time, and clears up
// but for the other's offer.
func TestPeerKilled(t *testing.T) {
	dir := t.TempDir()
	fsys, err := vfs.OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer fsys.Close()
	cfg := config(dir, "a", honest(fsys, dir))
	cfg.Key, cfg.Patience = "k", 2*time.Second
	ctx, kill := context.WithCancel(t.Context())
	defer kill()
	other := cfg.Child(ctx, "peer", "k")
	if _, err := other.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	cfg.Say = func(format string, args ...any) {
		if fmt.Sprintf(format, args...) == "lock" {
			kill()
			_ = other.Wait()
		}
	}
	rep, err := fstest.Run(t.Context(), cfg)
	if !errors.Is(err, fstest.ErrPeerLost) || !strings.Contains(fmt.Sprint(err), "(process 2) for 2s, in phase \"lock\"") &&
		!strings.Contains(fmt.Sprint(err), "(process 1) for 2s, in phase \"lock\"") || len(rep.Phases) != 6 {
		t.Errorf("got %+v, %v", rep, err)
	}
	left, err := os.ReadDir(dir + "/.fencepost-fstest")
	if err != nil || len(left) != 1 || !strings.HasPrefix(left[0].Name(), "offer~") {
		t.Errorf("left: %v, %v", left, err)
	}
}

// What runs that were killed left behind goes away if it is old; what is new is
// somebody's.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	camp := filepath.Join(dir, ".fencepost-fstest")
	old := time.Now().Add(-time.Hour)
	for _, name := range []string{"1old/say/begin~lock~0", "1old/lock/lock-0", "offer~1old", "accept~1old~1older", "offer~1older", "pair~1old~1older", "1new/say/x", "offer~1new",
		"1lives/say/x", "offer~1lives"} {
		file := filepath.Join(camp, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, nil, 0o400)); err != nil {
			t.Fatal(err)
		}
	}
	err := filepath.WalkDir(camp, func(name string, _ fs.DirEntry, err error) error {
		if strings.Contains(name, "new") || strings.HasSuffix(name, "offer~1lives") {
			return err
		}
		return errors.Join(err, os.Chtimes(name, old, old))
	})
	if err != nil {
		t.Fatal(err)
	}
	a, b := both(t, dir, same, func(c *fstest.Config) { c.Only = []string{"mkdir"} })
	if a.err != nil || b.err != nil {
		t.Error(a.err, b.err)
	}
	left, err := os.ReadDir(camp)
	var names []string
	for _, e := range left {
		names = append(names, e.Name())
	}
	if want := []string{"1lives", "1new", "offer~1lives", "offer~1new"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("got %q, %v, want %q", names, err, want)
	}
}

// Three come: two work together, the third finds nobody.
func TestThree(t *testing.T) {
	dir := t.TempDir()
	fsys, err := vfs.OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer fsys.Close()
	var all sync.WaitGroup
	var out [3]outcome
	for i, host := range []string{"a", "b", "c"} {
		cfg := config(dir, host, honest(fsys, dir))
		cfg.Wait, cfg.Only = 3*time.Second, []string{"mkdir"}
		all.Go(func() { out[i].rep, out[i].err = fstest.Run(t.Context(), cfg) })
	}
	all.Wait()
	passed, alone := 0, 0
	for _, o := range out {
		if o.err == nil && o.rep.Pass {
			passed++
		} else if errors.Is(o.err, fstest.ErrNoPeer) {
			alone++
		}
	}
	if passed != 2 || alone != 1 {
		t.Errorf("got %+v", out)
	}
	empty(t, dir)
}
