package codec_test

import (
	"bytes"
	"fmt"
	"os"
	"time"

	"fencepost/codec"
)

func ExampleParseJob() {
	_, _, err := codec.ParseJob([]byte("{\n  \"name\": \"nightly-7\",\n  \"skript\": \"#!/bin/sh\\n\"\n}"))
	fmt.Println(err)

	job, _, err := codec.ParseJob([]byte(`{"name": "nightly-7", "script": "#!/bin/sh\ndate\n"}`))
	fmt.Println(job.Name, err)
	// Output:
	// read job document: 3:3: unknown key "skript"
	// nightly-7 <nil>
}

func ExampleDigest() {
	job := codec.Job{Name: "nightly-7", Script: "#!/bin/sh\ndate\n"}
	fmt.Println(codec.Digest(job))
	// Output:
	// e3cf36fc591800492177a9fa9f24dc1b050052c32a06fc836937bfdfa36ab3f7
}

func ExampleEncodeXML() {
	job := codec.Job{Name: "nightly-7", Args: []string{"a", "<b>"}, Script: "#!/bin/sh\ndate\n"}
	doc, err := codec.EncodeXML(codec.Record{
		ID: "01902d5a-7b3c-7def-8123-456789abcdef", Job: job, Client: "nightly",
		ReceivedAt: time.Date(2026, 11, 23, 12, 48, 0, 123e6, time.UTC), ReceivedBy: "a", Digest: codec.Digest(job),
	})
	if err != nil {
		fmt.Println(err)
	}
	_, _ = os.Stdout.Write(doc)
	// Output:
	// <?xml version="1.0" encoding="UTF-8"?>
	// <job version="1">
	//   <id>01902d5a-7b3c-7def-8123-456789abcdef</id>
	//   <client>nightly</client>
	//   <received_at>2026-11-23T12:48:00.123Z</received_at>
	//   <received_by>a</received_by>
	//   <digest>1895d3cc8e1a0d2975353ed28d6eb2b1a211e6bdde028ea6f149f364752bd09c</digest>
	//   <name>nightly-7</name>
	//   <args>
	//     <arg>a</arg>
	//     <arg>&lt;b&gt;</arg>
	//   </args>
	//   <script>#!/bin/sh
	// date
	// </script>
	// </job>
}

func ExampleReadFrame() {
	stream, err := codec.AppendMessage(nil, codec.Ping{Nonce: 24})
	if err != nil {
		fmt.Println(err)
	}
	fmt.Printf("% x\n", stream)

	frame, err := codec.ReadFrame(bytes.NewReader(stream), codec.MaxBody)
	if err != nil {
		fmt.Println(err)
	}
	message, err := codec.Unmarshal(frame)
	fmt.Printf("%v %+v %v\n", frame.Type, message, err)

	_, err = codec.ReadFrame(bytes.NewReader([]byte("GET / HTTP/1.1\r\n")), codec.MaxBody)
	fmt.Println(err)
	// Output:
	// f5 66 70 6a 01 08 00 00 00 00 00 09 2f ad 16 bb b0 75 0a 9a a1 65 6e 6f 6e 63 65 18 18
	// PING {Nonce:24} <nil>
	// read frame: magic: begins with 47 45 54 20, which looks like HTTP
}
