package main

import (
	"os"

	"github.com/spf13/cobra"

	"fencepost/submit/local"
)

// newJobWrapperCmd is how the embedded cluster runs one job: this binary again,
// in a session of its own, so that it outlives the daemon.
func newJobWrapperCmd(*globals) *cobra.Command {
	return &cobra.Command{
		Use:                "job-wrapper",
		Short:              "Run one job of the embedded cluster (started by serve)",
		Hidden:             true,
		DisableFlagParsing: true,
		Run: func(_ *cobra.Command, args []string) {
			os.Exit(local.WrapperMain(args))
		},
	}
}
