package doctor_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	mapfs "testing/fstest"
	"time"

	"fencepost/cmd/fencepost/doctor"
	"fencepost/cmd/fencepost/fstest"
	"fencepost/lease"
	"fencepost/spool"
	"fencepost/spool/env"
	"fencepost/spool/vfs"
)

// lockerVar makes the test binary the second process of the lock check.
const lockerVar = "FENCEPOST_TEST_LOCKER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(lockerVar); dir != "" {
		if err := doctor.RunLocker(dir, os.Args[1], os.Stdin, os.Stdout); err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// patient is a spool on a real directory, seen through wrap.
func patient(t *testing.T, wrap func(vfs.FS) vfs.FS) doctor.Config {
	t.Helper()
	dir := t.TempDir()
	o, err := vfs.OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	f, err := spool.NewFormat()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := spool.Init(o, f); err != nil {
		t.Fatal(err)
	}
	e := env.NewReal(o)
	if _, err := lease.Enroll(t.Context(), e, lease.Member{Host: "a", MachineID: "m-1", By: "test"}); err != nil {
		t.Fatal(err)
	}
	return doctor.Config{Dir: dir, Spool: spool.New(env.NewReal(wrap(o)), f), Host: "a", MachineID: "m-1",
		Heartbeat: time.Second, Lease: 10 * time.Second,
		Machine: mapfs.MapFS{"proc/self/mountinfo": {Data: []byte("9 1 0:52 / / rw - nfs4 nas:/x rw,vers=4.2,hard,proto=tcp\n")},
			"proc/self/status":                     {Data: []byte("Name:\tx\nUmask:\t0027\n")},
			"sys/fs/nfs/net/nfs_client/identifier": {Data: []byte("host-a-1\n")}},
		Begin: func(string, string) func() { return func() {} },
		Locker: func(ctx context.Context, name string) *exec.Cmd {
			cmd := exec.CommandContext(ctx, os.Args[0], name)
			cmd.Env = append(os.Environ(), lockerVar+"="+dir)
			return cmd
		}}
}

func same(fs vfs.FS) vfs.FS { return fs }

func examine(t *testing.T, cfg doctor.Config) map[string]doctor.Result {
	t.Helper()
	results, err := doctor.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]doctor.Result{}
	for _, r := range results {
		out[r.ID] = r
	}
	if got, want := len(out), len(doctor.IDs()); got != want {
		t.Errorf("got %d results for %d checks", got, want)
	}
	return out
}

