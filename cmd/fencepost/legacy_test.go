package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// guide is docs/ops/moving-over.md: the shell in each of its sections.
func guide(t *testing.T) map[string]string {
	t.Helper()
	page, err := os.ReadFile("../../docs/ops/moving-over.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, part := range strings.Split(string(page), "\n## ")[1:] {
		title, text, _ := strings.Cut(part, "\n")
		for _, block := range regexp.MustCompile("(?s)\n```sh\n(.*?)\n```\n").FindAllStringSubmatch(text, -1) {
			out[title] += block[1] + "\n"
		}
	}
	return out
}

// legacySite is a share with a legacy service on it, and the guide's shell.
type legacySite struct {
	t    *testing.T
	dir  string // the share
	root string // what the shell works in
	env  []string
}

func newLegacySite(t *testing.T) *legacySite {
	t.Helper()
	python(t)
	l := &legacySite{t: t, root: t.TempDir()}
	l.dir = filepath.Join(l.root, "site")
	docs, err := filepath.Abs("../../docs")
	if err != nil {
		t.Fatal(err)
	}
	for name, at := range map[string]string{"fencepost": binary(t), "docs": docs} {
		if err := os.Symlink(at, filepath.Join(l.root, name)); err != nil {
			t.Fatal(err)
		}
	}
	l.env = []string{"PATH=" + l.root + ":" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + l.root, "LC_ALL=C",
		"PYTHONDONTWRITEBYTECODE=1", "FENCEPOST_LEASE=3s", "FENCEPOST_HEARTBEAT=500ms"}
	return l
}

// run types shell into bash, with the guide's share and ports replaced.
func (l *legacySite) run(shell string) string {
	l.t.Helper()
	for old, new := range map[string]string{"/srv/site": l.dir, "127.0.0.1:7400": freeAddr(l.t), "127.0.0.1:7433": freeAddr(l.t)} {
		if !strings.Contains(shell, old) {
			l.t.Errorf("the guide doesn't contain %q any more", old)
		}
		shell = strings.ReplaceAll(shell, old, new)
	}
	ctx, cancel := context.WithTimeout(l.t.Context(), 6*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-eu")
	cmd.Dir, cmd.Env = l.root, l.env
	cmd.Stdin = strings.NewReader(shell)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	// A group of its own, so that nothing outlives a script that fails.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	if err != nil {
		logs, _ := filepath.Glob(filepath.Join(l.dir, "*.log"))
		for _, log := range logs {
			l.t.Logf("%s:\n%s", filepath.Base(log), tail(log))
		}
		l.t.Fatalf("the guide failed: %v\n%s", err, out.Bytes())
	}
	return out.String()
}

// submitted counts the cluster's submissions, by name and by what comes before
// its number.
func (l *legacySite) submitted() (byName, byKind map[string]int) {
	l.t.Helper()
	byName, byKind = lines(l.t, filepath.Join(l.dir, "cluster", "jobs")), map[string]int{}
	for name, n := range byName {
		kind, _, _ := strings.Cut(name, "-")
		byKind[kind] += n
	}
	return byName, byKind
}

// wantAll wants so many jobs of each kind, each submitted once.
func (l *legacySite) wantAll(want map[string]int) {
	l.t.Helper()
	byName, byKind := l.submitted()
	for name, n := range byName {
		if n != 1 {
			l.t.Errorf("%s was submitted %d times", name, n)
		}
	}
	delete(byKind, "before")
	if !maps.Equal(byKind, want) {
		l.t.Errorf("submitted %v, want %v", byKind, want)
	}
}

// The old way first: with a second machine that can't submit, about half of all
// jobs are dropped, and nothing says so. Then the guide, command by command:
// nothing is lost any more, nothing done twice.
func TestMovingOverFromTheBack(t *testing.T) {
	l, g := newLegacySite(t), guide(t)
	out := l.run(g["The toy"] + g["The spool"] + g["From the back to the front"])
	m := regexp.MustCompile(`of 100 jobs the cluster got (\d+)`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no race:\n%s", out)
	}
	got, _ := strconv.Atoi(m[1])
	t.Logf("the race: of 100 jobs the cluster got %d", got)
	if got < 15 || got > 85 {
		t.Errorf("of 100 jobs the cluster got %d: that is not about half", got)
	}
	l.wantAll(map[string]int{"moving": 200, "new": 20})
	for _, want := range []string{`(?m)^done\s+220$`, `(?m)^difference\s+0$`} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("it didn't print %s:\n%s", want, out)
		}
	}
	if left, _ := filepath.Glob(l.dir + "/failed/*"); len(left) > 0 {
		t.Errorf("set aside: %v", left)
	}
}

