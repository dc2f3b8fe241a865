package nfsfacts

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// lost are the experiments on lost replies, restarts, and calls that are under
// way when their host is cut off.
func lost() []Experiment {
	return []Experiment{
		{
			Name: "reply-lost", Did: "the reply to a call is lost and the connection cut; the client connects again",
			So: "an answer that was lost can be had again, if the server remembers it",
			Want: []Answer{
				{What: "rename", Is: "ok"},
				{What: "link", Is: "ok"},
				{What: "mkdir", Is: "ok"},
				{What: "rmdir", Is: "ok"},
				{What: "remove", Is: "ok"},
				{What: "exclusive create", Is: "ok"},
				{What: "all of them were done", Is: "true"},
			},
			run: func(t *trial) { replyLost(t, false, false) },
		},
		{
			Name: "reply-lost-port", Did: "the same, but the client comes back from another port, as through address translation",
			So: "version 4.1 or later, whose sessions need no port; and look all the same",
			Want: []Answer{
				{What: "rename", Is: "ok", On: beforeSessions("ENOENT")},
				{What: "link", Is: "ok", On: beforeSessions("EEXIST")},
				{What: "mkdir", Is: "ok", On: beforeSessions("EEXIST")},
				{What: "rmdir", Is: "ok", On: beforeSessions("ENOENT")},
				{What: "remove", Is: "ok", On: beforeSessions("ENOENT")},
				{What: "exclusive create", Is: "ok"},
				{What: "all of them were done", Is: "true"},
			},
			run: func(t *trial) { replyLost(t, false, true) },
		},
		{
			Name: "reply-lost-restart", Did: "the reply to a call is lost and the connection cut; the server is restarted before the client connects again",
			So: "after an error, look for the own target. The exclusive create is the one create that survives it", Restarts: true,
			Want: []Answer{
				{What: "rename", Is: "ENOENT"},
				{What: "link", Is: "EEXIST"},
				{What: "mkdir", Is: "EEXIST"},
				{What: "rmdir", Is: "ENOENT"},
				{What: "remove", Is: "ENOENT"},
				{What: "exclusive create", Is: "ok"},
				{What: "all of them were done", Is: "true"},
			},
			run: func(t *trial) { replyLost(t, true, false) },
		},
		{
			Name: "fence", Did: "a directory made for one instance is drained and removed while that instance is cut off; then it is joined",
			So: "rmdir of a drained directory is a fence",
			Want: []Answer{
				{What: "rmdir", Is: "ok"},
				{What: "the pending rename into it", Is: "ENOENT|ESTALE"},
				{What: "a new rename into it", Is: "ENOENT|ESTALE"},
				{What: "a rename out of it", Is: "ENOENT|ESTALE"},
				{What: "a new file in it", Is: "ENOENT|ESTALE"},
				{What: "the sources", Is: "stay"},
			},
			run: fence,
		},
		{
			Name: "late-rename", Did: "a process is killed in the middle of a rename while its host is cut off; then the host is joined",
			So: "keep sweeping a dead instance's directory until rmdir succeeds",
			Want: []Answer{
				{What: "before", Is: "in in"},
				{What: "after", Is: "in claims"},
			},
			run: func(t *trial) { lateRename(t, false) },
		},
		{
			Name: "late-rename-again", Did: "the same, and meanwhile host 2 took the entry and put it back under its old name",
			So: "put an entry back under a new name",
			Want: []Answer{
				{What: "before", Is: "in in"},
				{What: "after", Is: "in claims"},
			},
			run: func(t *trial) { lateRename(t, true) },
		},
		{
			Name: "soft", Did: "a soft mount; the reply to a rename is lost and the server stays away",
			So: "refuse soft",
			Want: []Answer{
				{What: "rename", Is: "EIO"},
				{What: "it was done", Is: "true"},
			},
			run: soft,
		},
		{
			Name: "grace", Restarts: true,
			Did: "the server restarts while a host that holds a lock is cut off, so that its grace lasts; another host goes on",
			So:  "a stall is not a death. A rename that waits holds up all that its host does to that directory. No lock is asked for on a task that others wait for; no context ends it",
			Want: []Answer{
				{What: "link in another directory", Is: "ok"},
				{What: "non-blocking flock", Is: "blocks", On: map[string]string{"3": "EAGAIN|blocks"}},
				{What: "open", Is: "blocks", On: map[string]string{"3": "ok"}},
				{What: "rename", Is: "blocks", On: map[string]string{"3": "ok"}},
				{What: "non-blocking flock after the grace", Is: "ok"},
				{What: "open after the grace", Is: "ok"},
				{What: "rename after the grace", Is: "ok"},
			},
			run: grace,
		},
	}
}

