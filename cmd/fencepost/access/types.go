package access

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"fencepost/codec"
)

// Type is a job that clients name instead of sending code.
type Type struct {
	Script   string            // one of the two, as in a job
	Command  []string          // {NAME} stands for a parameter, as in Args and the values of Env
	Args     []string          //
	Env      map[string]string //
	Workdir  string
	Params   map[string]string // patterns that parameters have to match as a whole
	Defaults map[string]string // of those that may be left out
	Queue    string            // the only one; "" = as the client says
	Want     codec.Resources   // where the job asks for nothing
	Most     codec.Resources   // ceilings; 0 = none

	patterns map[string]*regexp.Regexp
}

// maxPattern bounds what a pattern may cost; they are linear in time.
const maxPattern = 1000

// place finds {NAME}.
const place = `\{([A-Za-z_][A-Za-z0-9_]*)\}`

// Compile checks the type, and returns it ready for use.
func (t Type) Compile() (Type, error) {
	t.patterns = map[string]*regexp.Regexp{}
	for _, k := range slices.Sorted(maps.Keys(t.Params)) {
		if len(t.Params[k]) > maxPattern {
			return t, fmt.Errorf("the pattern of parameter %s is longer than %d", k, maxPattern)
		}
		re, err := regexp.Compile(`\A(?:` + t.Params[k] + `)\z`)
		if err != nil {
			return t, fmt.Errorf("the pattern of parameter %s: %w", k, err)
		}
		t.patterns[k] = re
	}
	for _, k := range slices.Sorted(maps.Keys(t.Defaults)) {
		re := t.patterns[k]
		switch {
		case re == nil:
			return t, fmt.Errorf("a default for %s, which is no parameter", k)
		case !re.MatchString(t.Defaults[k]):
			return t, fmt.Errorf("the default of parameter %s doesn't match its pattern", k)
		}
	}
	texts := append(slices.Concat(t.Command, t.Args), slices.Collect(maps.Values(t.Env))...)
	for _, text := range texts {
		for _, m := range regexp.MustCompile(place).FindAllStringSubmatch(text, -1) {
			if t.patterns[m[1]] == nil {
				return t, fmt.Errorf("{%s} stands for no parameter: give it a pattern in params", m[1])
			}
		}
	}
	if len(t.Command) > 0 && regexp.MustCompile(place).MatchString(t.Command[0]) {
		return t, fmt.Errorf("the program's name holds a parameter")
	}
	if m := regexp.MustCompile(place).FindString(t.Workdir); m != "" {
		return t, fmt.Errorf("the work directory holds %s, and no parameter is put in there", m)
	}
	if err := t.checkResources(); err != nil {
		return t, err
	}
	// What the type fixes has to be a legal job with any legal parameter in it;
	// at least it has to be one with none.
	try := codec.Job{Name: "x", Script: t.Script, Command: t.Command, Args: t.Args, Env: t.Env, Workdir: t.Workdir, Queue: t.Queue, Resources: t.Want}
	return t, try.Validate()
}

// expand makes what runs of a job that names a type.
func (p *Policy) expand(job codec.Job) (codec.Job, error) {
	t, ok := p.Types[job.Type]
	if !ok {
		return job, deny("type %s is not known here", job.Type)
	}
	values, err := t.values(job)
	if err != nil {
		return job, err
	}
	fill := func(text string) string {
		return regexp.MustCompile(place).ReplaceAllStringFunc(text, func(m string) string { return values[m[1:len(m)-1]] })
	}
	list := func(texts []string) (out []string) {
		for _, s := range texts {
			out = append(out, fill(s))
		}
		return out
	}
	labels := map[string]string{TypeLabel: job.Type}
	maps.Copy(labels, job.Labels)
	out := codec.Job{Name: job.Name, Owner: job.Owner, Environment: job.Environment, Queue: job.Queue, Resources: job.Resources,
		Labels: labels, Script: t.Script, Command: list(t.Command), Args: list(t.Args), Workdir: t.Workdir}
	for k, v := range t.Env {
		if out.Env == nil {
			out.Env = map[string]string{}
		}
		out.Env[k] = fill(v)
	}
	if t.Queue != "" {
		if job.Queue != "" && job.Queue != t.Queue {
			return job, deny("jobs of type %s go to queue %s", job.Type, t.Queue)
		}
		out.Queue = t.Queue
	}
	if out.Resources, err = t.resources(job.Resources); err != nil {
		return job, err
	}
	return out, out.Validate()
}

// values are the parameters of a job, checked.
func (t *Type) values(job codec.Job) (map[string]string, error) {
	values := maps.Clone(t.Defaults)
	if values == nil {
		values = map[string]string{}
	}
	for _, k := range slices.Sorted(maps.Keys(job.Params)) {
		re := t.patterns[k]
		switch {
		case re == nil:
			return nil, &codec.FieldError{Field: "params", Reason: fmt.Sprintf("type %s has no parameter %s%s", job.Type, k, listed(slices.Sorted(maps.Keys(t.Params))))}
		case !re.MatchString(job.Params[k]):
			return nil, &codec.FieldError{Field: "params." + k, Reason: "doesn't match " + t.Params[k]}
		}
		values[k] = job.Params[k]
	}
	var missing []string
	for k := range t.Params {
		if _, ok := values[k]; !ok {
			missing = append(missing, k)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return nil, &codec.FieldError{Field: "params", Reason: "lacks " + strings.Join(missing, ", ")}
	}
	return values, nil
}

// checkResources: a ceiling that nothing gets under refuses each job.
func (t *Type) checkResources() error {
	for _, r := range []struct {
		what       string
		want, most int64
	}{{"cpus", int64(t.Want.CPUs), int64(t.Most.CPUs)}, {"memory_mb", t.Want.MemoryMB, t.Most.MemoryMB},
		{"time_limit", t.Want.TimeLimitSeconds, t.Most.TimeLimitSeconds}} {
		switch {
		case r.most < 0:
			return fmt.Errorf("max_%s is negative", r.what)
		case r.most > 0 && r.want > r.most:
			return fmt.Errorf("%s is more than max_%s", r.what, r.what)
		}
	}
	return nil
}

func (t *Type) resources(r codec.Resources) (codec.Resources, error) {
	or := func(a, b int64) int64 {
		if a == 0 {
			return b
		}
		return a
	}
	cpus, err := ceiling("resources.cpus", or(int64(r.CPUs), int64(t.Want.CPUs)), int64(t.Most.CPUs))
	if err != nil {
		return r, err
	}
	memory, err := ceiling("resources.memory_mb", or(r.MemoryMB, t.Want.MemoryMB), t.Most.MemoryMB)
	if err != nil {
		return r, err
	}
	limit, err := ceiling("resources.time_limit_seconds", or(r.TimeLimitSeconds, t.Want.TimeLimitSeconds), t.Most.TimeLimitSeconds)
	return codec.Resources{CPUs: int(cpus), MemoryMB: memory, TimeLimitSeconds: limit}, err
}

// ceiling holds a number to the most that is allowed. A job that says nothing
// gets the most: the cluster's own default might be more.
func ceiling(field string, n, most int64) (int64, error) {
	switch {
	case most == 0:
		return n, nil
	case n == 0:
		return most, nil
	case n > most:
		return n, deny("%s is %d, at most %d is allowed", field, n, most)
	}
	return n, nil
}
