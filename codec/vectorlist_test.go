package codec_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"strings"

	"fencepost/codec"
)

// The one source of testdata/vectors. Each vector is one scenario, and breaks
// one rule: everything shallower than the layer it expects is right.

const (
	vectorID   = "01902d5a-7b3c-7def-8123-456789abcdef"
	vectorBody = 4096 // max-body, unless said otherwise
)

type m = map[string]any

func minimalJob() m {
	return m{"name": "nightly-7", "script": "#!/bin/sh\ndate\n"}
}

func fullJob() m {
	return m{
		"name": "nightly-7", "script": "#!/bin/sh\necho \"$1\"\n", "args": []string{"a", "", "-b", "two words"},
		"owner": "p", "environment": "dev", "queue": "main",
		"resources": m{"cpus": 1, "memory_mb": 64, "time_limit_seconds": 60},
		"env":       m{"K": "V", "LINES": "1\n2"}, "labels": m{"team/x": "blue"}, "workdir": "/tmp",
	}
}

func typedJob() m {
	return m{"name": "nightly-7", "type": "backup", "params": m{"db": "main", "level": ""}, "queue": "main"}
}

// What the signatures of docs/spec/wire.md, and those of the vectors, are made with.
const (
	vectorSecret = "correct-horse-battery-staple-0123456789"
	vectorSpool  = "0190aaaa-0000-7000-8000-000000000000"
)

// signed is a request with a token's part, made by hand.
func signed(t codec.FrameType, body m) m {
	auth := m{"key": "nightly", "nonce": "00112233445566778899aabbccddeeff", "time": 1795438080123}
	h := hmac.New(sha256.New, []byte(vectorSecret))
	h.Write([]byte("fencepost token 1\n" + vectorSpool + "\n" + t.String() + "\n"))
	h.Write(codec.EncodeCBOR(with(body, m{"auth": auth})))
	return with(body, m{"auth": with(auth, m{"mac": hex.EncodeToString(h.Sum(nil))})})
}

func submit(job any) m { return m{"seq": 7, "id": vectorID, "job": job} }

