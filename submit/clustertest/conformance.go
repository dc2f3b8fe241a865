package clustertest

import (
	"context"
	"maps"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"fencepost/codec"
	"fencepost/submit"
)

// Nasty are values that a shell, a comma list or a line-based format would
// spoil.
var Nasty = map[string]string{
	"QUOTES":  `it's "quoted" and 'again'`,
	"COMMA":   "a,b=c,ALL",
	"LINES":   "one\ntwo\n",
	"SHELL":   "$(touch pwned) `id` $HOME ${X} \\ ; & | > < * ? ! #",
	"BLANKS":  "  lead and trail  ",
	"EMPTY":   "",
	"UNICODE": "Zürich \u2028 ☃",
	"TAB":     "a\tb",
}

// Suite is what a backend is tested with.
type Suite struct {
	Cluster submit.Cluster
	// Quick says that a job starts within a second of its release.
	Quick bool
}

// Run runs the cases that the backend's abilities allow.
func (s Suite) Run(t *testing.T) {
	caps := s.Cluster.Caps()
	cases := []struct {
		name string
		need bool
		run  func(*testing.T)
	}{
		{"pin is constant and names the backend", true, s.pin},
		{"probe passes", true, s.probe},
		{"probe leaves nothing behind", caps.Hold && caps.List, s.probeLeaves},
		{"job runs to its end with output", true, s.runs},
		{"environment, arguments, directory arrive verbatim", true, s.verbatim},
		{"command job", true, s.command},
		{"many at once", true, s.many},
		{"ended context", true, s.endedContext},
		{"held until released", caps.Hold && caps.List, s.held},
		{"release again is nothing", caps.Hold, s.again},
		{"release of many with an unknown one", caps.Hold, s.releaseMany},
		{"cancel of a held job", caps.Hold && caps.List, s.cancelHeld},
		{"cancel spares a running job", caps.Hold && caps.List, s.cancelRunning},
		{"cancel of unknown and ended", caps.Hold && caps.List, s.cancelNothing},
		{"same key twice is one job", caps.Key, s.key},
		{"what is not supported says so", true, s.unsupported},
	}
	for _, c := range cases {
		if c.need {
			t.Run(c.name, c.run)
		}
	}
}

// submit submits and, with a hold, releases.
func (s Suite) submit(t *testing.T, r submit.Request) string {
	t.Helper()
	id := s.hand(t, r)
	if s.Cluster.Caps().Hold {
		if err := s.Cluster.Release(t.Context(), []string{id}); err != nil {
			t.Fatalf("release: %v", err)
		}
	}
	return id
}

// hand submits.
func (s Suite) hand(t *testing.T, r submit.Request) string {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		id, err := s.Cluster.Submit(t.Context(), r)
		if submit.OutcomeOf(err) == submit.Unavailable && time.Now().Before(end) {
			continue // no free slot
		}
		if err != nil || id == "" {
			t.Fatalf("submit: %q, %v", id, err)
		}
		return id
	}
}

func (s Suite) job(t *testing.T, id string) (submit.Job, bool) {
	t.Helper()
	jobs, err := s.Cluster.List(t.Context())
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	for _, j := range jobs {
		if j.ID == id {
			return j, true
		}
	}
	return submit.Job{}, false
}

func (s Suite) pin(t *testing.T) {
	one, err := s.Cluster.Pin(t.Context())
	two, err2 := s.Cluster.Pin(t.Context())
	if err != nil || err2 != nil || one["backend"] == "" || !maps.Equal(one, two) {
		t.Errorf("got %v, %v and %v, %v", one, err, two, err2)
	}
}

func (s Suite) probe(t *testing.T) {
	if err := s.Cluster.Probe(t.Context()); err != nil {
		t.Error(err)
	}
}

func (s Suite) probeLeaves(t *testing.T) {
	if err := s.Cluster.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	jobs, err := s.Cluster.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range jobs {
		if !j.State.Ended() {
			t.Errorf("left behind: %+v", j)
		}
	}
}

func (s Suite) runs(t *testing.T) {
	m := NewMarks(t)
	s.submit(t, Request(t, m.Job("runs", "echo done >'"+m.Path("out")+"'\n")))
	Await(t, "the job's output", func() bool { b, _ := os.ReadFile(m.Path("out")); return string(b) == "done\n" })
	if n := m.Starts("runs"); n != 1 {
		t.Errorf("got %d starts, want 1", n)
	}
}

