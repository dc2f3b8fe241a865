package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"sync/atomic"
	"syscall"
	"time"

	"fencepost/spool"
	"fencepost/spool/vfs"
)

// shareChecks try on the share what the protocol rests on. From one host that
// proves that the operations exist and mean what they should, not that two
// hosts see the same.
func shareChecks() []check {
	on := func(try func(context.Context, *patient) Finding) func(context.Context, *patient) Finding {
		return func(ctx context.Context, p *patient) Finding {
			if p.probeErr != nil {
				return skipped("no probe files could be made, see FP020")
			}
			return try(ctx, p)
		}
	}
	return []check{
		{"FP020", "rename across the stages", "A job moves from directory to directory by RENAME alone; it is never copied.", false, tryStages},
		{"FP021", "exclusive create", "An instance's number is a directory or file that can be made only once.", false, on(tryCreate)},
		{"FP022", "hard links", "A link that must not exist lets a job in once and out once; its identity says whose it is.", false, on(tryLink)},
		{"FP023", "rename has one winner", "A claim is a rename: of many that try it, one succeeds.", false, on(tryRename)},
		{"FP024", "flock against another process", "A second daemon under one name is kept out by it, and a killed one's work moves on at once when it is free.", false, on(tryLock)},
		{"FP025", "fsync", "ACCEPTED is said only after the job is on the disk.", false, on(trySync)},
		{"FP026", "rmdir as a fence", "An instance that is over is shut out by removing its empty directory.", false, on(tryRmdir)},
		{"FP027", "calls to the server", "What a job costs the server: the names and files of one, without the polling.", true, on(tryCalls)},
		{"FP028", "two processes at once", "What FP021 to FP023 and FP026 try within one process, between two.", false, on(tryPair)},
	}
}

// broken is a share that doesn't do what it must.
func broken(format string, args ...any) Finding {
	return Finding{Refuse, []string{fmt.Sprintf(format, args...)}, useNFS}
}

// stageDirs are the directories that a job moves through. In the deep ones a
// file would be in the way of who lists them as directories: of them only the
// device is compared.
func stageDirs(s *spool.Spool) (flat, deep []string) {
	for _, st := range spool.Stages() {
		flat = append(flat, s.Layout.Input(st).Dir)
	}
	flat = append(flat, spool.DirClaims, spool.DirSealed, spool.DirDrafts, spool.DirHeld, spool.DirParked, spool.DirFailed)
	deep = []string{spool.DirDone, spool.DirGate, spool.DirOnce, spool.DirStarted, spool.DirHosts}
	for _, in := range s.Layout.Inboxes { // a probe file there might be adopted
		deep = append(deep, in.Dir)
	}
	for _, st := range spool.Stages() {
		if h, foreign := s.Layout.Foreign[st]; foreign { // and here, be taken
			deep = append(deep, h.Dir())
		}
	}
	return flat, deep
}

func tryStages(_ context.Context, p *patient) Finding {
	if p.probeErr != nil {
		return Finding{Warn, []string{"no probe file can be made: " + p.probeErr.Error()},
			"run doctor as the user that runs fencepost; that user has to be able to write to " + p.Dir}
	}
	at, _, err := p.probe.file("stages")
	if err != nil {
		return unable(err)
	}
	flat, deep := stageDirs(p.Spool)
	for _, dir := range append(flat, p.probe.dir) {
		to := path.Join(dir, p.probe.nonce)
		p.probe.note(to)
		if err := p.Spool.FS.Rename(at, to); errors.Is(err, syscall.EXDEV) {
			return Finding{Refuse, []string{err.Error()}, fmt.Sprintf("put %s on the file system (and quota project) that %s is on: no mount, no symbolic link", dir, p.Dir)}
		} else if err != nil {
			return unable(err)
		}
		at = to
	}
	devs := map[uint64]string{}
	for _, dir := range append(flat, deep...) {
		st, err := p.stat(dir)
		if err != nil {
			return unable(err)
		}
		devs[st.Sys().(*syscall.Stat_t).Dev] = dir
	}
	if len(devs) > 1 {
		return Finding{Refuse, []string{fmt.Sprintf("directories on %d devices: %v", len(devs), devs)}, "put the whole spool on one file system"}
	}
	return good(fmt.Sprintf("a file moved through %d directories", len(flat)))
}

func tryCreate(_ context.Context, p *patient) Finding {
	name := p.probe.name("create")
	winners, others := race(syscall.EEXIST, func(i int) error {
		_, err := p.Spool.FS.Create(name, fmt.Appendf(nil, "%d\n", i))
		return err
	})
	if winners != 1 || len(others) > 0 {
		return broken("of %d that made one name exclusively %d succeeded; other errors: %v", racers, winners, errors.Join(others...))
	}
	dir := p.probe.name("mkdir")
	winners, others = race(syscall.EEXIST, func(int) error { return p.Spool.FS.Mkdir(dir) })
	if winners != 1 || len(others) > 0 {
		return broken("of %d that made one directory %d succeeded; other errors: %v", racers, winners, errors.Join(others...))
	}
	return good(fmt.Sprintf("of %d at once one succeeded, with a file and with a directory", racers))
}

func tryLink(_ context.Context, p *patient) Finding {
	fsys := p.Spool.FS
	file, id, err := p.probe.file("link-a")
	if err != nil {
		return unable(err)
	}
	other, _, err := p.probe.file("link-b")
	if err != nil {
		return unable(err)
	}
	link := p.probe.name("link-c")
	if err := fsys.Link(file, link); err != nil {
		return broken("link: %v", err)
	}
	got, err := fsys.Identify(link)
	if err != nil {
		return broken("open a link: %v", err)
	}
	if got != id {
		return broken("a file and its link have different identities: %v and %v", id, got)
	}
	if err := fsys.Link(other, link); !errors.Is(err, syscall.EEXIST) {
		return broken("a link over a name that exists: %v, want EEXIST", err)
	}
	if got, err := fsys.Identify(link); err != nil || got != id {
		return broken("after a refused link the name is %v (%v), want %v", got, err, id)
	}
	return good("identity kept, and an existing name isn't replaced")
}

