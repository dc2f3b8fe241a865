package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"fencepost/cmd/fencepost/show"
	"fencepost/spool"
)

// retentionDoc is what is closed, so that its records may be removed, and who holds
// that up. Times are ends of buckets: of ids that were made before.
type retentionDoc struct {
	Closed  string           `json:"closed_before"` // "" = nothing is
	Wanted  string           `json:"wanted_before"` // "" = nothing is to be removed
	Waiting []string         `json:"waiting_for"`   // HOST/EPOCH that haven't promised what is wanted
	Buckets []retainedBucket `json:"next_buckets"`  // that are final
	Oldest  *string          `json:"oldest"`        // the oldest bucket in the gate, when it begins; nil = none holds a time
}

// retainedBucket is a slice of time all of whose jobs have ended.
type retainedBucket struct {
	Bucket string `json:"bucket"`
	From   string `json:"from"`
	Final  string `json:"final_since"` // by the clock of who saw it first
}

func newRetentionCmd(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "retention",
		Short: "Show which records are removed next, and what holds that up",
		Long: "retention shows up to when ids are closed: such an id is let in no more, on any host, and the\n" +
			"records of its job go once all jobs of the same 17 minutes have ended. A time is closed when\n" +
			"every instance that may accept has promised it: those that haven't are listed. A host doesn't\n" +
			"promise while its clock, or its setting of retention, says that the time isn't old enough, or\n" +
			"with remove_old = false; an instance that is gone is reclaimed first.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			doc, err := onSpool(g, cmd, func(_ context.Context, s *share) (*retentionDoc, error) { return takeRetention(s) })
			if err != nil {
				return err
			}
			return g.print("retention", doc, func(o *show.Out) { printRetention(o, doc) })
		},
	}
}

func takeRetention(s *share) (*retentionDoc, error) {
	ret, err := s.Retained()
	if err != nil {
		return nil, err
	}
	d := &retentionDoc{Waiting: []string{}, Buckets: []retainedBucket{}}
	if ret.Closed != "" {
		d.Closed = stamp(spool.BucketEnd(ret.Closed))
	}
	if ret.Wanted != "" {
		d.Wanted = stamp(spool.BucketEnd(ret.Wanted))
	}
	if ret.Wanted > ret.Closed {
		if d.Waiting, err = s.Unpromised(ret.Wanted, ret); err != nil {
			return nil, err
		}
	}
	final, err := s.FinalSince()
	if err != nil {
		return nil, err
	}
	for b, since := range final {
		d.Buckets = append(d.Buckets, retainedBucket{b, stamp(spool.BucketStart(b)), stamp(since)})
	}
	slices.SortFunc(d.Buckets, func(a, b retainedBucket) int { return cmp.Compare(a.Bucket, b.Bucket) })
	oldest, err := s.OldestBucket()
	if oldest != "" {
		at := stamp(spool.BucketStart(oldest))
		d.Oldest = &at
	}
	return d, err
}

func printRetention(o *show.Out, d *retentionDoc) {
	t := o.Table("WHAT", "VALUE")
	oldest := ""
	if d.Oldest != nil {
		oldest = *d.Oldest
	}
	for _, row := range [][2]string{{"oldest records from", oldest}, {"closed before", d.Closed}, {"to be closed before", d.Wanted},
		{"final times that wait", fmt.Sprint(len(d.Buckets))}} {
		t.Row(row[0], dash(row[1]))
	}
	t.End()
	for _, owner := range d.Waiting {
		o.Cells(show.Warn, "waiting", owner+" hasn't promised: does it run this version, with remove_old, the same retention, and a right clock?")
	}
}
