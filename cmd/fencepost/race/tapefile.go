package race

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"fencepost/spool/env/drill"
	"fencepost/spool/env/simenv"
)

// tapeMagic begins a tape's file.
const tapeMagic = "fencepost-tape 1"

// WriteTape writes what is needed to make a run again: its options, then a line
// for each decision that wasn't plain: lane, number, value.
func WriteTape(w io.Writer, res *Result) error {
	o := res.Options
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "%s\nseed %d\nhosts %d\njobs %d\nprotocol %s\nfaults %s\n", tapeMagic, o.Seed, o.Hosts, o.Jobs, o.Protocol, joinFaults(o.Faults))
	if len(o.Bugs) > 0 {
		fmt.Fprintf(b, "bugs %s\n", joinBugs(o.Bugs))
	}
	if o.Where != "" {
		fmt.Fprintf(b, "where %s\n", o.Where)
	}
	if res.Violation != nil {
		fmt.Fprintf(b, "violation %s %s\n", res.Violation.Class, res.Violation.Kind)
	}
	fmt.Fprintf(b, "hash %016x\n\n", res.Hash)
	for _, e := range res.Entries {
		fmt.Fprintf(b, "%s %d %d\n", e.Lane, e.N, e.Value)
	}
	return b.Flush()
}

// Tape is a run as a file has it.
type Tape struct {
	Options   Options
	Violation string // "CLASS KIND", of the run that was written; may be empty
	Hash      uint64
}

// ReadTape reads a file of WriteTape.
func ReadTape(r io.Reader) (Tape, error) {
	t := Tape{Options: Options{Replay: true}}
	sc := bufio.NewScanner(r)
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimSpace(sc.Text())
		var err error
		switch {
		case n == 1 && line != tapeMagic:
			return t, fmt.Errorf("line 1: %q: not a tape; want %q", line, tapeMagic)
		case n == 1 || line == "" || strings.HasPrefix(line, "#"):
		default:
			err = t.line(line)
		}
		if err != nil {
			return t, fmt.Errorf("line %d: %q: %w", n, line, err)
		}
	}
	if err := sc.Err(); err != nil {
		return t, err
	}
	return t, t.Options.Validate()
}

func (t *Tape) line(line string) (err error) {
	key, value, _ := strings.Cut(line, " ")
	o := &t.Options
	switch key {
	case "seed":
		o.Seed, err = strconv.ParseUint(value, 10, 64)
	case "hosts":
		o.Hosts, err = strconv.Atoi(value)
	case "jobs":
		o.Jobs, err = strconv.Atoi(value)
	case "protocol":
		o.Protocol = value
	case "faults":
		o.Faults, err = ParseFaults(value)
	case "bugs":
		o.Bugs, err = ParseBugs(value)
	case "where":
		o.Where = value
	case "violation":
		t.Violation = value
	case "hash":
		t.Hash, err = strconv.ParseUint(value, 16, 64)
	default:
		var e simenv.Entry
		e, err = parseEntry(line)
		o.Tape = append(o.Tape, e)
	}
	return err
}

func parseEntry(line string) (e simenv.Entry, err error) {
	f := strings.Fields(line)
	if len(f) != 3 {
		return e, errors.New("want LANE NUMBER VALUE")
	}
	n, err1 := strconv.ParseUint(f[1], 10, 32)
	v, err2 := strconv.ParseUint(f[2], 10, 32)
	return simenv.Entry{Lane: f[0], N: uint32(n), Value: uint32(v)}, errors.Join(err1, err2)
}

func joinFaults(faults []Fault) string {
	if len(faults) == 0 {
		return "none"
	}
	var s []string
	for _, f := range faults {
		s = append(s, string(f))
	}
	return strings.Join(s, ",")
}

func joinBugs(bugs []drill.Bug) string {
	var s []string
	for _, b := range bugs {
		s = append(s, string(b))
	}
	return strings.Join(s, ",")
}
