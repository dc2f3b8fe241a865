package main

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fencepost/cmd/fencepost/show"
	"fencepost/spool"
)

// ageClasses are the columns of depth.
var ageClasses = [...]struct {
	name string
	most time.Duration // 0 = any
}{{"1m", time.Minute}, {"10m", 10 * time.Minute}, {"1h", time.Hour}, {"1d", 24 * time.Hour}, {"older", 0}}

const (
	ageUnknown = "unknown" // the id holds no time
	ageCount   = len(ageClasses) + 1
)

// ageClass is the class of a job's age by its id: an index of ageClasses, or the
// one behind the last.
func ageClass(id string, now time.Time) int {
	at, ok := idTime(id)
	if !ok {
		return ageCount - 1
	}
	age := now.Sub(at)
	for i, c := range ageClasses {
		if c.most == 0 || age <= c.most {
			return i
		}
	}
	return ageCount - 1
}

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
			"id, by the clock of who made it and that of this machine. Of a stage that works, the numbers\n" +
			"stand on the left; what stands on the right has waited for long: fencepost why JOB says for what.",
		Example: "  fencepost depth\n  fencepost jobs --stage submit --state waiting --older 1h",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rows, err := onSpool(g, cmd, func(_ context.Context, s *share) ([]depthDoc, error) {
				c, _, err := countOnce(s)
				if err != nil {
					return nil, err
				}
				return depthDocs(c.depths, s.Env.Wall()), nil
			})
			if err != nil {
				return err
			}
			return g.print("depth", map[string]any{"stages": rows}, func(o *show.Out) { printDepth(o, rows) })
		},
	}
}

// depthDocs are the places of a census in the order of the flow; stages at which
// nothing waits are there, too.
func depthDocs(depths []depthOf, now time.Time) []depthDoc {
	out := []depthDoc{}
	for _, stage := range spool.Stages() {
		idle := func(d depthOf) bool { return d.stage == stage && d.place == spool.PlaceWaiting }
		if !slices.ContainsFunc(depths, idle) {
			out = append(out, newDepthDoc(depthOf{stage: stage, place: spool.PlaceWaiting}, now))
		}
	}
	for _, d := range depths {
		out = append(out, newDepthDoc(d, now))
	}
	slices.SortFunc(out, func(a, b depthDoc) int { return cmp.Compare(depthOrder(a), depthOrder(b)) })
	return out
}

func newDepthDoc(d depthOf, now time.Time) depthDoc {
	doc := depthDoc{Stage: string(d.stage), State: string(d.place), Count: d.jobs, Job: d.oldest,
		Ages: map[string]int{ageUnknown: d.ages[ageCount-1]}}
	for i, c := range ageClasses {
		doc.Ages[c.name] = d.ages[i]
	}
	if at, ok := idTime(d.oldest); ok {
		secs := seconds(max(now.Sub(at), 0))
		doc.Oldest = &secs
	}
	return doc
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
