package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"fencepost/cmd/fencepost/config"
)

func newManCmd(g *globals) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "man [COMMAND...]",
		Short: "Print a manual page, or write all of them",
		Long:  "man prints the page of a command in the form that man -l takes: fencepost man trace | man -l -",
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			if dir != "" {
				return writePages(root, dir)
			}
			c, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 || len(args) > 0 && c == root {
				return usagef(cmd, "no command %q", strings.Join(args, " "))
			}
			_, err = g.stdout.Write(manPage(c))
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "write the pages of all commands into `DIR`")
	return cmd
}

func writePages(c *cobra.Command, dir string) error {
	if !c.IsAvailableCommand() && c.HasParent() {
		return nil
	}
	name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1"
	if err := os.WriteFile(filepath.Join(dir, name), manPage(c), 0o644); err != nil {
		return fmt.Errorf("write manual page: %w", err)
	}
	for _, sub := range c.Commands() {
		if err := writePages(sub, dir); err != nil {
			return err
		}
	}
	return nil
}

// manPage is a page in roff. Only what the commands know of themselves is in it.
func manPage(c *cobra.Command) []byte {
	var b bytes.Buffer
	name := strings.ReplaceAll(c.CommandPath(), " ", "-")
	fmt.Fprintf(&b, ".TH %s 1 \"\" \"fencepost %s\"\n", strings.ToUpper(name), roff(version()))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(name), roff(c.Short))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n", roff(c.UseLine()))
	if c.Long != "" {
		fmt.Fprintf(&b, ".SH DESCRIPTION\n%s\n", roff(c.Long))
	}
	manFlags(&b, "OPTIONS", c.NonInheritedFlags())
	manFlags(&b, "GLOBAL OPTIONS", c.InheritedFlags())
	if c.HasAvailableSubCommands() {
		b.WriteString(".SH COMMANDS\n")
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(sub.Name()), roff(sub.Short))
			}
		}
	}
	if c.Example != "" {
		fmt.Fprintf(&b, ".SH EXAMPLES\n.nf\n%s\n.fi\n", roff(c.Example))
	}
	b.WriteString(".SH EXIT STATUS\n")
	for _, e := range exitTexts {
		fmt.Fprintf(&b, ".TP\n.B %d\n%s\n", e.code, roff(e.text))
	}
	if !c.HasParent() {
		manSettings(&b)
	}
	manSeeAlso(&b, c)
	return b.Bytes()
}

// manSeeAlso names the pages of the commands below, the one above, and those of
// the same group.
func manSeeAlso(b *bytes.Buffer, c *cobra.Command) {
	var names []string
	add := func(other *cobra.Command) {
		if other != c && (other.IsAvailableCommand() || !other.HasParent()) && other.Name() != "help" {
			names = append(names, ".BR "+roff(strings.ReplaceAll(other.CommandPath(), " ", "-"))+" (1)")
		}
	}
	for _, sub := range c.Commands() {
		add(sub)
	}
	if up := c.Parent(); up != nil {
		add(up)
		for _, sibling := range up.Commands() {
			if sibling.GroupID == c.GroupID {
				add(sibling)
			}
		}
	}
	if len(names) > 0 {
		fmt.Fprintf(b, ".SH SEE ALSO\n%s\n", strings.Join(names, ",\n"))
	}
}

func manFlags(b *bytes.Buffer, title string, fs *pflag.FlagSet) {
	if !fs.HasAvailableFlags() {
		return
	}
	fmt.Fprintf(b, ".SH %s\n", title)
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		word, usage := pflag.UnquoteUsage(f)
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" && f.DefValue != "0" {
			usage += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(b, ".TP\n.B %s\n%s\n", roff(strings.TrimSpace("--"+f.Name+" "+word)), roff(usage))
	})
}

func manSettings(b *bytes.Buffer) {
	b.WriteString(".SH SETTINGS\nFlag over environment over file over default.\n")
	def := config.Default()
	for _, s := range config.Settings() {
		text := s.Help
		if v := def.Text(s); v != "" {
			text += " (default " + v + ")"
		}
		fmt.Fprintf(b, ".TP\n.B %s\n%s\n", roff(strings.TrimSuffix(s.Key+", "+s.Env, ", ")), roff(text))
	}
}

// roff escapes text: backslashes, hyphens that stand for themselves, and a dot
// or quote at the beginning of a line.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.ReplaceAll(strings.Join(lines, "\n"), "\n\n", "\n.PP\n")
}
