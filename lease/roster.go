package lease

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"fencepost/spool"
	"fencepost/spool/env"
	"fencepost/spool/vfs"
)

// Member is an enrolled host: roster/HOST.json.
type Member struct {
	Host      string        `json:"host"`
	ID        string        `json:"id"`                   // of this enrolment: a pin belongs to one
	MachineID string        `json:"machine_id,omitempty"` // as enrolled; empty = pinned at the first start
	Stages    []spool.Stage `json:"stages,omitempty"`     // that it may serve; nil = all
	By        string        `json:"by"`
	At        time.Time     `json:"at"`
	// Pinned is the machine id in force, empty until it is known. It isn't in
	// the file.
	Pinned string `json:"-"`
}

// pin is roster/HOST~ENROLMENT.pin. It bears the enrolment's id so that a host
// that is revoked and enrolled again starts without one, whatever happens to
// the old file.
type pin struct {
	MachineID string    `json:"machine_id"`
	At        time.Time `json:"at"`
}

func pinPath(m Member) string {
	return path.Join(spool.DirRoster, m.Host+"~"+m.ID+".pin")
}

// Enroll puts a host on the roster. Again with the same data it changes nothing
// (Stages nil: whatever they are); with other data it is an *EnrolledError. ID
// and At are filled in if empty.
func Enroll(ctx context.Context, e env.Env, m Member) (changed bool, err error) {
	if err := m.validate(); err != nil {
		return false, err
	}
	f := filesOf(e)
	if m.At.IsZero() {
		m.At = e.Wall().UTC()
	}
	if m.ID == "" {
		m.ID = f.nonce()
	}
	if changed, err = f.publish(ctx, spool.RosterPath(m.Host), encode(m)); err != nil {
		return false, fmt.Errorf("enroll host %s: %w", m.Host, err)
	}
	if changed {
		return true, nil
	}
	old, err := f.member(ctx, m.Host)
	if err != nil {
		return false, fmt.Errorf("enroll host %s: %w", m.Host, err)
	}
	return f.enrolledBefore(ctx, old, m)
}

// enrolledBefore compares. A machine id for a member without one pins it.
func (f files) enrolledBefore(ctx context.Context, old, m Member) (changed bool, err error) {
	if m.Stages != nil && !sameStages(old.Stages, m.Stages) {
		return false, &EnrolledError{Existing: old, What: fmt.Sprintf("stages %v", old.Stages)}
	}
	if m.MachineID == "" || m.MachineID == old.Pinned {
		return false, nil
	}
	pinned, err := Pin(ctx, f.env, old, m.MachineID)
	if err != nil {
		return false, err
	}
	if pinned != m.MachineID {
		return false, &EnrolledError{Existing: old, What: "machine id " + pinned}
	}
	return true, nil
}

// sameStages compares as sets.
func sameStages(a, b []spool.Stage) bool {
	all := func(a, b []spool.Stage) bool {
		return !slices.ContainsFunc(a, func(s spool.Stage) bool { return !slices.Contains(b, s) })
	}
	return all(a, b) && all(b, a)
}

func (m Member) validate() error {
	if !spool.ValidHost(m.Host) {
		return fmt.Errorf("invalid host name %q", m.Host)
	}
	if m.MachineID != "" && !word(m.MachineID) {
		return fmt.Errorf("host %s: invalid machine id %q", m.Host, m.MachineID)
	}
	if m.ID != "" && !word(m.ID) {
		return fmt.Errorf("host %s: invalid enrolment id %q", m.Host, m.ID)
	}
	for _, s := range m.Stages {
		if s != spool.Ingest && !slices.Contains(spool.Stages(), s) {
			return fmt.Errorf("host %s: unknown stage %q", m.Host, s)
		}
	}
	return nil
}

// Serves says whether the roster lets the host serve a stage.
func (m Member) Serves(s spool.Stage) bool { return m.Stages == nil || slices.Contains(m.Stages, s) }

