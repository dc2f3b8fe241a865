package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestPlainSubmitKilled: an instance dies in the middle of a plain submit, which
// nobody can ask about. The job is parked with its evidence, never submitted
// again; what becomes of it a person decides.
func TestPlainSubmitKilled(t *testing.T) {
	t.Parallel()
	s := newSite(t, []string{"a", "b"}, "--heartbeat", "300ms", "--lease", "2s")
	log := filepath.Join(s.dir, "submitted")
	prog := s.program("submit", fmt.Sprintf(`cat >/dev/null
echo $FENCEPOST_JOB_ID >> %[1]s
test -e %[2]s/fast || sleep 5
echo c-$FENCEPOST_JOB_ID
`, log, s.dir))
	s.args = append(s.args, "--cluster", "command", "--cluster-command", "submit="+prog)
	a := s.start("a")
	ids := strings.Fields(s.run(0, "send", "--to", a.addr, "--jsonl", s.jobs(2, "#!/bin/sh\ntrue\n")))
	eventually(t, 20*time.Second, func() string {
		if data, _ := os.ReadFile(log); strings.Count(string(data), "\n") == 2 {
			return ""
		}
		return "not submitted yet"
	})
	a.kill9()
	s.program("fast", "")
	s.start("b")
	eventually(t, 20*time.Second, func() string {
		if b, code := s.audit(); code != 0 || b.Parked != 2 {
			return fmt.Sprintf("audit: exit %d, %+v, want 2 parked", code, b)
		}
		return ""
	})
	s.start("a") // back again, it submits nothing either
	for _, id := range ids {
		why, err := os.ReadFile(filepath.Join(s.spool, "parked", id+".why.json"))
		if err != nil || !strings.Contains(string(why), `"a/1/`) || !strings.Contains(string(why), "may have been submitted") {
			t.Errorf("evidence of %s: %v, %s", id, err, why)
		}
		if out, errs, code := s.try("unpark", id, "--again", "--host", "b", "--cluster", "command", "--cluster-command", "submit="+prog, "--spool", s.spool); code == 0 {
			t.Errorf("unpark --again without proof: got exit 0: %s%s", out, errs)
		}
	}
	time.Sleep(2 * time.Second)
	wantEachOnce(t, ids, log)
	s.run(0, "unpark", ids[0], "--submitted", "c-"+ids[0], "--reason", "a test", "--spool", s.spool)
	s.run(0, "unpark", ids[1], "--again", "--force", "--reason", "a test", "--spool", s.spool)
	s.await(20*time.Second, 2)
	if got := lines(t, log); got[ids[0]] != 1 || got[ids[1]] != 2 {
		t.Errorf("got %v, want %s once and %s, by a person's order, twice", got, ids[0], ids[1])
	}
	if out := s.run(0, "trace", ids[0], "--spool", s.spool); !strings.Contains(out, "parked") || !strings.Contains(out, "c-"+ids[0]) {
		t.Errorf("trace: %s", out)
	}
}

// TestPoison: a job that kills every instance that works on it ends aside, with
// the reason of every try, and the others go on.
func TestPoison(t *testing.T) {
	t.Parallel()
	s := newSite(t, []string{"a", "b"}, "--heartbeat", "300ms", "--lease", "2s", "--max-faults", "2")
	held, log := s.heldCluster()
	poison := s.program("poison", fmt.Sprintf(`cat > %[1]s/doc.$$
if grep -q '"name": *"poison"' %[1]s/doc.$$; then
	kill -9 $PPID
	exit 1
fi
exec %[1]s/hsubmit < %[1]s/doc.$$
`, s.dir))
	s.args = append(append(s.args, held...), "--cluster-command", "submit="+poison)
	ports := map[string]string{}
	to := []string{}
	for _, h := range []string{"a", "b"} {
		ports[h] = fmt.Sprintf("127.0.0.1:%d", freePort(t))
		to = append(to, "--to", ports[h])
		s.start(h, "--listen", ports[h])
	}
	doc := filepath.Join(s.dir, "poison.json")
	if err := os.WriteFile(doc, []byte(`{"name":"poison","script":"#!/bin/sh\n"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	id := strings.TrimSpace(s.run(0, append([]string{"send", doc}, to...)...))
	sent := s.sending(40, 8*time.Second, "#!/bin/sh\ntrue\n", to)
	deaths := 0
	eventually(t, time.Minute, func() string {
		for _, h := range []string{"a", "b"} {
			select {
			case <-s.host(h).ended:
				deaths++
				s.start(h, "--listen", ports[h])
			default:
			}
		}
		if _, err := os.Stat(filepath.Join(s.spool, "parked", id+".why.json")); err != nil {
			return err.Error()
		}
		return ""
	})
	ids := sent()
	eventually(t, time.Minute, func() string {
		if b, code := s.audit(); code != 0 || b.Done != 40 || b.Parked != 1 {
			return fmt.Sprintf("audit: exit %d, %+v, want 40 done and 1 parked", code, b)
		}
		return ""
	})
	wantEachOnce(t, ids, log)
	why, err := os.ReadFile(filepath.Join(s.spool, "parked", id+".why.json"))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the poison job killed %d instances; its reasons: %s", deaths, why)
	if deaths != 3 {
		t.Errorf("got %d deaths, want 3: one more than the faults allowed", deaths)
	}
	if n := strings.Count(string(why), `"generation"`); n < 3 || !strings.Contains(string(why), "died") {
		t.Errorf("got %d reasons, want one of each try", n)
	}
}
