package spool

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/google/uuid"
	"github.com/pelletier/go-toml/v2"

	"fencepost/spool/vfs"
)

// FormatVersion is the version of the layout that this code reads and writes.
const FormatVersion = 1

// Format is fencepost.toml: what all hosts must agree on. It is written once.
type Format struct {
	Version int           `toml:"version" comment:"version of the spool's layout; fixes names and buckets"`
	SpoolID string        `toml:"spool_id" comment:"stands in the name and the comment of each job at the cluster"`
	Stages  FormatStages  `toml:"stages"`
	Inboxes []FormatInbox `toml:"inbox,omitempty"`
}

// FormatStages says where each stage's entries wait.
type FormatStages struct {
	Translate FormatStage `toml:"translate"`
	Submit    FormatStage `toml:"submit"`
}

// FormatStage is one stage's directory, relative to the spool, and, if a foreign
// program does the stage's work, what its jobs are handed over as.
type FormatStage struct {
	Dir     string `toml:"dir"`
	Foreign string `toml:"foreign,omitempty"` // as "legacy/json/*.json": the program takes such files
}

// FormatInbox is a directory that a foreign writer feeds.
type FormatInbox struct {
	Dir     string `toml:"dir"`               // relative to the spool, apart from all other directories
	Stage   Stage  `toml:"stage,omitempty"`   // that its jobs are to go through first; translate if empty
	Pattern string `toml:"pattern,omitempty"` // of file names; "*.xml" if empty, of submit "*.json"
	Settle  string `toml:"settle,omitempty"`  // how long a file must be unchanged; "5s" if empty
	Marker  string `toml:"marker,omitempty"`  // a file is complete when its name and this is there, too
}

// NewFormat is the format of a new spool with the default layout.
func NewFormat() (Format, error) {
	id, err := uuid.NewRandom()
	if err != nil {
		return Format{}, fmt.Errorf("make spool id: %w", err)
	}
	l := DefaultLayout()
	return Format{Version: FormatVersion, SpoolID: id.String(),
		Stages: FormatStages{FormatStage{Dir: l.Translate}, FormatStage{Dir: l.Submit}}}, nil
}

// Layout is the format's layout.
func (f Format) Layout() Layout {
	l := Layout{Translate: f.Stages.Translate.Dir, Submit: f.Stages.Submit.Dir, Foreign: map[Stage]Handover{}}
	for stage, target := range map[Stage]string{Translate: f.Stages.Translate.Foreign, Submit: f.Stages.Submit.Foreign} {
		if target != "" {
			l.Foreign[stage] = Handover(target)
		}
	}
	for _, b := range f.Inboxes {
		in, err := b.inbox()
		if err == nil { // else ParseFormat has refused it
			l.Inboxes = append(l.Inboxes, in)
		}
	}
	return l
}

// ParseFormat parses fencepost.toml; unknown keys are errors.
func ParseFormat(data []byte) (Format, error) {
	var f Format
	d := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		var strict *toml.StrictMissingError
		if errors.As(err, &strict) {
			return f, fmt.Errorf("%s: unknown key:\n%s", FormatFile, strict.String())
		}
		return f, fmt.Errorf("%s: %w", FormatFile, err)
	}
	if f.Version != FormatVersion {
		return f, fmt.Errorf("%s: layout version %d, but this program knows version %d: use the program that made the spool, or a newer one",
			FormatFile, f.Version, FormatVersion)
	}
	if !ValidID(f.SpoolID) {
		return f, fmt.Errorf("%s: spool_id %q is not a lower-case UUID", FormatFile, f.SpoolID)
	}
	return f, f.Validate()
}

func (l Layout) validate() error {
	seen := map[string]bool{}
	for _, d := range fixedDirs {
		seen[d] = true
	}
	for _, dir := range []string{l.Translate, l.Submit} {
		switch {
		case dir == "" || strings.HasPrefix(dir, "/") || path.Clean(dir) != dir || strings.HasPrefix(dir, "."):
			return fmt.Errorf("%s: stage directory %q must be a clean path below the spool", FormatFile, dir)
		case seen[dir]:
			return fmt.Errorf("%s: directory %q is used twice", FormatFile, dir)
		}
		seen[dir] = true
	}
	for _, s := range Stages() {
		if h, ok := l.Foreign[s]; ok {
			if err := h.validate(s); err != nil {
				return fmt.Errorf("%s: stage %s: %w", FormatFile, s, err)
			}
		}
	}
	return l.validateApart(seen)
}

// ReadFormat reads fencepost.toml.
func ReadFormat(fs vfs.FS) (Format, error) {
	data, _, err := fs.Read(FormatFile, 1<<20)
	if isErr(err, syscall.ENOENT) {
		return Format{}, fmt.Errorf("%w: %w (make one with fencepost init)", ErrNoSpool, err)
	}
	if err != nil {
		return Format{}, err
	}
	return ParseFormat(data)
}