func (s Suite) verbatim(t *testing.T) {
	m := NewMarks(t)
	dir := t.TempDir()
	job := m.Job("verbatim", `for k in QUOTES COMMA LINES SHELL BLANKS EMPTY UNICODE TAB; do
	eval "printf '%s' \"\$$k\"" >'`+m.Path("")+`'/env.$k
done
printf '%s|' "$@" >'`+m.Path("args")+`'
pwd -P >'`+m.Path("pwd.tmp")+`'
mv '`+m.Path("pwd.tmp")+`' '`+m.Path("pwd")+`'
`)
	job.Env, job.Workdir = Nasty, dir
	job.Args = []string{"a b", "", "-x", "it's", "$HOME `id`", "one\ntwo"}
	s.submit(t, Request(t, job))
	Await(t, "the job's end", func() bool { _, err := os.Stat(m.Path("pwd")); return err == nil })
	for k, want := range Nasty {
		if got, err := os.ReadFile(m.Path("env." + k)); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v, want %q", k, got, err, want)
		}
	}
	if got, _ := os.ReadFile(m.Path("args")); string(got) != strings.Join(job.Args, "|")+"|" {
		t.Errorf("arguments: got %q, want %q", got, job.Args)
	}
	if got, _ := os.ReadFile(m.Path("pwd")); string(got) != dir+"\n" {
		t.Errorf("directory: got %q, want %q", got, dir)
	}
}

func (s Suite) command(t *testing.T) {
	m := NewMarks(t)
	text := "it's $HOME \"x\" `id`\n\\"
	job := codec.Job{Command: []string{"/bin/sh", "-c", `printf '%s' "$2" >"$1.tmp"; mv "$1.tmp" "$1"`, "sh"},
		Args: []string{m.Path("out"), text}}
	s.submit(t, Request(t, job))
	Await(t, "the command's end", func() bool { _, err := os.Stat(m.Path("out")); return err == nil })
	if got, _ := os.ReadFile(m.Path("out")); string(got) != text {
		t.Errorf("got %q, want %q", got, text)
	}
}

func (s Suite) many(t *testing.T) {
	const n = 12
	m := NewMarks(t)
	var mu sync.Mutex
	ids := make(map[string]int)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			id := s.submit(t, Request(t, m.Job("many"+string(rune('a'+i)), "")))
			mu.Lock()
			ids[id]++
			mu.Unlock()
		})
	}
	wg.Wait()
	if len(ids) != n {
		t.Errorf("got %d ids for %d jobs", len(ids), n)
	}
	total := func() (sum int) {
		for i := range n {
			sum += m.Starts("many" + string(rune('a'+i)))
		}
		return sum
	}
	Await(t, "all to start", func() bool { return total() >= n })
	if got := total(); got != n {
		t.Errorf("got %d starts, want %d", got, n)
	}
}

func (s Suite) endedContext(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	m := NewMarks(t)
	id, err := s.Cluster.Submit(ctx, Request(t, m.Job("ended", "")))
	if o := submit.OutcomeOf(err); err == nil || o == submit.Rejected || o == submit.Unfit {
		t.Errorf("got %q, %v, want unavailable or unknown", id, err)
	}
}

func (s Suite) held(t *testing.T) {
	m := NewMarks(t)
	r := Request(t, m.Job("held", ""))
	id := s.hand(t, r)
	time.Sleep(1500 * time.Millisecond)
	j, ok := s.job(t, id)
	if !ok || j.Name != r.Name || j.Key != r.Key || j.Token != r.Token || j.State != submit.Held || j.Started {
		t.Errorf("got %+v, %v, want it held as submitted: %+v", j, ok, r)
	}
	if n := m.Starts("held"); n != 0 {
		t.Fatalf("held job started %d times", n)
	}
	if err := s.Cluster.Release(t.Context(), []string{id}); err != nil {
		t.Fatal(err)
	}
	Await(t, "the start", func() bool { return m.Starts("held") == 1 })
	Await(t, "the listing to say so", func() bool {
		j, ok := s.job(t, id)
		return !ok || j.State == submit.Done && j.Started && j.Name == r.Name && j.Token == r.Token
	})
}

