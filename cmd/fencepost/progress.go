package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"fencepost/cmd/fencepost/show"
	"fencepost/codec"
)

// progress is one line on standard error, rewritten in place: only on a
// terminal, only after a second, and not where the ids themselves scroll by.
type progress struct {
	w       io.Writer // nil = none
	started time.Time
	last    time.Time
	total   int // 0 = not known

	mu sync.Mutex // guards counted
}

func newProgress(g *globals) *progress {
	p := &progress{started: time.Now()}
	if isTerminal(g.stderr) && (g.json || !isTerminal(g.stdout)) {
		p.w = g.stderr
	}
	return p
}

// talk shows on standard error what a command waits for: only on a terminal, in
// one line that is gone when the answer comes, and not over a live view.
func (g *globals) talk() func(text string) {
	if g.live || !isTerminal(g.stderr) {
		return nil
	}
	w, shown := g.stderr, false
	return func(text string) {
		if text != "" || shown {
			fmt.Fprint(w, "\r\033[K"+show.Clean(text))
		}
		shown = text != ""
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// barWidth is that of the bar, in characters.
const barWidth = 24

// bar is how much of the whole is done, "" if the whole isn't known.
func (p *progress) bar(done int) string {
	if p.total <= 0 || done > p.total {
		return ""
	}
	n := done * barWidth / p.total
	return "[" + strings.Repeat("#", n) + strings.Repeat(" ", barWidth-n) + "] " + fmt.Sprintf("%3d %% ", done*100/p.total)
}

// documents counts the documents of files, 0 if that can't be known beforehand.
func documents(files []string, lines bool) (n int) {
	for _, name := range files {
		fi, err := os.Stat(name)
		switch {
		case name == "-" || err != nil || !fi.Mode().IsRegular():
			return 0
		case !lines:
			n++
			continue
		}
		f, err := os.Open(name)
		if err != nil {
			return 0
		}
		in := bufio.NewScanner(f)
		in.Buffer(nil, codec.MaxDocument+1)
		for in.Scan() {
			if len(bytes.TrimSpace(in.Bytes())) > 0 {
				n++
			}
		}
		f.Close()
	}
	return n
}

func (p *progress) show(done int, text string) {
	now := time.Now()
	if p.w == nil || now.Sub(p.started) < time.Second || now.Sub(p.last) < 100*time.Millisecond {
		return
	}
	p.last = now
	fmt.Fprintf(p.w, "\r\033[K%s%s, %s", p.bar(done), text, now.Sub(p.started).Round(time.Second))
}

// counted is show for several goroutines, that learn the total as they go.
func (p *progress) counted(done, total int, what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total = total
	p.show(done, what)
}

func (p *progress) clear() {
	if p.w != nil && !p.last.IsZero() {
		fmt.Fprint(p.w, "\r\033[K")
	}
}
