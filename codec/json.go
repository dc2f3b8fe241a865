package codec

import (
	"fmt"
	"slices"
	"strings"
)

// JSONSchema is the value of the key "schema" in the documents of the JSON
// stage: it names their form and its version (docs/spec/job-json.md).
const JSONSchema = "fencepost.job/v1"

// ParseJob reads a client's job document (docs/spec/job-json.md, Job
// document). The id is canonical, or empty if the document has none. What is
// refused is a *[DocumentError].
func ParseJob(doc []byte) (job Job, id string, err error) {
	d, err := newDocument(formatJob, doc)
	if err != nil {
		return Job{}, "", err
	}
	r := &jsonReader{document: d}
	err = r.whole(func(key string, at int) error {
		if key == "id" {
			id, err = r.str("a string")
			return err
		}
		return r.jobField(&job, key, at)
	})
	if err == nil && r.has("id") {
		id, err = CanonicalID(id)
		err = d.ruleErr(err)
	}
	if err == nil {
		err = d.ruleErr(job.Validate())
	}
	if err != nil {
		return Job{}, "", err
	}
	return job, id, nil
}

// DecodeJSON reads a document of the JSON stage. What is refused is a
// *[DocumentError].
func DecodeJSON(doc []byte) (Record, error) {
	d, err := newDocument(formatJSON, doc)
	if err != nil {
		return Record{}, err
	}
	// Where its fields began matters only for one that is refused: it is read again.
	starts := d.starts
	d.starts = nil
	rec, err := decodeJSON(d)
	if err != nil {
		d.starts = starts
		rec, err = decodeJSON(d)
	}
	return rec, err
}

func decodeJSON(d *document) (Record, error) {
	r := &jsonReader{document: d}
	var rec Record
	var schema, received string
	err := r.whole(func(key string, at int) (err error) {
		switch key {
		case "schema":
			schema, err = r.str("a string")
		case "id":
			rec.ID, err = r.str("a string")
		case "client":
			rec.Client, err = r.str("a string")
		case "received_at":
			received, err = r.str("a string")
		case "received_by":
			rec.ReceivedBy, err = r.str("a string")
		case "digest":
			rec.Digest, err = r.str("a string")
		default:
			err = r.jobField(&rec.Job, key, at)
		}
		return err
	})
	if err != nil {
		return Record{}, err
	}
	if schema != JSONSchema {
		return Record{}, d.ruleErr(&FieldError{"schema", show(schema) + " is not " + JSONSchema})
	}
	t, why := parseTime(received)
	if err := fieldErr("received_at", why); err != nil {
		return Record{}, d.ruleErr(err)
	}
	rec.ReceivedAt = t
	if err := d.ruleErr(rec.Validate()); err != nil {
		return Record{}, err
	}
	return rec, nil
}

// whole reads a document that is one object.
func (r *jsonReader) whole(each func(key string, at int) error) error {
	if err := r.object("", each); err != nil {
		return err
	}
	if at := r.space(); at < len(r.src) {
		return r.failAt(at, "%s after the end of the document", r.what())
	}
	return nil
}

func (r *jsonReader) has(field string) bool {
	_, ok := r.starts[field]
	return ok
}

func (r *jsonReader) jobField(j *Job, key string, at int) (err error) {
	switch key {
	case "name":
		j.Name, err = r.str("a string")
	case "script":
		j.Script, err = r.str("a string")
	case "command":
		j.Command, err = r.list(key, MaxCommand)
	case "args":
		j.Args, err = r.list(key, MaxArgs)
	case "owner":
		j.Owner, err = r.str("a string")
	case "environment":
		j.Environment, err = r.str("a string")
	case "queue":
		j.Queue, err = r.str("a string")
	case "resources":
		err = r.resources(&j.Resources)
	case "env":
		j.Env, err = r.pairs(key, MaxEnv)
	case "labels":
		j.Labels, err = r.pairs(key, MaxLabels)
	case "workdir":
		j.Workdir, err = r.str("a string")
	case "type":
		j.Type, err = r.str("a string")
	case "params":
		j.Params, err = r.pairs(key, MaxParams)
	default:
		err = r.unknownKey(key, at, append([]string{"id"}, jobKeys...))
	}
	return err
}

func (r *jsonReader) unknownKey(key string, at int, known []string) error {
	i := slices.IndexFunc(known, func(k string) bool { return strings.EqualFold(k, key) })
	if i >= 0 {
		return r.failAt(at, "unknown key %s: keys are in lower case: %q", show(key), known[i])
	}
	return r.failAt(at, "unknown key %s", show(key))
}

// list reads an array of strings; it stops at the limit, not after a million.
func (r *jsonReader) list(field string, limit int) ([]string, error) {
	var list []string
	err := r.array(func() error {
		at := r.space()
		if len(list) == limit {
			return r.failAt(at, "%s has more than %d entries", field, limit)
		}
		if r.starts != nil {
			r.starts[fmt.Sprintf("%s[%d]", field, len(list))] = at
		}
		s, err := r.str("a string")
		list = append(list, s)
		return err
	})
	return list, err
}

func (r *jsonReader) pairs(field string, limit int) (map[string]string, error) {
	var m map[string]string
	err := r.object(field+".", func(key string, at int) error {
		if len(m) == limit {
			return r.failAt(at, "%s has more than %d entries", field, limit)
		}
		s, err := r.str("a string")
		if m == nil {
			m = map[string]string{}
		}
		m[key] = s
		return err
	})
	return m, err
}

func (r *jsonReader) resources(res *Resources) error {
	return r.object("resources.", func(key string, at int) (err error) {
		switch key {
		case "cpus":
			var n int64
			if n, err = r.integer(); err == nil && int64(int(n)) != n { // int may have 32 bits
				err = r.failAt(at, "cpus is too large")
			}
			res.CPUs = int(n)
		case "memory_mb":
			res.MemoryMB, err = r.integer()
		case "time_limit_seconds":
			res.TimeLimitSeconds, err = r.integer()
		default:
			err = r.unknownKey(key, at, []string{"cpus", "memory_mb", "time_limit_seconds"})
		}
		return err
	})
}

// EncodeJSON returns the record as a document of the JSON stage: indented,
// keys sorted, a line break at the end. A record that breaks a rule is refused
// with a *[FieldError].
func EncodeJSON(r Record) ([]byte, error) {
	if err := r.Validate(); err != nil {
		return nil, fmt.Errorf("encode json: %w", err)
	}
	return encodeJSON(r), nil
}

// encodeJSON is EncodeJSON of a record that breaks no rule.
func encodeJSON(r Record) []byte {
	j := r.Job
	w := &jsonWriter{b: make([]byte, 0, j.Size()*9/8+1024)}
	w.group('{', '}', func() {
		w.list("args", j.Args)
		w.field("client", r.Client)
		w.list("command", j.Command)
		w.field("digest", r.Digest)
		w.pairs("env", j.Env)
		w.optional("environment", j.Environment)
		w.field("id", r.ID)
		w.pairs("labels", j.Labels)
		w.field("name", j.Name)
		w.optional("owner", j.Owner)
		w.optional("queue", j.Queue)
		w.field("received_at", formatTime(r.ReceivedAt))
		w.field("received_by", r.ReceivedBy)
		w.resources(j.Resources)
		w.field("schema", JSONSchema)
		w.optional("script", j.Script)
		w.optional("workdir", j.Workdir)
	})
	return append(w.b, '\n')
}
