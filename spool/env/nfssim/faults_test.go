package nfssim_test

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"fencepost/spool/env/nfssim"
	"fencepost/spool/env/simenv"
	"fencepost/spool/vfs"
)

// once has a fate for the first request of a kind.
func (m *model) once(op string, f nfssim.Fate) {
	m.s.Fate = func(k *nfssim.Call) nfssim.Fate {
		if k.RPC != op {
			return nfssim.Fate{}
		}
		m.s.Fate = nil
		return f
	}
}

// TestFates: what a process hears of a rename, and whether it was done.
func TestFates(t *testing.T) {
	lost := nfssim.Fate{LoseReply: true}
	for _, c := range []struct {
		what    string
		opt     nfssim.Options
		fate    nfssim.Fate
		restart bool
		want    error
	}{
		{"lost, sessions", nfssim.Options{}, lost, false, nil},
		{"lost, 4.1", nfssim.Options{Version: "4.1"}, lost, false, nil},
		{"lost, 4.0", nfssim.Options{Version: "4.0"}, lost, false, syscall.ENOENT},
		{"lost, 3", nfssim.Options{Version: "3"}, lost, false, syscall.ENOENT},
		{"lost, 3 with memory", nfssim.Options{Version: "3", ReplyMemory: time.Minute}, lost, false, nil},
		{"lost, 3 with a short memory", nfssim.Options{Version: "3", ReplyMemory: time.Millisecond}, lost, false, syscall.ENOENT},
		{"lost and forgotten", nfssim.Options{}, nfssim.Fate{LoseReply: true, ForgetReply: true}, false, syscall.ENOENT},
		{"lost and forgotten, 3", nfssim.Options{Version: "3", ReplyMemory: time.Minute}, nfssim.Fate{LoseReply: true, ForgetReply: true}, false, syscall.ENOENT},
		{"lost, restart", nfssim.Options{}, lost, true, syscall.ENOENT},
		{"dropped", nfssim.Options{}, nfssim.Fate{DropRequest: true}, false, nil},
		{"late", nfssim.Options{}, nfssim.Fate{Stall: time.Minute}, false, nil},
	} {
		m := newModel(t, c.opt, nfssim.MountOptions{})
		m.a.must(create("x"))
		m.once("rename", c.fate)
		k := m.a.begin(rename("x", "y"))
		m.pass(10 * time.Millisecond)
		if k.ended {
			t.Errorf("%s: an answer at once: %v", c.what, k.err)
		}
		if c.restart {
			m.s.Restart()
		}
		if !k.within(10*time.Minute) || !errors.Is(k.err, c.want) {
			t.Errorf("%s: got %v, %v, want %v", c.what, k.ended, k.err, c.want)
		}
		m.has(".", "y")
	}
}

// TestCutOnTheWay: what is on its way when the network is cut is lost, the
// request or the reply; it is sent again after the join.
func TestCutOnTheWay(t *testing.T) {
	for _, c := range []struct {
		what    string
		version string
		fate    nfssim.Fate
		names   string // while cut
		want    error
	}{
		{"the request", "", nfssim.Fate{Out: 2 * time.Second}, "x", nil},
		{"the reply", "", nfssim.Fate{Back: 2 * time.Second}, "y", nil},
		{"the reply, 4.0", "4.0", nfssim.Fate{Back: 2 * time.Second}, "y", syscall.ENOENT},
	} {
		m := newModel(t, nfssim.Options{Version: c.version}, nfssim.MountOptions{})
		m.a.must(create("x"))
		m.once("rename", c.fate)
		k := m.a.begin(rename("x", "y"))
		m.pass(time.Second)
		m.a.c.Cut()
		m.pass(time.Minute)
		m.has(".", c.names)
		if k.ended {
			t.Errorf("%s: an answer while cut off", c.what)
		}
		m.a.c.Join()
		if !k.within(time.Minute) || !errors.Is(k.err, c.want) {
			t.Errorf("%s: got %v, want %v", c.what, k.err, c.want)
		}
		m.has(".", "y")
	}
}

