package doctor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"fencepost/cmd/fencepost/node"
	"fencepost/spool"
)

// maxJournal is above what a journal's segment may hold; docs/spec/journal.md.
const maxJournal = 16 << 20

// mountOf is what a running instance has said of its mount: in the first segment
// of its journal, since it says so when it is ready. "" = it hasn't.
func (p *patient) mountOf(host string, epoch uint64) (string, error) {
	data, _, err := p.Spool.FS.Read(path.Join(spool.DirHosts, host, "journal", fmt.Sprintf("%d.jsonl", epoch)), maxJournal)
	if err != nil {
		return "", err
	}
	mount := ""
	for line := range bytes.Lines(data) {
		var ev spool.Event
		if bytes.Contains(line, []byte(node.EventMounted)) && json.Unmarshal(line, &ev) == nil && ev.Event == node.EventMounted {
			mount = ev.Detail
		}
	}
	return mount, nil
}

// checkSources compares where the running hosts' shares come from, this
// command's included.
func checkSources(p *patient) Finding {
	by := map[string][]string{}
	f := good()
	for _, h := range p.running() {
		mount, err := p.mountOf(h.Host, h.Record.Epoch)
		switch {
		case err != nil:
			f.add(Note, "see why its journal can't be read", fmt.Sprintf("host %s: %v", h.Host, err))
		case mount == "":
			f.Evidence = append(f.Evidence, "host "+h.Host+" doesn't say what it has mounted: an older version?")
		default:
			by[mount] = append(by[mount], "host "+h.Host)
		}
	}
	if len(by) == 0 {
		return skipped(append(f.Evidence, "no host runs that says what it has mounted")...)
	}
	if p.known {
		by[p.mount.String()] = append(by[p.mount.String()], "this command")
	}
	sources := map[string]bool{}
	for _, mount := range slices.Sorted(maps.Keys(by)) {
		f.Evidence = append(f.Evidence, mount+": "+strings.Join(by[mount], ", "))
		source, _, _ := strings.Cut(mount, " vers=")
		sources[source] = true
	}
	switch {
	case len(sources) > 1:
		f.add(Warn, "mount the same server and export, by the same name, on every host; fencepost fstest --peer proves that two of them share it; if it is one server with two names: --ignore FP048")
	case len(by) > 1:
		f.add(Note, "mount it with the same version on every host")
	}
	return f
}
