package slurmrest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"fencepost/submit"
	"fencepost/submit/internal/slurmjob"
	"fencepost/submit/internal/word"
)

// answer is what all answers have in common.
type answer struct {
	JobID   int64     `json:"job_id"`
	Message string    `json:"job_submit_user_msg"`
	Errors  []problem `json:"errors"`
	Pings   []struct {
		Hostname string `json:"hostname"`
	} `json:"pings"`
}

// problem is one entry of "errors". Submissions number theirs otherwise.
type problem struct {
	Number      int    `json:"error_number"`
	Code        int    `json:"error_code"`
	Text        string `json:"error"`
	Description string `json:"description"`
}

func (p problem) code() int {
	if p.Number != 0 {
		return p.Number
	}
	return p.Code
}

// words are the daemon's own.
func (a *answer) words() string {
	var all []string
	for _, p := range a.Errors {
		s := p.Text
		if p.Description != "" {
			s = strings.TrimPrefix(p.Description+": "+s, ": ")
		}
		all = append(all, fmt.Sprintf("%s (%d)", s, p.code()))
	}
	if a.Message != "" {
		all = append(all, a.Message)
	}
	return word.Message([]byte(strings.Join(all, "\n")))
}

func (a *answer) controllers() ([]string, error) {
	var hosts []string
	for _, p := range a.Pings {
		if p.Hostname != "" {
			hosts = append(hosts, p.Hostname)
		}
	}
	if len(hosts) == 0 {
		return nil, errors.New("no controller in the answer")
	}
	return hosts, nil
}

// record is what is read of a job.
type record struct {
	ID      int64  `json:"job_id"`
	Name    string `json:"name"`
	Comment string `json:"comment"`
	State   state  `json:"job_state"`
	Reason  string `json:"state_reason"`
	Nodes   string `json:"nodes"`
	User    string `json:"user_name"`
	Cluster string `json:"cluster"`
}

// state is one word, or since v0.0.40 a list: the base state, then what else is
// said of it.
type state string

func (s *state) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] != '[' {
		return json.Unmarshal(b, (*string)(s))
	}
	var all []string
	if err := json.Unmarshal(b, &all); err != nil {
		return err
	}
	if len(all) > 0 {
		*s = state(all[0])
	}
	// What squeue shows in the place of the base state.
	for _, flag := range all[min(1, len(all)):] {
		switch flag {
		case "COMPLETING", "CONFIGURING", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD", "REVOKED":
			*s = state(flag)
		}
	}
	return nil
}

// listing reads jobs one by one, so that those of others cost no memory.
type listing struct {
	user, cluster, prefix string
	jobs                  []submit.Job
	other                 string // a cluster's name that is another than cluster
}

// read reads {..., "jobs": [...], ...} to its end.
func (l *listing) read(r io.Reader) (*answer, error) {
	d := json.NewDecoder(r)
	a, seen := &answer{}, false
	if err := expect(d, json.Delim('{')); err != nil {
		return nil, err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		switch key {
		case "errors":
			err = d.Decode(&a.Errors)
		case "jobs":
			seen, err = true, l.readJobs(d)
		default:
			err = d.Decode(new(json.RawMessage))
		}
		if err != nil {
			return nil, fmt.Errorf("read %v: %w", key, err)
		}
	}
	if err := expect(d, json.Delim('}')); err != nil {
		return nil, err
	}
	if !seen && len(a.Errors) == 0 {
		return nil, errors.New("no jobs in the answer")
	}
	return a, nil
}

func (l *listing) readJobs(d *json.Decoder) error {
	if err := expect(d, json.Delim('[')); err != nil {
		return err
	}
	for d.More() {
		var rec record
		if err := d.Decode(&rec); err != nil {
			return err
		}
		if rec.ID <= 0 || rec.State == "" {
			return fmt.Errorf("a job without an id or a state, after %d", len(l.jobs))
		}
		if rec.User == l.user {
			l.add(rec)
		}
	}
	return expect(d, json.Delim(']'))
}

func (l *listing) add(rec record) {
	if l.cluster != "" && rec.Cluster != l.cluster {
		l.other = word.Message([]byte(rec.Cluster))
	}
	l.jobs = append(l.jobs, submit.Job{ID: strconv.FormatInt(rec.ID, 10), Name: rec.Name, Token: rec.Comment,
		Key: slurmjob.Key(rec.Name, l.prefix), State: slurmjob.State(string(rec.State), rec.Reason),
		Started: slurmjob.Nodes(rec.Nodes), Detail: string(rec.State) + " " + rec.Reason})
}

func expect(d *json.Decoder, want json.Token) error {
	got, err := d.Token()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err == nil && got != want {
		err = fmt.Errorf("%v where %v was expected", got, want)
	}
	return err
}