// TestSessionLost: the memory of replies goes with the lease.
func TestSessionLost(t *testing.T) {
	for _, wanted := range []bool{false, true} {
		m := newModel(t, nfssim.Options{Lease: lease}, nfssim.MountOptions{})
		m.a.must(create("x"), take)
		m.once("rename", nfssim.Fate{Back: 2 * time.Second})
		k := m.a.begin(rename("x", "y"))
		m.pass(time.Second)
		m.a.c.Cut()
		m.pass(lease)
		var want error
		if wanted {
			want = syscall.ENOENT
			m.b.must(take)
		}
		m.a.c.Join()
		if !k.within(time.Minute) || !errors.Is(k.err, want) {
			t.Errorf("somebody wanted the lock: %v: got %v, want %v", wanted, k.err, want)
		}
	}
}

// TestLateCalls: a call that was made lands, whatever became of its process; one
// that was killed before it doesn't.
func TestLateCalls(t *testing.T) {
	for _, f := range []func(vfs.FS) error{rename("x", "y"), link("x", "y"), mkdir("y")} {
		m := newModel(t, nfssim.Options{}, nfssim.MountOptions{})
		m.a.must(create("x"))
		m.a.c.Cut()
		m.a.begin(f)
		m.pass(time.Second)
		m.a.p.Kill()
		m.pass(time.Minute)
		m.has(".", "x")
		m.a.c.Join()
		m.pass(time.Second)
		if !strings.HasSuffix(m.s.Tree(), "y/\n") && m.contents("y") != "x" {
			t.Errorf("it didn't land:\n%s", m.s.Tree())
		}
	}

	m := newModel(t, nfssim.Options{}, nfssim.MountOptions{})
	m.a.must(create("x"))
	m.s.OnCall = func(k *nfssim.Call) { k.Proc.Kill() }
	m.a.begin(rename("x", "y"))
	m.pass(time.Minute)
	m.has(".", "x")

	// Nor does it return, though the cache has the answer.
	m = newModel(t, nfssim.Options{}, nfssim.MountOptions{})
	m.a.want("missing", syscall.ENOENT, identify("x"))
	m.s.OnCall = func(k *nfssim.Call) { k.Proc.Kill() }
	k := m.a.begin(identify("x"))
	if m.pass(time.Minute); k.ended {
		t.Error("a call of the dead returned")
	}

	// Nothing of a crashed machine is sent again, not even what was lost before.
	m = newModel(t, nfssim.Options{}, nfssim.MountOptions{})
	m.a.must(create("x"))
	m.once("rename", nfssim.Fate{DropRequest: true})
	m.a.begin(rename("x", "y"))
	m.pass(time.Millisecond)
	m.a.p.Kill()
	m.a.c.Crash()
	m.pass(time.Minute)
	m.has(".", "x")

	// But what was on its way lands.
	for _, cut := range []bool{false, true} {
		m = newModel(t, nfssim.Options{}, nfssim.MountOptions{})
		m.a.must(create("x"))
		if cut {
			m.a.c.Cut()
		}
		m.a.begin(rename("x", "y"))
		m.pass(time.Microsecond)
		m.a.p.Kill()
		m.a.c.Crash()
		m.a.c.Join()
		m.pass(time.Minute)
		m.has(".", map[bool]string{false: "y", true: "x"}[cut])
	}
}

// TestDeathInCreate kills the process at each effect of a Create, and after it.
func TestDeathInCreate(t *testing.T) {
	for at, want := range []string{"", "x", "x", "x"} {
		m := newModel(t, nfssim.Options{}, nfssim.MountOptions{})
		n := 0
		m.s.OnEffect = func(e *nfssim.Effect) {
			if n == at {
				e.Call.Proc.Kill()
			}
			n++
		}
		k := m.a.begin(create("x"))
		m.pass(time.Minute)
		if at < 2 == k.ended || m.contents("x") != want {
			t.Errorf("at %d: ended %v, contents %q, want %q", at, k.ended, m.contents("x"), want)
		}
	}

	// A large file may be there in part: not all was sent.
	m := newModel(t, nfssim.Options{}, nfssim.MountOptions{WriteSize: 2})
	n := 0
	m.s.OnEffect = func(e *nfssim.Effect) {
		if n++; n == 3 {
			e.Call.Proc.Kill()
		}
	}
	m.a.begin(create("abcdefgh"))
	m.pass(time.Minute)
	if got := m.contents("abcdefgh"); got != "abcd" {
		t.Errorf("got %q", got)
	}
}