// beforeSessions is what versions answer that have no sessions.
func beforeSessions(is string) map[string]string { return map[string]string{"4.0": is, "3": is} }

// lossy is a call whose reply can be lost, by the name that a Host has for it.
type lossy struct {
	op, what string
	call     func(*process) error
	done     func(*process) bool // as another host sees it
}

func lossyCalls() []lossy {
	has := func(name string) func(*process) bool { return func(p *process) bool { return p.has(name) } }
	hasNot := func(name string) func(*process) bool { return func(p *process) bool { return !p.has(name) } }
	return []lossy{
		{"rename", "rename", func(p *process) error { return p.rename("rename/a", "rename/b") }, has("rename/b")},
		{"link", "link", func(p *process) error { return p.Link(p.t.in("link/a"), p.t.in("link/b")) }, has("link/b")},
		{"mkdir", "mkdir", func(p *process) error { return p.Mkdir(p.t.in("mkdir/b")) }, has("mkdir/b")},
		{"rmdir", "rmdir", func(p *process) error { return p.Rmdir(p.t.in("rmdir/d")) }, hasNot("rmdir/d")},
		{"remove", "remove", func(p *process) error { return p.Remove(p.t.in("remove/a")) }, hasNot("remove/a")},
		{"create", "exclusive create", func(p *process) error { return p.opens("create/b", unix.O_RDWR|unix.O_CREAT|unix.O_EXCL) }, has("create/b")},
	}
}

// replyLost has each kind of call on a host of its own, so that one restart of
// the server is enough.
func replyLost(t *trial, restart, newPort bool) {
	q := t.start(t.host(1))
	type one struct {
		lossy
		host Host
		p    *process
		call Pending
	}
	var all []*one
	for _, l := range lossyCalls() {
		h := t.addHost(HostOptions{Lossy: true, NewPort: newPort})
		o := &one{lossy: l, host: h, p: t.start(h)}
		o.p.mkdirs(l.op)
		o.p.create(l.op + "/a")
		o.p.mkdirs(l.op + "/d")
		all = append(all, o)
	}
	for _, o := range all {
		t.must(o.host.LoseReply(o.op))
		o.call = o.p.Begin(func(Process) error { return o.lossy.call(o.p) })
		if got := blocked(o.call, time.Second); got != "blocks" {
			t.see(o.what+" without a reply", got)
		}
	}
	if restart {
		t.must(t.RestartServer())
	}
	done := true
	for _, o := range all {
		t.must(o.host.Join())
	}
	for _, o := range all {
		t.saw(o.what, ended(o.call, healing))
		done = done && o.done(q)
	}
	t.see("all of them were done", fmt.Sprint(done))
}

func fence(t *trial) {
	p, q := t.start(t.host(0)), t.start(t.host(1))
	p.mkdirs("in", "claims", "claims/1")
	p.create("in/a", "in/b", "in/c")
	t.must(p.rename("in/a", "claims/1/a"))
	t.must(t.host(0).Cut())
	pending := p.Begin(func(p Process) error { return p.Rename(t.in("in/b"), t.in("claims/1/b")) })
	if got := blocked(pending, time.Second); got != "blocks" {
		t.see("the rename while cut off", got)
	}
	t.must(q.rename("claims/1/a", "in/a.1"))
	t.saw("rmdir", q.Rmdir(t.in("claims/1")))
	t.must(t.host(0).Join())
	t.saw("the pending rename into it", ended(pending, healing))
	t.saw("a new rename into it", p.rename("in/c", "claims/1/c"))
	t.saw("a rename out of it", p.rename("claims/1/a", "in/a"))
	t.saw("a new file in it", p.opens("claims/1/new", unix.O_RDWR|unix.O_CREAT|unix.O_EXCL))
	sources := "stay"
	for _, name := range []string{"in/a.1", "in/b", "in/c"} {
		if !q.has(name) {
			sources = name + " is gone"
		}
	}
	t.see("the sources", sources)
}

