package web

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"fencepost/spool"
)

// lanes is a job's life as a picture: a lane for the spool, where it waits, and
// one a host that had it in hand. From one event to the next is a bar. A bar's
// width grows with the logarithm of its time, so that a second beside a night
// can still be seen: the numbers say how long.
//
// The order is the trace's, which rests on no clock. Where two hosts' clocks
// disagree so that time would run backwards, a bar is drawn as if no time passed.
type lanes struct {
	Width, Height int
	Rows          []laneRow
	Bars          []laneBar
	Marks         []laneMark
	Text          string // the same for who can't see it
}

type laneRow struct {
	Name string
	Y    int // of the middle
	Top  int
	Odd  bool
}

type laneBar struct {
	X, Y, W, H int
	Class      string // wait, work, sealed, aside or end
	Label      string // how long
	Title      string
	LabelX     int
}

type laneMark struct {
	X, Y  int
	Class string
	Title string
	Link  int // the event's number in the table below
}

const (
	laneHeight = 46
	laneLeft   = 128
	barHeight  = 22
	laneTop    = 10
)

// newLanes draws a trace; now ends the bar of a job that is still on its way.
func newLanes(t trace, now time.Time) lanes {
	var l lanes
	if len(t.Events) == 0 {
		return l
	}
	rows := map[string]int{}
	row := func(name string) int {
		if _, ok := rows[name]; !ok {
			rows[name] = len(l.Rows)
			top := laneTop + len(l.Rows)*laneHeight
			l.Rows = append(l.Rows, laneRow{Name: name, Y: top + laneHeight/2, Top: top, Odd: len(l.Rows)%2 == 0})
		}
		return l.Rows[rows[name]].Y
	}
	row("on the share")
	x := laneLeft + 12
	sealed := false
	for i, e := range t.Events {
		class, where, words := after(e)
		if e.Event == spool.EvSubmitted && sealed {
			class = "sealed" // of a cluster without a hold: sealed first
		}
		sealed = class == "sealed"
		y := row(e.Host)
		l.Marks = append(l.Marks, laneMark{X: x, Y: y, Class: class, Link: i + 1,
			Title: fmt.Sprintf("%d. %s %s by %s/%d", i+1, e.Time, e.Event, e.Host, e.Epoch)})
		if class == "end" {
			x += 26
			continue
		}
		span, last := gap(t.Events, i, now)
		if last && t.State == "done" {
			continue
		}
		w := barWidth(span)
		if class == "wait" && !last {
			if host := untold(t.Events, i+1); host != "" {
				class, where, words = "work", host, host+" had it in this time: its journal doesn't say when it took it"
			}
		}
		if where == "" {
			where = "on the share"
		}
		b := laneBar{X: x, Y: row(where) - barHeight/2, W: w, H: barHeight, Class: class, Label: short(span), LabelX: x + w/2,
			Title: fmt.Sprintf("%s: %s", words, short(span))}
		if last {
			b.Title += " so far"
		}
		l.Bars = append(l.Bars, b)
		x += w
	}
	l.Width, l.Height = x+24, laneTop*2+len(l.Rows)*laneHeight
	l.Text = fmt.Sprintf("%d events on %d hosts; the table below has them all", len(t.Events), len(l.Rows)-1)
	return l
}

// untold is the host whose claim event i ends, if no journal has the claim itself:
// the last events of a host that was killed are lost.
func untold(all []traceEvent, i int) string {
	e := all[i]
	host, _, ok := strings.Cut(e.Token, "/")
	if !ok || e.Stage == string(spool.Ingest) || e.Event == spool.EvClaimed {
		return ""
	}
	for _, before := range all[:i] {
		if before.Token == e.Token && before.Stage == e.Stage {
			return ""
		}
	}
	return host
}

// gap is the time from event i to the next, or to now.
func gap(all []traceEvent, i int, now time.Time) (span time.Duration, last bool) {
	from, err := time.Parse(time.RFC3339Nano, all[i].Time)
	to := now
	if last = i == len(all)-1; !last {
		var perr error
		if to, perr = time.Parse(time.RFC3339Nano, all[i+1].Time); perr != nil {
			err = perr
		}
	}
	if err != nil {
		return 0, last
	}
	return max(0, to.Sub(from)), last
}

func barWidth(d time.Duration) int {
	return 54 + min(200, int(14*math.Log2(1+float64(d)/float64(100*time.Millisecond))))
}

// after says in which state an event leaves a job, in whose hands ("" = on the
// share), and in words.
func after(e traceEvent) (class, where, words string) {
	switch e.Event {
	case spool.EvClaimed, spool.EvSubmitted:
		return "work", e.Host, e.Host + " works on it (" + e.Stage + ")"
	case spool.EvSealed, spool.EvReleased, spool.EvConfirmed:
		return "sealed", e.Host, e.Host + " has sealed it (" + e.Stage + ")"
	case spool.EvHeld, spool.EvParked, spool.EvFailed, spool.EvRejected, spool.EvCancelled, spool.EvVanished, spool.EvDuplicated:
		return "aside", "", e.Event
	case spool.EvDone:
		return "end", e.Host, "done"
	}
	return "wait", "", "waits after " + e.Event
}

// short is a span in its largest units.
func short(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 100*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 10*time.Minute:
		return fmt.Sprintf("%.1f min", d.Minutes())
	case d < 100*time.Minute:
		return fmt.Sprintf("%.0f min", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.1f h", d.Hours())
	}
	return fmt.Sprintf("%.0f d", d.Hours()/24)
}

// alive: its heartbeat changes.
func (h host) alive() bool { return h.State == "live" || h.State == "unfit" }

func states() []string { return []string{"live", "stopped", "silent", "fenced", "unfit"} }

func contains(all []string, one string) bool { return slices.Contains(all, one) }
