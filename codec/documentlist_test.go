package codec_test

import "strings"

// The one source of testdata/documents. The schema column says what the
// schema of docs/spec makes of the document: it can't know duplicate keys,
// bytes, or what is text and what a comment.

const (
	xmlHead = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"
	xmlOpen = xmlHead + `<job version="1">` + "\n"
	xmlIn   = "  <id>01902d5a-7b3c-7def-8123-456789abcdef</id>\n  <client>nightly</client>\n" +
		"  <received_at>2026-11-23T12:48:00.123Z</received_at>\n  <received_by>a</received_by>\n" +
		"  <digest>e3cf36fc591800492177a9fa9f24dc1b050052c32a06fc836937bfdfa36ab3f7</digest>\n"
	xmlName   = "  <name>nightly-7</name>\n"
	xmlScript = "  <script>#!/bin/sh\ndate\n</script>\n"
	xmlEnd    = "</job>\n"

	jsonIn = `"client":"nightly","digest":"e3cf36fc591800492177a9fa9f24dc1b050052c32a06fc836937bfdfa36ab3f7",` +
		`"id":"01902d5a-7b3c-7def-8123-456789abcdef","received_at":"2026-11-23T12:48:00.123Z","received_by":"a"`
	jsonSchemaKey = `"schema":"fencepost.job/v1"`
	runs          = `"name":"a","script":"#!/bin/sh\n"`
)

const (
	accepts = "accepts"
	refuses = "refuses"
	unasked = "" // not well-formed, or a matter that the schema's own reader decides
)

// A document is one file of testdata/documents.
type document struct {
	name, comment    string
	expect           string // ok, or refuse
	position, reason string // where refused
	schema           string
	text             string
}

func ok(name, comment, text string) document {
	return document{name: name, comment: comment, expect: "ok", schema: accepts, text: text}
}

func bad(name, comment, position, reason, schema, text string) document {
	return document{name, comment, "refuse", position, reason, schema, text}
}

func documents() []document {
	return append(append(jobDocuments(), jsonDocuments()...), xmlDocuments()...)
}

