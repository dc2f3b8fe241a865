package access

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"fencepost/codec"
)

// Anybody is the name of the rule for clients that have none of their own.
const Anybody = "*"

// Rule is what a client may do. Patterns are a word, the beginning of one with *
// at its end, or * alone.
type Rule struct {
	Queues  []string      // that it may name; none = any
	Owners  []string      // the same
	Types   []string      // job types that it may send; none = none
	Scripts bool          // it may send scripts and commands of its own
	MaxJob  int           // bytes; 0 = the host's limit
	Rate    float64       // jobs a second, in the long run; 0 = no limit
	Burst   int           // jobs at once beyond the rate; 0 = a second's worth, at least 1
	Conns   int           // connections at once; 0 = the host's limit
	Shut    bool          // it may do nothing
	Longest time.Duration // of a job, as its time limit; 0 = any
}

// Denied is a job that is refused. It is told to the client.
type Denied struct {
	Code   codec.Code
	Reason string
	After  time.Duration // to come back, where the code isn't final
}

func (d *Denied) Error() string { return string(d.Code) + ": " + d.Reason }

func deny(format string, args ...any) error {
	return &Denied{Code: codec.CodeNotAllowed, Reason: fmt.Sprintf(format, args...)}
}

// Policy is the rules of all clients and the types of jobs.
type Policy struct {
	Rules map[string]Rule // by client; none at all = everybody may do everything
	Types map[string]Type
	Rate  Rule // only Rate and Burst: of clients whose rule has none

	buckets buckets
}

// labelPrefix begins the labels that hosts set.
const labelPrefix = "fencepost/"

// TypeLabel is the label that says which type a job was made of.
const TypeLabel = labelPrefix + "type"

// rule is a client's.
func (p *Policy) rule(client string) (r Rule, ok bool) {
	if len(p.Rules) == 0 {
		return Rule{Types: []string{Anybody}, Scripts: true}, true
	}
	if r, ok = p.Rules[client]; !ok {
		r, ok = p.Rules[Anybody]
	}
	return r, ok && !r.Shut
}

// Connect says how many connections a client may have; 0 = no limit of its own.
// An error means none.
func (p *Policy) Connect(client string) (conns int, err error) {
	r, ok := p.rule(client)
	if !ok {
		return 0, deny("client %s may do nothing here", client)
	}
	return r.Conns, nil
}

// Admit checks a job of a client and returns it as it is to be kept. The error
// is a *Denied, or a *codec.FieldError.
func (p *Policy) Admit(client string, job codec.Job, now time.Time) (codec.Job, error) {
	r, ok := p.rule(client)
	if !ok {
		return job, deny("client %s may do nothing here", client)
	}
	// A job that is refused for good still counts: refusing it costs, too.
	if err := p.take(client, r, now); err != nil {
		return job, err
	}
	if n := job.Size(); r.MaxJob > 0 && n > r.MaxJob {
		return job, &Denied{Code: codec.CodeTooLarge, Reason: fmt.Sprintf("the job has %d bytes, client %s may send %d", n, client, r.MaxJob)}
	}
	for _, k := range slices.Sorted(maps.Keys(job.Labels)) {
		if strings.HasPrefix(k, labelPrefix) {
			return job, &codec.FieldError{Field: "labels." + k, Reason: "is reserved: labels beginning with " + labelPrefix + " are set by the host"}
		}
	}
	switch {
	case job.Type == "" && !r.Scripts:
		return job, deny("client %s may send jobs of its types only, no scripts or commands of its own%s", client, listed(r.Types))
	case job.Type != "" && !matches(r.Types, job.Type):
		return job, deny("client %s may not send jobs of type %s%s", client, job.Type, listed(r.Types))
	case job.Type != "":
		var err error
		if job, err = p.expand(job); err != nil {
			return job, err
		}
	}
	var err error
	if job.Queue, err = choose("queue", client, r.Queues, job.Queue); err == nil {
		job.Owner, err = choose("owner", client, r.Owners, job.Owner)
	}
	if err == nil && r.Longest > 0 {
		job.Resources.TimeLimitSeconds, err = ceiling("resources.time_limit_seconds", job.Resources.TimeLimitSeconds, int64(r.Longest/time.Second))
	}
	return job, err
}

// choose checks a word against what a client may name. A client that may name
// one only need not name it.
func choose(what, client string, allowed []string, got string) (string, error) {
	switch {
	case len(allowed) == 0 || got != "" && matches(allowed, got):
		return got, nil
	case got == "" && len(allowed) == 1 && !strings.HasSuffix(allowed[0], "*"):
		return allowed[0], nil
	case got == "":
		return got, deny("client %s has to name the %s%s", client, what, listed(allowed))
	}
	return got, deny("client %s may not name %s %s%s", client, what, got, listed(allowed))
}

func listed(allowed []string) string {
	if len(allowed) == 0 {
		return ""
	}
	return ": " + strings.Join(allowed, ", ")
}

func matches(patterns []string, word string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		if prefix, ok := strings.CutSuffix(p, "*"); ok {
			return strings.HasPrefix(word, prefix)
		}
		return p == word
	})
}