// TestUnsynced: a crash of the machine loses what no sync or close has stored;
// the death of the process doesn't.
func TestUnsynced(t *testing.T) {
	for _, c := range []struct {
		how  string
		sync bool
		want string
	}{{"crash", false, ""}, {"crash", true, "one"}, {"kill", false, "one"}, {"kill while cut", false, "one"}} {
		m := newModel(t, nfssim.Options{}, nfssim.MountOptions{})
		m.a.must(func(fs vfs.FS) error {
			l, err := fs.OpenLog("log")
			err = errors.Join(err, l.Append([]byte("one")))
			if c.sync {
				err = errors.Join(err, l.Sync())
			}
			return err
		})
		if c.how == "kill while cut" {
			m.a.c.Cut()
		}
		m.a.p.Kill()
		if c.how == "crash" {
			m.a.c.Crash()
		}
		m.pass(time.Second)
		m.a.c.Join()
		m.pass(time.Second)
		if got := m.contents("log"); got != c.want {
			t.Errorf("%+v: got %q", c, got)
		}
	}
}

// TestFailedInBackground: what the kernel couldn't store is told at the next
// sync.
func TestFailedInBackground(t *testing.T) {
	m := newModel(t, nfssim.Options{}, nfssim.MountOptions{})
	var l vfs.Log
	m.a.must(func(fs vfs.FS) (err error) { l, err = fs.OpenLog("log"); return err },
		func(vfs.FS) error { return l.Append([]byte("one")) })
	m.s.SetFull(true)
	m.a.must(rename("log", "log2")) // stores what was written, first
	m.s.SetFull(false)
	m.a.want("sync", syscall.ENOSPC, func(vfs.FS) error { return l.Sync() })
	m.a.must(func(vfs.FS) error { return l.Sync() })
}

// TestAppend: the end of a log is where the last append left it, also while
// that isn't stored and the server knows of a shorter file.
func TestAppend(t *testing.T) {
	m := newModel(t, nfssim.Options{}, nfssim.MountOptions{})
	m.a.must(func(fs vfs.FS) error {
		l, err := fs.OpenLog("log")
		if err != nil {
			return err
		}
		for _, text := range []string{"one ", "two "} {
			err = errors.Join(err, l.Append([]byte(text)))
			_, ierr := fs.Identify("log")
			err = errors.Join(err, ierr)
		}
		err = errors.Join(err, l.Sync(), l.Append([]byte("three ")), l.Sync(), l.Append([]byte("four")))
		return errors.Join(err, l.Close())
	})
	if got := m.contents("log"); got != "one two three four" {
		t.Errorf("got %q", got)
	}
}

// TestUnstable: data that the server lost before the commit is sent again by
// the client, if it is still there.
func TestUnstable(t *testing.T) {
	for _, crash := range []bool{false, true} {
		m := newModel(t, nfssim.Options{}, nfssim.MountOptions{WriteSize: 2})
		writes := 0
		m.s.OnEffect = func(e *nfssim.Effect) {
			if e.Op != "write" {
				return
			}
			if writes++; writes == 2 {
				m.w.After(0, m.s.Restart)
				if crash {
					e.Call.Proc.Kill()
					m.a.c.Crash()
				}
			}
		}
		k := m.a.begin(create("abcd"))
		m.pass(time.Minute)
		switch {
		case crash && m.contents("abcd") != "":
			t.Errorf("after both crashed: %q", m.contents("abcd"))
		case !crash && (!k.ended || k.err != nil || m.contents("abcd") != "abcd" || writes != 4):
			t.Errorf("ended %v, %v, %q after %d writes", k.ended, k.err, m.contents("abcd"), writes)
		}
	}
}

