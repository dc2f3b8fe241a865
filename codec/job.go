package codec

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
)

// Resources is what a job asks the cluster for. Zero leaves the choice to the
// cluster's own default.
type Resources struct {
	CPUs             int   `cbor:"cpus,omitzero" json:"cpus,omitzero"`
	MemoryMB         int64 `cbor:"memory_mb,omitzero" json:"memory_mb,omitzero"` // MB of 2^20 bytes
	TimeLimitSeconds int64 `cbor:"time_limit_seconds,omitzero" json:"time_limit_seconds,omitzero"`
}

// Job is what a client sends. Exactly one of Script, Command and Type is set;
// Args follow the script, or the command's own arguments. [Job.Validate] has the
// rules. A nil slice or map and an empty one mean the same.
//
// Type names a job that the host knows, and Params what may vary in it. The host
// puts script or command in their place before it keeps the job, so that no
// [Record] has them.
type Job struct {
	Name        string            `cbor:"name" json:"name"`
	Script      string            `cbor:"script,omitzero" json:"script,omitzero"`
	Command     []string          `cbor:"command,omitempty" json:"command,omitempty"`
	Args        []string          `cbor:"args,omitempty" json:"args,omitempty"`
	Owner       string            `cbor:"owner,omitzero" json:"owner,omitzero"`
	Environment string            `cbor:"environment,omitzero" json:"environment,omitzero"`
	Queue       string            `cbor:"queue,omitzero" json:"queue,omitzero"`
	Resources   Resources         `cbor:"resources,omitzero" json:"resources,omitzero"`
	Env         map[string]string `cbor:"env,omitempty" json:"env,omitempty"`
	Labels      map[string]string `cbor:"labels,omitempty" json:"labels,omitempty"`
	Workdir     string            `cbor:"workdir,omitzero" json:"workdir,omitzero"`
	Type        string            `cbor:"type,omitzero" json:"type,omitzero"`
	Params      map[string]string `cbor:"params,omitempty" json:"params,omitempty"`
}

// Equal reports whether both say the same; empty and nil are one.
func (j Job) Equal(o Job) bool {
	return j.Name == o.Name && j.Script == o.Script &&
		slices.Equal(j.Command, o.Command) && slices.Equal(j.Args, o.Args) &&
		j.Owner == o.Owner && j.Environment == o.Environment && j.Queue == o.Queue &&
		j.Resources == o.Resources && maps.Equal(j.Env, o.Env) && maps.Equal(j.Labels, o.Labels) &&
		j.Workdir == o.Workdir && j.Type == o.Type && maps.Equal(j.Params, o.Params)
}

// Digest returns the SHA-256, in lower-case hex, of the job's deterministic
// CBOR encoding: the bytes of the map "job" in SUBMIT (docs/spec/wire.md).
// It depends on nothing else: not on the id, the time, the client or the host.
func Digest(j Job) string {
	sum := sha256.Sum256(encodeCBOR(j))
	return hex.EncodeToString(sum[:])
}
