package picture_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fencepost/cmd/fencepost/browsertest"
	"fencepost/cmd/fencepost/race/history"
	"fencepost/cmd/fencepost/race/picture"
)

// evil is a text that must stay a text.
const evil = `</script><script>document.title='taken'</script><img src=x onerror=alert(1)>'"&<!--`

// page writes a picture and says where.
func page(t *testing.T, h []history.Event, m picture.Meta) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "picture.html")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := picture.Write(f, h, m); err != nil {
		t.Fatal(err)
	}
	return "file://" + name
}

const ready = "document.querySelector('#rows tr[data-step]') !== null && location.hash !== ''"

// TestBrowser has one browser for all that is asked of it.
func TestBrowser(t *testing.T) {
	p := hand{b: browsertest.Start(t)}
	for _, part := range []struct {
		name string
		test func(*testing.T, hand)
	}{{"looks", testLooks}, {"crowd", testCrowd}, {"steps", testSteps}, {"filter and zoom", testFilterAndZoom}, {"takeover", testTakeover},
		{"evil", testEvil}, {"nothing", testNothing}, {"without script", testWithoutScript}} {
		t.Run(part.name, func(t *testing.T) { part.test(t, hand{t, p.b}) })
	}
}

// testLooks loads pictures of all sizes in a real browser, in light and
// dark, wide and as a phone, from a file: does anything stick out, is there a
// picture. FENCEPOST_TEST_SHOTS=DIR keeps what it looks like.
func testLooks(t *testing.T, p hand) {
	b := p.b
	lh, lm := legacy()
	th, tm := takeover()
	for _, c := range []struct {
		name string
		h    []history.Event
		m    picture.Meta
		bars int
	}{
		{"legacy", lh, lm, 9}, {"takeover", th, tm, 28},
		{"3x20", crowd(3, 20, 250*time.Millisecond, 1), picture.Meta{Title: "3 hosts, 20 jobs"}, 200},
		{"8x200", crowd(8, 200, 60*time.Millisecond, 1), picture.Meta{Title: "8 hosts, 200 jobs"}, 500},
	} {
		url := page(t, c.h, c.m)
		for _, v := range []struct {
			name          string
			width, height int
			scheme        string
		}{{"wide-light", 1300, 900, "light"}, {"wide-dark", 1300, 900, "dark"}, {"phone-light", 390, 844, "light"}, {"phone-dark", 390, 844, "dark"}} {
			if c.name != "legacy" && v.name != "wide-light" && v.name != "phone-dark" {
				continue
			}
			t.Run(c.name+" "+v.name, func(t *testing.T) {
				b.View(t, v.width, v.height, v.scheme)
				b.Open(t, url)
				b.Until(t, ready)
				if wide := b.Eval(t, "document.documentElement.scrollWidth"); wide != float64(v.width) {
					t.Errorf("the page is %v wide, the window %d", wide, v.width)
				}
				if dark := b.Eval(t, "getComputedStyle(document.body).backgroundColor") == "rgb(18, 22, 28)"; dark != (v.scheme == "dark") {
					t.Errorf("dark: got %t in scheme %s", dark, v.scheme)
				}
				if bars := b.Eval(t, "+document.getElementById('canvas').dataset.bars"); bars.(float64) < float64(c.bars) {
					t.Errorf("%v bars are drawn, want %d at least", bars, c.bars)
				}
				// Of the colours in the picture there are many, and the background isn't all of it.
				if n := b.Eval(t, `(() => { const c = document.getElementById('canvas'), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data, seen = new Set();
					for (let i = 0; i < d.length; i += 4) seen.add(d[i] << 16 | d[i + 1] << 8 | d[i + 2]); return seen.size; })()`); n.(float64) < 20 {
					t.Errorf("%v colours in the picture", n)
				}
				if high := b.Eval(t, "document.getElementById('canvas').clientHeight"); high.(float64) > 1100 {
					t.Errorf("the picture is %v high", high)
				}
				if shots := os.Getenv("FENCEPOST_TEST_SHOTS"); shots != "" {
					b.Shot(t, filepath.Join(shots, c.name+"-"+v.name+".png"))
				}
			})
		}
	}
}

