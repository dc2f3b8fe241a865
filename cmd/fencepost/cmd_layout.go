package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"fencepost/cmd/fencepost/config"
	"fencepost/cmd/fencepost/show"
	"fencepost/lease"
	"fencepost/spool"
)

// layoutChange is what was asked for.
type layoutChange struct {
	inboxes, noInboxes []string
	foreign            map[string]string
	native             []string
	flags              actFlags
}

func newLayoutCmd(g *globals) *cobra.Command {
	var ch layoutChange
	cmd := &cobra.Command{
		Use:   "layout",
		Short: "Show or change which stages foreign programs do, and what is adopted from them",
		Long: "Without flags layout shows the spool's stages and inboxes. With them it changes fencepost.toml on\n" +
			"the share. Every host reads that at its start, so it is refused while one runs.\n\n" +
			"  --inbox json,stage=submit,settle=2s   adopt what a legacy translator writes into json/\n" +
			"  --foreign 'submit=json/*.json'         hand jobs over to a legacy program that takes such files\n" +
			"  --native submit                        fencepost does the stage again",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return g.layout(cmd, ch) },
	}
	cmd.Flags().StringArrayVar(&ch.inboxes, "inbox", nil, "`DIR[,stage=S][,pattern=P][,settle=D][,marker=M]` to adopt files from; replaces one of the same directory")
	cmd.Flags().StringArrayVar(&ch.noInboxes, "no-inbox", nil, "`DIR` to adopt from no more")
	cmd.Flags().StringToStringVar(&ch.foreign, "foreign", nil, "`STAGE=DIR/PATTERN`: a foreign program does this stage, and takes such files")
	cmd.Flags().StringSliceVar(&ch.native, "native", nil, "`STAGE` that fencepost does itself")
	cmd.Flags().StringVar(&ch.flags.reason, "reason", "", "`TEXT` that others will read")
	cmd.Flags().BoolVar(&ch.flags.force, "force", false, "change it though a host is silent: it is gone for good")
	cmd.Flags().BoolVar(&ch.flags.dry, "dry-run", false, "only say what would be done")
	g.bind(cmd, "host")
	return cmd
}

func (ch layoutChange) empty() bool {
	return len(ch.inboxes)+len(ch.noInboxes)+len(ch.foreign)+len(ch.native) == 0
}

// layoutDoc is the layout as it is, or will be.
type layoutDoc struct {
	Spool   string        `json:"spool"`
	Changed bool          `json:"changed"`
	DryRun  bool          `json:"dry_run"`
	Stages  []layoutStage `json:"stages"`
	Inboxes []layoutInbox `json:"inboxes"`
}

type layoutStage struct {
	Stage   string `json:"stage"`
	Dir     string `json:"dir"`
	Foreign string `json:"foreign"`
}

type layoutInbox struct {
	Dir     string `json:"dir"`
	Stage   string `json:"stage"`
	Pattern string `json:"pattern"`
	Settle  string `json:"settle"`
	Marker  string `json:"marker"`
}

func (g *globals) layout(cmd *cobra.Command, ch layoutChange) error {
	c, err := g.config(cmd)
	if err != nil {
		return err
	}
	host, err := g.host(cmd)
	if err != nil {
		return err
	}
	apply, err := ch.apply(cmd)
	if err != nil {
		return err
	}
	doc, err := onSpool(g, cmd, func(ctx context.Context, s *share) (layoutDoc, error) {
		f, err := spool.ReadFormat(s.FS)
		changed := false
		if err == nil && !ch.empty() {
			if err := errors.Join(notAsRoot(s.Dir), nobodyRuns(ctx, s, ch.flags.force)); err != nil {
				return layoutDoc{}, err
			}
			op := newOperator(s, c, host, ch.flags)
			f, changed, err = op.ChangeFormat(apply)
			err = errors.Join(err, op.Close())
		}
		return newLayoutDoc(s.Dir, f, changed, ch.flags.dry), err
	})
	if err != nil {
		return err
	}
	return g.print("layout", doc, func(o *show.Out) { printLayout(o, doc, !ch.empty()) })
}

// notAsRoot refuses to make the format file root's, if it is somebody else's: the
// hosts couldn't read it any more.
func notAsRoot(dir string) error {
	var st unix.Stat_t
	if os.Geteuid() != 0 || unix.Stat(filepath.Join(dir, spool.FormatFile), &st) != nil || st.Uid == 0 {
		return nil
	}
	return &exitError{code: exitUsage, err: fmt.Errorf("%s belongs to user %d, and would be root's", spool.FormatFile, st.Uid),
		next: fmt.Sprintf("run it as that user: setpriv --reuid %d --regid %d --clear-groups fencepost layout ...", st.Uid, st.Gid)}
}

