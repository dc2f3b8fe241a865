package codec

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// FieldError is a value that breaks a rule. Field is a path into the document:
// "name", "args[3]", "env.PATH", "resources.cpus".
type FieldError struct {
	Field, Reason string
}

func (e *FieldError) Error() string { return "check " + e.Field + ": " + e.Reason }

// fieldErr returns nil for no reason.
func fieldErr(field, why string) error {
	if why == "" {
		return nil
	}
	return &FieldError{Field: field, Reason: why}
}

// Validate reports the first rule that the job breaks, as a *[FieldError], in
// the order of the fields. A job that passes can be carried by every form, and
// none of its names can be taken for an option, a directive or a path.
func (j Job) Validate() error {
	for _, check := range []func() error{
		func() error { return fieldErr("name", nameChars.check(j.Name, MaxName)) },
		j.checkWhatRuns,
		j.checkWords,
		j.Resources.check,
		j.checkEnv,
		j.checkLabels,
		func() error { return fieldErr("workdir", checkWorkdir(j.Workdir)) },
		j.checkParams,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	if n := j.Size(); n > MaxJob {
		return fieldErr("job", fmt.Sprintf("has %d bytes, more than %d", n, MaxJob))
	}
	return nil
}

func (j Job) checkWhatRuns() error {
	switch {
	case j.Type != "":
		return j.checkType()
	case j.Script == "" && len(j.Command) == 0:
		return fieldErr("script", "is missing: a job has a script, a command or a type")
	case j.Script != "" && len(j.Command) > 0:
		return fieldErr("command", "stands beside a script: a job has one of the two")
	case j.Script != "":
		if err := fieldErr("script", checkScript(j.Script)); err != nil {
			return err
		}
	default:
		if err := checkList("command", j.Command, MaxCommand); err != nil {
			return err
		}
		// The program's name, not an argument: empty can't run, and '-' would
		// be an option of whatever starts it (env, srun).
		if p := j.Command[0]; p == "" || p[0] == '-' {
			return fieldErr("command[0]", "is empty or begins with '-'")
		}
	}
	return checkList("args", j.Args, MaxArgs)
}

// checkType: what a type fixes can't be said beside it. Variables and the work
// directory are among that: they can change what a program does as well as its
// arguments can.
func (j Job) checkType() error {
	for _, f := range []struct {
		field string
		set   bool
	}{{"script", j.Script != ""}, {"command", len(j.Command) > 0}, {"args", len(j.Args) > 0},
		{"env", len(j.Env) > 0}, {"workdir", j.Workdir != ""}} {
		if f.set {
			return fieldErr(f.field, "stands beside a type, which fixes it")
		}
	}
	return fieldErr("type", nameChars.check(j.Type, MaxWord))
}

func (j Job) checkParams() error {
	switch {
	case len(j.Params) == 0:
		return nil
	case j.Type == "":
		return fieldErr("params", "has values, but the job has no type")
	case len(j.Params) > MaxParams:
		return fieldErr("params", fmt.Sprintf("has %d entries, more than %d", len(j.Params), MaxParams))
	}
	for _, k := range slices.Sorted(maps.Keys(j.Params)) {
		if why := envChars.check(k, MaxWord); why != "" {
			return fieldErr("params", "has a bad name: "+why)
		}
		if why := checkValue(j.Params[k], MaxArg, checkText); why != "" {
			return fieldErr("params."+k, why)
		}
	}
	return nil
}

func checkScript(s string) string {
	if len(s) > MaxScript {
		return fmt.Sprintf("has %d bytes, more than %d", len(s), MaxScript)
	}
	first, _, _ := strings.Cut(s, "\n")
	switch {
	case !strings.HasPrefix(first, "#!"):
		return `doesn't begin with "#!"` // sbatch refuses it, and a kernel wouldn't know how to run it
	case strings.Contains(first, "\r"):
		return "has a carriage return in its first line: the kernel would take it for a part of the interpreter's name"
	}
	return checkText(s)
}

func checkList(field string, list []string, limit int) error {
	if len(list) > limit {
		return fieldErr(field, fmt.Sprintf("has %d entries, more than %d", len(list), limit))
	}
	for i, s := range list {
		if why := checkValue(s, MaxArg, checkText); why != "" {
			return fieldErr(fmt.Sprintf("%s[%d]", field, i), why)
		}
	}
	return nil
}

func checkValue(s string, limit int, check func(string) string) string {
	if len(s) > limit {
		return fmt.Sprintf("has %d bytes, more than %d", len(s), limit)
	}
	return check(s)
}

func (j Job) checkWords() error {
	for _, w := range []struct{ field, value string }{
		{"owner", j.Owner}, {"environment", j.Environment}, {"queue", j.Queue},
	} {
		if w.value == "" {
			continue
		}
		if why := wordChars.check(w.value, MaxWord); why != "" {
			return fieldErr(w.field, why)
		}
	}
	return nil
}

func (r Resources) check() error {
	for _, n := range []struct {
		field      string
		value, max int64
	}{
		{"cpus", int64(r.CPUs), MaxCPUs},
		{"memory_mb", r.MemoryMB, MaxMemoryMB},
		{"time_limit_seconds", r.TimeLimitSeconds, MaxTimeLimitSeconds},
	} {
		if n.value < 0 || n.value > n.max {
			return fieldErr("resources."+n.field, fmt.Sprintf("is %d, not in 0 to %d", n.value, n.max))
		}
	}
	return nil
}

// reservedEnv begins the names that fencepost itself sets for a job: a job
// that could set them could lie to its own guard.
const reservedEnv = "FENCEPOST_"

func (j Job) checkEnv() error {
	if len(j.Env) > MaxEnv {
		return fieldErr("env", fmt.Sprintf("has %d entries, more than %d", len(j.Env), MaxEnv))
	}
	for _, k := range slices.Sorted(maps.Keys(j.Env)) {
		if why := envChars.check(k, MaxEnvKey); why != "" {
			return fieldErr("env", "has a bad name: "+why)
		}
		if strings.HasPrefix(k, reservedEnv) {
			return fieldErr("env."+k, "is reserved: names beginning with "+reservedEnv+" are set by fencepost")
		}
		if why := checkValue(j.Env[k], MaxEnvValue, checkText); why != "" {
			return fieldErr("env."+k, why)
		}
	}
	return nil
}

func (j Job) checkLabels() error {
	if len(j.Labels) > MaxLabels {
		return fieldErr("labels", fmt.Sprintf("has %d entries, more than %d", len(j.Labels), MaxLabels))
	}
	for _, k := range slices.Sorted(maps.Keys(j.Labels)) {
		if why := labelChars.check(k, MaxLabelKey); why != "" {
			return fieldErr("labels", "has a bad key: "+why)
		}
		if why := checkValue(j.Labels[k], MaxLabelValue, checkLine); why != "" {
			return fieldErr("labels."+k, why)
		}
	}
	return nil
}

func checkWorkdir(s string) string {
	if s == "" {
		return ""
	}
	if why := checkValue(s, MaxWorkdir, checkLine); why != "" {
		return why
	}
	if s[0] != '/' {
		return show(s) + " is not an absolute path"
	}
	return ""
}
