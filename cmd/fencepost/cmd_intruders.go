package main

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"fencepost/cmd/fencepost/show"
	"fencepost/lease"
	"fencepost/spool"
)

// intruderDoc is a machine that was refused, on one day.
type intruderDoc struct {
	Host     string `json:"host"`
	Machine  string `json:"machine_id"`
	Boot     string `json:"boot_id"`
	PID      int    `json:"pid"`
	Version  string `json:"version"`
	Hostname string `json:"hostname"` // the machine's own; "" = not told
	Address  string `json:"addresses"`
	User     string `json:"user"`
	Program  string `json:"program"`
	KnownAs  string `json:"known_as"` // the host that this machine is enrolled as, under another name
	Reason   string `json:"reason"`
	First    string `json:"first"` // by its own clock
	Last     string `json:"last"`
	Count    int    `json:"count"`
	Resolved bool   `json:"resolved"` // the roster knows this machine under this name now
}

func newIntrudersCmd(g *globals) *cobra.Command {
	acknowledge, reason := false, ""
	cmd := &cobra.Command{
		Use:   "intruders",
		Short: "Show who was refused, and which files were none of ours",
		Long: "intruders lists the machines that tried to take part and were refused, one line a machine and\n" +
			"day, and the files that stood where only fencepost writes. A machine that was enrolled since\n" +
			"counts as resolved: status doesn't mention it any more.\n\n" +
			"It also lists the alarms that the hosts raised: jobs that vanished or are there twice, until they\n" +
			"are right again, and canaries that a foreign program took, until they have stood untouched for an\n" +
			"hour or a person says with --acknowledge that he knows.",
		Example: "  fencepost intruders\n  fencepost intruders --acknowledge --reason \"the old crontab, removed\"",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			type both struct {
				Intruders []intruderDoc `json:"intruders"`
				Foreign   []string      `json:"foreign_files"`
				Alarms    []alarmDoc    `json:"alarms"`
			}
			doc, err := onSpool(g, cmd, func(_ context.Context, s *share) (d both, err error) {
				if acknowledge {
					why := strings.TrimSuffix("acknowledged by "+person()+": "+reason, ": ")
					if _, err := s.ResolveAlarms(func(spool.Alarm) bool { return true }, why); err != nil {
						return d, err
					}
				}
				if d.Alarms, err = takeAlarms(s); err != nil {
					return d, err
				}
				if d.Intruders, err = takeIntruders(s); err == nil {
					d.Foreign, err = foreignFiles(s)
				}
				return d, err
			})
			if err != nil {
				return err
			}
			return g.print("intruders", doc, func(o *show.Out) {
				t := o.Table("HOST", "MACHINE", "ADDRESS", "TIMES", "FIRST", "LAST", "RESOLVED", "REASON")
				for _, in := range doc.Intruders {
					t.Row(in.Host, in.Machine, dash(in.Address), itoa(in.Count), in.First, in.Last, yes(in.Resolved), in.Reason)
				}
				t.End()
				printUnknown(o, unresolved(doc.Intruders))
				for _, f := range doc.Foreign {
					o.Cells(show.Fine, "foreign file", f)
				}
				printAlarms(o, doc.Alarms)
			})
		},
	}
	cmd.Flags().BoolVar(&acknowledge, "acknowledge", false, "mark the canaries' alarms as known")
	cmd.Flags().StringVar(&reason, "reason", "", "`TEXT` that others will read")
	return cmd
}

func takeIntruders(s *share) ([]intruderDoc, error) {
	all, err := lease.Intruders(s.FS)
	if err != nil {
		return nil, err
	}
	members, err := lease.Roster(s.FS)
	if err != nil && len(members) == 0 {
		return nil, err
	}
	// An entry that can't be read enrols nobody: the others count all the same.
	out := []intruderDoc{}
	for _, in := range all {
		// Enrolled since, for this machine: whoever did that knows it. No times
		// are compared: they are of two hosts.
		resolved := slices.ContainsFunc(members, func(m lease.Member) bool {
			return m.Host == in.Host && (m.Pinned == in.MachineID || m.Pinned == "")
		})
		d := intruderDoc{Host: in.Host, Machine: in.MachineID, Boot: in.BootID, PID: in.PID, Version: in.Version,
			Hostname: in.Hostname, Address: in.Addresses, User: in.User, Program: in.Program,
			Reason: in.Reason, First: stamp(in.First), Last: stamp(in.Last), Count: in.Count, Resolved: resolved}
		for _, m := range members {
			if m.Host != in.Host && m.Pinned == in.MachineID && in.MachineID != "" {
				d.KnownAs = m.Host
			}
		}
		out = append(out, d)
	}
	return out, nil
}

// printUnknown names the machines that nobody enrolled, with where they are.
func printUnknown(o *show.Out, all []intruderDoc) {
	for _, in := range all {
		o.Cells(show.Bad, "unknown", in.who(), "refused "+plural(in.Count, "time")+", last at "+in.Last, "("+in.next()+")")
	}
}

// who says in a sentence where that machine is found.
func (in intruderDoc) who() string {
	out := fmt.Sprintf("host %s is unknown: machine %s", in.Host, in.Machine)
	if in.KnownAs != "" {
		out += ", which is enrolled as " + in.KnownAs
	}
	if in.Hostname != "" && in.Hostname != in.Host {
		out += ", hostname " + in.Hostname
	}
	if in.Address != "" {
		out += ", address " + in.Address
	}
	out += fmt.Sprintf(", process %d", in.PID)
	if in.User != "" {
		out += " of user " + in.User
	}
	if in.Program != "" {
		out += ", program " + in.Program
	}
	return out + ", version " + or(in.Version, "unknown")
}

// next is what to do about it.
func (in intruderDoc) next() string {
	return fmt.Sprintf("stop it there, or fencepost enroll %s --machine-id %s if it belongs here", in.Host, in.Machine)
}

func unresolved(all []intruderDoc) []intruderDoc {
	return slices.DeleteFunc(slices.Clone(all), func(in intruderDoc) bool { return in.Resolved })
}

// foreignFiles lists what was in the way and was moved aside.
func foreignFiles(s *share) ([]string, error) {
	names, err := s.FS.List(spool.DirForeign)
	if isMissing(err) {
		return []string{}, nil
	}
	slices.Sort(names)
	out := []string{}
	for _, n := range names {
		out = append(out, path.Join(spool.DirForeign, n))
	}
	return out, err
}
