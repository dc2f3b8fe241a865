package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"fencepost/lease"
	"fencepost/spool"
)

func hostChecks() []check {
	on := func(judge func(*patient) Finding) func(context.Context, *patient) Finding {
		return func(_ context.Context, p *patient) Finding {
			if p.hostsErr != nil {
				return unable(p.hostsErr)
			}
			return judge(p)
		}
	}
	return []check{
		{"FP040", "this host is enrolled", "A host that isn't on the roster, or that is pinned to another machine, takes nothing.", false, on(checkEnrolled)},
		{"FP041", "one machine id a host", "Two machines with one id are clones: the roster can't tell them apart.", false, on(checkMachines)},
		{"FP042", "one configuration", "Hosts that differ in settings that all should share judge the same thing differently.", false, on(checkDigests)},
		{"FP043", "one lease time", "A host judges another's silence by its own lease time.", false, on(checkLeases)},
		{"FP044", "one version", "Different versions work together only if the changelog says so.", false, on(checkVersions)},
		{"FP045", "clock against the server", "Nothing is decided by it, but people compare times.", false, checkServerClock},
		{"FP046", "clocks of other hosts", "Nothing is decided by them, but people compare times, and ids older than the retention are refused by the accepting host's clock.", false, on(checkPeerClocks)},
		{"FP047", "audited lately", "The audit is what notices that a job is gone.", false, on(checkAudit)},
		{"FP048", "one server and export", "Two servers, two gateways before one store, or a server that works on its own directory beside NFS, are two that decide.", false, on(checkSources)},
	}
}

// running are the hosts whose records count now.
func (p *patient) running() []lease.HostState {
	return slices.DeleteFunc(slices.Clone(p.hosts), func(h lease.HostState) bool {
		return h.State != lease.Live && h.State != lease.Unfit
	})
}

func checkEnrolled(p *patient) Finding {
	for _, m := range p.members {
		switch {
		case m.Host != p.Host:
		case m.Pinned == "":
			return good(fmt.Sprintf("host %s is enrolled, and pinned to a machine at its first start", p.Host))
		case m.Pinned != p.MachineID:
			return Finding{Warn, []string{fmt.Sprintf("host %s is pinned to machine %s, this is %s", p.Host, m.Pinned, p.MachineID)},
				fmt.Sprintf("give this machine another name (--host), or, if it replaces the other one, stop that for good and: fencepost revoke %s && fencepost enroll %s", p.Host, p.Host)}
		default:
			return good(fmt.Sprintf("host %s is enrolled, machine %s", p.Host, m.Pinned))
		}
	}
	return Finding{Warn, []string{fmt.Sprintf("host %s isn't on the roster", p.Host)}, "fencepost enroll " + p.Host}
}

func checkMachines(p *patient) Finding {
	by := map[string][]string{}
	for _, m := range p.members {
		if m.Pinned != "" {
			by[m.Pinned] = append(by[m.Pinned], m.Host)
		}
	}
	f := good()
	for _, id := range slices.Sorted(maps.Keys(by)) {
		if len(by[id]) > 1 {
			f.add(Note, "right for several instances on one machine; on clones: rm /etc/machine-id && systemd-machine-id-setup, then revoke and enroll them again",
				fmt.Sprintf("machine %s is %s", id, strings.Join(by[id], " and ")))
		}
	}
	if f.Verdict == OK {
		f.Evidence = append(f.Evidence, fmt.Sprintf("%d enrolled hosts on as many machines", len(p.members)))
	}
	return f
}

// differ groups running hosts by what of tells; one group is good. own, if not
// "", is what this command's own configuration tells.
func (p *patient) differ(own string, of func(lease.Record) string, v Verdict, fix string) Finding {
	by := map[string][]string{}
	hosts := p.running()
	for _, h := range hosts {
		by[of(h.Record)] = append(by[of(h.Record)], h.Host)
	}
	var lines []string
	for _, what := range slices.Sorted(maps.Keys(by)) {
		lines = append(lines, what+": "+strings.Join(by[what], ", "))
	}
	switch {
	case len(hosts) == 0:
		return skipped("no host runs")
	case len(by) > 1:
		return Finding{v, lines, fix}
	case own != "" && by[own] == nil:
		// The daemons may have been given flags.
		return Finding{Note, append(lines, own+": the configuration that this command reads"), fix}
	}
	return good(lines...)
}

