package submit_test

import (
	"strings"
	"testing"
	"time"

	"fencepost/spool"
)

// A directory under an entry's name is set aside at once. It used to be put
// back under a new generation again and again.
func TestDirectoryForAnEntry(t *testing.T) {
	w := memWorld(t, simOptions(plainCaps))
	w.feed(3)
	strange := jobID(77)
	if err := w.m.View("stranger").Mkdir("json/" + strange + ".json"); err != nil {
		t.Fatal(err)
	}
	w.start("a")
	if !w.env.RunUntil(2*time.Minute, w.final) {
		t.Error("not done after two minutes")
	}
	names, err := w.m.View("looker").List(spool.DirFailed)
	if err != nil || !strings.Contains(strings.Join(names, " "), "submit~"+strange+".json") {
		t.Errorf("failed/ holds %q, %v, want the directory", names, err)
	}
}