// TestMovingOverFromTheFront: legacy programs do what was handed over to them.
func TestMovingOverFromTheFront(t *testing.T) {
	l, g := newLegacySite(t), guide(t)
	toy, _, found := strings.Cut(g["The toy"], "CLUSTER= start forgotten")
	if !found {
		t.Fatal("the guide has no forgotten machine")
	}
	out := l.run(toy + g["The spool"] + g["From the front to the back"])
	l.wantAll(map[string]int{"front": 100, "middle": 20, "last": 20})
	// What a legacy submitter did is never known to be done.
	last := func(place string) (n int) {
		all := regexp.MustCompile(`(?m)^`+place+`\s+(\d+)$`).FindAllStringSubmatch(out, -1)
		if len(all) > 0 {
			n, _ = strconv.Atoi(all[len(all)-1][1])
		}
		return n
	}
	if last("accepted") != 140 || last("done")+last("handed over") != 140 || last("done") < 40 || last("difference") != 0 {
		t.Errorf("the balance:\n%s", out)
	}
	t.Logf("handed over and not come back: %d", last("handed over"))
}

// TestMovingOverFromTheMiddle: fencepost translates between two legacy programs,
// on two hosts that are killed again and again: what it adopts and hands over is
// submitted once.
func TestMovingOverFromTheMiddle(t *testing.T) {
	l, g := newLegacySite(t), guide(t)
	toy, _, _ := strings.Cut(g["The toy"], "CLUSTER= start forgotten")
	out := l.run(toy + g["The spool"] + `
kill -9 $translate
fencepost layout --inbox xml,settle=1s --foreign 'submit=json/JOB_*.json'
host() { start $1 fencepost serve --host $1 --stages translate,submit; }
host a; a=$!
host b; b=$!
python3 $toy/client.py --to 127.0.0.1:7400 --name middle --count 200 --every 0.05 & client=$!
for i in 1 2 3 4; do
    sleep 1.3; kill -9 $a; host a; a=$!
    sleep 0.7; kill -9 $b; host b; b=$!
done
wait $client
drained $site/xml
finished
drained $site/json $site/work
fencepost audit --wait 4s
kill $a $b $ingest $submit
: 127.0.0.1:7433
`)
	l.wantAll(map[string]int{"middle": 200})
	for _, want := range []string{`(?m)^handed over\s+200$`, `(?m)^difference\s+0$`} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("it didn't print %s:\n%s", want, out)
		}
	}
}

