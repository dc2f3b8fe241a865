package slurmrest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"fencepost/submit"
	"fencepost/submit/internal/word"
)

// ownProperties are those of a job that its document, or the protocol, decides.
var ownProperties = []string{"name", "comment", "hold", "requeue", "no_requeue", "environment", "get_user_environment",
	"current_working_directory", "script", "standard_output", "array", "argv", "priority"}

// environmentList is the version since which a job's environment is a list of
// NAME=VALUE, and "requeue": false does what it says.
const environmentList = 39

// loginEnvironment makes the node load the user's login environment, as sbatch
// --export=NONE does: an environment must be given, and this one is not the
// daemon's.
const loginEnvironment = "SLURM_GET_USER_ENV"

// job is the body of a submission.
func (c *Cluster) job(r submit.Request, version int) ([]byte, error) {
	if !word.Plain(r.Name) || len(r.Name) > 200 {
		return nil, fmt.Errorf("job name %q is not fit for Slurm", r.Name)
	}
	if strings.ContainsAny(r.Token, " \t\r\n|\x1e\x1f") || r.Token == "" {
		return nil, errors.New("token is not one word")
	}
	text, err := c.batch.Make(r)
	if err != nil {
		return nil, err
	}
	job := r.Record.Job
	p := map[string]any{}
	for k, v := range c.cfg.Properties {
		p[k] = scalar(v)
	}
	p["name"], p["comment"], p["hold"] = r.Name, r.Token, true
	p["current_working_directory"] = c.cfg.Workdir
	if job.Workdir != "" {
		p["current_working_directory"] = job.Workdir
	}
	if version >= environmentList {
		p["environment"], p["requeue"] = []string{loginEnvironment + "=1"}, false
	} else {
		// Any value of "requeue" would requeue.
		p["environment"], p["no_requeue"] = map[string]string{loginEnvironment: "1"}, true
	}
	for k, v := range map[string]string{"standard_output": c.cfg.Output, "partition": c.cfg.Partition} {
		if v != "" {
			p[k] = v
		}
	}
	if job.Queue != "" {
		p["partition"] = job.Queue
	}
	if n := job.Resources.CPUs; n > 0 {
		p["cpus_per_task"] = n
	}
	if n := job.Resources.MemoryMB; n > 0 {
		p["memory_per_node"] = n
	}
	if n := job.Resources.TimeLimitSeconds; n > 0 {
		p["time_limit"] = (n + 59) / 60 // minutes, as sbatch rounds
	}
	return json.Marshal(map[string]any{"job": p, "script": text})
}

// scalar is a setting as JSON has it: a number or a boolean if it reads as one,
// else text.
func scalar(s string) any {
	var v any
	if json.Unmarshal([]byte(s), &v) == nil {
		switch v.(type) {
		case float64, bool:
			return json.RawMessage(s)
		}
	}
	return s
}
