package slurm

import (
	"context"
	"strings"

	"fencepost/codec"
	"fencepost/submit"
	"fencepost/submit/internal/run"
	"fencepost/submit/internal/slurmjob"
)

// The pure parts.
var (
	ParseSubmitted = parseSubmitted
	ParseListing   = parseListing
	ParseConfig    = parseConfig
	ParseSacct     = parseSacct
	ParseJobComp   = slurmjob.ParseLog
)

// ScanJobComp reads a whole log.
func ScanJobComp(log, id string) (submit.Past, error) {
	return slurmjob.ScanLog(context.Background(), strings.NewReader(log), id)
}

// Judge judges an sbatch that exited with a status.
func Judge(status int, stderr string) submit.Outcome {
	return submit.OutcomeOf(submitError(run.Result{Code: status, Stderr: []byte(stderr)}))
}

// Wrapper makes a batch script.
func (c *Cluster) Wrapper(job codec.Job, r submit.Request) (string, error) {
	r.Record.Job = job
	return c.batch.Make(r)
}

// UnitSep and RecordEnd are what squeue is told to print.
const (
	UnitSep   = unitSep
	RecordEnd = recordEnd
)
