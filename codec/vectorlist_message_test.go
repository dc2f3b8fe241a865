package codec_test

import (
	"strings"

	"fencepost/codec"
)

func illegal(layer codec.Layer, name, comment string, t codec.FrameType, body any) vector {
	return vector{
		name: string(layer) + "-" + name + ".txt", comment: comment, maxBody: vectorBody, expect: string(layer),
		payload: codec.AppendFrame(nil, t, codec.EncodeCBOR(body)),
	}
}

func messageVectors() []vector {
	bad := func(name, comment string, t codec.FrameType, body any) vector {
		return illegal(codec.LayerMessage, name, comment, t, body)
	}
	answered := func(v vector, answer string) vector {
		v.answer = answer
		return v
	}
	const full, noID = `{"seq":7,"id":"` + vectorID + `"}`, `{"seq":7,"id":""}`
	sub := submit(minimalJob())
	hello := m{"versions": []int{1}, "client": "c"}
	welcome := m{"version": 1, "host": "a", "spool": "s", "max_frame": 10, "max_job": 10, "window": 1}
	accepted := m{"seq": 7, "id": vectorID, "duplicate": false, "host": "a"}
	auth := signed(codec.TypeSubmit, sub)["auth"].(m)
	authed := func(changes m) m { return with(sub, m{"auth": with(auth, changes)}) }
	refused := m{"seq": 7, "code": "busy", "reason": ""}
	return []vector{
		bad("not-a-map", "the body is an array", codec.TypePing, []int{1}),
		bad("no-nonce", "PING without its nonce", codec.TypePing, m{}),
		bad("ping-unknown-key", "PING with an unknown key", codec.TypePing, m{"nonce": 1, "x": 1}),
		bad("nonce-text", "a text where a number should be", codec.TypePing, m{"nonce": "1"}),
		bad("nonce-negative", "a negative number", codec.TypePong, m{"nonce": -1}),
		bad("key-case", "keys are lower case", codec.TypePing, m{"Nonce": 1}),
		bad("hello-no-versions", "HELLO with no version", codec.TypeHello, with(hello, m{"versions": []int{}})),
		bad("hello-no-client", "HELLO without the client's name", codec.TypeHello, with(hello, m{"client": nil})),
		bad("hello-client-line", "a line break in the client's name", codec.TypeHello, with(hello, m{"client": "a\nb"})),
		bad("hello-empty-features", "an empty array that isn't left out", codec.TypeHello, with(hello, m{"features": []string{}})),
		bad("hello-feature", "a feature that is no name", codec.TypeHello, with(hello, m{"features": []string{"a b"}})),
		bad("welcome-window-0", "a window of 0", codec.TypeWelcome, with(welcome, m{"window": 0})),
		bad("welcome-max-job", "max_job above max_frame", codec.TypeWelcome, with(welcome, m{"max_job": 11})),
		bad("welcome-host", "a host that is a path", codec.TypeWelcome, with(welcome, m{"host": "../a"})),
		answered(bad("submit-no-job", "SUBMIT without a job", codec.TypeSubmit, with(sub, m{"job": nil})), full),
		answered(bad("submit-unknown-key", "SUBMIT with an unknown key", codec.TypeSubmit, with(sub, m{"force": true})), full),
		answered(bad("submit-empty-digest", "an empty digest that isn't left out", codec.TypeSubmit, with(sub, m{"digest": ""})), full),
		answered(bad("submit-bad-digest", "a digest that is none", codec.TypeSubmit, with(sub, m{"digest": "ABC"})), full),
		answered(bad("submit-id-upper", "an id in upper case", codec.TypeSubmit, with(sub, m{"id": "01902D5A-7B3C-7DEF-8123-456789ABCDEF"})), noID),
		answered(bad("submit-id-nil", "the nil UUID", codec.TypeSubmit, with(sub, m{"id": "00000000-0000-0000-0000-000000000000"})), noID),
		answered(bad("submit-id-urn", "an id in another form", codec.TypeSubmit, with(sub, m{"id": "urn:uuid:" + vectorID})), noID),
		answered(bad("submit-id-missing", "SUBMIT without an id", codec.TypeSubmit, with(sub, m{"id": nil})), noID),
		answered(bad("auth-no-mac", "a token's part without the signature", codec.TypeSubmit, authed(m{"mac": nil})), full),
		answered(bad("auth-mac-upper", "a signature in upper case", codec.TypeSubmit, authed(m{"mac": strings.Repeat("A", 64)})), full),
		answered(bad("auth-unknown-key", "an unknown key beside the signature", codec.TypeSubmit, authed(m{"alg": "none"})), full),
		answered(bad("auth-short-nonce", "a nonce of 15 digits", codec.TypeSubmit, authed(m{"nonce": strings.Repeat("0", 15)})), full),
		answered(bad("auth-time-0", "no time", codec.TypeSubmit, authed(m{"time": 0})), full),
		answered(bad("auth-key-line", "a line break in the client's name", codec.TypeSubmit, authed(m{"key": "a\nb"})), full),
		bad("submit-seq-0", "a request number 0: nothing can be answered to", codec.TypeSubmit, with(sub, m{"seq": 0})),
		bad("submit-seq-text", "a request number that is text", codec.TypeSubmit, with(sub, m{"seq": "7"})),
		answered(bad("query-unknown-key", "QUERY with an unknown key", codec.TypeQuery, m{"seq": 7, "id": vectorID, "deep": true}), full),
		answered(bad("query-no-id", "QUERY without an id", codec.TypeQuery, m{"seq": 7}), noID),
		bad("accepted-no-duplicate", "ACCEPTED that doesn't say whether", codec.TypeAccepted, with(accepted, m{"duplicate": nil})),
		bad("accepted-duplicate-number", "a number where a boolean should be", codec.TypeAccepted, with(accepted, m{"duplicate": 1})),
		bad("refused-code-case", "a code that is no word", codec.TypeRefused, with(refused, m{"code": "Busy"})),
		bad("refused-no-code", "REFUSED without a code", codec.TypeRefused, with(refused, m{"code": nil})),
		bad("refused-reason-line", "an escape sequence in the reason", codec.TypeRefused, with(refused, m{"reason": "\x1b[2J"})),
		bad("refused-retry-negative", "a negative time", codec.TypeRefused, with(refused, m{"retry_after_ms": -1})),
		bad("refused-retry-0", "a time of 0 that isn't left out", codec.TypeRefused, with(refused, m{"retry_after_ms": 0})),
		bad("state-empty", "an empty state", codec.TypeState, m{"seq": 7, "id": vectorID, "state": ""}),
		bad("goaway-no-last", "GOAWAY that doesn't say how far it got", codec.TypeGoAway, m{"code": "idle", "reason": ""}),
	}
}