// Pin binds an enrolled host to a machine and returns the machine id that it is
// bound to: another one if that came first. The link decides.
func Pin(ctx context.Context, e env.Env, m Member, machineID string) (string, error) {
	if m.MachineID != "" {
		return m.MachineID, nil
	}
	f := filesOf(e)
	data := encode(pin{MachineID: machineID, At: e.Wall().UTC()})
	if _, err := f.publish(ctx, pinPath(m), data); err != nil {
		return "", fmt.Errorf("pin host %s: %w", m.Host, err)
	}
	var p pin
	err := f.again(ctx, func() error { return readJSON(f.fs, pinPath(m), &p) })
	if err != nil {
		return "", fmt.Errorf("pin host %s: %w", m.Host, err)
	}
	return p.MachineID, nil
}

// Revoke takes a host off the roster; changed is false if it wasn't on it. Its
// instance stops at one of its next heartbeats. hosts/HOST stays for ever.
func Revoke(ctx context.Context, e env.Env, host string) (changed bool, err error) {
	if !spool.ValidHost(host) {
		return false, fmt.Errorf("invalid host name %q", host)
	}
	f := filesOf(e)
	if changed, err = f.remove(ctx, spool.RosterPath(host)); err != nil {
		return changed, fmt.Errorf("revoke host %s: %w", host, err)
	}
	// The pin belongs to the enrolment that is gone: what is left of it is litter.
	all, _ := names(f.fs, spool.DirRoster)
	for _, n := range all {
		if strings.HasPrefix(n, host+"~") && strings.HasSuffix(n, ".pin") {
			_ = f.fs.Remove(path.Join(spool.DirRoster, n))
		}
	}
	return changed, nil
}

// Roster lists the enrolled hosts, by name. Entries that can't be read are left
// out and named in the error.
func Roster(fs vfs.FS) ([]Member, error) {
	all, err := fs.List(spool.DirRoster)
	if err != nil {
		return nil, fmt.Errorf("list the roster: %w", err)
	}
	slices.Sort(all)
	var members []Member
	var failed []error
	for _, n := range all {
		host, ok := strings.CutSuffix(n, ".json")
		if !ok || !spool.ValidHost(host) {
			continue
		}
		m, err := readMember(fs, host)
		if notThere(err) {
			continue // revoked meanwhile
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		members = append(members, m)
	}
	return members, errors.Join(failed...)
}

// readMember reads an enrolment and its pin.
func readMember(fs vfs.FS, host string) (Member, error) {
	var m Member
	name := spool.RosterPath(host)
	if err := readJSON(fs, name, &m); err != nil {
		return m, err
	}
	if err := m.validate(); err != nil {
		return m, fmt.Errorf("read %s: %w", name, err)
	}
	if m.Host != host || m.ID == "" {
		return m, fmt.Errorf("read %s: it is about host %q, enrolment %q", name, m.Host, m.ID)
	}
	if m.Pinned = m.MachineID; m.Pinned != "" {
		return m, nil
	}
	var p pin
	if err := readJSON(fs, pinPath(m), &p); err == nil {
		m.Pinned = p.MachineID
	} else if !notThere(err) {
		return m, err
	}
	return m, nil
}

var errNotEnrolled = errors.New("the host is not on the roster")

// member reads an enrolment, told apart from one that isn't there: that, only a
// listing says.
func (f files) member(ctx context.Context, host string) (m Member, err error) {
	err = f.again(ctx, func() error {
		var rerr error
		if m, rerr = readMember(f.fs, host); !notThere(rerr) {
			return rerr
		}
		there, err := has(f.fs, spool.RosterPath(host))
		if err == nil && !there {
			return errNotEnrolled
		}
		return errors.Join(rerr, err)
	})
	return m, err
}

// admit checks the roster and the machine id, and pins a host that has none.
func (f files) admit(ctx context.Context, id Identity) (Member, error) {
	refuse := func(reason string) error {
		return &RefusedError{Host: id.Host, MachineID: id.MachineID, Reason: reason}
	}
	m, err := f.member(ctx, id.Host)
	if errors.Is(err, errNotEnrolled) {
		return m, refuse(err.Error())
	}
	if err != nil {
		return m, fmt.Errorf("check the roster: %w", err)
	}
	if m.Pinned, err = Pin(ctx, f.env, m, id.MachineID); err != nil {
		return m, err
	}
	if m.Pinned != id.MachineID {
		return m, refuse("the host is pinned to machine " + m.Pinned)
	}
	return m, nil
}
