package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The cluster of the on-call's site: what it says depends on the job's name.
const oncallSubmit = `#!/bin/sh
case "$(cat)" in
*bad-queue*) echo "queue main doesn't exist" >&2; exit 65;;
*full-cluster*|*taken*) echo "cluster is full" >&2; exit 75;;
esac
echo 4711
`

// TestOnCall plays who is on call, and has never seen the program: five questions,
// answered by status, why, trace and hosts alone, on a site with three hosts (one
// of them sick, one killed), a machine that nobody knows, a bad job, one that the
// cluster has no room for, and one that a foreign program took.
func TestOnCall(t *testing.T) {
	s := newSite(t, []string{"alpha", "bravo", "carol"}, "--heartbeat", "500ms", "--lease", "10s", "--poll", "50ms", "--cluster", "command")
	prog := func(name, text string) string {
		file := filepath.Join(s.dir, name)
		if err := os.WriteFile(file, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
		return file
	}
	s.args = append(s.args, "--cluster-command", "submit="+prog("submit", oncallSubmit))
	s.start("alpha", "--cluster-command", "probe="+prog("fit", "#!/bin/sh\nexit 0\n"))
	s.start("bravo", "--cluster-command", "probe="+prog("unfit", "#!/bin/sh\necho 'sbatch: command not found' >&2\nexit 1\n"))
	s.start("carol", "--stages", "ingest,translate").kill9()
	_, stderr, code := s.try("serve", "--spool", s.spool, "--host", "old-submit-2", "--machine-id", "77aa12", "--listen", "127.0.0.1:0")
	if code != 7 {
		t.Fatalf("the unknown machine: got exit %d, want 7\n%s", code, stderr)
	}
	ids := map[string]string{}
	for _, name := range []string{"good", "bad-queue", "full-cluster", "taken"} {
		file := prog(name+".json", fmt.Sprintf(`{"name":%q,"owner":"pat","script":"#!/bin/sh\ntrue\n"}`, name))
		args := []string{"send", "--to", s.hosts["alpha"].addr, file}
		if name == "taken" { // an id without a time
			args = append(args, "--id", "01900000-0000-4000-8000-00000000000f")
		}
		ids[name] = strings.TrimSpace(s.run(0, args...))
	}
	take(t, s, ids["taken"])

	says := func(what string, want []string, args ...string) {
		t.Helper()
		var out string
		for end := time.Now().Add(2 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
			out, _, _ = s.try(append(args, "--spool", s.spool)...)
			missing := ""
			for _, w := range want {
				if !regexp.MustCompile(w).MatchString(out) {
					missing = w
				}
			}
			if missing == "" {
				return
			}
			if time.Now().After(end) {
				t.Errorf("%s: %s doesn't say %q:\n%s", what, args[0], missing, out)
				return
			}
		}
	}
	says("which host took job X, and when", []string{`(?m)^taken\tfor submit by host alpha epoch [0-9]+ at 20\S+Z, done at 20\S+Z$`,
		`(?m)^done\tjob ` + ids["good"] + ` \(good, of pat\), .*cluster id 4711`}, "trace", ids["good"][:18])
	says("why a bad job doesn't move", []string{`(?m)^failed\tjob .*\(bad-queue, of pat\)\t.*queue main doesn't exist.*\(fencepost retry `}, "why", ids["bad-queue"])
	says("why a waiting job doesn't move", []string{`(?m)^fit\tyes\talpha is fit for submit; bravo is unfit: .*sbatch: command not found`,
		`(?m)^waiting\tjob .*\(full-cluster, of pat\)\tit goes on by itself: .*cluster is full`}, "why", ids["full-cluster"])
	says("why a job that is gone doesn't move", []string{`(?m)^vanished\tjob .*\(taken, of pat\)\t.*it is nowhere`}, "why", ids["taken"])
	says("which host is sick", []string{`(?m)^sick\thost bravo is unfit: .*sbatch: command not found`, `(?m)^sick\thost carol is (fenced|silent): `}, "hosts")
	says("whether anything is lost", []string{`(?m)^UNSAFE\t`, `(?m)^unsafe\t1 accepted and nowhere: ` + ids["taken"],
		`(?m)^balance\t4 jobs accepted: 1 nowhere, 0 in two places`, `(?m)^balance\t3 jobs accepted in the last 24 hours: .*0 lost$`}, "status")
	for _, command := range []string{"status", "hosts"} {
		says("who is that unknown machine", []string{`host old-submit-2 is unknown: machine 77aa12, .*process [0-9]+ of user \S+, program /`}, command)
	}
	says("what happened", []string{`(?m)\tvanished\t` + ids["taken"], `(?m)\trejected\t` + ids["bad-queue"]}, "events")
}

// take is the foreign program: it takes a job's file as soon as it stands somewhere.
func take(t *testing.T, s *site, id string) {
	t.Helper()
	s.run(0, "hold", id, "--host", "alpha", "--spool", s.spool)
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		files, err := filepath.Glob(filepath.Join(s.spool, "held", "*"+id+"*"))
		if err != nil || time.Now().After(end) {
			t.Fatalf("job %s was never held: %v", id, err)
		}
		if len(files) > 0 {
			for _, f := range files {
				if err := os.Remove(f); err != nil {
					t.Fatal(err)
				}
			}
			return
		}
	}
}
