package trial

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"fencepost/cmd/fencepost/nfslab"
	"fencepost/cmd/fencepost/nfslab/line"
)

// BadMount is one that nothing may run on.
type BadMount struct {
	Name  string
	Mount nfslab.HostConfig
	Check string // that refuses it
	Fix   string // part of what it tells to do
}

// BadMounts are those that doctor and serve must refuse.
func BadMounts() []BadMount {
	return []BadMount{
		{"nolock", nfslab.HostConfig{Version: "3", Options: "nolock"}, "FP004", "vers=4.2"},
		{"locallock", nfslab.HostConfig{Version: "3", Options: "local_lock=all"}, "FP004", "vers=4.2"},
		{"soft", nfslab.HostConfig{Version: "4.2", Options: "soft,timeo=50,retrans=1"}, "FP003", "hard"},
	}
}

// GoodMount is what docs/nfs.md recommends.
func GoodMount() nfslab.HostConfig {
	return nfslab.HostConfig{Version: "4.2", Options: "noatime,lookupcache=pos"}
}

// Mounts has doctor look at real mounts, and serve start on them: on a good one
// nothing is refused nor warned of that is the mount's; on a bad one both refuse
// it, and doctor says how to repair it.
func Mounts(ctx context.Context, l *nfslab.Lab, binary string, say func(string, ...any)) (err error) {
	s, err := NewSite(ctx, l, SiteConfig{Name: "mounts", Binary: binary, Hosts: []string{"a"}, Mount: GoodMount(), Lease: 10 * time.Second, Say: say})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	a := s.Hosts[0]
	if err := a.Start(ctx); err != nil {
		return err
	}
	seen, _, err := a.doctor(ctx)
	if err != nil {
		return err
	}
	say("good mount (%s): %s", GoodMount().Options, seen)
	if bad := slices.DeleteFunc(seen, func(c check) bool { return !c.wrong() || !c.ofTheMount() }); len(bad) > 0 {
		return violation("doctor on a good mount: %s", bad)
	}
	for _, b := range BadMounts() {
		if err := s.refuses(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", b.Name, err)
		}
		say("%s: refused by %s", b.Name, b.Check)
	}
	return a.Stop(ctx)
}

func (s *Site) refuses(ctx context.Context, b BadMount) error {
	s.mount = b.Mount
	m, err := s.add(ctx, b.Name, false)
	if err != nil {
		return err
	}
	defer func() { _ = m.Close() }()
	if _, err := s.Command(ctx, "enroll", m.Name); err != nil {
		return err
	}
	seen, code, err := m.doctor(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(seen, func(c check) bool { return c.ID == b.Check })
	if code != 5 || i < 0 || seen[i].Verdict != "refuse" || !strings.Contains(seen[i].Fix, b.Fix) {
		return violation("doctor exits with %d, and says %s; want %s to refuse it, with a fix", code, seen, b.Check)
	}
	code, said, err := m.Refused(ctx)
	if err == nil && (code != 5 || !strings.Contains(said, b.Check)) {
		err = violation("serve exits with %d: %s", code, said)
	}
	return err
}

// check is one of doctor's.
type check struct {
	ID      string `json:"id"`
	Verdict string `json:"verdict"`
	Fix     string `json:"fix"`
}

func (c check) String() string {
	if c.Verdict == "refuse" {
		return c.ID + " refuse (" + c.Fix + ")"
	}
	return c.ID + " " + c.Verdict
}

func (c check) wrong() bool      { return c.Verdict == "warn" || c.Verdict == "refuse" }
func (c check) ofTheMount() bool { return c.ID < "FP030" }

// doctor runs it where the host is.
func (m *Member) doctor(ctx context.Context) (seen []check, code int, err error) {
	c := m.Command(m.site.binary, "doctor", "--json")
	c.Env = m.site.env()
	out, err := c.Output(ctx)
	var exit *line.ExitError
	if errors.As(err, &exit) && exit.Exit.Signal == 0 {
		code, err = exit.Exit.Code, nil
	}
	if err != nil {
		return nil, 0, err
	}
	var doc struct {
		Checks []check `json:"checks"`
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		return nil, code, fmt.Errorf("doctor exits with %d and says %q: %w", code, out, err)
	}
	return doc.Checks, code, nil
}
