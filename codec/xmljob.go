package codec

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// whole reads a document: its one root, and nothing after it.
func (r *xmlReader) whole() (Record, error) {
	t, err := r.inside()
	if errors.Is(err, io.EOF) {
		err = r.failAt(len(r.src), "no element <job>")
	}
	if err != nil {
		return Record{}, err
	}
	root, ok := t.(xml.StartElement)
	if !ok || root.Name.Space != "" || root.Name.Local != "job" {
		return Record{}, r.failAt(r.at, "the root is not <job>")
	}
	version, err := r.attribute(root, "version")
	if err != nil {
		return Record{}, err
	}
	if version != XMLVersion {
		return Record{}, r.failAt(r.at, "version %s is not %q", show(version), XMLVersion)
	}
	var rec Record
	if err := r.sequence("job", r.recordFields(&rec)); err != nil {
		return Record{}, err
	}
	switch _, err := r.inside(); {
	case err == nil:
		return Record{}, r.failAt(r.at, "something after the end of <job>")
	case !errors.Is(err, io.EOF):
		return Record{}, err
	}
	return rec, nil
}

// recordFields are the elements of <job> in their order.
func (r *xmlReader) recordFields(rec *Record) []xmlField {
	text := func(name string, required bool, into *string) xmlField {
		return xmlField{name, required, r.textInto(name, into)}
	}
	j := &rec.Job
	var received string
	return []xmlField{
		text("id", true, &rec.ID),
		text("client", true, &rec.Client),
		{"received_at", true, func(e xml.StartElement) (err error) {
			if err = r.textInto("received_at", &received)(e); err != nil {
				return err
			}
			var why string
			rec.ReceivedAt, why = parseTime(received)
			return r.ruleErr(fieldErr("received_at", why))
		}},
		text("received_by", true, &rec.ReceivedBy),
		text("digest", true, &rec.Digest),
		text("name", true, &j.Name),
		text("owner", false, &j.Owner),
		text("environment", false, &j.Environment),
		text("queue", false, &j.Queue),
		{"resources", false, r.resources(&j.Resources)},
		text("workdir", false, &j.Workdir),
		{"labels", false, r.pairs("labels", "label", MaxLabels, &j.Labels)},
		{"env", false, r.pairs("env", "var", MaxEnv, &j.Env)},
		{"command", false, r.list("command", MaxCommand, &j.Command)},
		{"args", false, r.list("args", MaxArgs, &j.Args)},
		text("script", false, &j.Script),
	}
}

func (r *xmlReader) textInto(field string, into *string) func(xml.StartElement) error {
	return func(e xml.StartElement) error {
		if _, err := r.attribute(e, ""); err != nil {
			return err
		}
		s, err := r.text(e, field)
		*into = s
		return err
	}
}

func (r *xmlReader) resources(res *Resources) func(xml.StartElement) error {
	number := func(name string, bits int, into func(int64)) xmlField {
		return xmlField{name, false, func(e xml.StartElement) error {
			var s string
			if err := r.textInto("resources."+name, &s)(e); err != nil {
				return err
			}
			n, err := strconv.ParseInt(s, 10, bits)
			if err != nil || strconv.FormatInt(n, 10) != s { // one form a number
				return r.ruleErr(&FieldError{"resources." + name, show(s) + " is not a whole number in its plain form, or too large"})
			}
			into(n)
			return nil
		}}
	}
	return func(e xml.StartElement) error {
		if _, err := r.attribute(e, ""); err != nil {
			return err
		}
		return r.sequence("resources", []xmlField{
			number("cpus", 32, func(n int64) { res.CPUs = int(n) }),
			number("memory_mb", 64, func(n int64) { res.MemoryMB = n }),
			number("time_limit_seconds", 64, func(n int64) { res.TimeLimitSeconds = n }),
		})
	}
}

// each reads elements of one name inside parent, at most limit.
func (r *xmlReader) each(parent xml.StartElement, name string, limit int, read func(e xml.StartElement, i int) error) error {
	if _, err := r.attribute(parent, ""); err != nil {
		return err
	}
	r.starts[parent.Name.Local] = r.at
	for i := 0; ; i++ {
		t, err := r.inside()
		if err != nil {
			return err
		}
		e, ok := t.(xml.StartElement)
		switch {
		case !ok:
			return nil
		case e.Name.Space != "" || e.Name.Local != name:
			return r.failAt(r.at, "unknown element <%s> in <%s>", e.Name.Local, parent.Name.Local)
		case i == limit:
			return r.failAt(r.at, "<%s> has more than %d entries", parent.Name.Local, limit)
		}
		if err := read(e, i); err != nil {
			return err
		}
	}
}

func (r *xmlReader) list(field string, limit int, into *[]string) func(xml.StartElement) error {
	return func(parent xml.StartElement) error {
		return r.each(parent, "arg", limit, func(e xml.StartElement, i int) error {
			var s string
			err := r.textInto(fmt.Sprintf("%s[%d]", field, i), &s)(e)
			*into = append(*into, s)
			return err
		})
	}
}

func (r *xmlReader) pairs(field, name string, limit int, into *map[string]string) func(xml.StartElement) error {
	return func(parent xml.StartElement) error {
		return r.each(parent, name, limit, func(e xml.StartElement, _ int) error {
			key, err := r.attribute(e, "name")
			if err != nil {
				return err
			}
			if _, ok := (*into)[key]; ok {
				return r.failAt(r.at, "second <%s> named %s", name, show(key))
			}
			s, err := r.text(e, field+"."+key)
			if *into == nil {
				*into = map[string]string{}
			}
			(*into)[key] = s
			return err
		})
	}
}
