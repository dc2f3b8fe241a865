package trial

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"fencepost/cmd/fencepost/nfslab"
	"fencepost/cmd/fencepost/nfslab/guest"
)

// exitRefused is the exit code of a host that must not start.
const exitRefused = 7

// refused starts a daemon on a host that must not take part, and wants it to be
// refused and recorded.
func (t *Trial) refused(ctx context.Context, what, name string) error {
	m, err := t.site.add(ctx, name, false)
	if err != nil {
		return err
	}
	defer func() { _ = m.Close() }()
	code, said, err := m.Refused(ctx)
	if err != nil {
		return err
	}
	if code != exitRefused {
		return violation("%s: serve ended with exit %d, not %d: %s", what, code, exitRefused, said)
	}
	names, err := t.site.list("intruders")
	if err != nil {
		return err
	}
	i := slices.IndexFunc(names, func(n string) bool {
		return strings.HasPrefix(n, "refused~"+m.Name+"~"+fmt.Sprintf("%032x", []byte(m.Addr)))
	})
	if i < 0 {
		return violation("%s: refused, and not recorded: intruders/ has %q", what, names)
	}
	t.did(what, fmt.Sprintf("exit %d, recorded as %s", code, names[i]))
	return nil
}

// steal takes n files out of each of the stages' directories, as a program
// would that knows nothing of fencepost, and wants each to be named. Then they
// are recovered.
func (t *Trial) steal(ctx context.Context, n int) error {
	thief, err := t.lab.StartAgent(t.site.Office.Client)
	if err != nil {
		return err
	}
	defer func() { _ = thief.Signal(syscall.SIGKILL) }()
	taken := map[string]string{}
	began := time.Now()
	for _, dir := range []string{"xml", "json"} {
		got, err := t.grab(ctx, thief, dir, n)
		if err != nil {
			return err
		}
		for _, id := range got {
			taken[id] = dir
		}
	}
	err = await(ctx, takeTime, fmt.Sprintf("alarms name the %d stolen jobs", len(taken)), func() (bool, error) {
		names, err := t.site.list("intruders")
		for id := range taken {
			if !slices.Contains(names, "vanished~"+id+".json") {
				return false, err
			}
		}
		return err == nil, err
	})
	if err != nil {
		return violation("a foreign consumer: %v", err)
	}
	t.took("foreign consumer named", time.Since(began))
	t.did("foreign consumer", fmt.Sprintf("%d files out of xml/ and json/, each named by an alarm", len(taken)))
	return t.recover(ctx, taken)
}

// grab takes files that were never claimed. It looks all the time, since there
// is little time between an entry and its claim; if nothing comes, it has more
// jobs sent.
func (t *Trial) grab(ctx context.Context, thief *nfslab.Agent, dir string, n int) (ids []string, err error) {
	at := path.Join(t.site.Spool(), dir)
	end, more := time.Now().Add(takeTime), time.Now().Add(5*time.Second)
	sent := make(chan error, 100)
	sending := 0
	for len(ids) < n && time.Now().Before(end) && ctx.Err() == nil {
		a, err := thief.Call(guest.Call{Op: "list", Name: at})
		if err != nil {
			return ids, err
		}
		for _, name := range a.Names {
			id, ok := strings.CutSuffix(name, "."+dir)
			if !ok || len(id) != 36 || len(ids) == n {
				continue
			}
			_, err := thief.Call(guest.Call{Op: "remove", Name: path.Join(at, name)})
			switch {
			case err == nil:
				ids = append(ids, id)
			case !errors.Is(err, syscall.ENOENT):
				return ids, err
			}
		}
		if time.Now().After(more) {
			more = time.Now().Add(10 * time.Second)
			sending++
			go func() { sent <- t.sendMore(ctx, 5, t.site.Hosts...) }()
		}
	}
	for range sending {
		err = errors.Join(err, <-sent)
	}
	if len(ids) < n {
		err = errors.Join(err, fmt.Errorf("of %s/ only %d files could be stolen: %w", dir, len(ids), ctx.Err()))
	}
	return ids, err
}

