package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"fencepost/cmd/fencepost/secure"
	"fencepost/cmd/fencepost/trust"
	"fencepost/spool"
	"fencepost/spool/env"
	"fencepost/spool/vfs"
)

// errNoAnswer: an operation on the share took longer than --timeout.
var errNoAnswer = errors.New("the share did not answer in time")

// share is an opened spool, as the commands see it.
type share struct {
	*spool.Spool
	Dir string
}

// onSpool opens the spool and runs look, which must only return what it found,
// never print: if the share stops answering, look is left behind, running.
func onSpool[T any](g *globals, cmd *cobra.Command, look func(context.Context, *share) (T, error)) (T, error) {
	return onDir(g, cmd, func(ctx context.Context, dir string, e env.Env) (T, error) {
		var none T
		s, err := spool.Open(e)
		if err != nil {
			return none, err
		}
		return look(ctx, &share{Spool: s, Dir: dir})
	})
}

// onDir is onSpool for a directory that may be no spool yet.
func onDir[T any](g *globals, cmd *cobra.Command, look func(context.Context, string, env.Env) (T, error)) (T, error) {
	var none T
	dir, err := g.spoolDir(cmd)
	if err != nil {
		return none, err
	}
	c, err := g.config(cmd)
	if err != nil {
		return none, err
	}
	dir = absolute(dir)
	g.touched = dir
	w, open := newWatch(c.Timeout.Duration), g.openFS // an abandoned look must not see g change
	w.talk = g.talk()
	defer w.say("")
	return underWatch(cmd.Context(), w, func(ctx context.Context) (T, error) {
		done := w.begin("open", dir)
		fs, err := open(dir)
		done()
		if err != nil {
			return none, openError(err)
		}
		forGroup(fs, c.SpoolUsers)
		key := sync.OnceValues(func() ([]byte, error) {
			keys, err := secure.ReadSpoolKeys(c.SpoolKeyFile)
			return keys.Files, err
		})
		fs = trust.FS{FS: fs, Key: key}
		return look(ctx, dir, env.NewReal(watchedFS{fs, w}))
	})
}

// openError is for a directory that can't be opened: no spool, if it isn't there.
func openError(err error) error {
	if isMissing(err) {
		return fmt.Errorf("%w: %w", spool.ErrNoSpool, err)
	}
	return fmt.Errorf("open spool: %w", err)
}

// watch knows which operations on the share are under way. What counts is the
// single operation, not the whole: an audit of a million files may take minutes,
// but a listing that doesn't end is a dead share.
type watch struct {
	limit time.Duration
	talk  func(text string) // tells who waits what is done at the moment, "" = nothing; nil = nobody
	mu    sync.Mutex
	next  int
	ops   map[int]op
}

type op struct {
	what, name string
	since      time.Time
}

func newWatch(limit time.Duration) *watch { return &watch{limit: limit, ops: map[int]op{}} }

// begin notes an operation; the func returned ends it.
func (w *watch) begin(what, name string) func() {
	w.mu.Lock()
	defer w.mu.Unlock()
	id := w.next
	w.next++
	w.ops[id] = op{what, name, time.Now()}
	return func() {
		w.mu.Lock()
		delete(w.ops, id)
		w.mu.Unlock()
	}
}

// say tells who waits.
func (w *watch) say(text string) {
	if w.talk != nil {
		w.talk(text)
	}
}

// oldest is the operation that has been under way the longest.
func (w *watch) oldest() (old op, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range w.ops {
		if !ok || o.since.Before(old.since) {
			old, ok = o, true
		}
	}
	return old, ok
}

// overdue returns the oldest operation that is over the limit.
func (w *watch) overdue() (late op, ok bool) {
	late, ok = w.oldest()
	return late, ok && time.Since(late.since) >= w.limit
}