// Init makes the layout on fs, or what is missing of it; made is false if the
// spool was there. Two that run at once make one spool: its format file is
// linked into place, complete.
func Init(fs vfs.FS, f Format) (got Format, made bool, err error) {
	if got, err = ReadFormat(fs); err == nil {
		return got, false, makeDirs(fs, got)
	}
	if !errors.Is(err, ErrNoSpool) {
		return got, false, err
	}
	text, err := f.encode()
	if err != nil {
		return f, false, err
	}
	// Directories first: who sees the format file may rely on them.
	if err := makeDirs(fs, f); err != nil {
		return f, false, err
	}
	draft := "." + FormatFile + "." + uuid.NewString()
	if _, err := fs.Create(draft, text); err != nil {
		return f, false, fmt.Errorf("write format: %w", err)
	}
	lerr := fs.Link(draft, FormatFile)
	if err := fs.Remove(draft); err != nil {
		return f, false, fmt.Errorf("remove draft of format: %w", err)
	}
	if err := fs.Sync("."); err != nil {
		return f, false, err
	}
	got, err = ReadFormat(fs)
	if err != nil {
		return got, false, errors.Join(lerr, err)
	}
	return got, got.SpoolID == f.SpoolID, makeDirs(fs, got)
}

// Validate says what is wrong with the directories.
func (f Format) Validate() error {
	for _, b := range f.Inboxes {
		if _, err := b.inbox(); err != nil {
			return fmt.Errorf("%s: inbox %q: %w", FormatFile, b.Dir, err)
		}
	}
	return f.Layout().validate()
}

// encode gives the file, if it can be read again.
func (f Format) encode() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("# The format of this spool. All hosts must agree on it: change it with fencepost layout, while none runs.\n")
	if err := toml.NewEncoder(&b).Encode(f); err != nil {
		return nil, fmt.Errorf("encode %s: %w", FormatFile, err)
	}
	if _, err := ParseFormat(b.Bytes()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// ChangeFormat replaces the format file: the directories of foreign programs, and
// which stages they do. The caller has seen that no instance runs: each reads it
// at its start only. Names on disk say by themselves what is to become of them, so
// that what earlier instances left is finished as they began it.
//
// Order: the directories; the file, durable, beside; rename it into place.
func (op *Operator) ChangeFormat(change func(*Format) error) (f Format, changed bool, err error) {
	old, err := ReadFormat(op.FS)
	if err != nil {
		return f, false, err
	}
	f = old
	f.Inboxes = slices.Clone(old.Inboxes)
	if err := change(&f); err != nil {
		return f, false, err
	}
	text, err := f.encode()
	if err != nil {
		return f, false, err
	}
	if changed = f.Stages != old.Stages || !slices.Equal(f.Inboxes, old.Inboxes); !changed || op.DryRun {
		return f, changed, nil
	}
	if err := makeDirs(op.FS, f); err != nil {
		return f, false, err
	}
	if err := op.noteDetail(EvLayout, Name{}, strings.Join(f.describe(), "; ")+"; "+op.Reason); err != nil {
		return f, false, err
	}
	draft := "." + FormatFile + "." + op.nonce()
	_, err = op.FS.Create(draft, text)
	if err == nil {
		err = op.FS.Rename(draft, FormatFile)
	}
	if err != nil {
		_ = op.FS.Remove(draft)
		return f, false, fmt.Errorf("replace %s: %w", FormatFile, err)
	}
	return f, true, op.FS.Sync(".")
}

// describe says, in a line each, who does a stage, and what is adopted.
func (f Format) describe() (out []string) {
	l := f.Layout()
	for _, s := range Stages() {
		d := l.Input(s)
		text := fmt.Sprintf("%s from %s/*.%s", s, d.Dir, d.Ext)
		if h, ok := l.Foreign[s]; ok {
			text += ", by a foreign program that takes " + string(h)
		}
		out = append(out, text)
	}
	for _, b := range l.Inboxes {
		out = append(out, fmt.Sprintf("inbox %s/%s for %s", b.Dir, b.Pattern, b.Stage))
	}
	return out
}

func makeDirs(fs vfs.FS, f Format) error {
	l := f.Layout()
	for _, stage := range []string{l.Translate, l.Submit} {
		if err := mkdirAll(fs, stage); err != nil {
			return err
		}
	}
	for _, d := range fixedDirs {
		if err := mkdirAll(fs, d); err != nil {
			return err
		}
	}
	for _, b := range l.outside() {
		if err := mkdirAll(fs, b.dir); err != nil {
			return err
		}
	}
	return fs.Sync(".")
}

// mkdirAll is for init only: nothing below the layout is ever made this way.
func mkdirAll(fs vfs.FS, dir string) error {
	if p := path.Dir(dir); p != "." {
		if err := mkdirAll(fs, p); err != nil {
			return err
		}
	}
	if err := fs.Mkdir(dir); err != nil && !isErr(err, syscall.EEXIST) {
		return fmt.Errorf("make directory: %w", err)
	}
	return nil
}