func jobDocuments() []document {
	job := func(more string) string { return `{` + runs + `,` + more + `}` }
	return []document{
		ok("job-min", "the least job", `{`+runs+`}`),
		ok("job-full", "every key", `{"name": "nightly-7", "script": "#!/bin/sh\necho \"$1\"\n", "args": ["a", "b"],
 "owner": "p", "environment": "dev", "queue": "main",
 "resources": {"cpus": 1, "memory_mb": 64, "time_limit_seconds": 60},
 "env": {"K": "V"}, "labels": {"k": "v"}, "workdir": "/tmp", "id": "01902D5A-7B3C-7DEF-8123-456789ABCDEF"}`),
		ok("job-command", "a command", `{"name":"c","command":["/bin/echo","x"]}`),
		ok("job-type", "a type with parameters", `{"name":"c","type":"backup","params":{"db":"main","level":""},"queue":"q","script":"","env":{}}`),
		bad("job-type-script", "a type and a script", "1:22", "stands beside a type", refuses, `{"name":"c","script":"#!/bin/sh\n","type":"backup"}`),
		bad("job-type-env", "a type and variables", "1:19", "stands beside a type", refuses, `{"name":"c","env":{"A":"b"},"type":"backup"}`),
		bad("job-params-no-type", "parameters without a type", "1:45", "the job has no type", refuses, job(`"params":{"a":"b"}`)),
		ok("job-empty", "empty values are absent ones", `{"name":"c","command":["true"],"script":"","args":[],"env":{},"labels":{},"queue":"","resources":{"cpus":0},"workdir":""}`),
		ok("job-escapes", "escapes that mean characters", `{"name":"\u0061","script":"#!\/bin/sh\n","args":["\ud83d\ude00\t\r\ufffd"]}`),
		bad("job-unknown", "an unknown key", "1:36", `unknown key "shell"`, refuses, job(`"shell":"x"`)),
		bad("job-case", "a key in another case", "1:36", `keys are in lower case: "queue"`, refuses, job(`"Queue":"x"`)),
		bad("job-duplicate", "a key twice", "1:36", `duplicate key "name"`, unasked, job(`"name":"b"`)),
		bad("job-duplicate-escaped", "a key twice, once escaped", "1:36", `duplicate key "name"`, unasked, job(`"\u006eame":"b"`)),
		bad("job-duplicate-env", "a name twice in env", "1:51", `duplicate key "A"`, unasked, job(`"env":{"A":"1","A":"2"}`)),
		bad("job-trailing", "something after the end", "1:37", "after the end", unasked, `{`+runs+`} {}`),
		bad("job-empty-document", "nothing", "1:1", "the end where an object", unasked, ""),
		bad("job-array", "an array", "1:1", "an array where an object", refuses, "[]"),
		bad("job-null", "null for a text", "1:44", "null where a string", refuses, job(`"queue":null`)),
		bad("job-number-text", "a number as text", "1:56", "a string where a whole number", refuses, job(`"resources":{"cpus":"1"}`)),
		bad("job-float", "a fraction", "1:56", "not a whole number", refuses, job(`"resources":{"cpus":1.5}`)),
		bad("job-exponent", "an exponent", "1:56", "not a whole number", unasked, job(`"resources":{"cpus":1e1}`)),
		bad("job-leading-zero", "a leading zero", "1:56", "not a whole number", unasked, job(`"resources":{"cpus":01}`)),
		bad("job-range", "too many cpus", "1:56", "resources.cpus is 65537", refuses, job(`"resources":{"cpus":65537}`)),
		bad("job-overflow", "a number of 2^64", "1:61", "too large", refuses, job(`"resources":{"memory_mb":18446744073709551616}`)),
		bad("job-args-text", "text for an array", "1:43", "a string where an array", refuses, job(`"args":"a"`)),
		bad("job-args-number", "a number in an array", "1:44", "a number where a string", refuses, job(`"args":[1]`)),
		bad("job-lone-surrogate", "half a pair", "1:45", "escape sequence", unasked, job(`"args":["\ud800"]`)),
		bad("job-control", "a control character, escaped", "1:47", `args[1] character U+0001`, refuses, job(`"args":["",`+`"\u0001"]`)),
		bad("job-raw-control", "a raw line break in a string", "1:45", "control character 0x0a", unasked, job("\"args\":[\"\n\"]")),
		bad("job-not-utf8", "a byte that isn't UTF-8", "1:45", "byte 0xff is not UTF-8", unasked, job("\"args\":[\"\xff\"]")),
		bad("job-bom", "a byte order mark", "1:1", "byte order mark", unasked, "\ufeff{}"),
		bad("job-deep", "nested deeper than a job is", "1:44", "an array where a string", refuses, job(`"args":[[[[[[[[[[]]]]]]]]]]`)),
		bad("job-comma", "a comma too many", "1:36", "where a key", unasked, `{`+runs+`,}`),
		bad("job-comment", "a comment", "2:1", "where a key", unasked, `{`+runs+",\n// x\n}"),
		bad("job-id", "an id that is none", "1:41", "is not a UUID", refuses, job(`"id":"17"`)),
		bad("job-id-empty", "an empty id is not an absent one", "1:41", "is not a UUID", refuses, job(`"id":""`)),
		bad("job-no-name", "no name", "1:1", "name is empty", refuses, `{"script":"#!/bin/sh\n"}`),
		bad("job-name", "a name that is an option", "1:9", `name "-a" is not made of`, refuses, `{"name":"-a","script":"#!/bin/sh\n"}`),
		bad("job-name-line", "a line break in a name", "1:9", `name "a\nb" is not made of`, refuses, `{"name":"a\nb","script":"#!/bin/sh\n"}`),
		bad("job-nothing", "nothing to run", "1:1", "script is missing", refuses, `{"name":"a"}`),
		bad("job-both", "script and command", "1:46", "command stands beside a script", refuses, job(`"command":["x"]`)),
		bad("job-shebang", "a script without #!", "1:22", `doesn't begin with "#!"`, refuses, `{"name":"a","script":"date\n"}`),
		bad("job-env", "a name that no shell has", "1:42", `env has a bad name: "A-B"`, refuses, job(`"env":{"A-B":""}`)),
		bad("job-env-ours", "a name that is ours", "1:60", "is reserved", refuses, job(`"env":{"FENCEPOST_HOST":""}`)),
		bad("job-label", "a line break in a label", "1:50", "labels.a control character U+000A", refuses, job(`"labels":{"a":"b\n"}`)),
		bad("job-workdir", "a relative directory", "1:46", "not an absolute path", refuses, job(`"workdir":"tmp"`)),
		bad("job-args-many", "more arguments than 1024", "1:3116", "args has more than 1024", refuses, job(`"args":["`+strings.Repeat(`","`, 1024)+`"]`)),
	}
}

