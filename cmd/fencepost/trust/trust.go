package trust

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"fencepost/spool"
	"fencepost/spool/vfs"
)

// FS signs the files of jobs when they are made and checks them when they are
// read; all else passes through.
type FS struct {
	vfs.FS
	// Key is the key, nil if this host has none. It is asked for when a job's
	// file is at hand, so that a command that reads none needs none.
	Key func() ([]byte, error)
}

const (
	xmlHead, xmlTail   = "<!-- fencepost mac 1 ", " -->\n" // legal after an XML document
	jsonHead, jsonTail = "# fencepost mac 1 ", "\n"
	macSize            = 2 * sha256.Size
)

// Create implements vfs.FS.
func (f FS) Create(name string, data []byte) (vfs.ID, error) {
	id, ok := JobOf(name)
	if !ok {
		return f.FS.Create(name, data)
	}
	key, err := f.Key()
	if err != nil {
		return vfs.ID{}, err
	}
	if key != nil {
		data = sign(key, id, data)
	}
	return f.FS.Create(name, data)
}

// Each implements vfs.Streamer: names pass through.
func (f FS) Each(dir string, do func(name string)) error { return vfs.Each(f.FS, dir, do) }

// Read implements vfs.FS. A file that isn't as a host with the key wrote it is an
// error that matches vfs.ErrUntrusted.
func (f FS) Read(name string, limit int64) ([]byte, vfs.ID, error) {
	job, ok := JobOf(name)
	if !ok {
		return f.FS.Read(name, limit)
	}
	data, id, err := f.FS.Read(name, limit+int64(len(xmlHead)+macSize+len(xmlTail)))
	if err != nil {
		return nil, id, err
	}
	key, err := f.Key()
	if err != nil {
		return nil, id, err
	}
	bare, mac := cut(data)
	switch {
	case key == nil && mac == "":
	case key == nil:
		// Another host can take it: this isn't the job's fault.
		return nil, id, fmt.Errorf("read %s: it is signed, and this host has no spool_key_file", name)
	case mac == "":
		return nil, id, fmt.Errorf("read %s: it isn't signed by a host of this spool: %w", name, vfs.ErrUntrusted)
	case !hmac.Equal([]byte(mac), []byte(sum(key, job, bare))):
		return nil, id, fmt.Errorf("read %s: it is not as a host of this spool wrote it: %w", name, vfs.ErrUntrusted)
	}
	if int64(len(bare)) > limit {
		return nil, id, fmt.Errorf("read %s: %w", name, vfs.ErrTooLarge)
	}
	return bare, id, nil
}

// sum is the signature of a job's file. The job's id is part of it, so that no
// file can stand for another job; its stage is not: XML and JSON differ.
func sum(key []byte, job string, data []byte) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("fencepost file 1\n" + job + "\n"))
	h.Write(data)
	return hex.EncodeToString(h.Sum(nil))
}

func sign(key []byte, job string, data []byte) []byte {
	head, tail := jsonHead, jsonTail
	if bytes.HasPrefix(data, []byte("<")) {
		head, tail = xmlHead, xmlTail
	}
	return slices.Concat(data, []byte(head+sum(key, job, data)+tail))
}

// cut parts a file from its signature, "" if it has none.
func cut(data []byte) (bare []byte, mac string) {
	for _, form := range [][2]string{{xmlHead, xmlTail}, {jsonHead, jsonTail}} {
		start := len(data) - len(form[0]) - macSize - len(form[1])
		if start >= 0 && bytes.HasPrefix(data[start:], []byte(form[0])) && bytes.HasSuffix(data, []byte(form[1])) {
			return data[:start:start], string(data[start+len(form[0]) : len(data)-len(form[1])])
		}
	}
	return data, ""
}

// JobOf says whether a name is that of a job's file in the directories where such
// files are made and read, and of which job. What waits in a stage's directory is
// read only after it was claimed. Files that others write or read are none: those
// in an inbox, what was taken out of one until it was accepted, and what is handed
// over.
func JobOf(name string) (id string, ok bool) {
	dir, base := vfs.Split(name)
	top, _, _ := strings.Cut(dir, "/")
	parse := map[string]func(string) (spool.Name, bool){
		spool.DirClaims: spool.ParseClaim, spool.DirSealed: spool.ParseSealed, spool.DirDrafts: spool.ParseDraft,
		spool.DirDone: spool.ParseDone, spool.DirFailed: spool.ParseAside, spool.DirHeld: spool.ParseAside,
		spool.DirParked: spool.ParseAside, spool.DirGate: gateName, spool.DirOnce: gateName,
	}[top]
	if parse == nil {
		return "", false
	}
	n, ok := parse(base)
	if !ok || n.Stage == spool.StageAdopt {
		return "", false
	}
	if top == spool.DirDrafts && spool.IsHandoverDraft(n) {
		return "", false // for a foreign program, to whom a signature is garbage
	}
	return n.ID, true
}

// gateName parses ID and STAGE~ID.
func gateName(base string) (n spool.Name, ok bool) {
	stage, id, two := strings.Cut(base, "~")
	if !two {
		stage, id = "", base
	}
	n.Stage, n.ID = spool.Stage(stage), id
	return n, spool.ValidID(id)
}
