package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fencepost/cmd/fencepost/show"
	"fencepost/spool"
)

// ageClasses are the columns of depth.
var ageClasses = []struct {
	name string
	most time.Duration // 0 = any
}{{"1m", time.Minute}, {"10m", 10 * time.Minute}, {"1h", time.Hour}, {"1d", 24 * time.Hour}, {"older", 0}}

const ageUnknown = "unknown" // the id holds no time

// depthDoc is a place and how long its jobs have been on the way.
type depthDoc struct {
	Stage  string         `json:"stage"`
	State  string         `json:"state"`
	Count  int            `json:"count"`
	Ages   map[string]int `json:"ages"`           // since the id was made: up to 1m, 10m, 1h, 1d, older, unknown
	Oldest *float64       `json:"oldest_seconds"` // nil if no id holds a time
	Job    string         `json:"oldest_job"`
}

func newDepthCmd(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "depth",
		Short: "Show how many jobs are at each stage, by age",
		Long: "depth counts the jobs that are on their way, by stage and by age. The age is that of the job's\n" +
			"id, by the clock of who made it and that of this machine.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rows, err := onSpool(g, cmd, func(_ context.Context, s *share) ([]depthDoc, error) { return takeDepth(s) })
			if err != nil {
				return err
			}
			return g.print("depth", map[string]any{"stages": rows}, func(o *show.Out) { printDepth(o, rows) })
		},
	}
}

func takeDepth(s *share) ([]depthDoc, error) {
	jobs, err := listJobs(s, jobsFilter{})
	if err != nil {
		return nil, err
	}
	now, rows := s.Env.Wall(), map[string]*depthDoc{}
	for _, stage := range stageWords() {
		rows[stage+" "+string(spool.PlaceWaiting)] = newDepth(stage, string(spool.PlaceWaiting))
	}
	for _, j := range jobs {
		if j.State == string(spool.PlaceDone) || j.State == string(spool.PlaceHandedOver) {
			continue
		}
		key := j.Stage + " " + j.State
		if rows[key] == nil {
			rows[key] = newDepth(j.Stage, j.State)
		}
		rows[key].add(j, now)
	}
	var out []depthDoc
	for _, r := range rows {
		out = append(out, *r)
	}
	slices.SortFunc(out, func(a, b depthDoc) int { return depthOrder(a) - depthOrder(b) })
	return out, nil
}

func newDepth(stage, state string) *depthDoc {
	d := &depthDoc{Stage: stage, State: state, Ages: map[string]int{ageUnknown: 0}}
	for _, c := range ageClasses {
		d.Ages[c.name] = 0
	}
	return d
}

func (d *depthDoc) add(j jobDoc, now time.Time) {
	d.Count++
	at, ok := idTime(j.Job)
	if !ok {
		d.Ages[ageUnknown]++
		return
	}
	age := max(now.Sub(at), 0)
	if secs := seconds(age); d.Oldest == nil || secs > *d.Oldest {
		d.Oldest, d.Job = &secs, j.Job
	}
	for _, c := range ageClasses {
		if c.most == 0 || age <= c.most {
			d.Ages[c.name]++
			return
		}
	}
}

// depthOrder is the order of the flow.
func depthOrder(d depthDoc) int {
	stages := append([]string{string(spool.Ingest)}, stageWords()...)
	return 100*slices.Index(stages, d.Stage) + slices.Index(placeWords(), d.State)
}

func printDepth(o *show.Out, rows []depthDoc) {
	head := []string{"STAGE", "STATE", "JOBS"}
	for _, c := range ageClasses {
		head = append(head, strings.ToUpper(c.name))
	}
	t := o.Table(append(head, "UNKNOWN", "OLDEST", "OLDEST JOB")...)
	for _, r := range rows {
		cells := []string{r.Stage, r.State, itoa(r.Count)}
		for _, c := range ageClasses {
			cells = append(cells, itoa(r.Ages[c.name]))
		}
		oldest := "-"
		if r.Oldest != nil {
			oldest = human(*r.Oldest)
		}
		t.Row(append(cells, itoa(r.Ages[ageUnknown]), oldest, dash(r.Job))...)
	}
	t.End()
}