// A hundred thousand events, all of them shown: it can still be used.
func testCrowd(t *testing.T, p hand) {
	h := crowd(8, 200, 60*time.Millisecond, 1)
	p.b.View(t, 1300, 900, "light")
	began := time.Now()
	p.b.Open(t, page(t, h, picture.Meta{Title: "crowd"}))
	p.b.Until(t, ready)
	loaded := time.Since(began)
	p.click("all")
	p.b.Until(t, "document.getElementById('shown').textContent.includes('250 of the 3')")
	all := p.b.Eval(t, "+document.getElementById('canvas').dataset.ms")
	p.key("Home")
	var slowest time.Duration
	for i := range 5 {
		began = time.Now()
		p.key("ArrowRight")
		p.says(fmt.Sprintf("step %d of 3", i+2))
		slowest = max(slowest, time.Since(began))
	}
	t.Logf("%d events: loaded in %v; all drawn in %v ms; a step in %v", len(h), loaded, all, slowest)
	if loaded > 3*time.Minute || all.(float64) > 60000 || slowest > time.Minute { // on a machine with much else to do
		t.Error("too slow to be used")
	}
	for range 14 {
		p.key("+")
	}
	p.b.Until(t, "document.querySelectorAll('#rows tr').length < 200")
	if shots := os.Getenv("FENCEPOST_TEST_SHOTS"); shots != "" {
		p.b.Shot(t, filepath.Join(shots, "crowd-zoomed.png"))
	}
	if bars := p.b.Eval(t, "+document.getElementById('canvas').dataset.bars"); bars.(float64) > 500 {
		t.Errorf("zoomed in, %v bars are drawn", bars)
	}
}

// hand is somebody at the page.
type hand struct {
	t *testing.T
	b *browsertest.Browser
}

func (h hand) key(key string) {
	h.t.Helper()
	h.b.Call(h.t, "Input.dispatchKeyEvent", browsertest.Doc{"type": "keyDown", "key": key}, nil)
	h.b.Call(h.t, "Input.dispatchKeyEvent", browsertest.Doc{"type": "keyUp", "key": key}, nil)
}

