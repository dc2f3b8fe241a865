package gridengine

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"fencepost/codec"
	"fencepost/submit"
)

// queued is a job as qstat -xml lists it.
type queued struct {
	Group string `xml:"state,attr"` // running or pending
	ID    string `xml:"JB_job_number"`
	Name  string `xml:"JB_name"`
	State string `xml:"state"` // letters: q w h r t E d R s S T ...
	Tasks string `xml:"tasks"`
}

func (q queued) held() bool {
	return q.Group == "pending" && strings.Contains(q.State, "h") && !strings.Contains(q.State, "E")
}

// detail is what qstat -j adds: the context.
type detail struct {
	ID      string `xml:"JB_job_number"`
	Name    string `xml:"JB_job_name"`
	Context []struct {
		Name  string `xml:"VA_variable"`
		Value string `xml:"VA_value"`
	} `xml:"JB_context>context_list"`
}

// List asks for this user's jobs, then for the contexts of those that are
// ours, then for the kinds of hold. Jobs that are over are in no listing of
// Grid Engine: one that ended between two of these questions isn't listed
// either.
func (c *Cluster) List(ctx context.Context) ([]submit.Job, error) {
	list, err := c.states(ctx)
	if err != nil {
		return nil, err
	}
	ours, held := false, false
	for _, q := range list {
		mine := strings.HasPrefix(q.Name, c.cfg.NamePrefix)
		ours, held = ours || mine, held || mine && q.held()
	}
	tokens := make(map[string]detail)
	if ours {
		out, err := c.call(ctx, "qstat -j", []string{"do not exist"}, "qstat", "-xml", "-j", c.cfg.NamePrefix+"*")
		if err != nil {
			return nil, err
		}
		if tokens, err = parseDetails(out); err != nil {
			return nil, &submit.Error{Outcome: submit.Unknown, Op: "qstat -j", Err: err}
		}
	}
	user, other := map[string]bool{}, map[string]bool{}
	if held {
		for _, kind := range []struct {
			flag string
			set  map[string]bool
		}{{"hu", user}, {"ho", other}, {"hs", other}} {
			found, err := c.states(ctx, "-s", kind.flag)
			if err != nil {
				return nil, err
			}
			for _, q := range found {
				kind.set[q.ID] = true
			}
		}
	}
	return c.merge(list, tokens, user, other), nil
}

// merge makes the listing of the answers. Ours without details is over by now.
func (c *Cluster) merge(list []queued, details map[string]detail, user, other map[string]bool) []submit.Job {
	var jobs []submit.Job
	for _, q := range list {
		j := submit.Job{ID: q.ID, Name: q.Name, Detail: q.State}
		j.State, j.Started = state(q)
		if j.State == submit.Held {
			switch {
			case other[q.ID]:
				j.State = submit.HeldOther
			case strings.HasPrefix(q.Name, c.cfg.NamePrefix) && !user[q.ID]:
				j.State = submit.Pending // released between two questions
			}
		}
		key, ok := strings.CutPrefix(q.Name, c.cfg.NamePrefix)
		if ok {
			d, known := details[q.ID]
			if !known || d.Name != q.Name {
				continue
			}
			for _, v := range d.Context {
				if v.Name == tokenName {
					j.Token = v.Value
				}
			}
			if id, err := codec.CanonicalID(key); err == nil && id == key {
				j.Key = id
			}
		}
		jobs = append(jobs, j)
	}
	return jobs
}

// state reads qstat's letters. E is an error at its start, which waits for a
// person; R says that it has been started before.
func state(q queued) (s submit.State, started bool) {
	started = q.Group == "running" || strings.Contains(q.State, "R")
	switch {
	case q.Group == "running":
		return submit.Running, true
	case strings.Contains(q.State, "E"):
		return submit.HeldOther, started
	case strings.Contains(q.State, "h"):
		return submit.Held, started
	}
	return submit.Pending, started
}

// states asks for this user's jobs.
func (c *Cluster) states(ctx context.Context, more ...string) ([]queued, error) {
	out, err := c.call(ctx, "qstat", nil, append([]string{"qstat", "-xml", "-u", c.user}, more...)...)
	if err != nil {
		return nil, err
	}
	list, err := parseStates(out)
	if err != nil {
		return nil, &submit.Error{Outcome: submit.Unknown, Op: "qstat", Err: err}
	}
	return list, nil
}

// parseStates reads the document of qstat -xml. One that isn't whole is an
// error.
func parseStates(out []byte) ([]queued, error) {
	var doc struct {
		XMLName xml.Name `xml:"job_info"`
		Running []queued `xml:"queue_info>job_list"`
		Pending []queued `xml:"job_info>job_list"`
	}
	if err := decode(out, &doc); err != nil {
		return nil, err
	}
	list := append(doc.Running, doc.Pending...)
	for _, q := range list {
		if !isNumber(q.ID) || q.State == "" || q.Group != "running" && q.Group != "pending" {
			return nil, fmt.Errorf("job %q in state %q of group %q", q.ID, q.State, q.Group)
		}
	}
	return list, nil
}

// parseDetails reads the document of qstat -xml -j; that of unknown jobs has
// none.
func parseDetails(out []byte) (map[string]detail, error) {
	var doc struct {
		XMLName xml.Name
		Jobs    []detail `xml:"djob_info>element"`
	}
	if err := decode(out, &doc); err != nil {
		return nil, err
	}
	if doc.XMLName.Local != "detailed_job_info" && doc.XMLName.Local != "unknown_jobs" {
		return nil, fmt.Errorf("document %q", doc.XMLName.Local)
	}
	details := make(map[string]detail)
	for _, d := range doc.Jobs {
		details[d.ID] = d
	}
	return details, nil
}

func decode(out []byte, doc any) error {
	d := xml.NewDecoder(strings.NewReader(string(out)))
	if err := d.Decode(doc); err != nil {
		return fmt.Errorf("read XML: %w", err)
	}
	for {
		t, err := d.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read XML: %w", err)
		}
		if _, ok := t.(xml.StartElement); ok {
			return errors.New("second document in it")
		}
	}
}

func isNumber(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != "" && s[0] != '0' && len(s) <= 20
}
