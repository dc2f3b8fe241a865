package spool

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"syscall"
	"time"

	"fencepost/spool/vfs"
)

// canaryLooks is in how many fresh listings in a row a canary must be missing.
const canaryLooks = 2

// canaryQuiet is how long a canary must stand for its alarm to be resolved
// without a person.
const canaryQuiet = time.Hour

// CanaryName is a host's canary among a stage's entries: what a legacy consumer
// would take by its pattern, and no entry of ours.
func CanaryName(host, ext string) string { return "canary-" + host + "." + ext }

// IsCanary says whether a name is a canary's.
func IsCanary(name, ext string) bool {
	host, ok := strings.CutPrefix(name, "canary-")
	host, ext2 := strings.CutSuffix(host, "."+ext)
	return ok && ext2 && ValidHost(host)
}

// canaryText can't be run, in either language: there is no job in it.
var canaryText = map[string]string{
	"xml":  "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- This is no job. fencepost keeps it here to notice programs that take files which are not theirs. -->\n<fencepost-canary/>\n",
	"json": "{\"fencepost-canary\": \"This is no job. fencepost keeps it here to notice programs that take files which are not theirs.\"}\n",
}

// Canary keeps one file of this host in each stage's directory that no instance
// ever claims. Gone in two fresh listings, it was taken by a foreign consumer,
// which takes jobs as well.
//
// It is used by one task.
type Canary struct {
	in     *Instance
	files  []canaryFile
	Counts int // times that one was taken

	// Seen is when somebody else's listing of a stage's directory last showed the
	// canary: then it needs none of its own. nil = nobody lists.
	Seen func(Stage) time.Duration
}

type canaryFile struct {
	stage  Stage
	path   string
	ext    string
	looks  int           // in a row that didn't show it
	looked time.Duration // when the last look began
	placed time.Duration // when it was last found missing, or made
	open   bool          // its alarm may stand
}

// NewCanary is in's canaries.
func NewCanary(in *Instance) *Canary {
	c := &Canary{in: in}
	for _, stage := range Stages() {
		d := in.Layout.Input(stage)
		c.files = append(c.files, canaryFile{stage: stage, path: path.Join(d.Dir, CanaryName(in.Host, d.Ext)), ext: d.Ext,
			placed: in.Env.Now(), open: true})
	}
	return c
}

// Place makes the canaries that are missing. One of an earlier instance serves
// as well.
func (c *Canary) Place() error {
	var failed error
	for i := range c.files {
		failed = errors.Join(failed, c.place(&c.files[i]))
	}
	return failed
}

func (c *Canary) place(f *canaryFile) error {
	f.looks = 0
	if _, err := c.in.FS.Create(f.path, []byte(canaryText[f.ext])); err != nil && !isErr(err, syscall.EEXIST) {
		return fmt.Errorf("place canary: %w", err)
	}
	return c.in.FS.Sync(path.Dir(f.path))
}

// Look lists each directory once, unless another listing has shown the canary since
// the last look, and puts back what was taken, with an alarm. A listing that fails
// doesn't count.
func (c *Canary) Look() error {
	var failed error
	for i := range c.files {
		f := &c.files[i]
		there := c.Seen != nil && c.Seen(f.stage) > f.looked
		f.looked = c.in.Env.Now()
		if there {
			f.looks = 0
			failed = errors.Join(failed, c.quiet(f))
			continue
		}
		err := vfs.Each(c.in.FS, path.Dir(f.path), func(name string) { there = there || name == path.Base(f.path) })
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("look for canary: %w", err))
			continue
		}
		if there {
			f.looks = 0
			failed = errors.Join(failed, c.quiet(f))
			continue
		}
		if f.looks++; f.looks >= canaryLooks {
			failed = errors.Join(failed, c.taken(f), c.place(f))
		}
	}
	return failed
}

func (c *Canary) taken(f *canaryFile) error {
	f.placed, f.open = c.in.Env.Now(), true
	c.Counts++
	what := fmt.Sprintf("%s was taken: a program that isn't fencepost takes files out of %s/", f.path, path.Dir(f.path))
	c.in.Journal.Add(Event{Event: EvCanary, Stage: f.stage, Detail: what})
	_, err := c.in.raise(Alarm{Kind: AlarmCanary, Stage: f.stage, Host: c.in.Host, Detail: what})
	return errors.Join(err, c.in.Journal.Flush())
}

// quiet resolves the alarm of a canary that has stood for long.
func (c *Canary) quiet(f *canaryFile) error {
	if !f.open || c.in.Env.Now()-f.placed < canaryQuiet {
		return nil
	}
	f.open = false
	_, err := c.in.ResolveAlarms(func(a Alarm) bool { return a.Stage == f.stage && a.Host == c.in.Host },
		"its canary has stood untouched for "+canaryQuiet.String())
	return err
}

// Remove takes the canaries away, at an orderly stop: nobody would miss them.
func (c *Canary) Remove() error {
	var failed error
	for _, f := range c.files {
		failed = errors.Join(failed, c.in.removeName(f.path))
	}
	return failed
}
