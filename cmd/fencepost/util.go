package main

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func itoa(n int) string { return strconv.Itoa(n) }

// isMissing says whether an error is about a path that isn't there.
func isMissing(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR)
}

// seconds rounds a duration to milliseconds.
func seconds(d time.Duration) float64 {
	return float64(d.Round(time.Millisecond).Milliseconds()) / 1000
}

// stamp is a time as all output has it: RFC 3339, UTC.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Truncate(time.Millisecond).Format(time.RFC3339Nano)
}

func contains(list []string, s string) bool { return slices.Contains(list, s) }

// dash stands for an empty cell.
func dash(s string) string { return or(s, "-") }

func orNone(s string) string { return or(s, "no reason known") }

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// some names the first few of a list.
func some(ids []string) string {
	const most = 3
	if len(ids) <= most {
		return strings.Join(ids, ", ")
	}
	return strings.Join(ids[:most], ", ") + ", ..."
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// human is a span in its largest unit: tables are read at a glance.
func human(secs float64) string {
	switch abs := max(secs, -secs); {
	case abs < 10:
		return strconv.FormatFloat(secs, 'f', 1, 64) + "s"
	case abs < 120:
		return strconv.FormatFloat(secs, 'f', 0, 64) + "s"
	case abs < 2*3600:
		return strconv.FormatFloat(secs/60, 'f', 0, 64) + "m"
	case abs < 48*3600:
		return strconv.FormatFloat(secs/3600, 'f', 0, 64) + "h"
	}
	return strconv.FormatFloat(secs/86400, 'f', 0, 64) + "d"
}

// plural counts things whose plural ends with s.
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