func jsonDocuments() []document {
	doc := func(parts ...string) string { return "{" + strings.Join(parts, ",") + "}\n" }
	return []document{
		ok("json-min", "the least record", doc(jsonIn, jsonSchemaKey, runs)),
		bad("json-no-schema", "no schema", "1:1", `schema "" is not`, refuses, doc(jsonIn, runs)),
		bad("json-schema", "another schema", "1:243", `"fencepost.job/v2" is not`, refuses, doc(jsonIn, runs, `"schema":"fencepost.job/v2"`)),
		bad("json-type", "a type that nobody has replaced", "1:218", "a record holds what runs", refuses, doc(jsonIn, `"name":"a","type":"backup"`, jsonSchemaKey)),
		bad("json-unknown", "an unknown key", "1:262", `unknown key "x"`, refuses, doc(jsonIn, runs, jsonSchemaKey, `"x":1`)),
		bad("json-id-upper", "an id in upper case", "1:102", "lower case", refuses, doc(strings.Replace(jsonIn, "abcdef\"", "ABCDEF\"", 1), jsonSchemaKey, runs)),
		bad("json-time", "a time without milliseconds", "1:155", "is not a UTC time", refuses, doc(strings.Replace(jsonIn, ".123Z", "Z", 1), jsonSchemaKey, runs)),
		bad("json-time-zone", "a time in another zone", "1:155", "is not a UTC time", refuses, doc(strings.Replace(jsonIn, ".123Z", ".123+00:00", 1), jsonSchemaKey, runs)),
		bad("json-time-month", "a month 13", "1:155", "is not a UTC time", unasked, doc(strings.Replace(jsonIn, "-11-", "-13-", 1), jsonSchemaKey, runs)),
		bad("json-digest", "a digest that is none", "1:30", "is not a SHA-256", refuses, doc(strings.Replace(jsonIn, "e3cf36", "E3CF36", 1), jsonSchemaKey, runs)),
		bad("json-client", "no client", "1:11", "client is empty", refuses, doc(strings.Replace(jsonIn, "nightly", "", 1), jsonSchemaKey, runs)),
		bad("json-job", "the job's own rules", "1:235", "name", refuses, doc(jsonIn, jsonSchemaKey, `"name":"-","script":"#!/bin/sh\n"`)),
	}
}

