package trust_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"fencepost/cmd/fencepost/secure"
	"fencepost/cmd/fencepost/trust"
	"fencepost/spool/vfs"
)

// TestSpecExample: the page's example of a signature is what a host writes, in
// both forms.
func TestSpecExample(t *testing.T) {
	page, err := os.ReadFile("../../../docs/spec/spool-layout.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)For the secret `([^`]+)`, the id\n`([^`]+)`.*?it is\n`([0-9a-f]{64})`").FindStringSubmatch(string(page))
	if m == nil {
		t.Fatal("the page has no example")
	}
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	if err := os.WriteFile(key, []byte(m[1]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := secure.ReadSpoolKeys(key)
	if err != nil {
		t.Fatal(err)
	}
	fs, err := vfs.OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	signed := trust.FS{FS: fs, Key: func() ([]byte, error) { return keys.Files, nil }}
	if err := os.MkdirAll(filepath.Join(dir, "drafts/a/1"), 0o700); err != nil {
		t.Fatal(err)
	}
	for data, form := range map[string]string{"{}\n": "# fencepost mac 1 MAC\n", "<job/>\n": "<!-- fencepost mac 1 MAC -->\n"} {
		name := "drafts/a/1/translate~" + map[bool]string{true: "1", false: "2"}[data == "{}\n"] + "~" + m[2] + ".json"
		if _, err := signed.Create(name, []byte(data)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		last := strings.TrimPrefix(string(got), data)
		want := "^" + strings.Replace(form, "MAC", "[0-9a-f]{64}", 1) + "$"
		if data == "{}\n" {
			want = "^" + strings.Replace(form, "MAC", m[3], 1) + "$"
		}
		if !regexp.MustCompile(want).MatchString(last) || !strings.Contains(string(page), strings.TrimSuffix(form, "\n")) {
			t.Errorf("got %q, want %s", last, want)
		}
	}
}
