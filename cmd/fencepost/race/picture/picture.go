package picture

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"

	"fencepost/cmd/fencepost/race/history"
	"fencepost/cmd/fencepost/show"
)

// Meta is what is written around the picture.
type Meta struct {
	Title       string
	Verdict     string   // in one line
	Command     string   // that gives the same run again
	Explanation []string // the run in words, a step each
}

//go:embed static
var static embed.FS

// maxData bounds the events in the page, bytes: a browser holds some ten times
// as much, and a phone must.
const maxData = 6 << 20

// maxTable bounds the rows that are there without JavaScript.
const maxTable = 200

// page is what the template gets.
type page struct {
	Meta
	Policy string
	Bad    bool     // a promise was broken
	Counts string   // how much there is
	Left   []string // what was left out
	Story  string   // the job that the first view shows
	Rows   []tableRow
	More   int // rows that aren't in the table
	CSS    template.CSS
	JS     template.JS
	Data   template.JS
}

// Write writes the page.
func Write(w io.Writer, h []history.Event, meta Meta) error {
	return write(w, h, meta, maxData)
}

func write(w io.Writer, h []history.Event, meta Meta, limit int) error {
	t, err := template.ParseFS(static, "static/page.html")
	if err != nil {
		return fmt.Errorf("draw: %w", err)
	}
	style, script, err := assets()
	if err != nil {
		return fmt.Errorf("draw: %w", err)
	}
	all := newRun(h)
	r, left := all.fit(limit)
	data, err := json.Marshal(r.encode())
	if err != nil {
		return fmt.Errorf("draw: %w", err)
	}
	p := page{Meta: cleanMeta(meta), Bad: all.count(violation) > 0, Counts: all.counts(), Left: left, Story: r.story(),
		CSS: template.CSS(style), JS: template.JS(script), //nolint:gosec // embedded
		Data: template.JS(data), //nolint:gosec // json.Marshal escapes <, > and &
	}
	p.Policy = "default-src 'none'; base-uri 'none'; form-action 'none'; style-src " + hash(style) + "; script-src " + hash(script)
	p.Rows, p.More = r.table(p.Story, maxTable)
	if err := t.Execute(w, p); err != nil {
		return fmt.Errorf("draw: %w", err)
	}
	return nil
}

// assets are the style and the script, whose parts share one scope.
func assets() (style, script string, err error) {
	css, err := static.ReadFile("static/style.css")
	if err != nil {
		return "", "", err
	}
	script = "(() => {\n\"use strict\";\n"
	for _, part := range []string{"data.js", "layout.js", "draw.js", "page.js"} {
		js, err := static.ReadFile("static/" + part)
		if err != nil {
			return "", "", err
		}
		script += string(js)
	}
	return string(css), script + "})();\n", nil
}

// hash names a text in the page's policy.
func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func cleanMeta(m Meta) Meta {
	m.Title, m.Verdict, m.Command = show.Clean(m.Title), show.Clean(m.Verdict), show.Clean(m.Command)
	var lines []string
	for _, l := range m.Explanation {
		lines = append(lines, show.Clean(l))
	}
	m.Explanation = lines
	return m
}