func (s Suite) again(t *testing.T) {
	m := NewMarks(t)
	id := s.submit(t, Request(t, m.Job("again", "")))
	Await(t, "the start", func() bool { return m.Starts("again") > 0 })
	for range 3 {
		if err := s.Cluster.Release(t.Context(), []string{id}); err != nil {
			t.Errorf("release again: %v", err)
		}
	}
	time.Sleep(1500 * time.Millisecond)
	if n := m.Starts("again"); n != 1 {
		t.Errorf("got %d starts, want 1", n)
	}
}

func (s Suite) releaseMany(t *testing.T) {
	m := NewMarks(t)
	a := s.hand(t, Request(t, m.Job("ra", "")))
	b := s.hand(t, Request(t, m.Job("rb", "")))
	// The status isn't looked at: a listing decides.
	_ = s.Cluster.Release(t.Context(), []string{a, "99999999", b})
	Await(t, "both starts", func() bool { return m.Starts("ra") == 1 && m.Starts("rb") == 1 })
}

func (s Suite) cancelHeld(t *testing.T) {
	m := NewMarks(t)
	id := s.hand(t, Request(t, m.Job("cancelled", "")))
	if err := s.Cluster.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	Await(t, "the cancellation", func() bool {
		j, ok := s.job(t, id)
		return !ok || j.State == submit.Cancelled && !j.Started
	})
	_ = s.Cluster.Release(t.Context(), []string{id})
	time.Sleep(1500 * time.Millisecond)
	if n := m.Starts("cancelled"); n != 0 {
		t.Errorf("cancelled job started %d times", n)
	}
}

func (s Suite) cancelRunning(t *testing.T) {
	m := NewMarks(t)
	id := s.submit(t, Request(t, m.Job("spared", "while [ ! -e '"+m.Path("go")+"' ]; do sleep 0.1; done\necho >'"+m.Path("end")+"'\n")))
	Await(t, "the start", func() bool { return m.Starts("spared") == 1 })
	Await(t, "the listing to show it running", func() bool { j, _ := s.job(t, id); return j.State == submit.Running && j.Started })
	if err := s.Cluster.Cancel(t.Context(), id); err != nil {
		t.Errorf("cancel: %v", err)
	}
	time.Sleep(time.Second)
	if err := os.WriteFile(m.Path("go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	Await(t, "its own end", func() bool { _, err := os.Stat(m.Path("end")); return err == nil })
}

func (s Suite) cancelNothing(t *testing.T) {
	m := NewMarks(t)
	if err := s.Cluster.Cancel(t.Context(), "99999999"); err != nil {
		t.Errorf("unknown: %v", err)
	}
	id := s.submit(t, Request(t, m.Job("over", "")))
	Await(t, "its end", func() bool { j, ok := s.job(t, id); return !ok || j.State.Ended() })
	if err := s.Cluster.Cancel(t.Context(), id); err != nil {
		t.Errorf("ended: %v", err)
	}
}

func (s Suite) key(t *testing.T) {
	m := NewMarks(t)
	r := Request(t, m.Job("key", ""))
	one := s.hand(t, r)
	again := Request(t, r.Record.Job)
	again.Key, again.Name, again.Record, again.Document = r.Key, r.Name, r.Record, r.Document
	two := s.hand(t, again) // another claim's token and entry
	if one != two {
		t.Errorf("got ids %q and %q for one key", one, two)
	}
	Await(t, "the start", func() bool { return m.Starts("key") > 0 })
	time.Sleep(500 * time.Millisecond)
	if n := m.Starts("key"); n != 1 {
		t.Errorf("got %d starts, want 1", n)
	}
}

func (s Suite) unsupported(t *testing.T) {
	caps := s.Cluster.Caps()
	if _, err := s.Cluster.List(t.Context()); caps.List != (err == nil) {
		t.Errorf("list: %v, but caps are %+v", err, caps)
	}
	if err := s.Cluster.Release(t.Context(), nil); caps.Hold != (err == nil) {
		t.Errorf("release of nothing: %v, but caps are %+v", err, caps)
	}
}
