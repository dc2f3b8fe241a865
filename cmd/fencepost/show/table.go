package show

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// Out prints for people, or plainly for programs if it isn't a terminal.
type Out struct {
	w      *bufio.Writer
	pretty bool // a terminal: aligned columns, notes, headings
	colour bool
	err    error
}

// NewOut looks whether w is a terminal. environ may hold NO_COLOR.
func NewOut(w io.Writer, environ []string) *Out {
	o := &Out{w: bufio.NewWriterSize(w, 64<<10)}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		o.pretty, o.colour = true, Coloured(environ)
	}
	return o
}

// Coloured says whether a terminal is to be coloured: environ may hold NO_COLOR.
func Coloured(environ []string) bool {
	return !slices.ContainsFunc(environ, func(kv string) bool {
		name, value, _ := strings.Cut(kv, "=")
		return name == "NO_COLOR" && value != "" || kv == "TERM=dumb"
	})
}

// NewPretty is an Out as for a terminal, whatever w is.
func NewPretty(w io.Writer, colour bool) *Out {
	return &Out{w: bufio.NewWriter(w), pretty: true, colour: colour}
}

// Flush writes what is buffered and returns the first error.
func (o *Out) Flush() error {
	if err := o.w.Flush(); o.err == nil && err != nil {
		o.err = fmt.Errorf("write output: %w", err)
	}
	return o.err
}

// Line prints a line of data.
func (o *Out) Line(s string) { _, _ = o.w.WriteString(Clean(s) + "\n") }

// Note prints a remark that only a person needs.
func (o *Out) Note(format string, args ...any) {
	if o.pretty {
		o.Line(fmt.Sprintf(format, args...))
	}
}

// Mark colours a word; the word itself says the same.
func (o *Out) Mark(s Severity, text string) string {
	text = Clean(text)
	if !o.colour || s == Fine {
		return text
	}
	return map[Severity]string{Warn: "\x1b[33m", Bad: "\x1b[31;1m"}[s] + text + "\x1b[0m"
}

// Severity says how urgent something is.
type Severity int

// The severities.
const (
	Fine Severity = iota
	Warn
	Bad
)

// Cells prints cells on one line, not aligned with other lines; the first is
// coloured.
func (o *Out) Cells(s Severity, first string, more ...string) {
	sep := "\t"
	if o.pretty {
		sep = "  "
	}
	_, _ = o.w.WriteString(o.Mark(s, first))
	for _, c := range more {
		_, _ = o.w.WriteString(sep + Clean(c))
	}
	_, _ = o.w.WriteString("\n")
}

// Table collects rows; End prints them.
type Table struct {
	o     *Out
	head  []string
	rows  [][]string
	marks []Severity
}

// Table begins a table. Its head is printed for people and programs alike.
func (o *Out) Table(head ...string) *Table { return &Table{o: o, head: head} }

// Row adds a row.
func (t *Table) Row(cells ...string) { t.MarkedRow(Fine, cells...) }

// MarkedRow adds a row whose first cell is coloured.
func (t *Table) MarkedRow(s Severity, cells ...string) {
	for i := range cells {
		cells[i] = Clean(cells[i])
	}
	t.rows = append(t.rows, cells)
	t.marks = append(t.marks, s)
}

// End prints the table: aligned on a terminal, else tabs between the cells.
func (t *Table) End() {
	if !t.o.pretty {
		for _, r := range append([][]string{t.head}, t.rows...) {
			_, _ = t.o.w.WriteString(strings.Join(r, "\t") + "\n")
		}
		return
	}
	width := make([]int, len(t.head))
	for _, r := range append([][]string{t.head}, t.rows...) {
		for i, c := range r {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	t.line(t.head, width, Fine)
	for i, r := range t.rows {
		t.line(r, width, t.marks[i])
	}
}

func (t *Table) line(cells []string, width []int, s Severity) {
	var b strings.Builder
	for i, c := range cells {
		pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(c)+2)
		if i == 0 {
			c = t.o.Mark(s, c)
		}
		b.WriteString(c + pad)
	}
	_, _ = t.o.w.WriteString(strings.TrimRight(b.String(), " ") + "\n")
}

// Gap prints an empty line between two blocks, for people and programs alike.
func (o *Out) Gap() { _, _ = o.w.WriteString("\n") }