// with returns a copy of base with changes; a nil value removes its key.
func with(base m, changes m) m {
	out := m{}
	for k, v := range base {
		out[k] = v
	}
	for k, v := range changes {
		if out[k] = v; v == nil {
			delete(out, k)
		}
	}
	return out
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// header is a frame's header around anything, with a right checksum.
func header(version, typ, reserved byte, length, bodySum uint32) []byte {
	b := append([]byte(codec.Magic), version, typ, 0, reserved)
	b = binary.BigEndian.AppendUint32(b, length)
	b = binary.BigEndian.AppendUint32(b, bodySum)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

func vectors() []vector {
	var all []vector
	all = append(all, legalVectors()...)
	all = append(all, frameVectors()...)
	all = append(all, cborVectors()...)
	all = append(all, messageVectors()...)
	return append(all, jobVectors()...)
}

func legal(name, comment string, t codec.FrameType, body m) vector {
	b := codec.EncodeCBOR(body)
	return vector{
		name: "ok-" + name + ".txt", comment: comment, maxBody: vectorBody, expect: "ok", typ: t.String(),
		message: messageJSON(b), same: true, payload: codec.AppendFrame(nil, t, b),
	}
}

// grown is legal with keys of a newer version, which are ignored.
func grown(name, comment string, t codec.FrameType, body, more m) vector {
	v := legal(name, comment, t, body)
	v.same = false
	v.payload = codec.AppendFrame(nil, t, codec.EncodeCBOR(with(body, more)))
	return v
}

func legalVectors() []vector {
	hello := m{"versions": []int{1}, "client": "nightly"}
	welcome := m{
		"version": 1, "host": "a", "spool": "0190aaaa-0000-7000-8000-000000000000",
		"max_frame": 2101248, "max_job": 2097152, "window": 64,
	}
	command := m{"name": "c", "command": []string{"/bin/echo", "x"}, "args": []string{"y"}}
	text := m{"name": "t", "script": "#!/bin/sh\nprintf '\r'\n", "env": m{"T": "\t\r\n&<>]]>\u0085\u2028\ufffd\U0010ffff"}}
	digest := codec.Digest(codec.Job{Name: "nightly-7", Script: "#!/bin/sh\ndate\n"})
	return []vector{
		legal("hello", "the least HELLO", codec.TypeHello, hello),
		legal("hello-full", "several versions, software, an unknown feature",
			codec.TypeHello, with(hello, m{"versions": []int{2, 1}, "software": "fencepost/0.1", "features": []string{"grease-7f"}})),
		grown("hello-grown", "unknown keys in HELLO are ignored, whatever they hold",
			codec.TypeHello, hello, m{"grease-c0": m{"a": []any{1, "x", true, -1}}}),
		legal("welcome", "WELCOME", codec.TypeWelcome, welcome),
		grown("welcome-grown", "unknown keys in WELCOME are ignored", codec.TypeWelcome, welcome, m{"motd": "hello"}),
		legal("submit", "the least SUBMIT with a script", codec.TypeSubmit, submit(minimalJob())),
		legal("submit-full", "every key of a job", codec.TypeSubmit, submit(fullJob())),
		legal("submit-command", "a command instead of a script", codec.TypeSubmit, submit(command)),
		legal("submit-text", "characters that other forms have to escape", codec.TypeSubmit, submit(text)),
		legal("submit-digest", "the job's digest, right", codec.TypeSubmit, with(submit(minimalJob()), m{"digest": digest})),
		legal("submit-seq-max", "the largest request number",
			codec.TypeSubmit, with(submit(minimalJob()), m{"seq": uint64(1<<64 - 1)})),
		legal("accepted", "ACCEPTED", codec.TypeAccepted, m{"seq": 7, "id": vectorID, "duplicate": false, "host": "a"}),
		legal("accepted-duplicate", "accepted before", codec.TypeAccepted, m{"seq": 7, "id": vectorID, "duplicate": true, "host": "b"}),
		legal("refused", "REFUSED, final", codec.TypeRefused,
			m{"seq": 7, "id": vectorID, "code": "conflict", "reason": "this id was accepted with another job"}),
		legal("refused-retry", "REFUSED, to be tried again; the id couldn't be read", codec.TypeRefused,
			m{"seq": 8, "code": "busy", "reason": "queue is full", "retry_after_ms": 1500}),
		legal("refused-new-code", "a code of a newer version is taken, and treated as internal", codec.TypeRefused,
			m{"seq": 8, "code": "moon_phase", "reason": "wait"}),
		grown("refused-grown", "unknown keys in REFUSED are ignored", codec.TypeRefused,
			m{"seq": 8, "code": "busy", "reason": ""}, m{"help": "x"}),
		legal("submit-type", "a type with parameters instead of a script", codec.TypeSubmit, submit(typedJob())),
		legal("submit-auth", "signed with a token: secret and spool are those of docs/spec/wire.md", codec.TypeSubmit,
			signed(codec.TypeSubmit, submit(typedJob()))),
		legal("query-auth", "a signed QUERY", codec.TypeQuery, signed(codec.TypeQuery, m{"seq": 9, "id": vectorID})),
		legal("query", "QUERY", codec.TypeQuery, m{"seq": 9, "id": vectorID}),
		legal("state", "STATE of a job that is done", codec.TypeState,
			m{"seq": 9, "id": vectorID, "state": "done", "cluster_id": "4711", "host": "a", "detail": "2 tries"}),
		legal("state-unknown", "STATE of a job that isn't here", codec.TypeState, m{"seq": 9, "id": vectorID, "state": "unknown"}),
		legal("state-new-word", "a state of a newer version is taken", codec.TypeState, m{"seq": 9, "id": vectorID, "state": "dreaming"}),
		legal("ping", "PING", codec.TypePing, m{"nonce": 24}),
		legal("pong", "PONG", codec.TypePong, m{"nonce": uint64(1<<64 - 1)}),
		legal("goaway", "GOAWAY", codec.TypeGoAway, m{"code": "draining", "reason": "host a is stopping", "last_seq": 9}),
	}
}

func frameVectors() []vector {
	body := codec.EncodeCBOR(m{"nonce": 24})
	good := codec.AppendFrame(nil, codec.TypePing, body)
	sum := crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))
	n := uint32(len(body))
	flip := func(i int, bit byte) []byte {
		b := append([]byte(nil), good...)
		b[i] ^= bit
		return b
	}
	bad := func(name, comment string, layer codec.Layer, payload []byte) vector {
		return vector{name: name + ".txt", comment: comment, maxBody: vectorBody, expect: string(layer), payload: payload}
	}
	headed := func(head []byte) []byte { return append(head, body...) }
	over := bad("length-over", "a body one byte longer than max-body", codec.LayerLength, good)
	over.maxBody = len(body) - 1
	return []vector{
		bad("truncated-magic", "the stream ends inside the magic", codec.LayerTruncated, good[:2]),
		bad("truncated-header", "the stream ends inside the header", codec.LayerTruncated, good[:19]),
		bad("truncated-body", "the stream ends inside the body", codec.LayerTruncated, good[:len(good)-1]),
		bad("truncated-no-body", "the stream ends after the header", codec.LayerTruncated, good[:codec.HeaderSize]),
		bad("magic-http", "an HTTP request", codec.LayerMagic, []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")),
		bad("magic-http-short", "the first byte of one, and nothing more: refused at once", codec.LayerMagic, []byte("G")),
		bad("magic-tls", "a TLS handshake", codec.LayerMagic, unhex("16 03 01 00 c4 01 00 00 c0 03 03")),
		bad("magic-json", "a job document without a frame", codec.LayerMagic, []byte(`{"name":"a"}`)),
		bad("magic-last", "the last byte of the magic is wrong", codec.LayerMagic, flip(3, 0x01)),
		bad("magic-zeros", "zeros", codec.LayerMagic, make([]byte, 20)),
		bad("version-0", "frame version 0", codec.LayerVersion, headed(header(0, 8, 0, n, sum))),
		bad("version-2", "frame version 2", codec.LayerVersion, headed(header(2, 8, 0, n, sum))),
		bad("header-crc-type", "a bit of the type is flipped", codec.LayerHeaderCRC, flip(5, 0x02)),
		bad("header-crc-length", "a bit of the length is flipped: it must not be believed", codec.LayerHeaderCRC, flip(8, 0x80)),
		bad("header-crc-sum", "a bit of the checksum itself is flipped", codec.LayerHeaderCRC, flip(19, 0x01)),
		bad("reserved", "a reserved bit is set", codec.LayerReserved, headed(header(1, 8, 1, n, sum))),
		bad("type-0", "type 0", codec.LayerType, headed(header(1, 0, 0, n, sum))),
		bad("type-11", "type 11", codec.LayerType, headed(header(1, 11, 0, n, sum))),
		over,
		bad("length-4gib", "4 GiB less one announced", codec.LayerLength, headed(header(1, 8, 0, 1<<32-1, sum))),
		bad("body-crc", "a bit of the body is flipped", codec.LayerBodyCRC, flip(len(good)-1, 0x01)),
		bad("body-crc-header", "the header has another body's checksum", codec.LayerBodyCRC, headed(header(1, 8, 0, n, sum^1))),
	}
}

func cborVectors() []vector {
	bad := func(name, comment, body string) vector {
		return vector{
			name: "cbor-" + name + ".txt", comment: comment, maxBody: vectorBody, expect: string(codec.LayerCBOR),
			payload: codec.AppendFrame(nil, codec.TypePing, unhex(body)),
		}
	}
	const nonce = "65 6e6f6e6365" // "nonce"
	hello := bad("unordered", "HELLO with its keys not in bytewise order",
		"a2 68 76657273696f6e73 81 01 66 636c69656e74 61 61")
	hello.payload = codec.AppendFrame(nil, codec.TypeHello, unhex("a2 68 76657273696f6e73 81 01 66 636c69656e74 61 61"))
	deep := bad("deep", "nested deeper than 8, in a key that would be ignored", "")
	deep.payload = codec.AppendFrame(nil, codec.TypeHello,
		unhex("a3 61 78 81 81 81 81 81 81 81 81 01 66 636c69656e74 61 61 68 76657273696f6e73 81 01"))
	many := bad("many", "more than 8,192 items, in a key that would be ignored", "")
	many.maxBody = 16384
	many.payload = codec.AppendFrame(nil, codec.TypeHello,
		unhex("a3 61 78 99 2000"+strings.Repeat("00", 8192)+"66 636c69656e74 61 61 68 76657273696f6e73 81 01"))
	return []vector{
		many,
		bad("empty", "no body", ""),
		bad("trailing", "a byte after the end", "a1"+nonce+"01 00"),
		bad("cut", "ends inside the map", "a1"+nonce),
		bad("indefinite-map", "a map of indefinite length", "bf"+nonce+"01 ff"),
		bad("indefinite-text", "a key of indefinite length", "a1 7f 65 6e6f6e6365 ff 01"),
		bad("tag", "a tag", "a1"+nonce+"c0 01"),
		bad("float", "a float that is whole", "a1"+nonce+"f9 3c00"),
		bad("null", "null", "a1"+nonce+"f6"),
		bad("undefined", "undefined", "a1"+nonce+"f7"),
		bad("simple", "a simple value in its two-byte form", "a1"+nonce+"f8 ff"),
		bad("bytes", "a byte string", "a1"+nonce+"41 01"),
		bad("long-number", "a number not in its shortest form", "a1"+nonce+"18 01"),
		bad("long-number-8", "a number in eight bytes that fits four", "a1"+nonce+"1b 0000 0000 ffff ffff"),
		bad("long-length", "a length not in its shortest form", "a1 78 05 6e6f6e6365 01"),
		bad("duplicate", "a key twice", "a2"+nonce+"01"+nonce+"02"),
		bad("number-key", "a key that isn't text", "a1 01 01"),
		bad("not-utf8", "a key that isn't UTF-8", "a1 61 ff 01"),
		bad("long-text", "a text longer than the body", "a1 7a ffffffff"),
		bad("long-text-8", "a text of 2^64-1 bytes", "a1 7b ffffffffffffffff"),
		bad("long-map", "a map of 2^32-1 pairs", "ba ffffffff"),
		bad("long-array", "an array of 2^64-1 items", "9b ffffffffffffffff"),
		bad("reserved-form", "additional information 28", "1c"),
		hello,
		deep,
	}
}
