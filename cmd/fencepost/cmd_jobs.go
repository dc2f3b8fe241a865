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

// jobsFilter says which jobs are wanted.
type jobsFilter struct {
	stage, state string
	host         string // whose claims, or who did them
	cluster      string
	prefix       string // of the id
	older, newer time.Duration
	faults       int // at least
	limit        int
	lines        bool
}

func newJobsCmd(g *globals) *cobra.Command {
	var f jobsFilter
	cmd := &cobra.Command{
		Use:   "jobs [PREFIX]",
		Short: "List jobs and where they are",
		Long: "jobs lists each job once, at its furthest place, the oldest ids first: all of them, those whose id\n" +
			"begins with PREFIX, and those that every filter lets pass. Ages are those of the ids, by the clock\n" +
			"of who made them; ids without a time have none, and no filter by age lets them pass.",
		Example: "  fencepost jobs --state parked\n  fencepost jobs --stage submit --state waiting --older 1h\n" +
			"  fencepost jobs --host alpha --state claimed\n  fencepost jobs --cluster-id 4711",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: g.completeJobs(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				f.prefix = strings.ToLower(args[0])
			}
			return g.jobs(cmd, f)
		},
	}
	cmd.Flags().StringVar(&f.stage, "stage", "", "only jobs at `STAGE`: translate or submit")
	cmd.Flags().StringVar(&f.state, "state", "", "only jobs in `STATE`: "+strings.Join(placeWords(), ", "))
	cmd.Flags().StringVar(&f.host, "host", "", "only jobs that `HOST` has in hand, or finished")
	cmd.Flags().StringVar(&f.cluster, "cluster-id", "", "only the jobs with this `ID` at the cluster")
	cmd.Flags().DurationVar(&f.older, "older", 0, "only jobs that are older than `DURATION`")
	cmd.Flags().DurationVar(&f.newer, "newer", 0, "only jobs that are younger than `DURATION`")
	cmd.Flags().IntVar(&f.faults, "faults", 0, "only jobs with `N` faults or more")
	cmd.Flags().IntVar(&f.limit, "limit", 0, "at most `N` jobs, the oldest ids first (default all)")
	cmd.Flags().BoolVar(&f.lines, "jsonl", false, "print one JSON document a line and job")
	_ = cmd.RegisterFlagCompletionFunc("stage", g.completeStages)
	_ = cmd.RegisterFlagCompletionFunc("state", oneOf(placeWords()...))
	_ = cmd.RegisterFlagCompletionFunc("host", g.completeHostFlag)
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
	switch {
	case f.limit < 0:
		return usagef(cmd, "--limit %d is negative", f.limit)
	case f.faults < 0:
		return usagef(cmd, "--faults %d is negative", f.faults)
	case f.older < 0 || f.newer < 0:
		return usagef(cmd, "an age is not negative")
	case f.newer > 0 && f.older >= f.newer:
		return usagef(cmd, "no job is older than %s and younger than %s", f.older, f.newer)
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

// places are those that have to be listed to know the jobs that are wanted. What
// was set aside, or is done, stands in no other place; the others move meanwhile.
func (f jobsFilter) places() []spool.Place {
	switch p := spool.Place(f.state); p {
	case spool.PlaceHeld, spool.PlaceParked, spool.PlaceFailed, spool.PlaceDone:
		return []spool.Place{p}
	}
	return nil
}

// wants says whether a job, at its furthest place, is one of them.
func (f jobsFilter) wants(one spool.Found, now time.Time) bool {
	n := one.Name
	if f.older > 0 || f.newer > 0 {
		at, ok := idTime(n.ID)
		if !ok || f.older > 0 && now.Sub(at) <= f.older || f.newer > 0 && now.Sub(at) >= f.newer {
			return false
		}
	}
	return (f.stage == "" || f.stage == string(n.Stage)) && (f.state == "" || f.state == string(one.Place)) &&
		(f.host == "" || f.host == n.Host) && (f.cluster == "" || f.cluster == n.Cluster) && n.Faults >= f.faults
}

// listJobs lists each job once, at its furthest place, by id.
func listJobs(s *share, f jobsFilter) ([]jobDoc, error) {
	found := map[string]spool.Found{}
	err := s.Scan(func(one spool.Found) {
		if !strings.HasPrefix(one.Name.ID, f.prefix) {
			return
		}
		if had, ok := found[one.Name.ID]; ok {
			one = spool.Furthest([]spool.Found{had, one})
		}
		found[one.Name.ID] = one
	}, f.places()...)
	jobs, now := []jobDoc{}, s.Env.Wall()
	for _, one := range found {
		if f.wants(one, now) {
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
