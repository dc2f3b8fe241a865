package web_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"fencepost/cmd/fencepost/browsertest"
	"fencepost/cmd/fencepost/web"
	"fencepost/spool"
)

// TestBrowser loads the pages in a real browser, in light and dark, wide and as
// a phone, and asks it: does anything stick out, did the policy block anything,
// does the script run, can the lanes be seen. FENCEPOST_TEST_SHOTS=DIR keeps
// the pictures, to be looked at.
func TestBrowser(t *testing.T) {
	events := web.NewEvents()
	for range 40 {
		events.Add(spool.Event{Event: "accepted", Job: jobID, Stage: spool.Ingest, Time: time.Now()})
		events.Add(spool.Event{Event: "done", Job: jobID, Stage: spool.Submit, Time: time.Now()})
	}
	ts := start(t, newSource(), func(c *web.Config) { c.Events = events })
	b := browsertest.Start(t)
	shots := os.Getenv("FENCEPOST_TEST_SHOTS")
	for _, size := range []struct {
		name          string
		width, height int
		scheme        string
	}{{"wide-light", 1200, 900, "light"}, {"wide-dark", 1200, 900, "dark"}, {"phone-light", 390, 844, "light"}, {"phone-dark", 390, 844, "dark"}} {
		for name, path := range map[string]string{"overview": "/", "job": "/jobs/" + jobID, "jobs": "/jobs", "host": "/hosts/carol", "audit": "/audit", "intruders": "/intruders", "live": "/live"} {
			t.Run(size.name+" "+name, func(t *testing.T) {
				b.View(t, size.width, size.height, size.scheme)
				b.Open(t, ts.URL+path)
				if wide := b.Eval(t, "document.documentElement.scrollWidth"); wide != float64(size.width) {
					t.Errorf("the page is %v wide, the window %d", wide, size.width)
				}
				if bad := b.Eval(t, "document.querySelectorAll('main script, main b script').length"); bad != float64(0) {
					t.Errorf("%v scripts in the content", bad)
				}
				dark := b.Eval(t, "getComputedStyle(document.body).backgroundColor") == "rgb(18, 22, 28)"
				if dark != (size.scheme == "dark") {
					t.Errorf("dark: got %t in scheme %s", dark, size.scheme)
				}
				if name == "job" && b.Eval(t, "[...document.querySelectorAll('.lanes .b')].filter(e => e.getBoundingClientRect().width > 20).length") != float64(8) {
					t.Error("the lanes' bars can't be seen")
				}
				if shots != "" {
					b.Shot(t, filepath.Join(shots, size.name+"-"+name+".png"))
				}
			})
		}
	}
	t.Run("live events", func(t *testing.T) {
		b.Open(t, ts.URL+"/live")
		b.Until(t, "document.getElementById('link').textContent === 'connected'")
		events.Add(spool.Event{Event: "parked", Job: jobID, Stage: spool.Submit, Detail: evil, Time: time.Now()})
		b.Until(t, "document.querySelector('#events tr').textContent.includes('<script>')")
	})
	t.Run("refreshes itself", func(t *testing.T) {
		b.Open(t, ts.URL+"/")
		b.Eval(t, "document.querySelector('.words').textContent = 'old'")
		time.Sleep(2100 * time.Millisecond)
		events.Add(spool.Event{Event: "done", Job: jobID, Stage: spool.Submit, Time: time.Now()})
		b.Until(t, "document.querySelector('.words').textContent.includes('Unsafe')")
	})
	t.Run("without script", func(t *testing.T) {
		b.Call(t, "Emulation.setScriptExecutionDisabled", browsertest.Doc{"value": true}, nil)
		b.Open(t, ts.URL+"/")
		if got := b.Eval(t, "document.querySelector('noscript meta').content"); got != "10" {
			t.Errorf("refresh: got %v, want 10", got)
		}
	})
}
