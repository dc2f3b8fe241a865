package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"fencepost/cmd/fencepost/client"
	"fencepost/cmd/fencepost/client/batch"
	"fencepost/cmd/fencepost/config"
	"fencepost/cmd/fencepost/show"
	"fencepost/codec"
)

// sendFlags are the flags of send.
type sendFlags struct {
	to       []string
	id       string
	lines    bool
	wait     bool
	timeout  time.Duration
	parallel int
}

func newSendCmd(g *globals) *cobra.Command {
	var f sendFlags
	cmd := &cobra.Command{
		Use:   "send [flags] FILE...",
		Short: "Send jobs to a host",
		Long: "send sends job documents (JSON, one a file, or one a line with --jsonl; - is standard input) and\n" +
			"prints each job's id, in the order of the documents, once the job is durably accepted.\n\n" +
			"A document that is not accepted is reported with file and line, and the others go on. If an answer\n" +
			"was lost the job may be accepted all the same: send it again with the id that the message names\n" +
			"(--id, or \"id\" in the document), as often as you like, to any host of the spool.\n\n" +
			"Exit code: 0 all accepted, 1 some were not, 2 only because their documents are bad. With --wait also\n" +
			"1 if a job failed, and 4 if one is parked or its final record didn't come in time.",
		Example: "  fencepost send job.json\n" +
			"  fencepost send --to a:7433 --to b:7433 --jsonl jobs.jsonl > ids\n" +
			"  echo '{\"name\":\"hello\",\"script\":\"#!/bin/sh\\necho hello\\n\"}' | fencepost send --wait -",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			s := &sending{g: g, jobs: []sentDoc{}, sendFlags: f, progress: newProgress(g), states: map[string]codec.State{}}
			return s.run(ctx, cmd, files)
		},
	}
	fs := cmd.Flags()
	fs.StringSliceVar(&f.to, "to", nil, "`ADDR:PORT` of a host; may be repeated: tried in turn (default send.to of the configuration, else listen)")
	fs.StringVar(&f.id, "id", "", "the job's `UUID`, for exactly one job (default a new one)")
	fs.BoolVar(&f.lines, "jsonl", false, "one document a line")
	fs.BoolVar(&f.wait, "wait", false, "wait for the final record: the cluster has the job")
	fs.DurationVar(&f.timeout, "timeout", 0, "give up on a job after `DURATION` (default 1m to be accepted); with --wait, so long again for the final records (default no limit)")
	g.bind(cmd, config.SendKeys()...)
	fs.IntVar(&f.parallel, "parallel", 64, "at most `N` jobs under way at once")
	return cmd
}

// sending is one run of send.
type sending struct {
	sendFlags
	g        *globals
	progress *progress
	client   *client.Client

	jobs     []sentDoc // for --json; not nil
	accepted []string
	states   map[string]codec.State // with --wait
	refused  int                    // not accepted, for another reason than the document
	gaveUp   int                    // of them, by this client
	bad      int                    // documents that are none
	failed   int                    // with --wait
	unsure   int                    // with --wait: parked, or no final record
	writeErr error
}

// sentDoc is a document in --json.
type sentDoc struct {
	File      string `json:"file"`
	Line      int    `json:"line"`
	Job       string `json:"job"`
	Accepted  bool   `json:"accepted"`
	Duplicate bool   `json:"duplicate"`
	Host      string `json:"host"`
	Error     string `json:"error"`
	State     string `json:"state"`
	ClusterID string `json:"cluster_id"`
}