func (h hand) mouse(kind string, x, y float64, more browsertest.Doc) {
	h.t.Helper()
	d := browsertest.Doc{"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}
	for k, v := range more {
		d[k] = v
	}
	h.b.Call(h.t, "Input.dispatchMouseEvent", d, nil)
}

func (h hand) click(id string) {
	h.t.Helper()
	h.b.Eval(h.t, fmt.Sprintf("document.getElementById(%q).click()", id))
}

// says waits until the words of the step hold all of these.
func (h hand) says(words ...string) {
	h.t.Helper()
	for _, w := range words {
		h.b.Until(h.t, fmt.Sprintf("document.getElementById('step').textContent.includes(%q)", w))
	}
}

func (h hand) steps(n int) {
	h.t.Helper()
	h.b.Until(h.t, fmt.Sprintf("document.querySelectorAll('#rows tr[data-step]').length === %d", n))
}

// The story is understood step by step: with the keyboard, the buttons, the
// table, and by links.
func testSteps(t *testing.T, p hand) {
	h, m := legacy()
	url := page(t, h, m)
	p.b.View(t, 1300, 900, "light")
	p.b.Open(t, url)
	p.b.Until(t, ready)
	// It opens at the job that was lost, alone.
	p.steps(14)
	p.b.Until(t, "location.hash.includes('job="+jobID(2)+"')")
	p.key("ArrowRight")
	p.says("a/1 (serve …8002): create xml/…8002.xml", "called at 35.041 s", "step 1 of 14")
	for range 7 {
		p.key("ArrowRight")
	}
	p.says("b/1 (cron …8002): rename json/…8002.json → work/b/…8002.json", "done at", "step 8 of 14")
	p.key("ArrowRight")
	p.says("a/1", "refused (ENOENT)", "answer ENOENT", "step 9 of 14")
	p.b.Until(t, "document.querySelector('#rows [aria-current]').textContent.includes('ENOENT')")
	p.click("prev")
	p.says("step 8 of 14")
	p.key("End")
	p.says("VIOLATION lost", "the cluster never got it", "step 14 of 14")
	p.b.Until(t, "document.getElementById('step').className === 'bad'")
	p.key("ArrowRight")
	p.says("step 14 of 14")
	p.key("Home")
	p.says("step 1 of 14")
	p.click("flag")
	p.says("VIOLATION lost")
	if shots := os.Getenv("FENCEPOST_TEST_SHOTS"); shots != "" {
		p.click("first")
		for range 8 {
			p.key("ArrowRight")
		}
		p.b.Shot(t, filepath.Join(shots, "step.png"))
		p.key("End")
	}

	// A link shows the moment again.
	p.b.Until(t, fmt.Sprintf("location.hash.includes('t=%d&s=')", h[len(h)-1].T))
	moment := p.b.Eval(t, "location.hash").(string)
	p.b.Open(t, url+moment)
	p.says("VIOLATION lost", "step 14 of 14")
	// Written by hand: an end of the id, a time.
	p.b.Open(t, url+"#job=8001&t=0")
	p.says("step 1 of", "xml/…8001.xml")
	p.b.Open(t, url+"#t=70000000000")
	p.says("at 1m10.")
	p.b.Until(t, "document.getElementById('job').value === ''")
	// A time alone may name several events; a link names one.
	three := page(t, []history.Event{{Kind: history.Note, Text: "first"}, {Kind: history.Note, Text: "second"}, {Kind: history.Note, Text: "third"}}, picture.Meta{})
	p.b.Open(t, three+"#job=&t=0&s=1-1")
	p.says("second", "step 2 of 3")
	p.b.Open(t, url+"#job=nosuch&t=x&w=9-1&s=%zz&all=7")
	p.b.Until(t, ready)
}

func testFilterAndZoom(t *testing.T, p hand) {
	h, m := legacy()
	p.b.View(t, 1300, 900, "light")
	p.b.Open(t, page(t, h, m))
	p.b.Until(t, ready)
	p.key("Escape")
	p.steps(27) // both jobs
	p.click("all")
	p.steps(33) // and b's polls
	p.click("all")
	p.steps(27)
	p.key("j")
	p.steps(14)
	p.key("j")
	p.b.Until(t, "document.getElementById('job').value === '"+jobID(1)+"'")
	p.key("k")
	p.b.Eval(t, "(s => { s.value = ''; s.dispatchEvent(new Event('change')); })(document.getElementById('job'))")
	p.steps(27)

	// Zoomed in, the table has only what is in the window, and the address it.
	p.click("in")
	p.click("in")
	p.b.Until(t, "document.querySelectorAll('#rows tr').length < 20 && location.hash.includes('w=')")
	p.key("0")
	p.steps(27)
	p.key("+")
	p.key("-")
	p.steps(27)
	at := func(what string) float64 {
		return p.b.Eval(t, "document.getElementById('canvas').getBoundingClientRect()."+what).(float64)
	}
	p.b.Eval(t, "document.getElementById('canvas').scrollIntoView({block: 'center'})")
	x, y := at("x"), at("y")
	p.mouse("mouseWheel", x+600, y+60, browsertest.Doc{"deltaX": 0, "deltaY": -300, "modifiers": 2})
	p.b.Until(t, "document.querySelectorAll('#rows tr').length < 27")
	before := p.b.Eval(t, "location.hash")
	p.mouse("mousePressed", x+600, y+60, nil)
	p.mouse("mouseMoved", x+700, y+60, browsertest.Doc{"buttons": 1})
	p.mouse("mouseReleased", x+700, y+60, nil)
	p.b.Until(t, fmt.Sprintf("location.hash !== %q && location.hash.includes('w=')", before))
	p.key("0")
	p.steps(27)
	p.click("even")
	p.b.Until(t, "location.hash.includes('even=1')")
	p.click("even")
	p.key("j")
	p.steps(14)

	// A click takes a step: the line of the violation is the right end of all.
	p.mouse("mouseMoved", x+1300, y+30, nil)
	p.b.Eval(t, "document.getElementById('canvas').scrollIntoView({block: 'center'})")
	x, y = at("x"), at("y")
	found := false
	for dx := at("width") - 4; dx > 0 && !found; dx -= 3 {
		p.mouse("mouseMoved", x+dx, y+90, nil)
		if found = p.b.Eval(t, "!document.getElementById('tip').hidden && document.getElementById('tip').textContent.includes('VIOLATION')") == true; found {
			p.mouse("mousePressed", x+dx, y+90, nil)
			p.mouse("mouseReleased", x+dx, y+90, nil)
		}
	}
	if !found {
		t.Fatal("no tip says VIOLATION")
	}
	p.says("VIOLATION lost")
	p.b.Eval(t, "document.querySelector('#rows tr td:nth-child(3)').click()")
	p.says("step 1 of 14")
}

// What a fence does can be read: no answer, a late effect, a second one, a fault
// that lasts.
func testTakeover(t *testing.T, p hand) {
	h, m := takeover()
	p.b.View(t, 1300, 900, "dark")
	p.b.Open(t, page(t, h, m))
	p.b.Until(t, ready)
	p.steps(44)
	p.key("f")
	p.says("fault: delay", "lasts 34 s")
	p.key("f")
	p.says("a: fault: kill")
	p.b.Eval(t, "[...document.querySelectorAll('#rows tr')].find(r => r.textContent.includes('no answer')).children[2].click()")
	p.says("rename claims/a/1/translate~2~…8007+0.0.xml", "refused (ENOENT) at 34.0", "no answer ever came")
	p.b.Eval(t, "[...document.querySelectorAll('#rows tr')].find(r => r.textContent.includes('again: release')).children[2].click()")
	p.says("done at", "now: done again at 37.", "answer at 37.")
}

// Nothing of a history becomes markup, also where the script writes it, and
// nothing is asked of anybody: the browser would complain.
func testEvil(t *testing.T, p hand) {
	var h []history.Event
	for i, k := range history.Kinds() {
		h = append(h, history.Event{T: int64(i), Kind: k, Host: evil, Proc: evil + "/1", Task: evil, Call: 1, Op: evil, From: evil, To: evil + "2", Job: evil, Err: evil, Text: evil})
	}
	p.b.View(t, 1300, 900, "light")
	p.b.Open(t, page(t, h, picture.Meta{Title: "evil " + evil, Verdict: evil, Command: evil, Explanation: []string{evil}}))
	p.b.Until(t, ready)
	for range 6 {
		p.key("ArrowRight")
	}
	p.says("</script>")
	if got := p.b.Eval(t, "document.title"); !strings.HasPrefix(got.(string), "evil ") {
		t.Errorf("title: got %v", got)
	}
	if got := p.b.Eval(t, "document.querySelectorAll('img').length + 10 * document.scripts.length"); got != float64(20) {
		t.Errorf("images and scripts: got %v, want none and two", got)
	}
	p.key("k") // and in the address
	p.b.Until(t, "location.hash.includes('job=')")
}

func testNothing(t *testing.T, p hand) {
	p.b.Open(t, page(t, nil, picture.Meta{Title: "nothing"}))
	p.says("Nothing to show")
	for _, k := range []string{"ArrowRight", "End", "f", "j", "+", "0"} {
		p.key(k)
	}
	p.says("Nothing to show")
}

func testWithoutScript(t *testing.T, p hand) {
	h, m := legacy()
	p.b.Call(t, "Emulation.setScriptExecutionDisabled", browsertest.Doc{"value": true}, nil)
	p.b.Open(t, page(t, h, m))
	if got := p.b.Eval(t, "document.body.innerText").(string); !strings.Contains(got, "No picture without JavaScript") || !strings.Contains(got, "VIOLATION lost") || !strings.Contains(got, "b is quicker") {
		t.Errorf("the words are not there: %.300s", got)
	}
	if got := p.b.Eval(t, "document.getElementById('stage').getBoundingClientRect().height"); got != float64(0) {
		t.Errorf("controls that do nothing are shown, %v high", got)
	}
}
