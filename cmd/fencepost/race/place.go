package race

import (
	"strconv"
	"strings"

	"fencepost/spool"
)

// where says what a name on the share means for a job.
type where int

const (
	elsewhere where = iota
	atNew           // a draft of an accept, not complete
	atAccept        // a complete draft of an accept
	atGate
	atOnce
	atDraft // a stage's output under construction
	atXML
	atClaim
	atSealed
	atJSON
	atHeld
	atFailed
	atParked
	atCopy // a second copy, set aside
	atDone
)

// place is one name of a job's file.
type place struct {
	path  string
	where where
	name  spool.Name
	ino   uint64
}

// token is whose claim, seal or draft it is.
type token struct {
	host       string
	epoch, seq uint64
}

func (p place) token() token { return token{p.name.Host, p.name.Epoch, p.name.Seq} }

// live: a job is here.
func (p place) live() bool { return p.where >= atXML && p.where != atCopy }

// final: it won't move on by itself.
func (p place) final() bool {
	switch p.where {
	case atFailed, atParked, atDone:
		return true
	}
	return false
}

// parsePlace reads a path. It knows the default layout.
func parsePlace(path string) (p place, ok bool) {
	p.path = path
	top, rest, _ := strings.Cut(path, "/")
	base := rest[strings.LastIndexByte(rest, '/')+1:]
	switch top {
	case spool.DirGate:
		p.where, p.name.ID = atGate, base
		ok = spool.ValidID(base)
	case spool.DirOnce:
		_, id, _ := strings.Cut(base, "~")
		p.where, p.name.ID = atOnce, id
		ok = spool.ValidID(id)
	case layoutXML:
		p.where = atXML
		p.name, ok = spool.ParseEntry(base)
		p.name.Stage = spool.Translate
	case layoutJSON:
		p.where = atJSON
		p.name, ok = spool.ParseEntry(base)
		p.name.Stage = spool.Submit
	case spool.DirDone:
		p.where = atDone
		p.name, ok = spool.ParseDone(base)
	case spool.DirFailed, spool.DirHeld, spool.DirParked:
		return parseAside(p, top, base)
	case spool.DirDrafts, spool.DirClaims, spool.DirSealed:
		return parseOwned(p, top, rest)
	}
	return p, ok
}

// The stages' directories of the default layout.
const (
	layoutXML  = "xml"
	layoutJSON = "json"
)

func parseAside(p place, top, base string) (place, bool) {
	if n, ok := spool.ParseCopy(base); ok {
		p.where, p.name = atCopy, n
		return p, true
	}
	n, ok := spool.ParseAside(base)
	p.name = n
	switch top {
	case spool.DirFailed:
		p.where = atFailed
	case spool.DirHeld:
		p.where = atHeld
	default:
		p.where = atParked
	}
	return p, ok
}

// parseOwned reads HOST/EPOCH/NAME.
func parseOwned(p place, top, rest string) (place, bool) {
	host, rest, _ := strings.Cut(rest, "/")
	number, base, _ := strings.Cut(rest, "/")
	epoch, err := strconv.ParseUint(number, 10, 64)
	if err != nil || base == "" {
		return p, false
	}
	var ok bool
	switch top {
	case spool.DirClaims:
		p.where = atClaim
		p.name, ok = spool.ParseClaim(base)
	case spool.DirSealed:
		p.where = atSealed
		p.name, ok = spool.ParseSealed(base)
	default:
		p.name, ok = spool.ParseDraft(base)
		switch p.name.Stage {
		case spool.KindNew:
			p.where = atNew
		case spool.KindAccept:
			p.where = atAccept
		default:
			p.where = atDraft
		}
	}
	p.name.Host, p.name.Epoch = host, epoch
	return p, ok
}