// tree is every name in a spool.
func tree(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		names = append(names, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// A good share: nothing to warn of, and nothing is left behind.
func TestGood(t *testing.T) {
	cfg := patient(t, same)
	before := tree(t, cfg.Dir)
	for id, r := range examine(t, cfg) {
		if id == "FP033" || id == "FP034" {
			continue // how full this machine is
		}
		if r.Verdict == doctor.Warn || r.Verdict == doctor.Refuse {
			t.Errorf("%+v", r)
		}
		if len(r.Evidence) == 0 {
			t.Errorf("%s says nothing: %+v", id, r)
		}
	}
	if after := tree(t, cfg.Dir); !slices.Equal(before, after) {
		t.Errorf("left behind:\n%q\nwas\n%q", after, before)
	}
}

// liar is a file system that breaks one thing. Only probe files are concerned.
type liar struct {
	vfs.FS
	breaks string
}

func probing(name string) bool { return strings.Contains(name, ".fencepost-doctor~") }

func (l liar) Create(name string, data []byte) (vfs.ID, error) {
	id, err := l.FS.Create(name, data)
	switch {
	case l.breaks == "create" && errors.Is(err, syscall.EEXIST):
		return id, nil
	case l.breaks == "readonly" && probing(name):
		return id, &fs.PathError{Op: "create", Path: name, Err: syscall.EROFS}
	}
	return id, err
}

func (l liar) Mkdir(dir string) error {
	err := l.FS.Mkdir(dir)
	switch {
	case l.breaks == "mkdir" && errors.Is(err, syscall.EEXIST):
		return nil
	case l.breaks == "readonly" && probing(dir):
		return &fs.PathError{Op: "mkdir", Path: dir, Err: errors.Join(syscall.EROFS, l.FS.Rmdir(dir))}
	}
	return err
}

func (l liar) Rename(from, to string) error {
	if l.breaks == "exdev" && path.Dir(to) == "json" {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: syscall.EXDEV}
	}
	err := l.FS.Rename(from, to)
	if l.breaks == "rename" && errors.Is(err, syscall.ENOENT) && probing(from) {
		return nil
	}
	return err
}

func (l liar) Link(from, to string) error {
	switch l.breaks {
	case "nolink":
		return &os.LinkError{Op: "link", Old: from, New: to, Err: syscall.EPERM}
	case "copy":
		data, _, err := l.FS.Read(from, 1<<20)
		if err == nil {
			_, err = l.FS.Create(to, data)
		}
		return err
	case "overwrite":
		if probing(to) {
			_ = l.FS.Remove(to)
		}
	}
	return l.FS.Link(from, to)
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
	switch l.breaks {
	case "flock":
		return noLock{}, nil
	case "nolocks":
		return nil, &fs.PathError{Op: "lock", Path: name, Err: syscall.ENOLCK}
	}
	return l.FS.TryLock(name)
}

func (l liar) OpenRecord(name string) (vfs.Record, error) {
	r, err := l.FS.OpenRecord(name)
	if l.breaks == "fsync" {
		return badRecord{r}, err
	}
	return r, err
}

type badRecord struct{ vfs.Record }

func (badRecord) Write([]byte) error { return syscall.EIO }

// Each way of being broken is found by its check, and by no other.
func TestBroken(t *testing.T) {
	for breaks, want := range map[string]string{"create": "FP021", "mkdir": "FP021", "rename": "FP023 FP026", "nolink": "FP022", "copy": "FP022",
		"overwrite": "FP022", "rmdir": "FP026", "flock": "FP024", "nolocks": "FP024", "fsync": "FP025", "exdev": "FP020"} {
		t.Run(breaks, func(t *testing.T) {
			t.Parallel()
			cfg := patient(t, func(fs vfs.FS) vfs.FS { return liar{fs, breaks} })
			before := tree(t, cfg.Dir)
			var got []string
			for _, r := range examine(t, cfg) {
				if r.Verdict == doctor.Refuse && r.ID != "FP033" && r.ID != "FP034" {
					got = append(got, r.ID)
					t.Logf("%s: %q", r.ID, r.Evidence)
				}
			}
			slices.Sort(got)
			if strings.Join(got, " ") != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if after := tree(t, cfg.Dir); !slices.Equal(before, after) {
				t.Errorf("left behind: %q", after)
			}
		})
	}
}

// Who can't write is told so once.
func TestReadOnly(t *testing.T) {
	got := examine(t, patient(t, func(fs vfs.FS) vfs.FS { return liar{fs, "readonly"} }))
	if r := got["FP020"]; r.Verdict != doctor.Warn || !strings.Contains(r.Evidence[0], "read-only file system") {
		t.Errorf("got %+v", r)
	}
	for id := range got {
		if id > "FP020" && id <= "FP026" && got[id].Verdict != doctor.Skipped {
			t.Errorf("got %+v", got[id])
		}
	}
}

// Damage to the layout, done by hand.
func TestLayout(t *testing.T) {
	old := time.Now().Add(-2 * time.Hour)
	for name, c := range map[string]struct {
		do   func(t *testing.T, dir string) error
		id   string
		want doctor.Verdict
	}{
		"a stage that is a link": {func(t *testing.T, dir string) error {
			return errors.Join(os.Remove(dir+"/held"), os.Symlink(t.TempDir(), dir+"/held"))
		}, "FP030", doctor.Refuse},
		"a missing directory": {func(_ *testing.T, dir string) error { return os.Remove(dir + "/requests") }, "FP030", doctor.Warn},
		"a file for a directory": {func(_ *testing.T, dir string) error {
			return errors.Join(os.Remove(dir+"/requests"), os.WriteFile(dir+"/requests", nil, 0o600))
		}, "FP030", doctor.Refuse},
		"writable by all":              {func(_ *testing.T, dir string) error { return os.Chmod(dir+"/json", 0o777) }, "FP031", doctor.Warn},
		"drafts of an unknown host":    {func(_ *testing.T, dir string) error { return os.MkdirAll(dir+"/drafts/b/3", 0o700) }, "FP037", doctor.Warn},
		"claims of an unknown command": {func(_ *testing.T, dir string) error { return os.MkdirAll(dir+"/claims/b~cmd/3", 0o700) }, "FP037", doctor.Warn},
		"claims of a known command":    {func(_ *testing.T, dir string) error { return os.MkdirAll(dir+"/claims/a~cmd/3", 0o700) }, "FP037", doctor.OK},
		"old drafts": {func(_ *testing.T, dir string) error {
			return errors.Join(os.MkdirAll(dir+"/drafts/b/3", 0o700), os.Chtimes(dir+"/drafts/b/3", old, old))
		}, "FP035", doctor.Warn},
		"no audit": {func(*testing.T, string) error { return nil }, "FP047", doctor.Note},
		"audited long ago": {func(_ *testing.T, dir string) error {
			return os.WriteFile(dir+"/intruders/audit.json", []byte(`{"by":"a/1","at":"2026-01-01T00:00:00Z"}`), 0o600)
		}, "FP047", doctor.Note},
		"a torn note": {func(_ *testing.T, dir string) error {
			return os.WriteFile(dir+"/intruders/audit.json", []byte(`{"by`), 0o600)
		}, "FP047", doctor.Warn},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := patient(t, same)
			if err := c.do(t, cfg.Dir); err != nil {
				t.Fatal(err)
			}
			if r := examine(t, cfg)[c.id]; r.Verdict != c.want {
				t.Errorf("got %+v, want %s", r, c.want)
			}
		})
	}
}