func jobVectors() []vector {
	bad := func(name, comment string, job any) vector {
		v := illegal(codec.LayerJob, name, comment, codec.TypeSubmit, submit(job))
		v.answer = `{"seq":7,"id":"` + vectorID + `"}`
		return v
	}
	changed := func(name, comment string, changes m) vector { return bad(name, comment, with(minimalJob(), changes)) }
	other := with(submit(minimalJob()), m{"digest": codec.Digest(codec.Job{Name: "other", Script: "#!/bin/sh\n"})})
	digest := bad("digest", "the digest of another job", minimalJob())
	digest.payload = codec.AppendFrame(nil, codec.TypeSubmit, codec.EncodeCBOR(other))
	return []vector{
		bad("not-a-map", "the job is text", "#!/bin/sh"),
		changed("unknown-key", "an unknown key", m{"shell": "bash"}),
		changed("key-case", "keys are lower case", m{"Owner": "p"}),
		changed("resources-unknown-key", "an unknown key of resources", m{"resources": m{"gpus": 1}}),
		changed("resources-text", "a text where a number should be", m{"resources": m{"cpus": "1"}}),
		changed("resources-negative", "a negative number", m{"resources": m{"cpus": -1}}),
		changed("resources-over", "more memory than there is", m{"resources": m{"memory_mb": 1<<30 + 1}}),
		changed("resources-2-63", "a number that no signed integer holds", m{"resources": m{"memory_mb": uint64(1 << 63)}}),
		changed("empty-list", "an empty value that isn't left out", m{"args": []string{}}),
		changed("empty-text", "an empty text that isn't left out", m{"queue": ""}),
		changed("zero", "a zero that isn't left out", m{"resources": m{"cpus": 1, "memory_mb": 0}}),
		changed("no-name", "no name", m{"name": nil}),
		changed("name-option", "a name that is an option", m{"name": "--wrap"}),
		changed("name-line", "a name that forges a directive", m{"name": "a\n#SBATCH --uid=0"}),
		changed("name-path", "a name that is a path", m{"name": "../a"}),
		changed("name-long", "a name of 129 characters", m{"name": strings.Repeat("a", 129)}),
		changed("nothing-to-run", "neither script nor command", m{"script": nil}),
		changed("both", "script and command", m{"command": []string{"x"}}),
		changed("type-script", "a type and a script", m{"type": "backup"}),
		bad("type-env", "a type and variables of one's own", with(typedJob(), m{"env": m{"PATH": "/tmp"}})),
		bad("type-name", "a type that is a path", with(typedJob(), m{"type": "../x"})),
		bad("params-name", "a parameter that is no name", with(typedJob(), m{"params": m{"a b": "x"}})),
		bad("params-control", "a control character in a parameter", with(typedJob(), m{"params": m{"db": "\x1b"}})),
		changed("params-no-type", "parameters without a type", m{"params": m{"db": "x"}}),
		changed("no-shebang", "a script without #!", m{"script": "echo\n"}),
		changed("shebang-cr", "a carriage return in the first line", m{"script": "#!/bin/sh\r\ndate\r\n"}),
		changed("control", "a control character", m{"args": []string{"ok", "\x01"}}),
		changed("nul", "a NUL", m{"env": m{"A": "a\x00b"}}),
		changed("nonchar", "U+FFFE", m{"args": []string{"\ufffe"}}),
		changed("queue-option", "a queue that is an option", m{"queue": "-p"}),
		changed("env-name", "a name that no shell has", m{"env": m{"A-B": "x"}}),
		changed("env-reserved", "a name that is ours", m{"env": m{"FENCEPOST_JOB_ID": "x"}}),
		changed("label-line", "a line break in a label", m{"labels": m{"a": "b\nc"}}),
		changed("workdir", "a relative directory", m{"workdir": "tmp"}),
		bad("command-option", "a program that is an option", m{"name": "a", "command": []string{"-x"}}),
		digest,
	}
}