func checkDigests(p *patient) Finding {
	return p.differ("digest "+p.Digest, func(r lease.Record) string { return "digest " + r.ConfigDigest }, Warn,
		"fencepost config show on each of them; make /etc/fencepost/fencepost.toml the same, and restart those that differ")
}

func checkLeases(p *patient) Finding {
	text := func(beat, ttl time.Duration) string { return fmt.Sprintf("heartbeat %s, lease %s", beat, ttl) }
	return p.differ(text(p.Heartbeat, p.Lease), func(r lease.Record) string { return text(r.Interval, r.TTL) }, Warn,
		"give all hosts the same heartbeat and lease")
}

func checkVersions(p *patient) Finding {
	return p.differ("", func(r lease.Record) string { return "version " + r.Version }, Note, "update all hosts")
}

// farOff is a difference of clocks that misleads who reads logs.
const farOff = 2 * time.Second

const setClocks = "let chrony or systemd-timesyncd set the clock of every host and of the server (timedatectl)"

func checkServerClock(_ context.Context, p *patient) Finding {
	if p.probeErr != nil {
		return skipped("no probe files could be made, see FP020")
	}
	f := good(fmt.Sprintf("the server's clock is %s ahead of this host's, give or take %s", p.offset.Round(time.Millisecond), p.slack.Round(time.Millisecond)))
	if p.offset.Abs() > farOff+p.slack {
		f.Verdict, f.Fix = Note, setClocks
	}
	return f
}

// checkPeerClocks: a record that was seen to change bears the time of its
// writer, and the observer knows since when it sees it.
func checkPeerClocks(p *patient) Finding {
	f := good()
	now := p.Spool.Env.Wall()
	for _, h := range p.running() {
		if !h.Measured || h.Host == p.Host {
			continue
		}
		offset := h.Record.At.Sub(now.Add(-h.Age))
		// It may have been written up to a look or a cache's life before.
		line := fmt.Sprintf("host %s: about %s ahead", h.Host, offset.Round(100*time.Millisecond))
		if offset.Abs() > farOff+h.Record.Interval {
			f.add(Note, setClocks, line)
		} else {
			f.Evidence = append(f.Evidence, line)
		}
	}
	if len(f.Evidence) == 0 {
		return skipped("no other host runs")
	}
	return f
}

// auditNote is what an audit leaves behind; docs/spec/spool-layout.md.
const auditNote = "intruders/audit.json"

// auditLate: hosts audit every twenty seconds, longer on a spool that takes
// longer to read.
const auditLate = 10 * time.Minute

func checkAudit(p *patient) Finding {
	alarms, err := p.Spool.Alarms()
	if err != nil {
		return unable(err)
	}
	f := good()
	for _, a := range alarms {
		if a.Resolved == nil && (a.Kind == spool.AlarmVanished || a.Kind == spool.AlarmDuplicated) {
			f.add(Refuse, "fencepost why "+a.Job+"; docs/ops/runbook.md#"+a.Kind, fmt.Sprintf("job %s is %s since %s", a.Job, a.Kind, a.First.UTC().Format(time.RFC3339)))
		}
	}
	data, _, err := p.Spool.FS.Read(auditNote, 1<<12)
	var note struct {
		By string    `json:"by"`
		At time.Time `json:"at"`
	}
	switch {
	case errors.Is(err, syscall.ENOENT):
		f.add(Note, "fencepost serve, whose hosts audit from then on, or fencepost audit", "no instance has audited this spool yet")
		return f
	case err != nil:
		return unable(err)
	case json.Unmarshal(data, &note) != nil:
		f.add(Warn, "fencepost audit; an instance replaces the note", path.Base(auditNote)+" is not to be understood")
		return f
	}
	// By the auditing host's clock: good enough for minutes.
	age := time.Since(note.At)
	line := fmt.Sprintf("last audited %s ago by %s", age.Round(time.Second), note.By)
	switch {
	case age > auditLate && len(p.running()) > 0:
		f.add(Warn, "fencepost audit; look for \"audit\" in the log of the hosts that run", line+", though hosts run")
	case age > auditLate:
		f.add(Note, "fencepost audit", line+"; no host runs")
	default:
		f.Evidence = append(f.Evidence, line)
	}
	return f
}