func xmlDocuments() []document {
	whole := func(inside string) string { return xmlOpen + xmlIn + xmlName + inside + xmlEnd }
	docs := []document{
		ok("xml-min", "the least record", whole(xmlScript)),
		ok("xml-full", "every element", whole(`  <owner>p</owner>
  <environment>dev</environment>
  <queue>main</queue>
  <resources>
    <cpus>1</cpus>
    <memory_mb>64</memory_mb>
    <time_limit_seconds>60</time_limit_seconds>
  </resources>
  <workdir>/tmp</workdir>
  <labels>
    <label name="k">v</label>
  </labels>
  <env>
    <var name="K">V &amp; &#13; W</var>
  </env>
  <args>
    <arg>a</arg>
    <arg></arg>
  </args>
  <script><![CDATA[#!/bin/sh
test 1 < 2 && date
]]></script>
`)),
		ok("xml-command", "a command", whole("<command><arg>x</arg></command>")),
		ok("xml-no-declaration", "without the declaration, on one line", strings.TrimPrefix(whole(xmlScript), xmlHead)),
		ok("xml-empty", "empty elements are absent ones", whole("<owner/><queue></queue><labels/><env/><args/>"+xmlScript)),
	}
	at := func(name, comment, position, reason, schema, inside string) document {
		return bad(name, comment, position, reason, schema, whole(inside))
	}
	return append(docs,
		bad("xml-doctype", "a DOCTYPE", "2:1", "DOCTYPE", unasked, xmlHead+"<!DOCTYPE job>\n"+strings.TrimPrefix(whole(xmlScript), xmlHead)),
		bad("xml-entity", "an entity of one's own", "2:1", "DOCTYPE", unasked, xmlHead+`<!DOCTYPE job [<!ENTITY x "y">]>`+strings.TrimPrefix(whole(xmlScript), xmlHead)),
		at("xml-entity-unknown", "an entity that nobody knows", "9:13", "invalid character entity", unasked, "  <owner>&x;</owner>\n"+xmlScript),
		at("xml-pi", "a processing instruction", "9:1", "processing instruction", unasked, "<?php x ?>"+xmlScript),
		at("xml-comment", "a comment", "9:1", "comment", unasked, "<!-- x -->"+xmlScript),
		at("xml-comment-in-text", "a comment inside text", "9:20", "comment", unasked, "  <script>#!/bin/sh<!-- x --></script>\n"),
		bad("xml-second-root", "a second root", "13:1", "after the end of <job>", unasked, whole(xmlScript)+"<job/>"),
		bad("xml-trailing", "text after the end", "13:1", "text \"x\" between elements", unasked, whole(xmlScript)+"x"),
		bad("xml-trailing-nul", "a NUL after the end", "13:1", "U+0000", unasked, whole(xmlScript)+"\x00"),
		bad("xml-cut", "the end is missing", "12:1", "unexpected EOF", unasked, strings.TrimSuffix(whole(xmlScript), xmlEnd)),
		bad("xml-bom", "a byte order mark", "1:1", "byte order mark", unasked, "\ufeff"+whole(xmlScript)),
		bad("xml-encoding", "another encoding", "1:44", "encoding", unasked, strings.Replace(whole(xmlScript), "UTF-8", "ISO-8859-1", 1)),
		bad("xml-version", "XML 1.1", "1:39", "version", unasked, strings.Replace(whole(xmlScript), `"1.0"`, `"1.1"`, 1)),
		bad("xml-late-declaration", "a declaration after a space", "1:2", "processing instruction", unasked, " "+whole(xmlScript)),
		bad("xml-not-utf8", "a byte that isn't UTF-8", "10:6", "byte 0xff is not UTF-8", unasked, strings.Replace(whole(xmlScript), "date", "date \xff", 1)),
		bad("xml-root", "another root", "2:1", "the root is not <job>", refuses, xmlHead+"<task/>"),
		bad("xml-namespace", "a namespace", "2:1", "root is not <job>", refuses, strings.Replace(whole(xmlScript), "<job ", `<job xmlns="urn:x" `, 1)),
		bad("xml-job-version", "a version of the future", "2:1", `version "2"`, refuses, strings.Replace(whole(xmlScript), `version="1">`, `version="2">`, 1)),
		bad("xml-no-version", "no version", "2:1", `lacks the attribute "version"`, refuses, strings.Replace(whole(xmlScript), ` version="1">`, ">", 1)),
		bad("xml-attribute", "an unknown attribute", "2:1", `unknown attribute "x"`, refuses, strings.Replace(whole(xmlScript), `<job `, `<job x="" `, 1)),
		bad("xml-attribute-twice", "an attribute twice", "2:1", "duplicate attribute", unasked, strings.Replace(whole(xmlScript), `<job `, `<job version="1" `, 1)),
		at("xml-unknown", "an unknown element", "9:3", "unknown element <shell>", refuses, "  <shell>x</shell>\n"+xmlScript),
		at("xml-case", "an element in another case", "9:3", "unknown element <Owner>", refuses, "  <Owner>x</Owner>\n"+xmlScript),
		at("xml-twice", "an element twice", "12:3", "second <script>", refuses, xmlScript+xmlScript),
		at("xml-order", "elements out of order", "10:3", "out of order", refuses, "  <queue>q</queue>\n  <owner>p</owner>\n"+xmlScript),
		bad("xml-missing", "no digest", "7:3", "<job> lacks <digest> here", refuses, xmlOpen+strings.Split(xmlIn, "  <digest>")[0]+xmlName+xmlScript+xmlEnd),
		at("xml-element-in-text", "an element inside text", "9:20", "element <b> in the text of <script>", refuses, "  <script>#!/bin/sh<b/></script>\n"),
		at("xml-text-between", "text between elements", "9:3", "text \"x\" between elements", refuses, "  x\n"+xmlScript),
		at("xml-reference-between", "a reference between elements", "9:1", "between elements", unasked, "&#32;"+xmlScript),
		at("xml-surrogate", "half a pair", "9:21", "&#xD800; is no character", unasked, "  <script>#!/bin/sh &#xD800;</script>\n"),
		at("xml-control", "a control character", "9:21", "U+0001", unasked, "  <script>#!/bin/sh \x01</script>\n"),
		at("xml-control-reference", "a reference to one", "9:25", "illegal character code U+0001", unasked, "  <script>#!/bin/sh &#1;</script>\n"),
		at("xml-nonchar", "U+FFFE", "9:21", "U+FFFE", unasked, "  <script>#!/bin/sh \ufffe</script>\n"),
		at("xml-cdata-end", "]]> in text", "9:24", "unescaped ]]>", unasked, "  <script>#!/bin/sh ]]></script>\n"),
		at("xml-number", "a number with a plus", "9:20", "not a whole number", refuses, "  <resources><cpus>+1</cpus></resources>\n"+xmlScript),
		at("xml-number-space", "a number with a space", "9:20", "not a whole number", unasked, "  <resources><cpus> 1</cpus></resources>\n"+xmlScript),
		at("xml-range", "too many cpus", "9:20", "resources.cpus is 65537", refuses, "  <resources><cpus>65537</cpus></resources>\n"+xmlScript),
		at("xml-env-twice", "a name twice in env", "9:28", `second <var> named "A"`, refuses, `  <env><var name="A"></var><var name="A"></var></env>`+xmlScript),
		at("xml-env-nameless", "a variable without a name", "9:8", `lacks the attribute "name"`, refuses, `  <env><var>x</var></env>`+xmlScript),
		at("xml-both", "command and script", "9:3", "command stands beside a script", refuses, "  <command><arg>x</arg></command>\n"+xmlScript),
		at("xml-nothing", "nothing to run", "1:1", "script is missing", refuses, ""),
		at("xml-shebang", "a script without #!", "9:11", `doesn't begin with "#!"`, refuses, "  <script>date</script>\n"),
		at("xml-shebang-cr", "a line break of DOS that survives", "9:11", "carriage return", refuses, "  <script>#!/bin/sh&#13;\n</script>\n"),
	)
}