// TestUnstableRewrite: what was stable is there again.
func TestUnstableRewrite(t *testing.T) {
	m := newModel(t, nfssim.Options{}, nfssim.MountOptions{WriteSize: 2})
	var r vfs.Record
	m.a.must(func(fs vfs.FS) (err error) { r, err = fs.OpenRecord("r"); return err },
		func(vfs.FS) error { return r.Write([]byte("aaaa")) })
	m.s.OnEffect = func(e *nfssim.Effect) {
		e.Call.Proc.Kill()
		m.a.c.Crash()
		m.w.After(time.Second, m.s.Restart)
	}
	m.a.begin(func(vfs.FS) error { return r.Write([]byte("bbbb")) })
	m.pass(time.Millisecond)
	if got := m.contents("r"); got != "bbaa" {
		t.Errorf("before the restart: %q", got)
	}
	m.pass(time.Minute)
	if got := m.contents("r"); got != "aaaa" {
		t.Errorf("after it: %q", got)
	}
}

// TestFull: what needs room is refused, data at the sync or the close.
func TestFull(t *testing.T) {
	m := newModel(t, nfssim.Options{}, nfssim.MountOptions{})
	var l vfs.Log
	m.a.must(create("x"), mkdir("d"), func(fs vfs.FS) (err error) { l, err = fs.OpenLog("log"); return err })
	m.s.SetFull(true)
	m.a.want("mkdir", syscall.ENOSPC, mkdir("e"))
	m.a.want("link", syscall.ENOSPC, link("x", "y"))
	m.a.want("create", syscall.ENOSPC, create("z"))
	m.a.must(func(vfs.FS) error { return l.Append([]byte("one")) })
	m.a.want("sync", syscall.ENOSPC, func(vfs.FS) error { return l.Sync() })
	m.a.must(func(vfs.FS) error { return l.Append([]byte("two")) })
	m.a.want("close", syscall.ENOSPC, func(vfs.FS) error { return l.Close() })
	m.a.must(rename("x", "d/x"), remove("d/x"))
	m.s.SetFull(false)
	m.a.must(create("z"))
	m.has(".", "d log z")
}

// TestFreeze: a frozen machine sends nothing, and goes on afterwards.
func TestFreeze(t *testing.T) {
	m := newModel(t, nfssim.Options{}, nfssim.MountOptions{})
	m.a.must(create("x"))
	m.s.OnCall = func(k *nfssim.Call) { m.s.OnCall = nil; k.Proc.Machine().Freeze() }
	k := m.a.begin(rename("x", "y"))
	m.pass(time.Minute)
	m.has(".", "x")
	m.a.mc.Thaw()
	if !k.within(time.Second) || k.err != nil {
		t.Errorf("after the thaw: %v, %v", k.ended, k.err)
	}
	m.has(".", "y")
}

// TestAsyncExport: a restart takes back what was answered just now.
func TestAsyncExport(t *testing.T) {
	for _, async := range []bool{false, true} {
		m := newModel(t, nfssim.Options{Async: async}, nfssim.MountOptions{})
		m.a.must(mkdir("d"), create("x"), create("v"))
		m.pass(time.Minute)
		m.a.must(rename("x", "d/y"), remove("v"), mkdir("e"))
		m.s.Restart()
		want := "d/\nd/y\ne/\n"
		if async {
			want = "d/\nv\nx\n"
		}
		got := ""
		m.s.Walk(func(path string, _ uint64, _ []byte) { got += path + "\n" })
		if got != want {
			t.Errorf("async %v: got %q, want %q", async, got, want)
		}
		m.pass(5 * time.Minute)
		m.a.must(list("d"), mkdir("f"))
	}
}

