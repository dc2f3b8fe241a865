package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"fencepost/cmd/fencepost/config"
	"fencepost/cmd/fencepost/show"
	"fencepost/spool"
)

// jobDoc is a job as its name on disk says.
type jobDoc struct {
	Job     string `json:"job"`
	State   string `json:"state"`
	Stage   string `json:"stage"`
	Gen     int    `json:"generation"`
	Faults  int    `json:"faults"`
	Host    string `json:"host"` // whose claim it is, or who did it
	Epoch   uint64 `json:"epoch"`
	Seq     uint64 `json:"seq"`
	Cluster string `json:"cluster_id"`
	Path    string `json:"path"`
	Time    string `json:"time"` // in the id, by the clock of who made it; "" if the id has none
}

type jobsFilter struct {
	stage, state string
	limit        int
	lines        bool
}

func newJobsCmd(g *globals) *cobra.Command {
	var f jobsFilter
	cmd := &cobra.Command{
		Use:   "jobs",
		Short: "List jobs and where they are",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return g.jobs(cmd, f) },
	}
	cmd.Flags().StringVar(&f.stage, "stage", "", "only jobs at `STAGE`: translate or submit")
	cmd.Flags().StringVar(&f.state, "state", "", "only jobs in `STATE`: "+strings.Join(placeWords(), ", "))
	cmd.Flags().IntVar(&f.limit, "limit", 0, "at most `N` jobs, the oldest ids first (default all)")
	cmd.Flags().BoolVar(&f.lines, "jsonl", false, "print one JSON document a line and job")
	_ = cmd.RegisterFlagCompletionFunc("stage", oneOf(stageWords()...))
	_ = cmd.RegisterFlagCompletionFunc("state", oneOf(placeWords()...))
	return cmd
}

func (f jobsFilter) check(cmd *cobra.Command) error {
	for _, c := range []struct {
		flag, got string
		want      []string
	}{{"stage", f.stage, stageWords()}, {"state", f.state, placeWords()}} {
		if c.got != "" && !contains(c.want, c.got) {
			return usagef(cmd, "--%s %q is not one of %s%s", c.flag, c.got, strings.Join(c.want, ", "), maybe(config.Nearest(c.got, c.want)))
		}
	}
	if f.limit < 0 {
		return usagef(cmd, "--limit %d is negative", f.limit)
	}
	return nil
}

func (g *globals) jobs(cmd *cobra.Command, f jobsFilter) error {
	if err := f.check(cmd); err != nil {
		return err
	}
	jobs, err := onSpool(g, cmd, func(_ context.Context, s *share) ([]jobDoc, error) { return listJobs(s, f) })
	if err != nil {
		return err
	}
	total := len(jobs)
	if f.limit > 0 && total > f.limit {
		jobs = jobs[:f.limit]
		fmt.Fprintf(g.stderr, "the first %d of %d jobs\n", f.limit, total)
	}
	if f.lines {
		return show.JSONLines(g.stdout, "job", slices.Values(jobs))
	}
	return g.print("jobs", map[string]any{"jobs": jobs, "total": total}, func(o *show.Out) {
		t := o.Table("JOB", "STATE", "STAGE", "HOST", "EPOCH", "GENERATION", "FAULTS", "CLUSTER ID", "TIME")
		for _, j := range jobs {
			epoch := "-"
			if j.Epoch > 0 {
				epoch = fmt.Sprint(j.Epoch)
			}
			t.Row(j.Job, j.State, j.Stage, dash(j.Host), epoch, itoa(j.Gen), itoa(j.Faults), dash(j.Cluster), dash(j.Time))
		}
		t.End()
	})
}

// listJobs lists each job once, at its furthest place, by id.
func listJobs(s *share, f jobsFilter) ([]jobDoc, error) {
	found := map[string]spool.Found{}
	err := s.Scan(func(one spool.Found) {
		if had, ok := found[one.Name.ID]; ok {
			one = spool.Furthest([]spool.Found{had, one})
		}
		found[one.Name.ID] = one
	})
	jobs := []jobDoc{}
	for _, one := range found {
		if (f.stage == "" || f.stage == string(one.Name.Stage)) && (f.state == "" || f.state == string(one.Place)) {
			jobs = append(jobs, newJobDoc(one))
		}
	}
	slices.SortFunc(jobs, func(a, b jobDoc) int { return strings.Compare(a.Job, b.Job) })
	return jobs, err
}

func newJobDoc(f spool.Found) jobDoc {
	n := f.Name
	d := jobDoc{Job: n.ID, State: string(f.Place), Stage: string(n.Stage), Gen: n.Gen, Faults: n.Faults, Host: n.Host,
		Epoch: n.Epoch, Seq: n.Seq, Cluster: n.Cluster, Path: f.Path}
	if at, ok := idTime(n.ID); ok {
		d.Time = stamp(at)
	}
	return d
}

// idTime is the moment that a UUIDv7 holds.
func idTime(id string) (time.Time, bool) {
	u, err := uuid.Parse(id)
	if err != nil || u.Version() != 7 {
		return time.Time{}, false
	}
	sec, nsec := u.Time().UnixTime()
	return time.Unix(sec, nsec), true
}
