package secure_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fencepost/cmd/fencepost/secure"
)

func TestWatchSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	write := func(text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
	}
	for text, mode := range map[string]os.FileMode{"open to all": 0o644, "": 0o600, "two\nlines": 0o600} {
		write(text, mode)
		if _, err := secure.WatchSecret(file, 0); err == nil {
			t.Errorf("%q with mode %04o: got no error", text, mode)
		}
	}
	write("first\n", 0o600)
	get, err := secure.WatchSecret(file, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := func(secret, complaint string) {
		t.Helper()
		got, err := get()
		if got != secret || (err == nil) != (complaint == "") || err != nil && !strings.Contains(err.Error(), complaint) {
			t.Errorf("got %q, %v, want %q and an error with %q", got, err, secret, complaint)
		}
	}
	want("first", "")
	write("second", 0o600)
	want("second", "")
	write("third", 0o640)
	want("second", "0640")
	want("second", "0640")
	write("third", 0o600)
	want("third", "")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	want("third", "no such file")
}
