package web_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

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
	b := startBrowser(t)
	shots := os.Getenv("FENCEPOST_TEST_SHOTS")
	for _, size := range []struct {
		name          string
		width, height int
		scheme        string
	}{{"wide-light", 1200, 900, "light"}, {"wide-dark", 1200, 900, "dark"}, {"phone-light", 390, 844, "light"}, {"phone-dark", 390, 844, "dark"}} {
		for name, path := range map[string]string{"overview": "/", "job": "/jobs/" + jobID, "jobs": "/jobs", "host": "/hosts/carol", "intruders": "/intruders", "live": "/live"} {
			t.Run(size.name+" "+name, func(t *testing.T) {
				b.call(t, "Emulation.setDeviceMetricsOverride", doc{"width": size.width, "height": size.height, "deviceScaleFactor": 1, "mobile": size.width < 500}, nil)
				b.call(t, "Emulation.setEmulatedMedia", doc{"features": []doc{{"name": "prefers-color-scheme", "value": size.scheme}}}, nil)
				b.open(t, ts.URL+path)
				if wide := b.eval(t, "document.documentElement.scrollWidth"); wide != float64(size.width) {
					t.Errorf("the page is %v wide, the window %d", wide, size.width)
				}
				if bad := b.eval(t, "document.querySelectorAll('main script, main b script').length"); bad != float64(0) {
					t.Errorf("%v scripts in the content", bad)
				}
				dark := b.eval(t, "getComputedStyle(document.body).backgroundColor") == "rgb(18, 22, 28)"
				if dark != (size.scheme == "dark") {
					t.Errorf("dark: got %t in scheme %s", dark, size.scheme)
				}
				if name == "job" && b.eval(t, "[...document.querySelectorAll('.lanes .b')].filter(e => e.getBoundingClientRect().width > 20).length") != float64(8) {
					t.Error("the lanes' bars can't be seen")
				}
				if shots != "" {
					b.shot(t, filepath.Join(shots, size.name+"-"+name+".png"))
				}
			})
		}
	}
	t.Run("live events", func(t *testing.T) {
		b.open(t, ts.URL+"/live")
		b.until(t, "document.getElementById('link').textContent === 'connected'")
		events.Add(spool.Event{Event: "parked", Job: jobID, Stage: spool.Submit, Detail: evil, Time: time.Now()})
		b.until(t, "document.querySelector('#events tr').textContent.includes('<script>')")
	})
	t.Run("refreshes itself", func(t *testing.T) {
		b.open(t, ts.URL+"/")
		b.eval(t, "document.querySelector('.words').textContent = 'old'")
		time.Sleep(2100 * time.Millisecond)
		events.Add(spool.Event{Event: "done", Job: jobID, Stage: spool.Submit, Time: time.Now()})
		b.until(t, "document.querySelector('.words').textContent.includes('Unsafe')")
	})
	t.Run("without script", func(t *testing.T) {
		b.call(t, "Emulation.setScriptExecutionDisabled", doc{"value": true}, nil)
		b.open(t, ts.URL+"/")
		if got := b.eval(t, "document.querySelector('noscript meta').content"); got != "10" {
			t.Errorf("refresh: got %v, want 10", got)
		}
	})
}

// browser is a headless Chromium, told what to do over a pipe.
type browser struct {
	to      *os.File
	from    *bufio.Reader
	next    int
	session string
}

func startBrowser(t *testing.T) *browser {
	t.Helper()
	program := need(t, "chromium")
	in, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	home := t.TempDir()
	cmd := exec.CommandContext(ctx, program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe", "--user-data-dir="+home, "about:blank")
	cmd.Env = append(os.Environ(), "HOME="+home)
	cmd.ExtraFiles = []*os.File{in, out}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	out.Close()
	b := &browser{to: to, from: bufio.NewReader(from)}
	t.Cleanup(func() {
		b.session = ""
		b.call(t, "Browser.close", nil, nil)
		_ = cmd.Wait()
		cancel()
		to.Close()
		from.Close()
	})
	var target struct{ TargetID string }
	b.call(t, "Target.createTarget", doc{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call(t, "Target.attachToTarget", doc{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	b.call(t, "Page.enable", nil, nil)
	b.call(t, "Log.enable", nil, nil)
	return b
}

// call sends a command and waits for its answer. What the browser complains of
// meanwhile, such as what the policy blocked, fails the test.
func (b *browser) call(t *testing.T, method string, params doc, result any) {
	t.Helper()
	b.next++
	msg := doc{"id": b.next, "method": method}
	if params != nil {
		msg["params"] = params
	}
	if b.session != "" {
		msg["sessionId"] = b.session
	}
	data, _ := json.Marshal(msg)
	if _, err := b.to.Write(append(data, 0)); err != nil {
		t.Fatal(err)
	}
	for {
		data, err := b.from.ReadBytes(0)
		if err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		var got struct {
			ID     int
			Method string
			Params struct {
				Entry struct{ Level, Text, URL string }
			}
			Result json.RawMessage
			Error  *struct{ Message string }
		}
		if err := json.Unmarshal(data[:len(data)-1], &got); err != nil {
			t.Fatal(err)
		}
		if e := got.Params.Entry; got.Method == "Log.entryAdded" && e.Level == "error" {
			t.Errorf("the browser complains: %s %s", e.Text, e.URL)
		}
		if got.ID != b.next {
			continue
		}
		if got.Error != nil {
			t.Fatalf("%s: %s", method, got.Error.Message)
		}
		if result != nil {
			if err := json.Unmarshal(got.Result, result); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
}

func (b *browser) open(t *testing.T, url string) {
	t.Helper()
	b.call(t, "Page.navigate", doc{"url": url}, nil)
	b.until(t, fmt.Sprintf("location.href === %q && document.readyState === 'complete'", url))
}

func (b *browser) eval(t *testing.T, expression string) any {
	t.Helper()
	var got struct {
		Result           struct{ Value any }
		ExceptionDetails *struct{ Text string }
	}
	b.call(t, "Runtime.evaluate", doc{"expression": expression, "returnByValue": true}, &got)
	if got.ExceptionDetails != nil {
		return got.ExceptionDetails.Text
	}
	return got.Result.Value
}

func (b *browser) until(t *testing.T, condition string) {
	t.Helper()
	for range 200 {
		if b.eval(t, condition) == true {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("it never was so that %s", condition)
}

func (b *browser) shot(t *testing.T, file string) {
	t.Helper()
	var got struct{ Data string }
	b.call(t, "Page.captureScreenshot", doc{"captureBeyondViewport": true, "format": "png"}, &got)
	data, err := base64.StdEncoding.DecodeString(got.Data)
	if err == nil {
		err = os.WriteFile(file, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
