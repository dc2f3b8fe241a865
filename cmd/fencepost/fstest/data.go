package fstest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"time"

	"fencepost/spool/vfs"
)

const pageSize = 4096

// page is page i of a file: it says so, and ends with a checksum.
func page(file string, i int) []byte {
	text := fmt.Appendf(make([]byte, 0, pageSize), "fencepost-fstest %s %d\n", file, i)
	r := rand.New(rand.NewPCG(uint64(crc32.ChecksumIEEE([]byte(file))), uint64(i)))
	for len(text) < pageSize-4 {
		text = append(text, byte(r.Uint32()))
	}
	return binary.BigEndian.AppendUint32(text[:pageSize-4], crc32.ChecksumIEEE(text[:pageSize-4]))
}

// whole checks the first n pages of a file.
func whole(data []byte, file string, n int) error {
	if len(data) < n*pageSize {
		return fmt.Errorf("file %s has %d bytes, want %d pages of %d", file, len(data), n, pageSize)
	}
	for i := range n {
		got := data[i*pageSize : (i+1)*pageSize]
		if !bytes.Equal(got, page(file, i)) {
			sum := crc32.ChecksumIEEE(got[:pageSize-4]) == binary.BigEndian.Uint32(got[pageSize-4:])
			return fmt.Errorf("page %d of file %s is not what was written (its checksum is right: %v)", i, file, sum)
		}
	}
	return nil
}

// files is how many files a side writes at once.
const files = 8

