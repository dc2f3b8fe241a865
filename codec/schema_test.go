package codec_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"fencepost/codec"
)

const specDir = "../docs/spec"

const schemaBase = "https://fencepost.example/spec/"

// jsonSchema compiles a schema of docs/spec. The schemas name each other by
// their $id, so both are given to the compiler and nothing is fetched.
func jsonSchema(t testing.TB, name string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	for _, file := range []string{"job-document.schema.json", "job.schema.json"} {
		data, err := os.ReadFile(filepath.Join(specDir, file))
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if err := c.AddResource(schemaBase+file, doc); err != nil {
			t.Fatal(err)
		}
	}
	s, err := c.Compile(schemaBase + name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func schemaVerdict(s *jsonschema.Schema, doc []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		return err
	}
	return s.Validate(v)
}

// The schemas and the readers agree on every sample on which a schema has a
// say: the documentation can't drift from the code.
func TestJSONSchemasAgree(t *testing.T) {
	schemas := map[string]*jsonschema.Schema{
		"job": jsonSchema(t, "job-document.schema.json"), "json": jsonSchema(t, "job.schema.json"),
	}
	for _, d := range allDocuments(t) {
		s := schemas[d.format()]
		if s == nil || d.schema == unasked {
			continue
		}
		if err := schemaVerdict(s, []byte(d.text)); (err == nil) != (d.schema == accepts) {
			t.Errorf("%s: schema should: %s; got %v", d.name, d.schema, err)
		}
	}
}

func TestJSONSchemaAcceptsWhatIsWritten(t *testing.T) {
	s := jsonSchema(t, "job.schema.json")
	rapid.Check(t, func(t *rapid.T) {
		doc, err := codec.EncodeJSON(records().Draw(t, "record"))
		if err != nil {
			t.Fatal(err)
		}
		if err := schemaVerdict(s, doc); err != nil {
			t.Fatalf("%v\n%s", err, doc)
		}
	})
}

// xmllint returns the path of the program, which is required in CI.
func xmllint(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("xmllint")
	switch {
	case err == nil:
		return path
	case os.Getenv("CI") != "":
		t.Fatal("xmllint is required in CI: apt-get install libxml2-utils")
	default:
		t.Skip("xmllint isn't installed (apt-get install libxml2-utils)")
	}
	return ""
}

// The schema agrees with the reader on the samples, and libxml2, which has
// nothing in common with encoding/xml, agrees on what is well-formed.
func TestXSDAgrees(t *testing.T) {
	path := xmllint(t)
	for _, d := range allDocuments(t) {
		if d.format() != "xml" || d.schema == unasked {
			continue
		}
		cmd := exec.Command(path, "--noout", "--nonet", "--schema", filepath.Join(specDir, "job.xsd"), "-")
		cmd.Stdin = bytes.NewReader([]byte(d.text))
		if out, err := cmd.CombinedOutput(); (err == nil) != (d.schema == accepts) {
			t.Errorf("%s: schema should: %s; got %v\n%s", d.name, d.schema, err, out)
		}
	}
}

// What the writer writes is valid for libxml2 as well: many files in one run.
func TestXSDAcceptsWhatIsWritten(t *testing.T) {
	path, dir := xmllint(t), t.TempDir()
	args := []string{"--noout", "--nonet", "--huge", "--schema", filepath.Join(specDir, "job.xsd")}
	for i := range 200 {
		doc, err := codec.EncodeXML(records().Example(i))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, string(rune('a'+i%26))+string(rune('a'+i/26))+".xml")
		if err := os.WriteFile(file, doc, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, file)
	}
	if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