// nobodyRuns refuses a change that a running instance would not see.
func nobodyRuns(ctx context.Context, s *share, force bool) error {
	states, err := lease.Look(ctx, s.Env, 0)
	if err != nil {
		return err
	}
	for _, st := range states {
		switch {
		case st.State == lease.Live || st.State == lease.Unfit:
			return &exitError{code: exitHeld, err: fmt.Errorf("host %s runs, and read the layout at its start", st.Host),
				next: "stop fencepost on every host, then try again; files wait meanwhile"}
		case st.State == lease.Silent && !force:
			return &exitError{code: exitHeld, err: fmt.Errorf("host %s is silent: it may be stopped, and go on with the layout that it read (%s)", st.Host, st.Reason),
				next: "end it, or, if it is gone for good, --force; fencepost revoke " + st.Host + " takes it off the roster"}
		}
	}
	return nil
}

// apply checks what was asked for, before anything is looked at.
func (ch layoutChange) apply(cmd *cobra.Command) (func(*spool.Format) error, error) {
	var boxes []spool.FormatInbox
	for _, text := range ch.inboxes {
		b, err := parseInbox(text)
		if err != nil {
			return nil, usagef(cmd, "--inbox %s: %w", text, err)
		}
		boxes = append(boxes, b)
	}
	targets := map[spool.Stage]string{}
	for stage, to := range ch.foreign {
		targets[spool.Stage(stage)] = to
	}
	for _, stage := range ch.native {
		targets[spool.Stage(stage)] = ""
	}
	for stage := range targets {
		if !slices.Contains(spool.Stages(), stage) {
			return nil, usagef(cmd, "stage %q can't be given away: only translate and submit take files", string(stage))
		}
	}
	return func(f *spool.Format) error {
		without := func(dir string) func(spool.FormatInbox) bool {
			return func(b spool.FormatInbox) bool { return b.Dir == dir }
		}
		for _, dir := range ch.noInboxes {
			if !slices.ContainsFunc(f.Inboxes, without(dir)) {
				return notFoundf("fencepost layout shows them", "no inbox is called %s", dir)
			}
			f.Inboxes = slices.DeleteFunc(f.Inboxes, without(dir))
		}
		for _, b := range boxes {
			f.Inboxes = append(slices.DeleteFunc(f.Inboxes, without(b.Dir)), b)
		}
		for stage, at := range map[spool.Stage]*spool.FormatStage{spool.Translate: &f.Stages.Translate, spool.Submit: &f.Stages.Submit} {
			if to, ok := targets[stage]; ok {
				at.Foreign = to
			}
		}
		if err := f.Validate(); err != nil {
			return usagef(cmd, "%w", err)
		}
		return nil
	}, nil
}

func parseInbox(text string) (spool.FormatInbox, error) {
	words := strings.Split(text, ",")
	b := spool.FormatInbox{Dir: words[0]}
	for _, w := range words[1:] {
		key, value, ok := strings.Cut(w, "=")
		field := map[string]*string{"stage": (*string)(&b.Stage), "pattern": &b.Pattern, "settle": &b.Settle, "marker": &b.Marker}[key]
		if field == nil || !ok {
			return b, fmt.Errorf("%q is none of stage=, pattern=, settle= and marker=%s", w,
				maybe(config.Nearest(key, []string{"stage", "pattern", "settle", "marker"})))
		}
		*field = value
	}
	return b, nil
}

func newLayoutDoc(dir string, f spool.Format, changed, dry bool) layoutDoc {
	d := layoutDoc{Spool: dir, Changed: changed, DryRun: dry, Stages: []layoutStage{}, Inboxes: []layoutInbox{}}
	l := f.Layout()
	for _, s := range spool.Stages() {
		d.Stages = append(d.Stages, layoutStage{Stage: string(s), Dir: l.Input(s).Dir, Foreign: string(l.Foreign[s])})
	}
	for _, b := range l.Inboxes {
		d.Inboxes = append(d.Inboxes, layoutInbox{Dir: b.Dir, Stage: string(b.Stage), Pattern: b.Pattern, Settle: b.Settle.String(), Marker: b.Marker})
	}
	return d
}

func printLayout(o *show.Out, d layoutDoc, asked bool) {
	switch {
	case asked && !d.Changed:
		o.Line("nothing changed")
	case d.Changed && d.DryRun:
		o.Line("it would be:")
	case d.Changed:
		o.Line("changed: it counts from each host's next start")
	}
	t := o.Table("STAGE", "DIRECTORY", "DONE BY")
	for _, s := range d.Stages {
		by := "fencepost"
		if s.Foreign != "" {
			by = "a foreign program that takes " + s.Foreign
		}
		t.Row(s.Stage, s.Dir, by)
	}
	t.End()
	if len(d.Inboxes) == 0 {
		return
	}
	t = o.Table("INBOX", "FOR", "PATTERN", "SETTLE", "MARKER")
	for _, b := range d.Inboxes {
		t.Row(b.Dir, b.Stage, b.Pattern, b.Settle, dash(b.Marker))
	}
	t.End()
}
