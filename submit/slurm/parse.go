package slurm

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"fencepost/submit"
	"fencepost/submit/internal/slurmjob"
	"fencepost/submit/internal/word"
)

// The listing's fields are separated and its records ended by characters that
// no name of ours has, and that squeue passes on: another job of this user may
// have bars and even newlines in its name and comment.
const (
	unitSep   = "\x1f"
	recordEnd = "\x1e"
	// id, state, reason, nodes, name, comment
	listFormat = "%i" + unitSep + "%T" + unitSep + "%r" + unitSep + "%N" + unitSep + "%j" + unitSep + "%k" + recordEnd
	listFields = 6
)

// parseSubmitted reads what sbatch --parsable prints: ID, or ID;CLUSTER.
func parseSubmitted(out []byte) (string, error) {
	line, err := word.ID(out)
	if err != nil {
		return "", err
	}
	id, cluster, several := strings.Cut(line, ";")
	if !slurmjob.IsID(id) || several && cluster == "" {
		return "", errors.New("not a job id where one was expected")
	}
	return id, nil
}

// parseListing reads squeue's output in listFormat. A record that isn't whole
// is an error: a listing must be complete.
func parseListing(out []byte, prefix string) ([]submit.Job, error) {
	var jobs []submit.Job
	text := string(out)
	for n := 1; text != ""; n++ {
		rec, rest, ok := strings.Cut(text, recordEnd)
		if ok {
			rest, ok = strings.CutPrefix(rest, "\n")
		}
		if !ok {
			return nil, fmt.Errorf("record %d is cut off: %s", n, word.Message([]byte(rec)))
		}
		text = rest
		f := strings.Split(rec, unitSep)
		if len(f) < listFields || f[0] == "" || f[1] == "" {
			return nil, fmt.Errorf("record %d is not a job: %s", n, word.Message([]byte(rec)))
		}
		jobs = append(jobs, job(f, prefix))
	}
	return jobs, nil
}

// job makes a job of a record's fields. One that has more fields than were
// asked for has a separator in its name: none of ours.
func job(f []string, prefix string) submit.Job {
	j := submit.Job{ID: f[0], Name: f[4], Detail: f[1] + " " + f[2]}
	j.Started = slurmjob.Nodes(f[3])
	j.State = slurmjob.State(f[1], f[2])
	if len(f) != listFields {
		j.Name = strings.Join(f[4:], "?")
		return j
	}
	if f[5] != "(null)" {
		j.Token = f[5]
	}
	j.Key = slurmjob.Key(f[4], prefix)
	return j
}

var configLine = regexp.MustCompile(`(?m)^(ClusterName|SlurmctldHost\[\d+\])\s*=\s*(\S.*?)\s*$`)

// parseConfig takes what names a cluster out of "scontrol show config".
func parseConfig(out []byte) (map[string]string, error) {
	pin := make(map[string]string)
	var hosts []string
	for _, m := range configLine.FindAllSubmatch(out, -1) {
		if bytes.HasPrefix(m[1], []byte("Cluster")) {
			pin["cluster"] = string(m[2])
		} else {
			hosts = append(hosts, string(m[2]))
		}
	}
	pin["controllers"] = strings.Join(hosts, " ")
	if pin["cluster"] == "" || pin["cluster"] == "(null)" || len(hosts) == 0 {
		return nil, errors.New("neither ClusterName nor SlurmctldHost in it")
	}
	return pin, nil
}
