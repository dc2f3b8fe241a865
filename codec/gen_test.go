package codec_test

import (
	"strings"
	"time"

	"pgregory.net/rapid"

	"fencepost/codec"
)

// nasty are the pieces that one form or another would break, in an order that
// shrinks towards the plain ones.
var nasty = []string{
	"a", " ", "\n", "\t", "\r", "\r\n", "&", "<", ">", "]]>", "<![CDATA[", "<!--", "-->", "<?x?>", "</script>",
	"&amp;", "&#13;", "&#xD800;", "\"", "'", "\\", `\n`, `\ud800`, "{", "}", "[", "--", "#SBATCH --x", "$(x)", "`x`", ";",
	"\u007f", "\u0085", "\u009f", "\u00a0", "\u2028", "\u2029", "\ufeff", "\ufffd", "\ud7ff", "\ue000", "\ufdd0",
	"é", "e\u0301", "日本", "\U0001F600", "\U0010FFFF", "\U0001FFFE",
}

func text() *rapid.Generator[string] {
	piece := rapid.OneOf(rapid.SampledFrom(nasty), rapid.StringMatching(`[ -~]{0,12}`))
	return rapid.Map(rapid.SliceOfN(piece, 0, 12), func(p []string) string { return strings.Join(p, "") })
}

// line is text without what a line can't have.
func line(most int) *rapid.Generator[string] {
	return rapid.Map(text(), func(s string) string {
		s = strings.Map(func(r rune) rune {
			if r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 {
				return -1
			}
			return r
		}, s)
		for len(s) > most {
			s = s[:strings.LastIndexFunc(s[:len(s)-1], func(rune) bool { return true })]
		}
		return s
	})
}

func maybe[T any](g *rapid.Generator[T]) *rapid.Generator[T] {
	return rapid.OneOf(rapid.Just(*new(T)), g)
}

func pairs(key *rapid.Generator[string], value *rapid.Generator[string]) *rapid.Generator[map[string]string] {
	return rapid.MapOfN(key, value, 0, 5)
}

// jobs generates legal jobs.
func jobs() *rapid.Generator[codec.Job] {
	return rapid.Custom(func(t *rapid.T) codec.Job {
		word := maybe(rapid.StringMatching(`[A-Za-z0-9_][A-Za-z0-9._@-]{0,63}`))
		j := codec.Job{
			Name:        rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9._-]{0,127}`).Draw(t, "name"),
			Args:        rapid.SliceOfN(text(), 0, 6).Draw(t, "args"),
			Owner:       word.Draw(t, "owner"),
			Environment: word.Draw(t, "environment"),
			Queue:       word.Draw(t, "queue"),
			Resources: codec.Resources{
				CPUs:             rapid.IntRange(0, codec.MaxCPUs).Draw(t, "cpus"),
				MemoryMB:         rapid.Int64Range(0, codec.MaxMemoryMB).Draw(t, "memory"),
				TimeLimitSeconds: rapid.Int64Range(0, codec.MaxTimeLimitSeconds).Draw(t, "time"),
			},
			Env:     pairs(rapid.StringMatching(`[A-EG-Za-z_][A-Za-z0-9_]{0,20}`), text()).Draw(t, "env"),
			Labels:  pairs(rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9._/-]{0,20}`), line(codec.MaxLabelValue)).Draw(t, "labels"),
			Workdir: maybe(rapid.Map(line(codec.MaxWorkdir-1), func(s string) string { return "/" + s })).Draw(t, "workdir"),
		}
		if rapid.Bool().Draw(t, "command?") {
			j.Command = append([]string{"prog" + text().Draw(t, "prog")}, rapid.SliceOfN(text(), 0, 6).Draw(t, "command")...)
		} else {
			j.Script = "#!/bin/sh\n" + text().Draw(t, "script")
		}
		return j
	})
}

func ids() *rapid.Generator[string] {
	return rapid.StringMatching(`[1-9a-e][0-9a-f]{7}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
}

// records generates legal records.
func records() *rapid.Generator[codec.Record] {
	return rapid.Custom(func(t *rapid.T) codec.Record {
		j := jobs().Draw(t, "job")
		return codec.Record{
			ID:         ids().Draw(t, "id"),
			Job:        j,
			Client:     "c" + line(codec.MaxClient-1).Draw(t, "client"),
			ReceivedAt: time.UnixMilli(rapid.Int64Range(0, 253402300799999).Draw(t, "at")).UTC(),
			ReceivedBy: rapid.StringMatching(`[a-z0-9][a-z0-9.-]{0,60}`).Draw(t, "by"),
			Digest:     codec.Digest(j),
		}
	})
}

// normal is what a record looks like after a round trip: nil where empty.
func normal(r codec.Record) codec.Record {
	r.Job = normalJob(r.Job)
	return r
}

func normalJob(j codec.Job) codec.Job {
	if len(j.Command) == 0 {
		j.Command = nil
	}
	if len(j.Args) == 0 {
		j.Args = nil
	}
	if len(j.Env) == 0 {
		j.Env = nil
	}
	if len(j.Labels) == 0 {
		j.Labels = nil
	}
	return j
}
