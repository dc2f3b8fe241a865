package bench

import (
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// Sizes of the picture, in its own units.
const (
	plotWidth, plotHeight = 900, 420
	plotLeft, plotTop     = 60, 60
	plotBottom            = 360
	barsRight             = 380
	curveLeft, curveRight = 470, 870
)

// Plot draws the rates of the rounds, beside the floor's, and how long a job
// took.
func (r *Report) Plot(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", plotWidth, plotHeight)
	text := func(x, y float64, anchor, s string) {
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>`+"\n", x, y, anchor, html.EscapeString(s))
	}
	text(plotLeft, 24, "start", fmt.Sprintf("fencepost bench: %s, %d jobs a round, %d hosts, %d workers, cluster %s: %.2f of the floor (median)",
		r.FileSystem, r.Jobs, r.Hosts, r.Workers, r.Cluster, r.Ratio))
	r.plotBars(&b, text)
	r.plotCurves(&b, text)
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

const (
	colourFloor  = "#999999"
	colourJobs   = "#1f6fb2"
	colourAccept = "#2a9d3a"
)

// plotBars: jobs a second by round, the floor's in grey.
func (r *Report) plotBars(b *strings.Builder, text func(x, y float64, anchor, s string)) {
	top := 1.0
	for _, x := range r.Rounds {
		top = max(top, x.JobsPerSecond, x.FloorJobsPerSecond)
	}
	text(plotLeft, 46, "start", "jobs a second, by round; grey: the floor")
	slot := float64(barsRight-plotLeft) / float64(max(len(r.Rounds), 1))
	for i, x := range r.Rounds {
		left := plotLeft + slot*float64(i)
		for k, bar := range []struct {
			rate   float64
			colour string
		}{{x.FloorJobsPerSecond, colourFloor}, {x.JobsPerSecond, colourJobs}} {
			h := bar.rate / top * (plotBottom - plotTop - 20)
			fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`+"\n",
				left+slot*(0.1+0.4*float64(k)), plotBottom-h, slot*0.36, h, bar.colour)
			text(left+slot*(0.28+0.4*float64(k)), plotBottom-h-4, "middle", fmt.Sprintf("%.0f", bar.rate))
		}
		text(left+slot/2, plotBottom+16, "middle", fmt.Sprintf("%.2f", x.Ratio))
	}
	text(plotLeft, plotBottom+36, "start", "below: the ratio")
}

// plotCurves: the part of all jobs that was done within a time, on a
// logarithmic scale.
func (r *Report) plotCurves(b *strings.Builder, text func(x, y float64, anchor, s string)) {
	text(curveLeft, 46, "start", "part of all jobs, by time")
	curves := []struct {
		name, colour, dash string
		all                []time.Duration
	}{{"accept, loaded", colourAccept, "", r.accept}, {"accept to submitted, loaded", colourJobs, "", r.submitted},
		{"accept, idle", colourAccept, "4 3", r.idleAccept}, {"accept to submitted, idle", colourJobs, "4 3", r.idleSubmitted}}
	low, high := math.Inf(1), math.Inf(-1)
	for _, c := range curves {
		for _, d := range c.all {
			low, high = min(low, decade(d)), max(high, decade(d))
		}
	}
	if low > high {
		return // no job was timed
	}
	low, high = math.Floor(low), max(math.Ceil(high), math.Floor(low)+1)
	x := func(v float64) float64 { return curveLeft + (v-low)/(high-low)*(curveRight-curveLeft) }
	for v := low; v <= high; v++ {
		fmt.Fprintf(b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#dddddd"/>`+"\n", x(v), plotTop, x(v), plotBottom)
		text(x(v), plotBottom+16, "middle", time.Duration(math.Round(math.Pow(10, v)*1e9)).String())
	}
	for i, c := range curves {
		s := slices.Sorted(slices.Values(c.all))
		if len(s) == 0 {
			continue
		}
		var points []string
		const steps = 200
		for k := range steps + 1 {
			part := float64(k) / steps
			v := decade(s[min(int(part*float64(len(s))), len(s)-1)])
			points = append(points, fmt.Sprintf("%.1f,%.1f", x(v), plotBottom-part*(plotBottom-plotTop)))
		}
		fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-dasharray="%s"/>`+"\n", strings.Join(points, " "), c.colour, c.dash)
		y := float64(plotBottom + 34)
		fmt.Fprintf(b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-dasharray="%s"/>`+"\n",
			float64(curveLeft+210*(i%2)), y+14*float64(i/2)-4, float64(curveLeft+24+210*(i%2)), y+14*float64(i/2)-4, c.colour, c.dash)
		text(float64(curveLeft+30+210*(i%2)), y+14*float64(i/2), "start", c.name)
	}
}

// decade is the logarithm of a time in seconds; a microsecond is the least.
func decade(d time.Duration) float64 { return math.Log10(max(d, time.Microsecond).Seconds()) }
