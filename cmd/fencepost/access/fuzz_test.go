package access_test

import (
	"testing"

	"fencepost/cmd/fencepost/access"
	"fencepost/codec"
)

// FuzzTypes: whatever a parameter holds, it is one argument and one variable of
// the job, to the byte, and the rest of the job is as the type says.
func FuzzTypes(f *testing.F) {
	for _, s := range []string{"", "x", "$(id)", "a\n#SBATCH --uid=0", "{a}{b}", "--", "\x00", "\xff", "'\"\\", "]]>", "\u2028"} {
		f.Add(s, s)
	}
	typ, err := access.Type{Script: "#!/bin/sh\nexec x \"$@\"\n", Args: []string{"--a={a}", "{b}", "{c}"}, Env: map[string]string{"B": "{b}"},
		Params: map[string]string{"a": "(?s).*", "b": "(?s).*", "c": "(?s).*"}, Defaults: map[string]string{"c": "{a}"}}.Compile()
	if err != nil {
		f.Fatal(err)
	}
	p := access.Policy{Types: map[string]access.Type{"t": typ}}
	f.Fuzz(func(t *testing.T, a, b string) {
		job := codec.Job{Name: "j", Type: "t", Params: map[string]string{"a": a, "b": b}}
		got, err := p.Admit("c", job, at(0))
		if (job.Validate() == nil) != (err == nil) {
			// A value at its limit may be too long with the fixed text beside it.
			if len(a) < 60_000 && len(b) < 60_000 {
				t.Fatalf("the job: %v; what was made of it: %v", job.Validate(), err)
			}
			return
		}
		if err != nil {
			return
		}
		if got.Script != typ.Script || len(got.Args) != 3 || got.Args[0] != "--a="+a || got.Args[1] != b || got.Args[2] != "{a}" || got.Env["B"] != b {
			t.Fatalf("got %+v", got)
		}
	})
}
