package codec

import (
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// The encoder and the decoders are constants in all but name: made once from constant
// options, safe for concurrent use, never changed.
var (
	encoder    = mustEncoder()
	decoder    = mustDecoder(cbor.ExtraDecErrorNone)
	jobDecoder = mustDecoder(cbor.ExtraDecErrorUnknownField)
)

func mustEncoder() cbor.EncMode {
	m, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		panic(err)
	}
	return m
}

// mustDecoder is strict in what checkCBOR, which runs first, can't see: the
// match between a struct and its map.
func mustDecoder(unknown cbor.ExtraDecErrorCond) cbor.DecMode {
	m, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		UTF8:              cbor.UTF8RejectInvalid,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
		MaxNestedLevels:   MaxDepth,
		ExtraReturnErrors: unknown,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return m
}

// encodeCBOR can't fail for the types of this package: strings, whole numbers,
// booleans, and slices, maps and structs of them.
func encodeCBOR(v any) []byte {
	b, err := encoder.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("codec: encode %T: %v", v, err))
	}
	return b
}

// Size returns the length of the job's deterministic CBOR encoding, which
// MaxJob bounds, without encoding it.
func (j Job) Size() int {
	fields, n := 1, textSize("name")+textSize(j.Name)
	add := func(key string, absent bool, size int) {
		if !absent {
			fields, n = fields+1, n+textSize(key)+size
		}
	}
	add("script", j.Script == "", textSize(j.Script))
	add("command", len(j.Command) == 0, listSize(j.Command))
	add("args", len(j.Args) == 0, listSize(j.Args))
	add("owner", j.Owner == "", textSize(j.Owner))
	add("environment", j.Environment == "", textSize(j.Environment))
	add("queue", j.Queue == "", textSize(j.Queue))
	add("resources", j.Resources == Resources{}, j.Resources.size())
	add("env", len(j.Env) == 0, mapSize(j.Env))
	add("labels", len(j.Labels) == 0, mapSize(j.Labels))
	add("workdir", j.Workdir == "", textSize(j.Workdir))
	add("type", j.Type == "", textSize(j.Type))
	add("params", len(j.Params) == 0, mapSize(j.Params))
	return headSize(uint64(fields)) + n
}

func (r Resources) size() int {
	n := 1
	for _, f := range []struct {
		key   string
		value int64
	}{{"cpus", int64(r.CPUs)}, {"memory_mb", r.MemoryMB}, {"time_limit_seconds", r.TimeLimitSeconds}} {
		if f.value != 0 {
			n += textSize(f.key) + headSize(uint64(max(f.value, -1-f.value)))
		}
	}
	return n
}

func headSize(n uint64) int {
	switch {
	case n < 24:
		return 1
	case n < 1<<8:
		return 2
	case n < 1<<16:
		return 3
	case n < 1<<32:
		return 5
	}
	return 9
}

func textSize(s string) int { return headSize(uint64(len(s))) + len(s) }

func listSize(list []string) int {
	n := headSize(uint64(len(list)))
	for _, s := range list {
		n += textSize(s)
	}
	return n
}

func mapSize(m map[string]string) int {
	n := headSize(uint64(len(m)))
	for k, v := range m {
		n += textSize(k) + textSize(v)
	}
	return n
}