// Directories of the layout that only some spools have, or that only hosts make.
func TestMoreDirectories(t *testing.T) {
	cfg := patient(t, func(fs vfs.FS) vfs.FS { return crowded{fs} })
	if err := os.MkdirAll(cfg.Dir+"/sealed/a/3", 0o700); err != nil {
		t.Fatal(err)
	}
	if r := examine(t, cfg)["FP036"]; r.Verdict != doctor.Warn || !strings.Contains(r.Evidence[0], "sealed/a/3 has 50001 names") {
		t.Errorf("got %+v", r)
	}
	cfg.Spool.Layout.Foreign = map[spool.Stage]spool.Handover{spool.Submit: "legacy/out/*.json"}
	if r := examine(t, cfg)["FP030"]; r.Verdict != doctor.Warn || !strings.Contains(r.Evidence[0], "legacy/out is missing") {
		t.Errorf("got %+v", r)
	}
	cfg.Spool.Layout.Inboxes = []spool.Inbox{{Dir: "legacy/in"}}
	if err := errors.Join(os.Mkdir(cfg.Dir+"/legacy", 0o700), os.Symlink(t.TempDir(), cfg.Dir+"/legacy/in")); err != nil {
		t.Fatal(err)
	}
	if r := examine(t, cfg)["FP030"]; r.Verdict != doctor.Refuse || !strings.Contains(r.Evidence[0], "legacy/in is a symbolic link") {
		t.Errorf("got %+v", r)
	}
}

// crowded is a share where one instance's directory is full.
type crowded struct{ vfs.FS }

func (c crowded) List(dir string) ([]string, error) {
	if dir == "sealed/a/3" {
		return make([]string, 50_001), nil
	}
	return c.FS.List(dir)
}

// counting is a machine whose mount makes 30 calls between two looks.
type counting struct {
	fs.FS
	looks *int
}

func (c counting) Open(name string) (fs.File, error) {
	if name != "proc/self/mountstats" {
		return c.FS.Open(name)
	}
	*c.looks++
	text := fmt.Sprintf("device nas:/x mounted on / with fstype nfs4 statvers=1.1\n\tper-op statistics\n\tRENAME: %d 0 0 0 0 0 0 0 0\n\tLINK: 9 0 0 0 0 0 0 0 0\n", 30**c.looks)
	return mapfs.MapFS{"m": {Data: []byte(text)}}.Open("m")
}

func TestCalls(t *testing.T) {
	cfg := patient(t, same)
	before := tree(t, cfg.Dir)
	if r := examine(t, cfg)["FP027"]; r.Verdict != doctor.Skipped || !strings.Contains(r.Evidence[0], "no statistics") {
		t.Errorf("got %+v", r)
	}
	cfg.Machine = counting{cfg.Machine, new(int)}
	if r := examine(t, cfg)["FP027"]; r.Verdict != doctor.OK || !strings.HasPrefix(r.Evidence[0], "3.0 calls a job (RENAME 3.0), ") {
		t.Errorf("got %+v", r)
	}
	if after := tree(t, cfg.Dir); !slices.Equal(before, after) {
		t.Errorf("left behind: %q", after)
	}
}

// What two processes found is doctor's, too.
func TestPair(t *testing.T) {
	for _, c := range []struct {
		phases []fstest.Result
		err    error
		want   doctor.Verdict
		says   string
	}{
		{[]fstest.Result{{Name: "link", Pass: true, Evidence: []string{"good"}}}, nil, doctor.OK, "link: good"},
		{[]fstest.Result{{Name: "link", Pass: true, Evidence: []string{"good"}}, {Name: "rename", Problems: []string{"two winners"}}}, nil, doctor.Refuse, "rename: two winners"},
		{nil, fstest.ErrPeerLost, doctor.Warn, "can't be checked: the other side is gone"},
	} {
		cfg := patient(t, same)
		cfg.Pair = func(_ context.Context, phases []string) (*fstest.Report, error) {
			if len(phases) != 5 || !slices.Contains(phases, "link") {
				t.Errorf("got %q", phases)
			}
			return &fstest.Report{Phases: c.phases}, c.err
		}
		if r := examine(t, cfg)["FP028"]; r.Verdict != c.want || !slices.Contains(r.Evidence, c.says) {
			t.Errorf("got %+v, want %s, %q", r, c.want, c.says)
		}
	}
}