func (s *sending) run(ctx context.Context, cmd *cobra.Command, files []string) error {
	if err := s.check(cmd); err != nil {
		return err
	}
	docs := batch.Source{Files: files, Lines: s.lines, Stdin: s.g.stdin}.Docs()
	if s.id != "" {
		var err error
		if docs, err = s.only(cmd, docs); err != nil {
			return err
		}
	}
	loaded, err := s.g.config(cmd)
	if err != nil {
		return err
	}
	conf, token, err := clientSecurity(loaded.Send)
	if err != nil {
		return usagef(cmd, "%w", err)
	}
	c, err := client.New(client.Config{Addrs: s.to, Name: "fencepost send", Software: "fencepost/" + version(),
		Timeout: s.timeout, Window: s.parallel, TLS: conf, Token: token})
	if err != nil {
		return usagef(cmd, "%w", err)
	}
	defer c.Close()
	s.client = c
	if s.progress.w != nil {
		s.progress.total = documents(files, s.lines)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	batch.Send(ctx, c, docs, s.parallel, func(o batch.Outcome) {
		if s.sent(o); s.writeErr != nil {
			stop() // nobody reads what was accepted
		}
	})
	if s.wait {
		s.waitFor(ctx)
	}
	s.progress.clear()
	return s.conclude()
}

func (s *sending) check(cmd *cobra.Command) error {
	switch {
	case s.parallel < 1 || s.parallel > 4096:
		return usagef(cmd, "--parallel %d is not in 1 to 4096", s.parallel)
	case s.timeout < 0:
		return usagef(cmd, "--timeout %v is negative", s.timeout)
	}
	if s.id != "" {
		id, err := codec.CanonicalID(s.id)
		if err != nil {
			return usagef(cmd, "--id: %w", err)
		}
		s.id = id
	}
	if len(s.to) > 0 {
		return nil
	}
	c, err := s.g.config(cmd)
	if err != nil {
		return err
	}
	if len(c.Send.To) > 0 {
		s.to = c.Send.To
		return nil
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil || port == "0" {
		return usagef(cmd, "send to whom? give --to ADDR:PORT, or listen in the configuration")
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	s.to = []string{net.JoinHostPort(host, port)}
	return nil
}

// only gives the one document the id of --id, and refuses more than one before
// anything is sent.
func (s *sending) only(cmd *cobra.Command, docs iter.Seq[batch.Doc]) (iter.Seq[batch.Doc], error) {
	var all []batch.Doc
	for d := range docs {
		if all = append(all, d); len(all) == 2 {
			return nil, usagef(cmd, "--id is for exactly one job, and here are more: put \"id\" into the documents")
		}
	}
	if len(all) == 1 && all[0].Err == nil {
		if all[0].ID != "" && all[0].ID != s.id {
			return nil, usagef(cmd, "--id is %s, and the document says %s", s.id, all[0].ID)
		}
		all[0].ID = s.id
	}
	return slices.Values(all), nil
}

// sent tells what became of one document.
func (s *sending) sent(o batch.Outcome) {
	d := sentDoc{File: o.File, Line: o.Line, Job: o.ID, Accepted: o.Err == nil, Duplicate: o.Duplicate, Host: o.Host}
	if o.Err == nil {
		s.accepted = append(s.accepted, o.ID)
		if !s.g.json && s.writeErr == nil {
			_, s.writeErr = fmt.Fprintln(s.g.stdout, o.ID)
		}
	} else {
		d.Error = o.Err.Error()
		s.complain(o)
	}
	if s.g.json {
		s.jobs = append(s.jobs, d)
	}
	s.progress.show(len(s.accepted)+s.bad+s.refused, fmt.Sprintf("%d accepted, %d not", len(s.accepted), s.bad+s.refused))
}

func (s *sending) complain(o batch.Outcome) {
	var doc *batch.BadDocument
	var path *fs.PathError
	var gaveUp *client.GaveUpError
	var refused *client.RefusedError
	where := fmt.Sprintf("%s:%d: ", o.File, o.Line)
	switch {
	case errors.As(o.Err, &doc):
		s.bad++
		s.say(doc.Error())
		return
	case o.ID == "" && errors.As(o.Err, &path):
		s.bad++
		s.say(path.Error())
		return
	case errors.As(o.Err, &refused) && refused.Code == codec.CodeInvalidJob:
		s.bad++
		s.say(where + refused.Error())
		return
	case errors.As(o.Err, &gaveUp) && gaveUp.Maybe: // beyond here gaveUp is set, if it is one
		s.say(where + "job " + o.ID + " " + o.Err.Error() + "\n  send it again with this id: --id " + o.ID)
	case o.ID == "":
		s.say(where + o.Err.Error())
	default:
		s.say(where + "job " + o.ID + " " + o.Err.Error())
	}
	s.refused++
	if gaveUp != nil {
		s.gaveUp++
	}
}

// say writes to standard error, one line at a time.
func (s *sending) say(text string) {
	s.progress.clear()
	for i, line := range strings.Split(text, "\n") {
		if i == 0 {
			line = "fencepost send: " + line
		}
		fmt.Fprintln(s.g.stderr, show.Clean(line))
	}
}

// waitFor waits for the final records of what was accepted.
func (s *sending) waitFor(ctx context.Context) {
	if s.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.timeout)
		defer cancel()
	}
	ids := slices.Compact(slices.Sorted(slices.Values(s.accepted)))
	seen := 0
	s.progress.total = len(ids)
	batch.Wait(ctx, s.client, ids, batch.Pace{}, func(f batch.Final) {
		seen++
		s.final(f)
		s.progress.show(seen, fmt.Sprintf("%d of %d have a final record", seen, len(ids)))
	})
}

func (s *sending) final(f batch.Final) {
	switch state := f.State.State; {
	case f.Err != nil:
		s.unsure++
		at := ""
		if state != "" {
			at = ", it is " + state
		}
		s.say(fmt.Sprintf("job %s has no final record%s: %v", f.ID, at, f.Err))
	case state == codec.StateFailed:
		s.failed++
		s.say(fmt.Sprintf("job %s failed; fencepost why %s says more", f.ID, f.ID))
	case state == codec.StateParked:
		s.unsure++
		s.say(fmt.Sprintf("job %s is parked: a person has to decide; fencepost why %s says more", f.ID, f.ID))
	}
	s.states[f.ID] = f.State
}

// conclude prints the document of --json and chooses the exit code.
func (s *sending) conclude() error {
	if s.g.json {
		for i, d := range s.jobs {
			if d.Accepted {
				s.jobs[i].State, s.jobs[i].ClusterID = s.states[d.Job].State, s.states[d.Job].ClusterID
			}
		}
		s.writeErr = show.JSON(s.g.stdout, "send", map[string]any{"jobs": s.jobs, "accepted": len(s.accepted), "not_accepted": s.bad + s.refused})
	}
	switch {
	case s.writeErr != nil:
		return fmt.Errorf("print what was accepted: %w", s.writeErr)
	case s.refused > 0:
		e := &exitError{code: exitFailed, err: fmt.Errorf("%d of %d jobs were not accepted", s.bad+s.refused, s.bad+s.refused+len(s.accepted))}
		if s.gaveUp > 0 {
			e.next = "is a host up at " + some(s.to) + "? fencepost hosts shows them"
		}
		return e
	case s.bad > 0:
		return &exitError{code: exitUsage, err: fmt.Errorf("%d of %d documents are not jobs", s.bad, s.bad+len(s.accepted)),
			next: "the others were sent; docs/spec/job-json.md has the rules"}
	case s.failed > 0:
		return &exitError{code: exitFailed, err: fmt.Errorf("%d of %d jobs failed", s.failed, len(s.accepted))}
	case s.unsure > 0:
		return &exitError{code: exitDegraded, err: fmt.Errorf("%d of %d jobs have no final record", s.unsure, len(s.accepted)),
			next: "fencepost jobs shows where they are"}
	}
	return nil
}
