package bench

import (
	"math"
	"slices"
	"time"
)

// Report is what a run found. Rates and ratios are medians of the rounds, costs
// are those of a job. Times are in seconds.
type Report struct {
	Directory   string `json:"directory"`
	FileSystem  string `json:"file_system"` // as the mount table has it; the caller fills it in
	Cluster     string `json:"cluster"`     // the caller's, too
	Version     string `json:"version"`
	Jobs        int    `json:"jobs"`
	Clients     int    `json:"clients"`
	Workers     int    `json:"workers"`
	Hosts       int    `json:"hosts"`
	ScriptBytes int    `json:"script_bytes"`

	JobsPerSecond      float64 `json:"jobs_per_second"`
	FloorJobsPerSecond float64 `json:"floor_jobs_per_second"`
	Ratio              float64 `json:"ratio"`
	Rounds             []Round `json:"rounds"`

	Loaded Latencies `json:"latency_loaded"`
	Idle   Latencies `json:"latency_idle"`

	Stages     []StageCost `json:"stages"`
	Operations float64     `json:"operations"`
	Fsyncs     float64     `json:"fsyncs"`
	Floor      FloorCost   `json:"floor"`

	// Background is what a host does by itself, operations a second.
	Background float64 `json:"background_operations_per_second"`
	LostClaims float64 `json:"lost_claims"` // per job

	// RPCs are absent where there is no file server. Those by stage are from runs
	// of one stage at a time, all of them from the runs with all stages.
	RPCs        map[string]float64 `json:"rpcs,omitempty"`
	RPCsByStage []StageRPCs        `json:"rpcs_by_stage,omitempty"`
	RPCsTotal   float64            `json:"rpcs_total,omitempty"`

	MaxResidentBytes int64 `json:"max_resident_bytes"` // of this process, all hosts together

	Backlog []Backlog `json:"backlog,omitempty"`

	// ClusterCalls is absent where the cluster has no hold.
	ClusterCalls *Cluster `json:"cluster_calls,omitempty"`

	accept, submitted         []time.Duration
	idleAccept, idleSubmitted []time.Duration
}

// Round is one pass of floor and pipeline.
type Round struct {
	JobsPerSecond      float64 `json:"jobs_per_second"`
	FloorJobsPerSecond float64 `json:"floor_jobs_per_second"`
	Ratio              float64 `json:"ratio"`
}

// Latencies are those of a job: from its sending to ACCEPTED, and from there to
// the cluster's answer.
type Latencies struct {
	Accept    Quantiles `json:"accept"`
	Submitted Quantiles `json:"accept_to_submitted"`
}

// Quantiles are of how long something took.
type Quantiles struct {
	P50 float64 `json:"p50_seconds"`
	P99 float64 `json:"p99_seconds"`
	N   int     `json:"n"`
}

// StageCost is what a stage does for a job. Kinds are operations by name, and
// fsyncs, those within other operations too.
type StageCost struct {
	Stage      string  `json:"stage"`
	Operations float64 `json:"operations"`
	Fsyncs     float64 `json:"fsyncs"`
	Kinds      Ops     `json:"kinds"`
}

// FloorCost is what the floor did for a job, in system calls.
type FloorCost struct {
	Calls  float64 `json:"calls"`
	Fsyncs float64 `json:"fsyncs"`
}

// StageRPCs is what a stage asked the file server for a job.
type StageRPCs struct {
	Stage string             `json:"stage"`
	Total float64            `json:"total"`
	Kinds map[string]float64 `json:"kinds"`
}

func (r *Report) finish() {
	r.JobsPerSecond = median(r.Rounds, func(x Round) float64 { return x.JobsPerSecond })
	r.FloorJobsPerSecond = median(r.Rounds, func(x Round) float64 { return x.FloorJobsPerSecond })
	r.Ratio = median(r.Rounds, func(x Round) float64 { return x.Ratio })
	r.Loaded = Latencies{QuantilesOf(r.accept), QuantilesOf(r.submitted)}
	r.Idle = Latencies{QuantilesOf(r.idleAccept), QuantilesOf(r.idleSubmitted)}
	for _, s := range r.Stages {
		r.Operations += s.Operations
		r.Fsyncs += s.Fsyncs
	}
	r.MaxResidentBytes = maxResident()
}

// median of an even number is the mean of the two in the middle.
func median[T any](all []T, value func(T) float64) float64 {
	var v []float64
	for _, x := range all {
		v = append(v, value(x))
	}
	slices.Sort(v)
	if n := len(v); n > 0 {
		return (v[(n-1)/2] + v[n/2]) / 2
	}
	return 0
}

// QuantilesOf sums up how long something took.
func QuantilesOf(all []time.Duration) Quantiles {
	s := slices.Sorted(slices.Values(all))
	return Quantiles{P50: quantile(s, 0.50), P99: quantile(s, 0.99), N: len(s)}
}

// quantile is the smallest time within which that part of all, sorted, was done.
func quantile(s []time.Duration, part float64) float64 {
	if len(s) == 0 {
		return 0
	}
	i := int(math.Ceil(part*float64(len(s)))) - 1
	return s[max(i, 0)].Seconds()
}