func tryRename(_ context.Context, p *patient) Finding {
	fsys := p.Spool.FS
	file, id, err := p.probe.file("rename")
	if err != nil {
		return unable(err)
	}
	var targets []string
	for i := range racers {
		targets = append(targets, p.probe.name(fmt.Sprintf("rename-%d", i)))
	}
	var won atomic.Int32
	winners, others := race(syscall.ENOENT, func(i int) error {
		err := fsys.Rename(file, targets[i])
		if err == nil {
			won.Store(int32(i))
		}
		return err
	})
	if winners != 1 || len(others) > 0 {
		return broken("of %d renames of one file %d succeeded; other errors: %v", racers, winners, errors.Join(others...))
	}
	old, _, err := p.probe.file("replaced")
	if err != nil {
		return unable(err)
	}
	if err := fsys.Rename(targets[won.Load()], old); err != nil {
		return broken("rename over a file that exists: %v", err)
	}
	if got, err := fsys.Identify(old); err != nil || got != id {
		return broken("after a rename over a file the name is %v (%v), want %v", got, err, id)
	}
	return good(fmt.Sprintf("of %d at once one succeeded, the others got ENOENT; an existing target is replaced", racers))
}

// lockFreed bounds how long a killed process may keep its lock.
const lockFreed = 5 * time.Second

// tryLock: held by us, another process must not get it; held by it, we must not;
// killed, we must.
func tryLock(ctx context.Context, p *patient) Finding {
	if p.Locker == nil {
		return skipped("no second process was asked for")
	}
	name := p.probe.name("lock")
	lock, err := p.Spool.FS.TryLock(name)
	if err != nil {
		return broken("lock: %v", err)
	}
	other, err := p.otherProcess(ctx, name)
	uerr := lock.Unlock()
	if err := errors.Join(err, uerr); err != nil {
		return unable(err)
	}
	other.kill()
	if other.word != wordHeld {
		return broken("two processes got one flock at the same time (the second said %q)", other.word)
	}
	if other, err = p.otherProcess(ctx, name); err != nil {
		return unable(err)
	}
	defer other.kill()
	if other.word != wordGot {
		return broken("a lock that was given back can't be had (the second process said %q)", other.word)
	}
	if lock, err = p.Spool.FS.TryLock(name); !errors.Is(err, vfs.ErrLocked) {
		if err == nil {
			_ = lock.Unlock()
		}
		return broken("a lock that another process holds: %v, want to be told that it is held", err)
	}
	other.kill()
	start := time.Now()
	for {
		if lock, err = p.Spool.FS.TryLock(name); err == nil {
			return p.freed(lock, time.Since(start))
		}
		if !errors.Is(err, vfs.ErrLocked) || time.Since(start) > lockFreed {
			return Finding{Warn, []string{fmt.Sprintf("the lock of a killed process isn't free after %s: %v", lockFreed, err)},
				"see that the server's lock service runs (rpcinfo -p SERVER); use NFS 4.1 or later"}
		}
		if p.Spool.Env.Sleep(ctx, 50*time.Millisecond) != nil {
			return skipped("interrupted")
		}
	}
}

func (p *patient) freed(lock vfs.Lock, after time.Duration) Finding {
	if err := lock.Unlock(); err != nil {
		return unable(err)
	}
	return good(fmt.Sprintf("held by one process at a time; free %s after kill -9", after.Round(time.Millisecond)))
}

// trySync writes as a heartbeat does and as a draft does.
func trySync(_ context.Context, p *patient) Finding {
	name := p.probe.name("record")
	start := time.Now()
	r, err := p.Spool.FS.OpenRecord(name)
	if err != nil {
		return unable(err)
	}
	text := []byte("first \n")
	err = r.Write(text)
	if err == nil {
		text = []byte("second\n")
		err = r.Write(text)
	}
	if err = errors.Join(err, r.Close(), p.Spool.FS.Sync(p.probe.dir)); err != nil {
		return broken("write, fsync, close: %v", err)
	}
	spent := time.Since(start)
	got, _, err := p.Spool.FS.Read(name, 100)
	if err != nil || !bytes.Equal(got, text) {
		return broken("read back %q (%v), want %q", got, err, text)
	}
	return good(fmt.Sprintf("two writes with fsync took %s", spent.Round(10*time.Microsecond)))
}

func tryRmdir(_ context.Context, p *patient) Finding {
	fsys := p.Spool.FS
	dir := p.probe.name("fence")
	if err := fsys.Mkdir(dir); err != nil {
		return unable(err)
	}
	file := p.probe.name("fence/in")
	if _, err := fsys.Create(file, nil); err != nil {
		return unable(err)
	}
	if err := fsys.Rmdir(dir); !errors.Is(err, syscall.ENOTEMPTY) {
		return broken("rmdir of a directory with a file in it: %v, want ENOTEMPTY", err)
	}
	out := p.probe.name("fence-out")
	if err := fsys.Rename(file, out); err != nil {
		return unable(err)
	}
	if err := fsys.Rmdir(dir); err != nil {
		return broken("rmdir of an empty directory: %v", err)
	}
	if err := fsys.Rename(out, file); !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.ESTALE) {
		return broken("rename into a directory that was removed: %v, want ENOENT or ESTALE", err)
	}
	return good("not while it holds a file; nothing gets in afterwards")
}