func (t *Trial) recover(ctx context.Context, taken map[string]string) error {
	out, err := t.site.Command(ctx, "audit", "--recover", "--wait", "1s", "--host", t.site.Hosts[0].Name, "--json")
	if err != nil {
		return violation("audit --recover: %v: %s", err, out)
	}
	for id := range taken {
		if !strings.Contains(out, id) {
			return violation("audit --recover doesn't name %s: %s", id, out)
		}
	}
	_, err = t.site.Command(ctx, "intruders", "--acknowledge", "--reason", "the trial's own")
	return err
}

// balance is what audit --json says.
type balance struct {
	Accepted, Done, Difference int
	Vanished, Duplicated       []string
}

// check waits until all that was accepted has ended, and judges.
func (t *Trial) check(ctx context.Context, answered []string) error {
	var p Places
	err := await(ctx, t.patience, "every job has ended", func() (_ bool, err error) {
		p, err = t.site.places(ctx)
		return len(p.OnTheWay) == 0 && p.Done == len(p.Accepted), err
	})
	if err != nil {
		return violation("%v: %d accepted, %d done, aside %q, on the way %q", err, len(p.Accepted), p.Done, p.Aside, p.OnTheWay)
	}
	for _, id := range answered {
		if !slices.Contains(p.Accepted, id) {
			return violation("job %s was answered as accepted, and the gate doesn't have it", id)
		}
	}
	if err := t.judge(ctx, p.Accepted); err != nil {
		return err
	}
	out, err := t.site.Command(ctx, "audit", "--json", "--wait", "1s")
	var b balance
	if jerr := json.Unmarshal([]byte(out), &b); err != nil || jerr != nil || b.Difference != 0 ||
		len(b.Vanished)+len(b.Duplicated) > 0 || b.Accepted != len(p.Accepted) || b.Done != b.Accepted {
		return violation("audit: %v: %s", errors.Join(err, jerr), out)
	}
	return t.noneLeft(ctx)
}

// judge reads the cluster's log; held jobs that nobody will release are
// cancelled in time.
func (t *Trial) judge(ctx context.Context, accepted []string) error {
	var v Verdict
	err := await(ctx, t.patience, "no held job is left at the cluster", func() (bool, error) {
		log, err := t.site.cluster(ctx)
		if err != nil {
			return false, err
		}
		v = Judge(log, accepted)
		return len(v.Held) == 0 || len(v.Wrong) > 0, nil
	})
	if len(v.Wrong) > 0 {
		return violation("%s", strings.Join(v.Wrong, "\n"))
	}
	if err != nil {
		return violation("%v: %q", err, v.Held)
	}
	t.verdict = v
	return nil
}

// noneLeft wants no directory of an epoch that is over.
func (t *Trial) noneLeft(ctx context.Context) error {
	var left []string
	err := await(ctx, t.patience, "the directories of all epochs that are over are gone", func() (bool, error) {
		left = nil
		for _, base := range []string{"claims", "sealed", "drafts"} {
			hosts, err := t.site.list(base)
			if err != nil {
				return false, err
			}
			for _, h := range hosts {
				top, err := t.site.epoch(h)
				if err != nil {
					return false, err
				}
				epochs, err := t.site.list(base + "/" + h)
				if err != nil {
					return false, err
				}
				for _, e := range epochs {
					if e != fmt.Sprint(top) || !t.site.serves(h) {
						left = append(left, path.Join(base, h, e))
					}
				}
			}
		}
		return len(left) == 0, nil
	})
	if err != nil {
		return violation("%v: %q", err, left)
	}
	return nil
}

// startEnded starts the daemons that have ended by themselves, as a service
// manager does: one that was fenced, and finds its lock taken, ends with 6.
func (t *Trial) startEnded(ctx context.Context) error {
	for _, m := range t.site.Hosts {
		if m.runs() {
			continue
		}
		t.did("daemon ended by itself, started again", fmt.Sprintf("%v: %s", m.daemon.Wait(), oneLine(m.ready.String())))
		if err := m.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// serves says whether a host's daemon runs.
func (s *Site) serves(host string) bool {
	return slices.ContainsFunc(s.Hosts, func(m *Member) bool { return m.Name == host && m.runs() })
}
