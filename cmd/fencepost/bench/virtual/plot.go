package virtual

import (
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"strings"
)

// Sizes of the picture, in its own units.
const (
	plotWidth, plotHeight = 900, 436
	plotTop, plotBottom   = 60, 340
	ratesLeft, ratesRight = 70, 420
	lostLeft, lostRight   = 530, 870
)

// colours of the loads, in their order.
func colours() []string { return []string{"#1f6fb2", "#d1731b", "#2a9d3a"} }

type canvas struct{ strings.Builder }

func (c *canvas) text(x, y float64, anchor, s string) {
	fmt.Fprintf(c, `<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>`+"\n", x, y, anchor, html.EscapeString(s))
}

// Plot draws jobs a second, and calls of a job, by the number of hosts.
func (r *Report) Plot(w io.Writer) error {
	c := &canvas{}
	fmt.Fprintf(c, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(c, `<rect width="%d" height="%d" fill="white"/>`+"\n", plotWidth, plotHeight)
	m := r.Model
	c.text(ratesLeft, 24, "start", fmt.Sprintf("fencepost bench --simulate: server %s, round trip %s, %d changes of %s at a time, %d workers, %d jobs of each host under way",
		r.Server, m.RoundTrip, m.Slots, m.Change, r.Workers, r.Jobs))
	r.chart(c, ratesLeft, ratesRight, "jobs a second, by hosts", func(p Point) float64 { return p.JobsPerSecond })
	r.chart(c, lostLeft, lostRight, "calls to the server for a job, by hosts", func(p Point) float64 { return p.Calls })
	for i, shape := range r.shapes() {
		y := float64(plotBottom + 44 + 16*i)
		fmt.Fprintf(c, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="%s" stroke-width="2"/>`+"\n", ratesLeft, y-4, ratesLeft+24, y-4, colours()[i%3])
		c.text(ratesLeft+30, y, "start", map[string]string{ShapeSelf: "jobs come in at every host", ShapeOne: "jobs come in at one host, all translate and submit",
			ShapeApart: "jobs come in at one host, all others translate and submit"}[shape])
	}
	c.WriteString("</svg>\n")
	_, err := io.WriteString(w, c.String())
	return err
}

func (r *Report) shapes() (all []string) {
	for _, p := range r.Points {
		if !slices.Contains(all, p.Shape) {
			all = append(all, p.Shape)
		}
	}
	return all
}

// chart draws a value over the number of hosts, which doubles with each step.
func (r *Report) chart(c *canvas, left, right float64, title string, value func(Point) float64) {
	c.text(left, 46, "start", title)
	most, hosts := 0.0, 1
	for _, p := range r.Points {
		most, hosts = max(most, value(p)), max(hosts, p.Hosts)
	}
	top, step := nice(most)
	y := func(v float64) float64 { return plotBottom - v/top*(plotBottom-plotTop) }
	x := func(n int) float64 {
		return left + math.Log2(float64(n))/max(math.Log2(float64(hosts)), 1)*(right-left)
	}
	for i := 0; float64(i)*step <= top; i++ {
		v := float64(i) * step
		fmt.Fprintf(c, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#dddddd"/>`+"\n", left, y(v), right, y(v))
		c.text(left-6, y(v)+4, "end", fmt.Sprintf("%g", v))
	}
	for n := 1; n <= hosts; n *= 2 {
		c.text(x(n), plotBottom+16, "middle", fmt.Sprint(n))
	}
	for i, shape := range r.shapes() {
		var points []string
		for _, p := range r.Points {
			if p.Shape == shape {
				points = append(points, fmt.Sprintf("%.1f,%.1f", x(p.Hosts), y(value(p))))
				fmt.Fprintf(c, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", x(p.Hosts), y(value(p)), colours()[i%3])
			}
		}
		fmt.Fprintf(c, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(points, " "), colours()[i%3])
	}
}

// nice is a round number of at least v, and a step that divides it.
func nice(v float64) (top, step float64) {
	step = math.Pow(10, math.Floor(math.Log10(max(v, 1))))
	for _, f := range []float64{0.1, 0.2, 0.5, 1, 2} {
		if v/(step*f) <= 6 {
			step *= f
			break
		}
	}
	return math.Ceil(max(v, step)/step) * step, step
}
