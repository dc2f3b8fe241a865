package spool_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"path"
	"strings"
	"syscall"
	"testing"

	"fencepost/spool"
	"fencepost/spool/vfs/memfs"
)

const (
	inbox = "legacy/in"
	order = "ORDER: do it\n."
)

var errNoOrder = errors.New("this is no order")

// parseOrder takes what begins as an order does and ends as one does; the job
// is the payload of its id, so that the harness knows what to expect.
func parseOrder(stage spool.Stage, id string, data []byte) (spool.Adoptee, error) {
	if !strings.HasPrefix(string(data), "ORDER: ") || !strings.HasSuffix(string(data), "\n.") {
		return spool.Adoptee{}, errNoOrder
	}
	if own, ok := strings.CutPrefix(string(data), "ORDER: id "); ok {
		id = own[:36]
	}
	if stage == spool.Submit {
		return spool.Adoptee{ID: id, Data: translate(payload(id)), Same: sameAs(id)}, nil
	}
	return spool.Adoptee{ID: id, Data: payload(id), Same: sameAs(id)}, nil
}

// sameAs takes a job and its translation for one.
func sameAs(id string) func([]byte) (bool, error) {
	return func(existing []byte) (bool, error) {
		return bytes.Equal(existing, payload(id)) || bytes.Equal(existing, translate(payload(id))), nil
	}
}

// drop has the foreign writer put a file into the inbox.
func (w *world) drop(name, text string) {
	w.m.Quiet(func() { must(w.m.View("legacy").Create(inbox+"/"+name, []byte(text))) })
	w.dropped++
}

// rewrite has the writer change a file of a name in place, as far as this
// server can: it is written again.
func (w *world) rewrite(file, text string) {
	w.m.Quiet(func() {
		fs := w.m.View("legacy")
		mustDo(fs.Remove(file))
		must(fs.Create(file, []byte(text)))
	})
}

func adopting(name, text string) func(*world, *spool.Instance) error {
	return func(_ *world, a *spool.Instance) error { return a.Adopt(inbox, name, sha256.Sum256([]byte(text))) }
}

// adoptLeft: host d died right after it had taken a file out of the inbox, and
// after it had accepted one.
func adoptLeft(w *world, _ *spool.Instance) {
	d := w.start("d")
	for i, at := range []memfs.Point{{View: "d", Kind: memfs.Create}, {View: "d", Kind: memfs.Rename, Name: "xml/", After: true}} {
		w.drop(fmt.Sprintf("ORDER%d.xml", i), order)
		w.m.At(at, func() { panic(w) })
		func() {
			defer func() { _ = recover() }()
			_ = d.Adopt(inbox, fmt.Sprintf("ORDER%d.xml", i), sha256.Sum256([]byte(order)))
		}()
	}
	d.DisownAll()
}

// adopters are the names in the inbox, and of files between it and the gate.
func (w *world) unadopted() (names []string) {
	for line := range strings.Lines(w.m.Tree()) {
		name, _, isFile := strings.Cut(strings.TrimSpace(line), "  #")
		if isFile && (strings.HasPrefix(name, inbox+"/") || strings.HasPrefix(name, laterInbox+"/") || strings.HasPrefix(name, spool.DirClaims) && strings.Contains(name, "/adopt~")) {
			names = append(names, name)
		}
	}
	return names
}

