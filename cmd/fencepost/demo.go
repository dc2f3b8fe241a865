package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"fencepost/cmd/fencepost/show"
	"fencepost/spool"
	"fencepost/spool/env"
	"fencepost/spool/vfs"
	"fencepost/submit/local"
)

func newDemoCmd(g *globals) *cobra.Command {
	d := demo{g: g}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Watch two hosts share a spool while one of them is killed",
		Long: "demo starts two hosts, as processes of their own, on one spool in a temporary directory, sends\n" +
			"jobs to both over TCP, kills one host in the middle, and shows how the other carries on: each\n" +
			"job runs once, none is lost. It needs nothing but this program, and removes what it made.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			return d.run(ctx)
		},
	}
	cmd.Flags().BoolVar(&d.once, "once", false, "end by itself; exit 0 if the balance is right")
	cmd.Flags().IntVar(&d.jobs, "jobs", 40, "how many jobs to send")
	return cmd
}

// demo is one run of the demonstration.
type demo struct {
	g    *globals
	once bool
	jobs int

	self  string
	dir   string // temporary
	spool string
	sp    *spool.Spool
	hosts map[string]*demoHost
	ids   []string
	live  bool // whether the view is redrawn in place
}

// demoLimit bounds the demonstration: past it something is wrong.
const demoLimit = 50 * time.Second

func (d *demo) run(ctx context.Context) (err error) {
	if d.jobs < 1 || d.jobs > 10_000 {
		return usagef(nil, "--jobs %d: choose 1 to 10000", d.jobs)
	}
	if err := d.begin(); err != nil {
		return err
	}
	defer func() {
		d.stopAll()
		if rerr := os.RemoveAll(d.dir); rerr != nil {
			err = errors.Join(err, rerr)
		}
	}()
	limited, cancel := context.WithTimeout(ctx, demoLimit+time.Duration(d.jobs)*time.Second/4)
	defer cancel()
	if err := d.story(limited); err != nil {
		return err
	}
	if d.once {
		return nil
	}
	return d.linger(ctx)
}

func (d *demo) begin() error {
	var err error
	if d.self, err = os.Executable(); err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	if d.dir, err = os.MkdirTemp("", "fencepost-demo-"); err != nil {
		return fmt.Errorf("make a directory for the demonstration: %w", err)
	}
	d.spool = filepath.Join(d.dir, "spool")
	d.hosts = map[string]*demoHost{}
	f, ok := d.g.stdout.(*os.File)
	d.live = ok && term.IsTerminal(int(f.Fd()))
	return nil
}

// story is what the demonstration shows, in order.
func (d *demo) story(ctx context.Context) error {
	d.say("1. One spool, two hosts. Each is a process of its own; they share nothing but the directory.")
	for _, args := range [][]string{{"init", "--no-enroll"}, {"enroll", "a"}, {"enroll", "b"}} {
		if _, err := d.fencepost(ctx, nil, append(args, "--spool", d.spool)...); err != nil {
			return err
		}
	}
	fs, err := vfs.OpenOS(d.spool)
	if err != nil {
		return err
	}
	if d.sp, err = spool.Open(env.NewReal(fs)); err != nil {
		return err
	}
	for _, h := range []string{"a", "b"} {
		if err := d.start(ctx, h); err != nil {
			return err
		}
	}
	d.say(fmt.Sprintf("2. %d jobs come in over TCP, to both hosts in turn. Each answer means: durable.", d.jobs))
	if err := d.send(ctx); err != nil {
		return err
	}
	d.say("3. In the middle of the work host a is killed (kill -9). Its claims go on at host b.")
	if err := d.watch(ctx, func(c counts) bool { return c.ran >= d.jobs/5 }); err != nil {
		return err
	}
	d.untilBusy(ctx, "a")
	d.kill("a")
	if err := d.watch(ctx, func(c counts) bool { return c.ran == d.jobs }); err != nil {
		return err
	}
	return d.conclude(ctx)
}

// conclude shows a job's trace, what it printed, and the balance.
func (d *demo) conclude(ctx context.Context) error {
	id := d.interesting()
	d.say("4. Who had it, when, with what result? A line a hop.")
	if _, err := d.fencepost(ctx, d.g.stdout, "trace", id, "--spool", d.spool); err != nil {
		return err
	}
	if out, err := os.ReadFile(filepath.Join(d.spool, local.StdoutPath(id))); err == nil {
		fmt.Fprintf(d.g.stdout, "\n   it printed: %s\n", show.Clean(strings.TrimSpace(string(out))))
	}
	d.say("5. The balance, counted from names on disk.")
	if _, err := d.fencepost(ctx, d.g.stdout, "audit", "--wait", "1s", "--spool", d.spool); err != nil {
		return err
	}
	return d.eachOnce()
}

