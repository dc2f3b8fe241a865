package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"fencepost/cmd/fencepost/show"
	"fencepost/spool"
)

// release is set by the linker: -X main.release=1.2.3.
var release = ""

// version is one word for heartbeats, journals and WELCOME.
func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	if c := commit(); c != "" {
		return "devel-" + c
	}
	return "devel"
}

// commit is the revision that this was built from, if the build noted it.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	rev, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			rev = s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+"
		}
	}
	return rev + dirty
}

func newVersionCmd(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			doc := map[string]any{"version": version(), "commit": commit(), "go": runtime.Version(),
				"platform": runtime.GOOS + "/" + runtime.GOARCH, "layout": spool.FormatVersion}
			return g.print("version", doc, func(o *show.Out) {
				o.Line("fencepost " + version() + " (layout " + itoa(spool.FormatVersion) + ", " + runtime.Version() + " " +
					runtime.GOOS + "/" + runtime.GOARCH + ")")
			})
		},
	}
}
