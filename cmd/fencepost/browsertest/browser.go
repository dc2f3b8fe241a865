package browsertest

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Doc is a JSON object.
type Doc = map[string]any

// Browser is a headless Chromium, told what to do over a pipe.
type Browser struct {
	to      *os.File
	from    *bufio.Reader
	next    int
	session string
}

// Start starts one.
func Start(t *testing.T) *Browser {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	in, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
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
	b := &Browser{to: to, from: bufio.NewReader(from)}
	t.Cleanup(func() {
		b.session = ""
		b.Call(t, "Browser.close", nil, nil)
		_ = cmd.Wait()
		cancel()
		to.Close()
		from.Close()
	})
	var target struct{ TargetID string }
	b.Call(t, "Target.createTarget", Doc{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.Call(t, "Target.attachToTarget", Doc{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	b.Call(t, "Page.enable", nil, nil)
	b.Call(t, "Log.enable", nil, nil)
	b.Call(t, "Runtime.enable", nil, nil)
	return b
}

// Call sends a command and waits for its answer. What the browser complains of
// meanwhile, such as what the policy blocked, fails the test.
func (b *Browser) Call(t *testing.T, method string, params Doc, result any) {
	t.Helper()
	b.next++
	msg := Doc{"id": b.next, "method": method}
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
				Entry            struct{ Level, Text, URL string }
				ExceptionDetails struct {
					LineNumber int
					Exception  struct{ Description string }
				}
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
		if e := got.Params.ExceptionDetails; got.Method == "Runtime.exceptionThrown" {
			t.Errorf("a script fails at line %d of the page: %s", e.LineNumber+1, e.Exception.Description)
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

// View sets the window's size and the system's scheme, light or dark.
func (b *Browser) View(t *testing.T, width, height int, scheme string) {
	t.Helper()
	b.Call(t, "Emulation.setDeviceMetricsOverride", Doc{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}, nil)
	b.Call(t, "Emulation.setEmulatedMedia", Doc{"features": []Doc{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// Open loads a page. Its script may change the fragment.
func (b *Browser) Open(t *testing.T, url string) {
	t.Helper()
	b.Call(t, "Page.navigate", Doc{"url": "about:blank"}, nil)
	b.Until(t, "location.href === 'about:blank'")
	b.Call(t, "Page.navigate", Doc{"url": url}, nil)
	page, _, _ := strings.Cut(url, "#")
	b.Until(t, fmt.Sprintf("location.href.split('#')[0] === %q && document.readyState === 'complete'", page))
}

// Eval is the value of an expression in the page, or the words of what it threw.
func (b *Browser) Eval(t *testing.T, expression string) any {
	t.Helper()
	var got struct {
		Result           struct{ Value any }
		ExceptionDetails *struct{ Text string }
	}
	b.Call(t, "Runtime.evaluate", Doc{"expression": expression, "returnByValue": true}, &got)
	if got.ExceptionDetails != nil {
		return got.ExceptionDetails.Text
	}
	return got.Result.Value
}

// Until waits until a condition in the page holds.
func (b *Browser) Until(t *testing.T, condition string) {
	t.Helper()
	for range 200 {
		if b.Eval(t, condition) == true {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("it never was so that %s", condition)
}

// Shot keeps a picture of the page.
func (b *Browser) Shot(t *testing.T, file string) {
	t.Helper()
	var got struct{ Data string }
	b.Call(t, "Page.captureScreenshot", Doc{"captureBeyondViewport": true, "format": "png"}, &got)
	data, err := base64.StdEncoding.DecodeString(got.Data)
	if err == nil {
		err = os.WriteFile(file, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