// eachOnce checks, by what the jobs themselves left, that each ran once.
func (d *demo) eachOnce() error {
	ran, err := os.ReadFile(filepath.Join(d.dir, "ran"))
	if err != nil {
		return fmt.Errorf("read what the jobs wrote: %w", err)
	}
	times := map[string]int{}
	for _, id := range strings.Fields(string(ran)) {
		times[id]++
	}
	for _, id := range d.ids {
		if times[id] != 1 {
			return fmt.Errorf("job %s ran %d times instead of once", id, times[id])
		}
	}
	d.say(fmt.Sprintf("Each of the %d jobs ran exactly once, by its own account. Host a died; nothing was lost.", len(d.ids)))
	return nil
}

func (d *demo) say(text string) { fmt.Fprintf(d.g.stdout, "\n%s\n", text) }

// send sends the jobs, half of them to each host first. Each job says itself
// that it ran, so that the end doesn't rest on the program's own word.
func (d *demo) send(ctx context.Context) error {
	ran := filepath.Join(d.dir, "ran")
	for i, host := range []string{"a", "b"} {
		var docs bytes.Buffer
		for k := i; k < d.jobs; k += 2 {
			doc := map[string]any{"name": fmt.Sprintf("demo-%d", k+1), "owner": "demo",
				"script": "#!/bin/sh\necho hello from job $2, started by host ${FENCEPOST_HOST:-?}\nsleep 0.3\necho $FENCEPOST_JOB_ID >> \"$1\"\n",
				"args":   []string{ran, fmt.Sprint(k + 1)}}
			line, err := json.Marshal(doc)
			if err != nil {
				return err
			}
			docs.Write(append(line, '\n'))
		}
		file := filepath.Join(d.dir, "jobs-for-"+host+".jsonl")
		if err := os.WriteFile(file, docs.Bytes(), 0o600); err != nil {
			return err
		}
		out, err := d.fencepost(ctx, nil, "send", "--to", d.hosts[host].addr, "--jsonl", file)
		if err != nil {
			return err
		}
		d.ids = append(d.ids, strings.Fields(out)...)
	}
	return nil
}

// counts is what the live view shows.
type counts struct {
	place map[spool.Place]int
	ran   int
}

func (d *demo) count() counts {
	c := counts{place: map[spool.Place]int{}}
	_ = d.sp.Scan(func(f spool.Found) { c.place[f.Place]++ })
	if data, err := os.ReadFile(filepath.Join(d.dir, "ran")); err == nil {
		c.ran = bytes.Count(data, []byte("\n"))
	}
	return c
}

// watch shows where the jobs are until enough is true.
func (d *demo) watch(ctx context.Context, enough func(counts) bool) error {
	last := ""
	for {
		c := d.count()
		line := fmt.Sprintf("   waiting %d, claimed %d, sealed %d, handed to the cluster %d, ended %d of %d",
			c.place[spool.PlaceWaiting], c.place[spool.PlaceClaimed], c.place[spool.PlaceSealed], c.place[spool.PlaceDone], c.ran, d.jobs)
		switch {
		case d.live:
			fmt.Fprintf(d.g.stdout, "\r\033[K%s", line)
		case line != last:
			fmt.Fprintln(d.g.stdout, line)
		}
		last = line
		if enough(c) {
			if d.live {
				fmt.Fprintln(d.g.stdout)
			}
			return nil
		}
		select {
		case <-time.After(400 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("the demonstration took too long (%s): %w", strings.TrimSpace(line), context.Cause(ctx))
		}
	}
}

// interesting is a job that changed hosts, if there is one.
func (d *demo) interesting() string {
	best, most := d.ids[0], 0
	for _, id := range d.ids {
		events, err := d.sp.Trace(id)
		if err != nil {
			continue
		}
		hosts := map[string]bool{}
		for _, e := range events {
			hosts[e.Host] = true
			if e.Event == spool.EvReclaimed {
				hosts["reclaimed"] = true
			}
		}
		if len(hosts) > most {
			best, most = id, len(hosts)
		}
	}
	return best
}

// linger leaves host b running, for the curious.
func (d *demo) linger(ctx context.Context) error {
	d.say("Host b still runs. In another terminal try, for example:")
	for _, cmd := range []string{"status", "hosts", "jobs", "audit"} {
		fmt.Fprintf(d.g.stdout, "   %s %s --spool %s\n", d.self, cmd, d.spool)
	}
	d.say("Ctrl-C ends the demonstration and removes the spool.")
	<-ctx.Done()
	return nil
}