// TestShutOut: with the guide's permissions the old user writes to its inbox, and
// takes nothing but what it made itself.
func TestShutOut(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to be several users")
	}
	const us, old = 64001, 64002
	shell := strings.NewReplacer("fencepost:fencepost", fmt.Sprintf("%d:%d", us, us), "fencepost:legacy", fmt.Sprintf("%d:%d", us, old)).
		Replace(guide(t)["Shut the old user out"])
	share, err := os.MkdirTemp("", "shut-out-") // t.TempDir's parents are root's alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(share) })
	for _, d := range []string{"xml", "json"} {
		if err := os.Mkdir(filepath.Join(share, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run := func(uid uint32, shell string) (string, error) {
		cmd := exec.Command("bash", "-eu")
		cmd.Dir = "/"
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "site=" + share}
		cmd.Stdin = strings.NewReader(shell)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if err := exec.Command(binary(t), "init", "--no-enroll", "--spool", share, "--stage-dir", "translate=stages/xml", "--stage-dir", "submit=stages/json").Run(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(share, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"xml", "json", "stages/xml", "claims"} {
		if err := os.WriteFile(filepath.Join(share, dir, "JOB_1.xml"), []byte("ours"), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := run(0, shell); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := run(old, "echo x >$site/xml/JOB_2.xml; mv $site/xml/JOB_2.xml $site/xml/JOB_3.xml"); err != nil {
		t.Errorf("the old user can't write any more: %v\n%s", err, out)
	}
	for _, bad := range []string{"mv $site/xml/JOB_1.xml $site/xml/taken", "rm -f $site/json/JOB_1.xml", "echo x >$site/json/JOB_4.xml",
		"mv $site/stages/xml/JOB_1.xml /tmp/", "ls $site/claims", "rm -f $site/fencepost.toml", "mkdir $site/more"} {
		if out, err := run(old, bad); err == nil || !strings.Contains(out, "ermi") { // Permission denied, Operation not permitted
			t.Errorf("%s: %v\n%s", bad, err, out)
		}
	}
	takesWhatTheOldUserWrites(t, share, us, func(uid uint32, shell string) {
		if out, err := run(uid, shell); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	})
}

// takesWhatTheOldUserWrites runs fencepost as a user of its own on such a share.
func takesWhatTheOldUserWrites(t *testing.T, share string, us uint32, run func(uid uint32, shell string)) {
	t.Helper()
	bin := filepath.Join(share, "fencepost")
	data, err := os.ReadFile(binary(t))
	if err := errors.Join(err, os.WriteFile(bin, data, 0o755), os.WriteFile(share+"/submit", []byte("#!/bin/sh\ncat >/dev/null\necho c\n"), 0o755),
		os.Remove(share+"/stages/xml/JOB_1.xml"), os.Remove(share+"/claims/JOB_1.xml"), os.Remove(share+"/xml/JOB_1.xml")); err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, bin: bin, dir: t.TempDir(), spool: share, own: map[string][]string{}, hosts: map[string]*proc{},
		as: map[string]*syscall.Credential{"a": {Uid: us, Gid: us}}}
	t.Cleanup(s.stopAll)
	if _, errs, code := s.try("layout", "--spool", share, "--inbox", "xml"); code != 2 || !strings.Contains(errs, "run it as that user") {
		t.Errorf("as root: exit %d\n%s", code, errs)
	}
	run(us, "$site/fencepost layout --spool $site --inbox xml,settle=1s && $site/fencepost enroll a --spool $site")
	run(us+1, `rm $site/xml/JOB_3.xml; echo '{"name": "old", "command": ["/bin/true"]}' >$site/xml/JOB_4.xml`)
	s.start("a", "--cluster-command", "submit="+share+"/submit")
	eventually(t, 2*time.Minute, func() string {
		if b, _ := s.audit(); b.Done != 1 {
			return fmt.Sprintf("%+v", b)
		}
		return ""
	})
}

// TestLayoutCommand: what is refused, with what message.
func TestLayoutCommand(t *testing.T) {
	s := newSite(t, []string{"a"}, "--stages", "translate")
	for _, tc := range []struct {
		code int
		says string
		args []string
	}{
		{2, "none of stage=", []string{"--inbox", "in,stag=submit"}},
		{2, "neither translate nor submit", []string{"--inbox", "in,stage=ingest"}},
		{2, "isn't apart from", []string{"--inbox", "claims/x"}},
		{2, "one * in its last part", []string{"--foreign", "submit=json"}},
		{2, "only translate and submit", []string{"--native", "ingest"}},
		{3, "no inbox is called", []string{"--no-inbox", "in"}},
		{0, "", []string{"--inbox", "in", "--foreign", "submit=out/*.json", "--dry-run"}},
	} {
		out, errs, code := s.try(append([]string{"layout", "--spool", s.spool}, tc.args...)...)
		if code != tc.code || !strings.Contains(errs, tc.says) {
			t.Errorf("%q: exit %d, want %d\n%s%s", tc.args, code, tc.code, out, errs)
		}
	}
	if out := s.run(0, "layout", "--spool", s.spool); strings.Contains(out, "foreign") {
		t.Errorf("a dry run changed it:\n%s", out)
	}
	a := s.start("a")
	if _, errs, code := s.try("layout", "--spool", s.spool, "--inbox", "in"); code != 6 || !strings.Contains(errs, "host a runs") {
		t.Errorf("while a host runs: exit %d\n%s", code, errs)
	}
	a.kill9()
	eventually(t, time.Minute, func() string {
		if _, errs, code := s.try("layout", "--spool", s.spool, "--inbox", "in"); code != 6 || !strings.Contains(errs, "host a is silent") {
			return fmt.Sprintf("while a host is silent: exit %d\n%s", code, errs)
		}
		return ""
	})
	s.run(0, "layout", "--spool", s.spool, "--inbox", "in", "--force")
	if out := s.run(0, "layout", "--spool", s.spool); !slices.Contains(strings.Fields(out), "in") {
		t.Errorf("nothing changed:\n%s", out)
	}
	_ = s.start("a").stop(t)
}
