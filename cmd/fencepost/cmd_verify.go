package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"fencepost/cmd/fencepost/secure"
	"fencepost/cmd/fencepost/show"
	"fencepost/spool"
)

// auditVerify checks the chains of the journals.
func (g *globals) auditVerify(cmd *cobra.Command, heads string) error {
	c, err := g.config(cmd)
	if err != nil {
		return err
	}
	keys, err := secure.ReadSpoolKeys(c.SpoolKeyFile)
	if err != nil {
		return usagef(cmd, "%w", err)
	}
	var earlier spool.ChainReport
	if heads != "" {
		data, err := g.readFile(heads)
		if err == nil {
			err = json.Unmarshal(data, &earlier)
		}
		if err != nil {
			return usagef(cmd, "--heads: %w", err)
		}
	}
	r, err := onSpool(g, cmd, func(_ context.Context, s *share) (spool.ChainReport, error) {
		return s.VerifyJournals(keys.Journal, earlier.Heads)
	})
	if err != nil {
		return err
	}
	if err := g.print("audit-verify", r, func(o *show.Out) { printChains(o, r) }); err != nil {
		return err
	}
	switch {
	case len(r.Broken) > 0:
		return &exitError{code: exitUnsafe, err: fmt.Errorf("the journals are not as they were written, in %d places", len(r.Broken)),
			next: "the journals explain and decide nothing: fencepost audit says whether any job is missing"}
	case r.Unknown > 0:
		return &exitError{code: exitDegraded, err: fmt.Errorf("%d of %d lines can't be checked without the key", r.Unknown, r.Lines),
			next: "run it where spool_key_file is readable"}
	}
	return nil
}

func printChains(o *show.Out, r spool.ChainReport) {
	t := o.Table("LOG", "EVENTS", "LINK")
	for _, h := range r.Heads {
		t.Row(h.Log, fmt.Sprint(h.Events), dash(h.Link))
	}
	t.End()
	for _, b := range r.Broken {
		o.Cells(show.Bad, "broken", fmt.Sprintf("%s:%d", b.File, b.Line), b.Why)
	}
	if r.Plain > 0 {
		o.Cells(show.Warn, "without the key", fmt.Sprintf("%d lines", r.Plain), "from before there was one, or made by somebody else")
	}
	if r.Bare > 0 {
		o.Cells(show.Warn, "without links", fmt.Sprintf("%d lines", r.Bare), "written before there were any")
	}
}