// What the running hosts have mounted, as their journals say.
func TestSources(t *testing.T) {
	const here = "nas:/x type nfs4 vers=4.2"
	for name, c := range map[string]struct {
		mounts map[string]string // by host; "" = doesn't say
		want   doctor.Verdict
	}{
		"alike":                 {map[string]string{"a": here, "b": here}, doctor.OK},
		"another export":        {map[string]string{"a": here, "b": "nas:/y type nfs4 vers=4.2"}, doctor.Warn},
		"another server":        {map[string]string{"a": here, "b": "nas2:/x type nfs4 vers=4.2"}, doctor.Warn},
		"the server itself":     {map[string]string{"a": here, "b": "/dev/sda1 type ext4"}, doctor.Warn},
		"another version":       {map[string]string{"a": here, "b": "nas:/x type nfs4 vers=4.1"}, doctor.Note},
		"only this command":     {map[string]string{"b": "nas2:/x type nfs4 vers=4.2"}, doctor.Warn},
		"one says nothing":      {map[string]string{"a": here, "b": ""}, doctor.OK},
		"nobody says a thing":   {map[string]string{"a": "", "b": ""}, doctor.Skipped},
		"nobody runs":           {nil, doctor.Skipped},
		"a journal that is not": {map[string]string{"a": here, "b": "-"}, doctor.Note},
	} {
		cfg := patient(t, same)
		var hosts []lease.HostState
		for host, mount := range c.mounts {
			hosts = append(hosts, lease.HostState{Host: host, State: lease.Live, Record: lease.Record{Host: host, Epoch: 3}})
			text := `{"time":"2026-01-02T03:04:05Z","n":1,"host":"a","epoch":3,"event":"ready"}` + "\n"
			if mount != "" {
				text += `{"time":"2026-01-02T03:04:05Z","n":2,"host":"a","epoch":3,"event":"mounted","detail":"` + mount + `"}` + "\n" + `{"torn mounted`
			}
			if mount == "-" {
				continue
			}
			dir := filepath.Join(cfg.Dir, "hosts", host, "journal")
			if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(dir+"/3.jsonl", []byte(text), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		if got := doctor.Sources(cfg, hosts); got.Verdict != c.want {
			t.Errorf("%s: got %+v, want %s", name, got, c.want)
		}
	}
}

// What a doctor that was killed left behind goes away, if it is this host's and
// old.
func TestLeftovers(t *testing.T) {
	cfg := patient(t, same)
	old := time.Now().Add(-2 * time.Hour)
	for _, name := range []string{".fencepost-doctor~a~old", ".fencepost-doctor~a~new", ".fencepost-doctor~b~old"} {
		dir := filepath.Join(cfg.Dir, name)
		if err := errors.Join(os.MkdirAll(dir+"/sub", 0o700), os.WriteFile(dir+"/file", nil, 0o400)); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "old") {
			if err := os.Chtimes(dir, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(cfg.Dir+"/xml/.fencepost-doctor~a~old", nil, 0o400); err != nil {
		t.Fatal(err)
	}
	examine(t, cfg)
	if _, err := os.Stat(cfg.Dir + "/xml/.fencepost-doctor~a~old"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file in a stage is still there (%v)", err)
	}
	left, err := filepath.Glob(cfg.Dir + "/.fencepost-doctor~*")
	if err != nil || len(left) != 2 || slices.ContainsFunc(left, func(s string) bool { return strings.HasSuffix(s, "a~old") }) {
		t.Errorf("got %q, %v", left, err)
	}
}

// TestHeadings holds the page's headings against the checks.
func TestHeadings(t *testing.T) {
	page, err := os.ReadFile("../../../docs/ops/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, m := range regexp.MustCompile(`(?m)^## (FP\d.*)$`).FindAllStringSubmatch(string(page), -1) {
		got = append(got, m[1])
	}
	for _, r := range examineNames(t) {
		want = append(want, r.ID+" "+r.Name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("headings\n%q\nwant\n%q", got, want)
	}
	if !slices.IsSorted(want) || len(slices.Compact(slices.Clone(doctor.IDs()))) != len(want) {
		t.Errorf("ids are not in order, or not unique: %q", doctor.IDs())
	}
}

func examineNames(t *testing.T) []doctor.Result {
	t.Helper()
	results, err := doctor.Run(t.Context(), patient(t, same))
	if err != nil {
		t.Fatal(err)
	}
	return results
}
