package nfsfacts

import (
	"fmt"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// racers is how many names two hosts race for.
const racers = 300

// names are the experiments on names and caches.
func names() []Experiment {
	return []Experiment{
		{
			Name: "rename-race", Did: fmt.Sprintf("two hosts rename the same %d names", racers),
			So: "rename decides",
			Want: []Answer{
				{What: "names that one host moved", Is: fmt.Sprint(racers)},
				{What: "names that both moved", Is: "0"},
				{What: "the losers' answers", Is: "ENOENT"},
				{What: "names left", Is: "0"},
			},
			run: renameRace,
		},
		{
			Name: "moved-directory", Did: "host 1 has a directory cached; host 2 renames that directory; host 1 goes on renaming files into it by the old path",
			So: "never fence by moving a directory: per file, by name",
			Want: []Answer{
				{What: "rename at once", Is: "ok"},
				{What: "rename 14 s later", Is: "ok"},
				{What: "the files are", Is: "in moved"},
			},
			run: movedDirectory,
		},
		{
			Name: "moved-files", Did: "host 2 renames each file away; host 1, which has the names cached, opens, stats and renames them",
			So: "the fence is a rename of each file; a look before an act proves nothing; never write in place into a claimed file",
			Want: []Answer{
				{What: "stat", Is: "ok"},
				{What: "open to write", Is: "ok", On: map[string]string{"4.0": "ok|ENOENT"}},
				{What: "rename", Is: "ENOENT"},
			},
			run: movedFiles,
		},
		{
			Name: "absent", Did: "host 1 stats a name that is missing; host 2 creates it",
			So: "\"absent\" by stat or open may be stale; list afresh",
			Want: []Answer{
				{What: "stat before", Is: "ENOENT"},
				{What: "stat 1 s after", Is: "ENOENT"},
				{What: "open 1 s after", Is: "ENOENT"},
				{What: "a listing has it", Is: "true"},
				{What: "stat after the listing", Is: "ok"},
			},
			run: absent,
		},
		{
			Name: "replaced-record", Did: "host 2 replaces a file by rename each second; a process on host 1 holds the old one open, and opens, reads and closes the name",
			So:   "a record is rewritten in place, with fsync; nobody holds it open",
			Want: []Answer{{What: "changes seen in 5 s", Is: "none", On: map[string]string{"3": "some"}}},
			run:  replacedRecord,
		},
		{
			Name: "rewritten-record", Did: "host 2 rewrites a file in place and syncs; host 1 opens, reads and closes it each time",
			So:   "so a heartbeat is seen",
			Want: []Answer{{What: "seen within 5 s", Is: "true"}},
			run:  rewrittenRecord,
		},
		{
			Name: "noreplace", Did: "rename with RENAME_NOREPLACE onto a name that is free",
			So:   "unique target names",
			Want: []Answer{{What: "rename", Is: "EINVAL"}},
			run: func(t *trial) {
				p := t.start(t.host(0))
				p.create("a")
				t.saw("rename", p.RenameNoReplace(t.in("a"), t.in("b")))
			},
		},
		{
			Name: "same-file", Did: "rename of one hard link onto another of the same file",
			So: "don't rename onto links of the same file",
			Want: []Answer{
				{What: "rename", Is: "ok"},
				{What: "names after", Is: "a b"},
			},
			run: func(t *trial) {
				p := t.start(t.host(0))
				p.create("a")
				t.must(p.Link(t.in("a"), t.in("b")))
				t.saw("rename", p.rename("a", "b"))
				t.see("names after", strings.Join(t.start(t.host(1)).list("."), " "))
			},
		},
		{
			Name: "removed-open", Did: "a file that is open is removed on the same host, then its directory",
			So: "close before remove; a directory may not be empty because of a name that only the client made",
			Want: []Answer{
				{What: "remove", Is: "ok"},
				{What: "names after", Is: ".nfs"},
				{What: "rmdir", Is: "ENOTEMPTY"},
				{What: "rmdir after close", Is: "ok"},
			},
			run: removedOpen,
		},
		{
			Name: "stale-descriptor", Did: "a stopped process has a file open; host 2 renames the file; the process goes on and writes",
			So: "entries and claims are never written to; outputs are new files; readers verify size and hash",
			Want: []Answer{
				{What: "write", Is: "ok"},
				{What: "fsync", Is: "ok"},
				{What: "host 2 reads", Is: "late"},
			},
			run: staleDescriptor,
		},
	}
}

func renameRace(t *trial) {
	p, q := t.start(t.host(0)), t.start(t.host(1))
	p.mkdirs("in", "out1", "out2")
	var from [racers]string
	for i := range from {
		from[i] = fmt.Sprintf("in/%03d", i)
		p.create(from[i])
	}
	// Each looks first, so that both have the names cached.
	p.list("in")
	q.list("in")
	one, both, losers := 0, 0, map[string]bool{}
	for _, name := range from {
		to := func(dir string) func(Process) error {
			return func(p Process) error { return p.Rename(t.in(name), t.in(path.Join(dir, path.Base(name)))) }
		}
		a, b := p.Begin(to("out1")), q.Begin(to("out2"))
		wins := 0
		for _, c := range []Pending{a, b} {
			err, done := c.Wait(time.Minute)
			switch {
			case !done:
				losers["no answer"] = true
			case err == nil:
				wins++
			default:
				losers[answer(err)] = true
			}
		}
		switch wins {
		case 1:
			one++
		case 2:
			both++
		}
	}
	t.see("names that one host moved", fmt.Sprint(one))
	t.see("names that both moved", fmt.Sprint(both))
	var said []string
	for l := range losers {
		said = append(said, l)
	}
	t.see("the losers' answers", strings.Join(said, " "))
	t.see("names left", fmt.Sprint(len(p.list("in"))))
}

func movedDirectory(t *trial) {
	p, q := t.start(t.host(0)), t.start(t.host(1))
	p.mkdirs("claims", "in")
	p.create("in/0", "in/1", "in/2")
	t.must(p.rename("in/0", "claims/0"))
	t.must(q.rename("claims", "moved"))
	t.saw("rename at once", p.rename("in/1", "claims/1"))
	t.Sleep(14 * time.Second)
	t.saw("rename 14 s later", p.rename("in/2", "claims/2"))
	where := "lost"
	if strings.Join(q.list("moved"), " ") == "0 1 2" {
		where = "in moved"
	}
	t.see("the files are", where)
}

func movedFiles(t *trial) {
	p, q := t.start(t.host(0)), t.start(t.host(1))
	p.mkdirs("claims", "back", "sealed")
	p.create("claims/a")
	t.must(p.stats("claims/a"))
	t.must(q.rename("claims/a", "back/a"))
	t.saw("stat", p.stats("claims/a"))
	t.saw("open to write", p.opens("claims/a", unix.O_RDWR))
	t.saw("rename", p.rename("claims/a", "sealed/a"))
}

func absent(t *trial) {
	p, q := t.start(t.host(0)), t.start(t.host(1))
	p.mkdirs("d")
	p.create("d/other")
	t.must(p.stats("d/other"))
	t.saw("stat before", p.stats("d/new"))
	t.Sleep(time.Second)
	q.create("d/new")
	t.Sleep(time.Second)
	t.saw("stat 1 s after", p.stats("d/new"))
	t.saw("open 1 s after", p.opens("d/new", unix.O_RDONLY))
	t.see("a listing has it", fmt.Sprint(p.has("d/new")))
	t.saw("stat after the listing", p.stats("d/new"))
}

func replacedRecord(t *trial) {
	p, q := t.start(t.host(0)), t.start(t.host(1))
	q.create("record")
	p.open("record", unix.O_RDONLY) // and holds it
	first := p.read("record")
	seen := "none"
	for i := range 5 {
		draft := fmt.Sprint("draft", i)
		q.create(draft)
		t.must(q.rename(draft, "record"))
		t.Sleep(time.Second)
		if p.read("record") != first {
			seen = "some"
		}
	}
	t.see("changes seen in 5 s", seen)
}

func rewrittenRecord(t *trial) {
	p, q := t.start(t.host(0)), t.start(t.host(1))
	q.create("record")
	p.read("record")
	fd := q.open("record", unix.O_RDWR)
	t.must(q.Write(fd, []byte("second")))
	t.must(q.Fsync(fd))
	t.see("seen within 5 s", fmt.Sprint(t.eventually(5*time.Second, func() bool { return p.read("record") == "second" })))
}

func removedOpen(t *trial) {
	p := t.start(t.host(0))
	p.mkdirs("d")
	p.create("d/a")
	fd := p.open("d/a", unix.O_RDONLY)
	t.saw("remove", p.Remove(t.in("d/a")))
	kinds := ""
	for _, n := range p.list("d") {
		kinds += n[:min(len(n), len(".nfs"))]
	}
	t.see("names after", kinds)
	t.saw("rmdir", p.Rmdir(t.in("d")))
	t.must(p.Close(fd))
	t.saw("rmdir after close", p.Rmdir(t.in("d")))
}

func staleDescriptor(t *trial) {
	p, q := t.start(t.host(0)), t.start(t.host(1))
	p.mkdirs("claims", "back")
	p.create("claims/a")
	fd := p.open("claims/a", unix.O_RDWR)
	t.must(p.Stop())
	t.must(q.rename("claims/a", "back/a"))
	t.must(p.Continue())
	t.saw("write", p.Write(fd, []byte("late")))
	t.saw("fsync", p.Fsync(fd))
	t.see("host 2 reads", q.read("back/a")[:len("late")])
}