// adoptRest has r adopt what is left in the inbox.
func (w *world) adoptRest(r *spool.Instance) error {
	for _, file := range w.unadopted() {
		dir, name := path.Dir(file), path.Base(file)
		if dir != inbox && dir != laterInbox {
			return fmt.Errorf("%s is nobody's", file)
		}
		data, err := w.read(file)
		if err == nil {
			err = r.Adopt(dir, name, sha256.Sum256(data))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// adoptedOnce: at the end each file of the foreign writer is one job, or set
// aside with the reason.
func (w *world) adoptedOnce() error {
	if w.dropped == 0 {
		return nil
	}
	gates, refused := 0, 0
	for _, j := range w.files() {
		if j.gate != "" {
			gates++
		}
	}
	for line := range strings.Lines(w.m.Tree()) {
		name, _, isFile := strings.Cut(strings.TrimSpace(line), "  #")
		base, failed := strings.CutPrefix(name, spool.DirFailed+"/")
		if n, ok := spool.ParseRefused(base); isFile && failed && ok {
			refused++
			why, err := w.read(spool.DirFailed + "/" + spool.WhyName(n.ID))
			if err != nil || !strings.Contains(string(why), "legacy/") {
				return fmt.Errorf("why %s was set aside: %s, %v", name, why, err)
			}
		}
	}
	if gates+refused != w.dropped || len(w.unadopted()) > 0 {
		return fmt.Errorf("of %d files %d are jobs, %d were set aside, and left are %v", w.dropped, gates, refused, w.unadopted())
	}
	return nil
}

// TestHole_10_TwoHostsAdoptOneFile: one rename decides, at each moment of the
// other's adoption. By links into the gate both would accept it.
func TestHole_10_TwoHostsAdoptOneFile(t *testing.T) {
	won, lost := 0, 0
	for n := range 60 {
		w := memWorld(t)
		a, b := w.start("a"), w.start("b")
		w.drop("ORDER17.xml", order)
		count, done := 0, false
		w.m.Before = func(op memfs.Op) {
			if op.View != "a" || done {
				return
			}
			if count++; count > n {
				done = true
				if err := adopting("ORDER17.xml", order)(w, b); err != nil && !errors.Is(err, spool.ErrLost) {
					t.Error(err)
				}
			}
		}
		switch err := adopting("ORDER17.xml", order)(w, a); {
		case err == nil:
			won++
		case errors.Is(err, spool.ErrLost):
			lost++
		default:
			t.Error(err)
		}
		w.m.Before = nil
		w.ends(t)
		if !done {
			break
		}
	}
	if won < 5 || lost < 2 {
		t.Errorf("a won %d times and lost %d times", won, lost)
	}
}

// TestHole_10_WriterGoesOn: the writer changes the file after it was taken:
// before it is read it waits for the sweep, later what was accepted stays as it
// was, in a file of its own, and the change is kept, with the reason.
func TestHole_10_WriterGoesOn(t *testing.T) {
	for name, tc := range map[string]struct {
		at      memfs.Point
		text    string
		refused bool
	}{
		"before it is read":           {memfs.Point{View: "a", Kind: memfs.Read, Name: "claims/"}, order + "\n.", false},
		"before it is read, to trash": {memfs.Point{View: "a", Kind: memfs.Read, Name: "claims/"}, "half an ord", true},
		"after it was accepted":       {memfs.Point{View: "a", Kind: memfs.Rename, Name: "xml/", After: true}, order + " more\n.", true},
	} {
		t.Run(name, func(t *testing.T) {
			w := memWorld(t)
			a := w.start("a")
			w.drop("ORDER17.xml", order)
			w.m.At(tc.at, func() { w.rewrite(w.unadopted()[0], tc.text) })
			_ = adopting("ORDER17.xml", order)(w, a)
			mustDo(w.sweepTwice(a))
			if left := w.unadopted(); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			gated := strings.Count(w.m.Tree(), "gate/01") - 1 // its bucket
			if refused := w.has("failed/adopt~"); refused != tc.refused || gated < 1 != strings.HasSuffix(name, "trash") {
				t.Errorf("set aside: %v, want %v; %d accepted", refused, tc.refused, gated)
			}
			w.dropped = 0 // a file and its change: two, of which one is kept beside
			w.ends(t)
		})
	}
}

// TestHole_2_4_InboxIsOutput: an inbox that we publish to would adopt what was
// accepted, find it at the gate, and remove it as a duplicate.
func TestHole_2_4_InboxIsOutput(t *testing.T) {
	format := func(inboxes string) error {
		_, err := spool.ParseFormat([]byte("version = 1\nspool_id = \"" + testSpoolID + "\"\n[stages.translate]\ndir = \"xml\"\n" +
			"[stages.submit]\ndir = \"out/json\"\n" + inboxes))
		return err
	}
	for _, dir := range []string{"xml", "out/json", "out", "xml/in", "claims", "gate/x", "hosts", "intruders/foreign", "failed",
		"", "/tmp", "../in", ".", ".in", "a//b", "a/", "fencepost.toml"} {
		if err := format("[[inbox]]\ndir = \"" + dir + "\"\n"); err == nil || !strings.Contains(err.Error(), "inbox") {
			t.Errorf("inbox %q: %v", dir, err)
		}
	}
	for _, bad := range []string{"pattern = \"[\"", "pattern = \"a/b\"", "settle = \"soon\"", "settle = \"-1s\"", "marker = \"/x\"", "nonsense = 1"} {
		if format("[[inbox]]\ndir = \"legacy\"\n"+bad+"\n") == nil {
			t.Errorf("%s is taken", bad)
		}
	}
	if format("[[inbox]]\ndir = \"a/b\"\n[[inbox]]\ndir = \"a\"\n") == nil {
		t.Error("an inbox within an inbox")
	}
	if err := format("[[inbox]]\ndir = \"out/in\"\n[[inbox]]\ndir = \"legacy\"\nsettle = \"0s\"\nmarker = \".done\"\n"); err != nil {
		t.Error(err)
	}
}

// TestHole_2_5_AdoptReturned: an adoption that ended with its instance isn't
// put back, neither into the inbox nor into a stage: it goes on under its id.
func TestHole_2_5_AdoptReturned(t *testing.T) {
	w := memWorld(t)
	b := w.start("b")
	adoptLeft(w, b)
	before := w.unadopted()
	if len(before) != 2 {
		t.Fatalf("left by d: %v", before)
	}
	did := must(b.Reclaim(spool.Over{Host: "d", Epoch: 1, Why: "test", Death: true}, finish))
	if did.Adopted != 2 || did.Returned != 0 || !did.Fenced {
		t.Errorf("reclaimed %+v", did)
	}
	for _, name := range before {
		n, ok := spool.ParseAdopt(name[strings.LastIndexByte(name, '/')+1:])
		if !ok || !w.has("xml/"+n.ID+".xml") {
			t.Errorf("%s isn't waiting under its id", name)
		}
	}
	w.ends(t)
}

// TestAdoptTheDeadly: what kills each instance that touches it is set aside in
// the end.
func TestAdoptTheDeadly(t *testing.T) {
	w := memWorld(t)
	w.drop("ORDER17.xml", order)
	over := spool.Over{Host: "a", Why: "test", Death: true}
	w.m.Before = func(op memfs.Op) {
		if op.View == "a" && op.Kind == memfs.Read && strings.HasPrefix(op.From, "claims/") {
			panic("it kills us")
		}
	}
	for !w.has("failed/adopt~") && over.Epoch < 20 {
		a := w.start("a")
		func() {
			defer func() { _ = recover() }()
			if over.Epoch == 0 {
				_ = adopting("ORDER17.xml", order)(w, a)
			} else {
				_, _ = a.Reclaim(over, finish)
			}
		}()
		over.Epoch = a.Epoch
	}
	if over.Epoch != 10 {
		t.Errorf("set aside by instance %d", over.Epoch)
	}
	w.m.Before = nil
	w.ends(t)
}

// TestAdoptOwnID: a file that brings an id keeps it: delivered twice it is one
// job.
func TestAdoptOwnID(t *testing.T) {
	w := memWorld(t)
	a := w.start("a")
	for _, name := range []string{"ORDER1.xml", "ORDER2.json"} {
		w.drop(name, "ORDER: id "+jobA+"\n.")
		mustDo(adopting(name, "ORDER: id "+jobA+"\n.")(w, a))
	}
	w.dropped = 1
	w.ends(t)
}

// TestAdoptPowerCut: once it is accepted it doesn't come back into the inbox,
// under another id. The file system keeps the order of changes of names, as is
// assumed of local ones.
func TestAdoptPowerCut(t *testing.T) {
	for n := range 200 {
		m := memfs.New(memfs.Options{KeepOrder: true})
		w := newWorld(m)
		a := w.start("a")
		w.drop("ORDER17.xml", order)
		mustDo(w.m.View("legacy").Sync("legacy", inbox))
		mustDo(a.FS.Sync("hosts", "hosts/a", "hosts/a/journal", "claims", "claims/a", "sealed", "sealed/a", "drafts", "drafts/a"))
		count, cut := 0, false
		m.Before = func(op memfs.Op) {
			if op.View == "a" && !cut {
				if count++; count > n {
					cut = true
					m.Crash(uint64(n))
				}
			}
		}
		func() {
			defer func() { _ = recover() }()
			_ = adopting("ORDER17.xml", order)(w, a)
		}()
		m.Before = nil
		if err := w.recoverAll(); err != nil {
			t.Fatalf("cut before operation %d: %v\n%s\n%s", n, err, m.Trace(), m.Tree())
		}
		if !cut {
			return
		}
	}
}

// TestAdoptNames: the names are adoption's alone; no stage's parser takes them.
func TestAdoptNames(t *testing.T) {
	n := spool.Name{Stage: spool.StageAdopt, Seq: 7, ID: jobA, Gen: 2, Faults: 1, Ext: "json"}
	claim, refused := spool.FormatClaim(n), spool.FormatAside(n)
	if got, ok := spool.ParseAdopt(claim); !ok || got != n {
		t.Errorf("%s is %+v, %v", claim, got, ok)
	}
	if _, ok := spool.ParseClaim(claim); ok {
		t.Errorf("%s is a stage's claim", claim)
	}
	if _, ok := spool.ParseRefused(refused); !ok {
		t.Errorf("%s isn't parsed", refused)
	}
	if _, ok := spool.ParseAside(refused); ok {
		t.Errorf("%s is a job", refused)
	}
	for _, bad := range []string{"adopt~07~" + jobA + ".xml", "adopt~7~" + jobA + "+0.0.xml", "adopt~7~" + jobA + "=1.xml", "adopt~7~" + jobA, "adopt~7.xml"} {
		if _, ok := spool.ParseAdopt(bad); ok {
			t.Errorf("%s is parsed", bad)
		}
	}
}

// TestHole_4_7_NameUsedAgain: the rename out of the inbox is done, its reply is
// lost, the look at the own claims is stale, and the foreign writer has used the
// name again meanwhile. The same rename once more would put the second file over
// the first one.
func TestHole_4_7_NameUsedAgain(t *testing.T) {
	w := memWorld(t)
	a := w.start("a")
	w.drop("ORDER17.xml", order)
	renamed, looked := false, false
	w.m.Inject = func(op memfs.Op) memfs.Verdict {
		switch {
		case op.Kind == memfs.Rename && !renamed && strings.HasPrefix(op.From, inbox+"/"):
			renamed = true
			return memfs.Verdict{Apply: true, Err: syscall.EIO}
		case op.Kind == memfs.List && renamed && !looked:
			looked = true
			return memfs.Verdict{Apply: true, Stale: true}
		}
		return memfs.Verdict{}
	}
	w.m.At(memfs.Point{View: "a", Kind: memfs.List, Name: inbox}, func() { w.drop("ORDER17.xml", "ORDER: another\n.") })
	if err := adopting("ORDER17.xml", order)(w, a); !errors.Is(err, spool.ErrUnclear) {
		t.Errorf("got %v, want an unclear outcome", err)
	}
	if err := w.sweepTwice(a); err != nil {
		t.Error(err)
	}
	w.ends(t)
}
