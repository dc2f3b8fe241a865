package doctor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"fencepost/spool/vfs"
	"fencepost/spool/vfs/mountstats"
)

// jobs are how many are played, so that what comes between counts for little.
const jobs = 10

// tryCalls plays what becomes of a job's files from its acceptance to the next
// stage, as docs/architecture.md#5-the-life-of-a-job has it, and counts the calls.
func tryCalls(_ context.Context, p *patient) Finding {
	before, err := p.calls()
	if err != nil {
		return skipped("no statistics of the mount: " + err.Error())
	}
	start := time.Now()
	for i := range jobs {
		if err := p.playJob(i); err != nil {
			return unable(err)
		}
	}
	spent := time.Since(start)
	after, err := p.calls()
	if err != nil {
		return skipped("no statistics of the mount: " + err.Error())
	}
	total := after.Since(before)
	var each []string
	for _, op := range slices.Sorted(maps.Keys(total)) {
		each = append(each, fmt.Sprintf("%s %.1f", op, float64(total[op])/jobs))
	}
	return good(fmt.Sprintf("%.1f calls a job (%s), %s; what others on this machine asked meanwhile is in it",
		float64(total.Total())/jobs, strings.Join(each, ", "), (spent / jobs).Round(10*time.Microsecond)))
}

func (p *patient) calls() (mountstats.Counts, error) {
	data, err := readMachine(p, strings.TrimPrefix(mountstats.File, "/"))
	if err != nil {
		return nil, err
	}
	mounts, err := mountstats.Parse(data)
	m, ok := mountstats.At(mounts, p.mount.Point)
	if err == nil && !ok {
		err = fmt.Errorf("%s isn't in %s", p.mount.Point, mountstats.File)
	}
	return m.Counts(), err
}

// playJob: accept, claim, translate, seal, publish, retire.
func (p *patient) playJob(i int) error {
	fsys := p.Spool.FS
	name := func(what string) string { return p.probe.name(fmt.Sprintf("job-%d-%s", i, what)) }
	create := func(name string) error {
		_, err := fsys.Create(name, []byte("probe\n"))
		return err
	}
	xml, claim, json, sealed := name("xml"), name("claim"), name("json"), name("sealed")
	for _, step := range []func() error{
		func() error { return create(name("new")) },
		func() error { return fsys.Rename(name("new"), name("accept")) },
		func() error { return fsys.Link(name("accept"), name("gate")) },
		func() error { return fsys.Rename(name("accept"), xml) },
		func() error { return fsys.Rename(xml, claim) },
		func() error { return readBack(fsys, claim) },
		func() error { return create(name("draft")) },
		func() error { return fsys.Rename(claim, sealed) },
		func() error { return fsys.Rename(name("draft"), json) },
		func() error { return fsys.Remove(sealed) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func readBack(fsys vfs.FS, name string) error {
	_, _, err := fsys.Read(name, 100)
	return err
}