// TestHooks: each call is told, each request asked about, each effect told with
// its true path, each answer told.
func TestHooks(t *testing.T) {
	m := newModel(t, nfssim.Options{}, nfssim.MountOptions{})
	m.s.OnEffect = func(*nfssim.Effect) {}
	m.a.must(mkdir("d"), create("d/x"))
	m.b.must(rename("d", "moved"))
	var log []string
	say := func(format string, args ...any) { log = append(log, fmt.Sprintf(format, args...)) }
	m.s.OnCall = func(k *nfssim.Call) { say("call %s %s %s", k.Op, k.From, k.To) }
	m.s.OnAnswer = func(k *nfssim.Call) { say("answer %v", k.Err) }
	m.s.Fate = func(k *nfssim.Call) nfssim.Fate { say("send %s", k.RPC); return nfssim.Fate{} }
	m.s.OnEffect = func(e *nfssim.Effect) { say("effect %s %s %s by %s", e.Op, e.From, e.To, e.Call.Proc.Name()) }
	m.a.must(rename("d/x", "d/y"))
	want := "call rename d/x d/y;send rename;effect rename moved/x moved/y by process;answer <nil>"
	if got := strings.Join(log, ";"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestQuietLoop: a loop that the cache answers is no endless one.
func TestQuietLoop(t *testing.T) {
	m := newModel(t, nfssim.Options{}, nfssim.MountOptions{})
	m.a.want("missing", syscall.ENOENT, identify("x"))
	m.a.begin(func(fs vfs.FS) error {
		for {
			if _, err := fs.Identify("x"); err == nil {
				return nil
			}
		}
	})
	before := m.w.Now()
	m.pass(time.Second)
	if m.w.Now() < before+time.Second {
		t.Error("time stood still")
	}
	m.a.p.Kill()
}

// TestHashHasEffects: runs that differ in names alone have different hashes.
func TestHashHasEffects(t *testing.T) {
	hashes := map[uint64]bool{}
	calls := []func(vfs.FS) error{mkdir("d"), mkdir("e"), rename("x", "d"), rename("x", "e"), link("x", "d"), create("d"), create("e")}
	for _, f := range calls {
		m := newModel(t, nfssim.Options{}, nfssim.MountOptions{})
		m.a.must(create("x"), f)
		hashes[m.w.Hash()] = true
	}
	if len(hashes) != len(calls) {
		t.Errorf("%d hashes of %d runs", len(hashes), len(calls))
	}
}

// TestSameSeedSameRun: the hash of a run with all that may go wrong is the same
// each time, and another one for another seed.
func TestSameSeedSameRun(t *testing.T) {
	run := func(seed uint64) (uint64, string) {
		w := simenv.New(simenv.Draw(seed))
		defer w.Close()
		lane := w.Tape().Lane("net")
		s := nfssim.New(w, nfssim.Options{PageSize: 2, Lease: 10 * time.Second})
		s.Fate = func(*nfssim.Call) nfssim.Fate {
			return nfssim.Fate{Out: time.Duration(1+lane.Pick(1000)) * time.Microsecond, LoseReply: lane.Chance(1, 20)}
		}
		if err := s.Direct().Mkdir("in"); err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		for _, name := range []string{"a", "b", "c"} {
			m := w.Machine(name)
			c := s.Mount(m, nfssim.MountOptions{})
			p := m.Start(name)
			fs := c.FS(p)
			p.Go("work", func() {
				fmt.Fprintln(&log, name, fs.Mkdir(name))
				for i := range 20 {
					_, err := fs.Create(fmt.Sprint("in/", name, i), nil)
					names, lerr := fs.List("in")
					fmt.Fprintln(&log, err, names, lerr)
					for _, n := range names {
						fmt.Fprintln(&log, fs.Rename("in/"+n, name+"/"+n))
					}
				}
			})
			w.After(50*time.Millisecond, c.Cut)
			w.After(20*time.Second, c.Join)
		}
		w.After(10*time.Second, s.Restart)
		w.Run(10 * time.Minute)
		return w.Hash(), log.String() + s.Tree() + w.Failure()
	}
	hashes := map[uint64]bool{}
	for seed := range uint64(10) {
		hash, text := run(seed)
		for range 3 {
			if h, again := run(seed); h != hash || again != text {
				t.Fatalf("seed %d ran differently:\n%s\n%s", seed, text, again)
			}
		}
		hashes[hash] = true
	}
	if len(hashes) != 10 {
		t.Errorf("%d different runs of 10", len(hashes))
	}
}
