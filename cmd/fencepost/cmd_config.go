package main

import (
	"context"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"fencepost/cmd/fencepost/config"
	"fencepost/cmd/fencepost/show"
)

func newConfigCmd(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show or check the settings",
		Args:  cobra.ArbitraryArgs,
		RunE:  unknownCommand,
	}
	showCmd := &cobra.Command{
		Use:   "show",
		Short: "Print every setting, and where its value came from",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return g.configShow(cmd) },
	}
	check := &cobra.Command{
		Use:   "check",
		Short: "Check the settings, and the spool if one is named; exit 2 if they are wrong",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return g.configCheck(cmd) },
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "example",
		Short: "Print a file with every setting, explained, that sets none",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := io.WriteString(g.stdout, config.Example())
			return err
		},
	})
	for _, c := range []*cobra.Command{showCmd, check} {
		g.bind(c, config.ServeKeys()...)
		cmd.AddCommand(c)
	}
	return cmd
}

func (g *globals) configShow(cmd *cobra.Command) error {
	c, err := g.config(cmd)
	if err != nil {
		return err
	}
	doc := map[string]any{"digest": c.Digest(), "file": c.File}
	settings := map[string]any{}
	for _, s := range config.Settings() {
		settings[s.Key] = map[string]any{"value": c.Value(s), "from": c.Origin(s), "shared": s.Shared}
	}
	doc["settings"] = settings
	return g.print("config", doc, func(o *show.Out) {
		t := o.Table("SETTING", "VALUE", "FROM")
		for _, s := range config.Settings() {
			t.Row(s.Key, c.Text(s), c.Origin(s))
		}
		t.End()
		o.Note("digest %s: equal on hosts that agree on what all hosts should", c.Digest())
	})
}

func (g *globals) configCheck(cmd *cobra.Command) error {
	c, err := g.config(cmd)
	if err != nil {
		return err
	}
	id := ""
	if c.Spool != "" {
		id, err = onSpool(g, cmd, func(_ context.Context, s *share) (string, error) { return s.ID, nil })
		if err != nil {
			return err
		}
	}
	doc := map[string]any{"ok": true, "digest": c.Digest(), "file": c.File, "spool": c.Spool, "spool_id": id}
	return g.print("config-check", doc, func(o *show.Out) {
		what := []string{"configuration ok"}
		if c.File != "" {
			what = append(what, "file "+c.File)
		}
		if c.Spool != "" {
			what = append(what, "spool "+c.Spool+" (id "+id+")")
		}
		o.Line(strings.Join(append(what, "digest "+c.Digest()), ", "))
	})
}
