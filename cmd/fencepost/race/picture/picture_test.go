package picture_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"fencepost/cmd/fencepost/race/history"
	"fencepost/cmd/fencepost/race/picture"
)

func draw(t *testing.T, h []history.Event, m picture.Meta) string {
	t.Helper()
	var b strings.Builder
	if err := picture.Write(&b, h, m); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// part is what a pattern's group finds in a page.
func part(t *testing.T, page, pattern string) string {
	t.Helper()
	m := regexp.MustCompile("(?s)" + pattern).FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("no %s in the page", pattern)
	}
	return m[1]
}

type data struct {
	Texts []string
	Times []int64
	Rows  [][]int
	Story int
}

func dataOf(t *testing.T, page string) (d data) {
	t.Helper()
	if err := json.Unmarshal([]byte(part(t, page, `<script type="application/json" id="data">(.*?)</script>`)), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// lines writes each row as the script understands it.
func (d data) lines() string {
	var b strings.Builder
	times := make([]int64, len(d.Times))
	var sum int64
	for i, t := range d.Times {
		sum += t
		times[i] = sum
	}
	at := func(i int) string {
		if i < 0 {
			return "-"
		}
		return fmt.Sprint(times[i])
	}
	for _, r := range d.Rows {
		fmt.Fprintf(&b, "%d", r[0])
		for _, n := range r[1:10] {
			fmt.Fprintf(&b, "|%s", d.Texts[n])
		}
		fmt.Fprintf(&b, "|%s..%s|%d", at(r[10]), at(r[11]), r[12])
		for k := 13; k < len(r); k += 2 {
			fmt.Fprintf(&b, "|%s%s", at(r[k]), d.Texts[r[k+1]])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// TestJoin: what belongs together becomes one row, whatever is missing.
func TestJoin(t *testing.T) {
	h := []history.Event{
		{T: 90, Kind: history.Note, Text: "not in order"},
		{T: 1, Kind: history.Call, Host: "a", Proc: "a/1", Call: 1, Op: "rename", From: "x", Job: "j"},
		{T: 2, Kind: history.Call, Host: "b", Proc: "b/1", Call: 2, Op: "list", From: "xml"},
		{T: 3, Kind: history.Effect, Host: "server", Call: 1, To: "y"},
		{T: 4, Kind: history.Answer, Host: "b", Call: 2},
		{T: 5, Kind: history.Fault, Host: "a", Op: "freeze", Until: 8},
		{T: 6, Kind: history.Answer, Host: "a", Call: 1, Err: "EIO", Text: "said so"},
		{T: 8, Kind: history.Effect, Host: "server", Call: 1, Err: "ENOENT"},
		{T: 9, Kind: history.Call, Host: "b", Call: 1, Op: "mkdir", To: "hosts/b/epochs/2"},
		{T: 10, Kind: history.Effect, Host: "server", Call: 7, Op: "late"},
		{T: 11, Kind: history.Job, Host: "b", Job: "j", Op: "done"},
		{T: 12, Kind: history.Violation, Job: "j", Text: "twice"},
	}
	want := `0|a|a/1||rename|x|y|j|EIO|said so|1..6|3|3|8ENOENT
0|b|b/1||list|xml|||||2..4|2
1|a|||freeze||||||5..8|1
0|b|||mkdir||hosts/b/epochs/2||||9..-|3
0|server|||late||||||10..-|0|10
3|b|||done|||j|||11..-|1
4|||||||j||twice|12..-|1
2|||||||||not in order|90..-|1
`
	got := dataOf(t, draw(t, h, picture.Meta{}))
	if got.lines() != want {
		t.Errorf("got:\n%s\nwant:\n%s", got.lines(), want)
	}
	if got.Texts[got.Story] != "j" {
		t.Errorf("story: got %q", got.Texts[got.Story])
	}
}

// TestGolden holds the page's words and structure, which don't need a script.
// FENCEPOST_TEST_GOLDEN=1 writes them anew.
func TestGolden(t *testing.T) {
	lh, lm := legacy()
	th, tm := takeover()
	for name, page := range map[string]string{"legacy": draw(t, lh, lm), "takeover": draw(t, th, tm)} {
		t.Run(name, func(t *testing.T) {
			for _, cut := range []string{`<style>(.*?)</style>`, `</script>\s*<script>(.*?)</script>`, `id="data">(.*?)</script>`, `id="stage"[^>]*>(.*?)</section>`, `(<meta http-equiv.*?)\n`} {
				page = strings.Replace(page, part(t, page, cut), "...", 1)
			}
			file := "testdata/" + name + ".html"
			if os.Getenv("FENCEPOST_TEST_GOLDEN") != "" {
				if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if page != string(want) {
				t.Errorf("the page differs from %s:\n%s", file, page)
			}
		})
	}
}

// TestPolicy: the page may run its own script and nothing else, and names
// nothing outside itself.
func TestPolicy(t *testing.T) {
	h, m := legacy()
	page := draw(t, h, m)
	policy := strings.ReplaceAll(part(t, page, `Content-Security-Policy" content="(.*?)"`), "&#39;", "'")
	policy = strings.ReplaceAll(policy, "&#43;", "+")
	for what, text := range map[string]string{"style-src": part(t, page, `<style>(.*?)</style>`), "script-src": part(t, page, `</script>\n<script>(.*?)</script>`)} {
		sum := sha256.Sum256([]byte(text))
		if want := what + " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy, want) {
			t.Errorf("the policy %s has no %s", policy, want)
		}
	}
	if !strings.HasPrefix(policy, "default-src 'none'; ") {
		t.Errorf("policy: got %s", policy)
	}
	if bad := regexp.MustCompile(`(?i)https?:|//[a-z]|\b(src|href|action|style)=|@import|url\(|fetch\(|eval\(|innerHTML|XMLHttp`).FindString(page); bad != "" {
		t.Errorf("the page has %q", bad)
	}
}

// TestEscaping: every text comes from outside, and none becomes markup.
func TestEscaping(t *testing.T) {
	var h []history.Event
	for i, k := range history.Kinds() {
		h = append(h, history.Event{T: int64(i), Kind: k, Host: evil, Proc: evil, Task: evil, Call: 1, Op: evil, From: evil, To: evil, Job: evil, Err: evil, Text: evil + "\u202e\x1b[2J"})
	}
	page := draw(t, h, picture.Meta{Title: evil, Verdict: evil, Command: evil, Explanation: []string{evil, "\u202e"}})
	for what, want := range map[string]int{"<script": 2, "</script>": 2, "<img": 0, "<!--": 0, "\u202e": 0, "\x1b": 0} {
		if got := strings.Count(page, what); got != want {
			t.Errorf("%q: got %d, want %d", what, got, want)
		}
	}
	if !slices.Contains(dataOf(t, page).Texts, evil) {
		t.Error("the script doesn't get the text as it was")
	}
}

func TestSameBytes(t *testing.T) {
	h := crowd(4, 30, time.Second, 7)
	if again := draw(t, h, picture.Meta{}); again != draw(t, h, picture.Meta{}) {
		t.Error("the same history gave two pages")
	}
}

// TestSize: a hundred thousand events fit, and what doesn't fit is left out
// whole and said.
func TestSize(t *testing.T) {
	h := crowd(8, 200, 60*time.Millisecond, 1)
	if len(h) < 90000 {
		t.Fatalf("%d events are no crowd", len(h))
	}
	page := draw(t, h, picture.Meta{})
	t.Logf("%d events: %d bytes", len(h), len(page))
	if len(page) > 4<<20 {
		t.Errorf("%d events make a page of %d bytes", len(h), len(page))
	}
	if strings.Contains(page, "Not all is here") {
		t.Error("something was left out")
	}
	last := jobID(150)
	h = append(h, history.Event{T: h[len(h)-1].T, Kind: history.Violation, Job: last, Text: strings.Repeat("long ", 10000)})
	for _, c := range []struct {
		limit int
		says  []string
	}{
		{2 << 20, []string{"operations that concern no job are left out."}},
		{400 << 10, []string{"operations that concern no job are left out.", " of 200 jobs are shown, the others are left out whole."}},
		{1000, []string{"operations that concern no job", "1 of 200 jobs are shown", "The last "}},
	} {
		var b strings.Builder
		if err := picture.WriteWithin(&b, h, picture.Meta{}, c.limit); err != nil {
			t.Fatal(err)
		}
		for _, s := range c.says {
			if !strings.Contains(b.String(), s) {
				t.Errorf("limit %d: the page doesn't say %q", c.limit, s)
			}
		}
		d := dataOf(t, b.String())
		json := part(t, b.String(), `id="data">(.*?)</script>`)
		t.Logf("limit %d: %d bytes, %d rows", c.limit, len(json), len(d.Rows))
		if len(json) > c.limit+8000 {
			t.Errorf("limit %d: %d bytes of events", c.limit, len(json))
		}
		if len(json) < c.limit/3 {
			t.Errorf("limit %d: only %d bytes of events", c.limit, len(json))
		}
		if d.Texts[d.Story] != last {
			t.Errorf("limit %d: the job of the violation is gone", c.limit)
		}
		if c.limit < 10000 {
			continue
		}
		// Whole: each job that is shown has all its rows.
		count := func(d data) map[string]int {
			n := map[string]int{}
			for _, r := range d.Rows {
				n[d.Texts[r[7]]]++
			}
			delete(n, "")
			return n
		}
		all := count(dataOf(t, draw(t, h, picture.Meta{})))
		for job, n := range count(d) {
			if n != all[job] {
				t.Errorf("limit %d: job %s has %d of %d rows", c.limit, job, n, all[job])
			}
		}
	}
}

func TestSpan(t *testing.T) {
	for ns, want := range map[int64]string{0: "0 ns", 999: "999 ns", 1500: "1.5 µs", 2e6: "2 ms", 35041e6: "35.041 s", 59999e6: "59.999 s", 70067e6: "1m10.067s", 3600e9: "1h0m0s", 90061.5e9: "25h1m1.5s"} {
		if got := picture.Span(ns); got != want {
			t.Errorf("%d: got %q, want %q", ns, got, want)
		}
	}
}