// underWatch runs look on a goroutine of its own and gives up on it as soon as
// an operation is overdue. The goroutine may then never end: a process that
// waits for a dead NFS server can be killed, but not be interrupted.
func underWatch[T any](ctx context.Context, w *watch, look func(context.Context) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	var none T
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan result, 1)
	go func() {
		v, err := look(ctx)
		done <- result{v, err}
	}()
	tick := time.NewTicker(max(min(w.limit/20, time.Second/2), time.Millisecond))
	defer tick.Stop()
	began := time.Now()
	for {
		select {
		case r := <-done:
			return r.value, r.err
		case <-tick.C:
			if late, ok := w.overdue(); ok {
				return none, fmt.Errorf("%s %s: %w (%s)", late.what, late.name, errNoAnswer, w.limit)
			}
			if took := time.Since(began); took >= time.Second {
				doing := "between two looks"
				if now, ok := w.oldest(); ok {
					doing = now.what + " " + now.name
				}
				w.say(fmt.Sprintf("looking at the share for %s: %s", took.Round(time.Second), doing))
			}
		case <-ctx.Done():
			return none, context.Cause(ctx)
		}
	}
}

// watchedFS notes each operation of a viewer or an act on the share.
type watchedFS struct {
	vfs.FS
	w *watch
}

func (f watchedFS) Create(name string, data []byte) (vfs.ID, error) {
	defer f.w.begin("create", name)()
	return f.FS.Create(name, data)
}

func (f watchedFS) Read(name string, limit int64) ([]byte, vfs.ID, error) {
	defer f.w.begin("read", name)()
	return f.FS.Read(name, limit)
}

func (f watchedFS) Identify(name string) (vfs.ID, error) {
	defer f.w.begin("open", name)()
	return f.FS.Identify(name)
}

func (f watchedFS) Each(dir string, do func(string)) error {
	defer f.w.begin("list", dir)()
	return vfs.Each(f.FS, dir, do)
}

func (f watchedFS) List(dir string) ([]string, error) {
	defer f.w.begin("list", dir)()
	return f.FS.List(dir)
}

func (f watchedFS) Rename(from, to string) error {
	defer f.w.begin("rename", from)()
	return f.FS.Rename(from, to)
}

func (f watchedFS) Link(from, to string) error {
	defer f.w.begin("link", from)()
	return f.FS.Link(from, to)
}

func (f watchedFS) Mkdir(dir string) error {
	defer f.w.begin("mkdir", dir)()
	return f.FS.Mkdir(dir)
}

func (f watchedFS) Rmdir(dir string) error {
	defer f.w.begin("rmdir", dir)()
	return f.FS.Rmdir(dir)
}

func (f watchedFS) Remove(name string) error {
	defer f.w.begin("remove", name)()
	return f.FS.Remove(name)
}

func (f watchedFS) Sync(dirs ...string) error {
	defer f.w.begin("sync", fmt.Sprint(dirs))()
	return f.FS.Sync(dirs...)
}

func (f watchedFS) TryLock(name string) (vfs.Lock, error) {
	defer f.w.begin("lock", name)()
	return f.FS.TryLock(name)
}

func (f watchedFS) OpenRecord(name string) (vfs.Record, error) {
	defer f.w.begin("open", name)()
	rec, err := f.FS.OpenRecord(name)
	if err != nil {
		return nil, err
	}
	return watchedRecord{rec, f.w, name}, nil
}

type watchedRecord struct {
	vfs.Record
	w    *watch
	name string
}

func (r watchedRecord) Write(data []byte) error {
	defer r.w.begin("write and sync", r.name)()
	return r.Record.Write(data)
}

func (r watchedRecord) Close() error {
	defer r.w.begin("close", r.name)()
	return r.Record.Close()
}

func (f watchedFS) OpenLog(name string) (vfs.Log, error) {
	defer f.w.begin("open", name)()
	log, err := f.FS.OpenLog(name)
	return watchedLog{log, f.w, name}, err
}

type watchedLog struct {
	vfs.Log
	w    *watch
	name string
}

func (l watchedLog) Append(data []byte) error {
	defer l.w.begin("append to", l.name)()
	return l.Log.Append(data)
}

func (l watchedLog) Sync() error {
	defer l.w.begin("sync", l.name)()
	return l.Log.Sync()
}