func lateRename(t *trial, putBack bool) {
	p, q := t.start(t.host(0)), t.start(t.host(1))
	p.mkdirs("in", "claims", "mine")
	p.create("in/a", "in/b")
	t.must(p.rename("in/b", "claims/b")) // both directories are cached
	t.must(t.host(0).Cut())
	pending := p.Begin(func(p Process) error { return p.Rename(t.in("in/a"), t.in("claims/a")) })
	if got := blocked(pending, time.Second); got != "blocks" {
		t.see("the rename while cut off", got)
	}
	t.must(p.Kill())
	t.Sleep(2 * time.Second)
	if putBack {
		t.must(q.rename("in/a", "mine/a"))
		t.must(q.rename("mine/a", "in/a"))
	}
	t.see("before", q.where("a", "in", "claims"))
	t.must(t.host(0).Join())
	t.eventually(healing, func() bool { return q.has("claims/a") })
	t.see("after", q.where("a", "in", "claims"))
}

func soft(t *trial) {
	h := t.addHost(HostOptions{Mount: "soft,timeo=30,retrans=1", Lossy: true})
	p, q := t.start(h), t.start(t.host(1))
	p.create("a")
	t.must(h.LoseReply("rename"))
	c := p.Begin(func(Process) error { return p.rename("a", "b") })
	if got := blocked(c, time.Second); got != "blocks" {
		t.see("the rename without a reply", got)
	}
	// A client of version 4 gives up only when the connection is gone.
	t.must(h.Cut())
	t.saw("rename", ended(c, healing))
	t.see("it was done", fmt.Sprint(q.has("b")))
}

func grace(t *trial) {
	holder := t.addHost(HostOptions{})
	p := t.start(holder)
	// A client holds a directory's lock while a rename in it waits, so that
	// nothing else happens there: each call has a directory of its own.
	p.mkdirs("1", "2")
	p.create("lock", "other", "a", "1/b", "2/a")
	t.must(p.Flock(p.open("lock", unix.O_RDWR), tryLock))
	calls := []struct {
		what   string
		blocks bool
		f      func(*process) func() error
	}{
		{"link", false, func(p *process) func() error { return func() error { return p.Link(p.t.in("1/b"), p.t.in("1/b2")) } }},
		{"non-blocking flock", true, func(p *process) func() error {
			fd := p.open("other", unix.O_RDWR)
			return func() error { return p.Flock(fd, tryLock) }
		}},
		{"open", true, func(p *process) func() error { return func() error { return p.opens("a", unix.O_RDONLY) } }},
		{"rename", true, func(p *process) func() error { return func() error { return p.rename("2/a", "2/a2") } }},
	}
	var fs []func() error
	var procs []*process
	for _, c := range calls {
		q := t.start(t.host(1))
		procs = append(procs, q)
		fs = append(fs, c.f(q))
	}
	t.must(holder.Cut())
	t.must(t.RestartServer())
	var pending []Pending
	for i := range calls {
		pending = append(pending, procs[i].Begin(func(Process) error { return fs[i]() }))
	}
	// The link says when the client speaks to the server again.
	t.saw("link in another directory", ended(pending[0], healing))
	for i, c := range calls {
		if c.blocks {
			t.see(c.what, blocked(pending[i], t.Lease()*3/10))
		}
	}
	for i, c := range calls {
		if !c.blocks {
			continue
		}
		t.saw(c.what+" after the grace", ended(pending[i], healing))
	}
}