// writes: both sides append pages to files of their own, in one directory; then
// each reads all.
func writes(ctx context.Context, p *pair) ([]string, error) {
	n := p.Sizes.Pages
	if err := p.meetAt(ctx, "go"); err != nil {
		return nil, err
	}
	start := time.Now()
	errs := make([]error, files)
	var all sync.WaitGroup
	for i := range files {
		all.Go(func() { errs[i] = p.append(fmt.Sprintf("file-%d-%d", p.role, i), n) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	spent := time.Since(start)
	if err := p.meetAt(ctx, "written"); err != nil {
		return nil, err
	}
	for role := range 2 {
		for i := range files {
			name := fmt.Sprintf("file-%d-%d", role, i)
			data, _, err := p.FS.Read(p.at("%s", name), int64(n+1)*pageSize)
			if err == nil {
				err = whole(data, name, n)
			}
			if err == nil && len(data) != n*pageSize {
				err = fmt.Errorf("file %s has %d bytes, want %d", name, len(data), n*pageSize)
			}
			if err != nil {
				return nil, fmt.Errorf("written by %s, read by %s: %w", p.name(role), p.name(p.role), err)
			}
		}
	}
	return []string{fmt.Sprintf("2 x %d files of %d KiB, written at the same time, are whole for both hosts; %s wrote its own in %s",
		files, n*pageSize/1024, p.name(p.role), round(spent))}, nil
}

func (p *pair) append(name string, n int) error {
	log, err := p.FS.OpenLog(p.at("%s", name))
	if err != nil {
		return err
	}
	for i := range n {
		if err := log.Append(page(name, i)); err != nil {
			return errors.Join(err, log.Close())
		}
	}
	return errors.Join(log.Sync(), log.Close())
}

// draftPages are the pages of a file that is written as a draft.
const draftPages = 4

// write is a child's work: it appends pages to a file and syncs each, and makes
// drafts and renames each to its final name, until it is killed. It says what is
// done: "page N", or "file N".
func write(ctx context.Context, fsys FS, dir string, most int, out io.Writer) error {
	log, err := fsys.OpenLog(dir + "/log")
	if err != nil {
		return err
	}
	for i := 0; i < most && ctx.Err() == nil; i++ {
		if err := log.Append(page("log", i)); err != nil {
			return err
		}
		if err := log.Sync(); err != nil {
			return err
		}
		fmt.Fprintln(out, "page", i+1)
		name := "file-" + number(i)
		var text []byte
		for j := range draftPages {
			text = append(text, page(name, j)...)
		}
		if _, err := fsys.Create(dir+"/draft-"+number(i), text); err != nil {
			return err
		}
		if err := fsys.Rename(dir+"/draft-"+number(i), dir+"/"+name); err != nil {
			return err
		}
		if err := fsys.Sync(dir); err != nil {
			return err
		}
		fmt.Fprintln(out, "file", i+1)
	}
	<-ctx.Done()
	return log.Close()
}

// done is what a killed writer had said.
type done struct {
	Pages int    `json:"pages"`
	Files int    `json:"files"`
	Dir   string `json:"dir"`
}

// maxDone bounds a writer that nobody kills.
const maxDone = 5000

func crash(ctx context.Context, p *pair) ([]string, error) {
	var total done
	torn := 0
	for round := range p.Sizes.Rounds {
		for writer := range 2 {
			step, mine := fmt.Sprintf("crash%d-%d", round, writer), done{}
			if p.role == writer {
				var err error
				if mine, err = p.crashed(ctx, p.at("dir-%d-%d", writer, round)); err != nil {
					return nil, err
				}
			}
			theirs, err := swap(ctx, p, step, mine)
			if err != nil {
				return nil, err
			}
			if p.role == writer {
				theirs = mine
			}
			drafts, err := p.survived(theirs)
			if err != nil {
				return nil, fmt.Errorf("written by a process of %s that was killed, read by %s: %w", p.name(writer), p.name(p.role), err)
			}
			total.Pages, total.Files, torn = total.Pages+theirs.Pages, total.Files+theirs.Files, torn+drafts
		}
	}
	return []string{fmt.Sprintf("%d writers were killed; all %d pages that they had synced, and all %d files that they had renamed, are whole for both hosts",
		2*p.Sizes.Rounds, total.Pages, total.Files), fmt.Sprintf("%d drafts were left, under their drafts' names", torn)}, nil
}

// crashed starts a writer and kills it in the middle of its work.
func (p *pair) crashed(ctx context.Context, dir string) (d done, err error) {
	if err := p.FS.Mkdir(dir); err != nil {
		return d, err
	}
	c, err := p.startChild(ctx, childWrite, dir, fmt.Sprint(maxDone))
	if err != nil {
		return d, err
	}
	defer c.kill()
	d.Dir = dir
	note := func(text string) {
		_, _ = fmt.Sscanf(text, "page %d", &d.Pages)
		_, _ = fmt.Sscanf(text, "file %d", &d.Files)
	}
	for d.Files < 10+rand.IntN(20) {
		text, err := c.line(p.Patience)
		if err != nil {
			return d, fmt.Errorf("a process that writes: %w", err)
		}
		note(text)
	}
	if err := sleep(ctx, time.Duration(rand.IntN(3000))*time.Microsecond); err != nil {
		return d, err
	}
	c.kill()
	for text := range c.lines {
		note(text)
	}
	return d, nil
}

// survived checks what a killed writer left, and counts its drafts.
func (p *pair) survived(d done) (drafts int, err error) {
	data, _, err := p.FS.Read(d.Dir+"/log", (maxDone+1)*pageSize)
	if err == nil {
		err = whole(data, "log", d.Pages)
	}
	if err != nil {
		return 0, err
	}
	names, err := p.FS.List(d.Dir)
	if err != nil {
		return 0, err
	}
	final := map[string]bool{}
	for _, name := range names {
		switch {
		case strings.HasPrefix(name, "file-"):
			final[name] = true
			data, _, err := p.FS.Read(d.Dir+"/"+name, (draftPages+1)*pageSize)
			if err == nil {
				err = whole(data, name, draftPages)
			}
			if err != nil {
				return 0, err
			}
		case strings.HasPrefix(name, "draft-"):
			drafts++
		}
	}
	for i := range d.Files {
		if !final["file-"+number(i)] {
			return 0, fmt.Errorf("file %s was renamed and synced, and isn't listed", number(i))
		}
	}
	return drafts, nil
}

// recordSize is that of a heartbeat.
const recordSize = pageSize

// record: each side in turn rewrites a record; the other reads it all the time
// and says when it sees a change.
func record(ctx context.Context, p *pair) ([]string, error) {
	var evidence []string
	for writer := range 2 {
		took, torn, err := p.rewritten(ctx, writer)
		if err != nil {
			return nil, err
		}
		evidence = append(evidence, fmt.Sprintf("written by %s, seen by %s after %s; read in part %d times", p.name(writer), p.name(1-writer), spans(took), torn))
	}
	return evidence, nil
}

func (p *pair) rewritten(ctx context.Context, writer int) (took []time.Duration, torn int, err error) {
	name, w := p.at("record-%d", writer), fmt.Sprint(writer)
	var rec vfs.Record
	if p.role == writer {
		if rec, err = p.FS.OpenRecord(name); err != nil {
			return nil, 0, err
		}
		defer rec.Close()
		if err := rec.Write(page(name, 0)); err != nil {
			return nil, 0, err
		}
	}
	last := 0
	for i := 1; i <= p.Sizes.Rounds+2; i++ {
		mark := fmt.Sprintf("%s-%d", w, i)
		if err := p.meetAt(ctx, "record"+mark); err != nil {
			return nil, torn, err
		}
		if p.role == writer {
			if err := errors.Join(rec.Write(page(name, i)), p.mark("written-"+mark)); err != nil {
				return nil, torn, err
			}
		} else {
			n, err := p.seesRecord(ctx, name, i, &last)
			if torn += n; err != nil {
				return nil, torn, err
			}
			if err := p.mark("seen-" + mark); err != nil {
				return nil, torn, err
			}
		}
		if err := p.meetAt(ctx, "seen"+mark); err != nil {
			return nil, torn, err
		}
		d, err := p.between("written-"+mark, "seen-"+mark)
		if err != nil {
			return nil, torn, err
		}
		took = append(took, d)
	}
	theirs, err := swap(ctx, p, "torn"+w, torn)
	return took, torn + theirs, err
}

// seesRecord reads until it sees change i.
func (p *pair) seesRecord(ctx context.Context, name string, i int, last *int) (torn int, err error) {
	for start := time.Now(); ; {
		data, _, err := p.FS.Read(name, 2*recordSize)
		if err != nil && !errors.Is(err, syscall.ESTALE) {
			return torn, err
		}
		n := -1
		for k := *last; k <= i && err == nil; k++ {
			if bytes.Equal(data, page(name, k)) {
				n = k
			}
		}
		switch {
		case n == i:
			*last = i
			return torn, nil
		case n < 0 && *last > 0 && err == nil && bytes.Equal(data, page(name, *last-1)):
			return torn, fmt.Errorf("a record went back to change %d after change %d had been seen", *last-1, *last)
		case n < 0 && err == nil:
			torn++
		}
		if time.Since(start) > p.Sizes.Limit {
			return torn, fmt.Errorf("change %d of a record that %s rewrites wasn't seen by %s within %s", i, p.name(p.other()), p.name(p.role), p.Sizes.Limit)
		}
		if err := sleep(ctx, sayPoll); err != nil {
			return torn, err
		}
	}
}

// spans is text for measured times: the shortest and the longest.
func spans(took []time.Duration) string {
	if len(took) == 0 {
		return "?"
	}
	lo, hi := took[0], took[0]
	for _, d := range took {
		lo, hi = min(lo, d), max(hi, d)
	}
	return fmt.Sprintf("%.3f to %.3f s", lo.Seconds(), hi.Seconds())
}
