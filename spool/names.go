//nolint:filelen // all names are built and parsed in one file

package spool

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Stage is a step of the pipeline that takes entries.
type Stage string

// The stages. Ingest is how jobs come in; it takes no entries.
const (
	Ingest    Stage = "ingest"
	Translate Stage = "translate" // XML in, JSON out
	Submit    Stage = "submit"    // JSON in, done record out
)

// A Kind says what a draft is for: a stage, or one of the two steps of accept.
type Kind = Stage

// The kinds of draft that accept makes: being written, and complete.
const (
	KindNew    Kind = "new"
	KindAccept Kind = "accept"
)

// Name is what the file names of the spool say. Which fields a name has
// depends on its place; see the Format functions, which are the grammar of
// docs/spec/spool-layout.md. This file alone builds and parses names.
type Name struct {
	Stage   Stage  // stage, or kind of a draft
	Host    string // done only
	Epoch   uint64 // done only
	Seq     uint64 // claim, sealed, draft, done: with host and epoch, the token
	ID      string // canonical UUID
	Gen     int    // generation: grows with every way back to a stage
	Faults  int    // grows for reasons that are the job's
	Cluster string // cluster's id, decoded; sealed, done, failed, held, parked
	Ext     string // "xml" or "json"
}

// MaxClusterID is the longest encoded cluster id, in bytes, that fits a name.
const MaxClusterID = 100

const (
	maxGen   = 100_000
	idLength = 36
)

// ---- places -----------------------------------------------------------------

// FormatEntry gives ID[+G.F].EXT: an entry in a stage's directory.
func FormatEntry(n Name) string { return n.ID + tries(n) + "." + n.Ext }

// ParseEntry parses a name of FormatEntry; ok is false for anything else.
func ParseEntry(s string) (n Name, ok bool) {
	rest, ok := cutExt(s, &n)
	ok = ok && parseJob(rest, &n, false)
	return n, ok && FormatEntry(n) == s
}

// FormatClaim gives STAGE~SEQ~ID[+G.F].EXT: an entry in a claim directory.
func FormatClaim(n Name) string {
	return string(n.Stage) + "~" + strconv.FormatUint(n.Seq, 10) + "~" + FormatEntry(n)
}

// ParseClaim parses a name of FormatClaim.
func ParseClaim(s string) (n Name, ok bool) {
	rest, ok := cutExt(s, &n)
	p := strings.Split(rest, "~")
	ok = ok && len(p) == 3 && parseStage(p[0], &n) && parseUint(p[1], &n.Seq) && parseJob(p[2], &n, false)
	return n, ok && FormatClaim(n) == s
}

// FormatSealed gives STAGE~SEQ~ID[+G.F][=CLUSTERID].EXT: a decided claim.
func FormatSealed(n Name) string {
	return string(n.Stage) + "~" + strconv.FormatUint(n.Seq, 10) + "~" + n.ID + tries(n) + cluster(n) + "." + n.Ext
}

// ParseSealed parses a name of FormatSealed.
func ParseSealed(s string) (n Name, ok bool) {
	rest, ok := cutExt(s, &n)
	p := strings.Split(rest, "~")
	ok = ok && len(p) == 3 && parseStage(p[0], &n) && parseUint(p[1], &n.Seq) && parseJob(p[2], &n, true)
	return n, ok && FormatSealed(n) == s
}

// FormatDraft gives KIND~SEQ~ID.EXT: output under construction.
func FormatDraft(n Name) string {
	return string(n.Stage) + "~" + strconv.FormatUint(n.Seq, 10) + "~" + n.ID + "." + n.Ext
}

// ParseDraft parses a name of FormatDraft.
func ParseDraft(s string) (n Name, ok bool) {
	rest, ok := cutExt(s, &n)
	p := strings.Split(rest, "~")
	if !ok || len(p) != 3 || !parseUint(p[1], &n.Seq) || !parseJob(p[2], &n, false) {
		return n, false
	}
	n.Stage = Kind(p[0])
	ok = n.Stage == KindNew || n.Stage == KindAccept || n.Stage == Translate || n.Stage == Submit
	return n, ok && FormatDraft(n) == s
}

// FormatDone gives STAGE~HOST~EPOCH.SEQ~ID[+G.F][=CLUSTERID].EXT: the final
// record, whose name says who, and which cluster id.
func FormatDone(n Name) string {
	return string(n.Stage) + "~" + n.Host + "~" + strconv.FormatUint(n.Epoch, 10) + "." + strconv.FormatUint(n.Seq, 10) + "~" +
		n.ID + tries(n) + cluster(n) + "." + n.Ext
}

// ParseDone parses a name of FormatDone.
func ParseDone(s string) (n Name, ok bool) {
	rest, ok := cutExt(s, &n)
	p := strings.Split(rest, "~")
	if !ok || len(p) != 4 || !parseStage(p[0], &n) || !ValidHost(p[1]) {
		return n, false
	}
	n.Host = p[1]
	epoch, seq, ok := strings.Cut(p[2], ".")
	ok = ok && parseUint(epoch, &n.Epoch) && parseUint(seq, &n.Seq) && parseJob(p[3], &n, true)
	return n, ok && FormatDone(n) == s
}

// FormatAside gives STAGE~ID[+G.F][=CLUSTERID].EXT: a job in failed/, held/ or
// parked/. Stage, numbers and cluster id stay in the name.
func FormatAside(n Name) string {
	return string(n.Stage) + "~" + n.ID + tries(n) + cluster(n) + "." + n.Ext
}

// ParseAside parses a name of FormatAside.
func ParseAside(s string) (n Name, ok bool) {
	rest, ok := cutExt(s, &n)
	p := strings.Split(rest, "~")
	ok = ok && len(p) == 2 && parseStage(p[0], &n) && parseJob(p[1], &n, true)
	return n, ok && FormatAside(n) == s
}

// StageAdopt is the first part of the names of foreign files that were taken out
// of an inbox: no stage, and no place of a job.
const StageAdopt Stage = "adopt"

// ParseAdopt parses adopt~SEQ~ID[+G.F].EXT, a FormatClaim of StageAdopt: the
// name of a foreign file between its inbox and the gate.
func ParseAdopt(s string) (n Name, ok bool) {
	rest, ok := cutExt(s, &n)
	p := strings.Split(rest, "~")
	n.Stage = StageAdopt
	ok = ok && len(p) == 3 && p[0] == string(StageAdopt) && parseUint(p[1], &n.Seq) && parseJob(p[2], &n, false)
	return n, ok && FormatClaim(n) == s
}

// ParseRefused parses adopt~ID[+G.F].EXT, a FormatAside of StageAdopt: a foreign
// file in failed/ that isn't a job.
func ParseRefused(s string) (n Name, ok bool) {
	rest, ok := cutExt(s, &n)
	p := strings.Split(rest, "~")
	n.Stage = StageAdopt
	ok = ok && len(p) == 2 && p[0] == string(StageAdopt) && parseJob(p[1], &n, false)
	return n, ok && FormatAside(n) == s
}

// CopyPrefix marks, in parked/, a second copy of a job: outside the balance.
const CopyPrefix = "copy~"

// FormatCopy gives copy~HOST~EPOCH.SEQ~STAGE~ID[+G.F].EXT. The token keeps two
// copies of one job apart.
func FormatCopy(n Name) string {
	n.Cluster = ""
	return CopyPrefix + FormatDone(n)
}

// ParseCopy parses a name of FormatCopy.
func ParseCopy(s string) (n Name, ok bool) {
	rest, ok := strings.CutPrefix(s, CopyPrefix)
	if !ok {
		return n, false
	}
	n, ok = ParseDone(rest)
	return n, ok && n.Cluster == "" && FormatCopy(n) == s
}

// WhyName is the name of the file that says why a job is in failed/ or parked/.
func WhyName(id string) string { return id + ".why.json" }

// ParseWhy parses a WhyName.
func ParseWhy(s string) (id string, ok bool) {
	id, ok = strings.CutSuffix(s, ".why.json")
	return id, ok && ValidID(id)
}

// ---- parts ------------------------------------------------------------------

// tries gives +G.F; +0.0 is never written.
func tries(n Name) string {
	if n.Gen == 0 && n.Faults == 0 {
		return ""
	}
	return "+" + strconv.Itoa(n.Gen) + "." + strconv.Itoa(n.Faults)
}

func cluster(n Name) string {
	if n.Cluster == "" {
		return ""
	}
	return "=" + EncodeClusterID(n.Cluster)
}

func cutExt(s string, n *Name) (string, bool) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return "", false
	}
	n.Ext = s[i+1:]
	return s[:i], n.Ext == "xml" || n.Ext == "json"
}

// parseJob parses ID[+G.F][=CLUSTERID].
func parseJob(s string, n *Name, withCluster bool) bool {
	if len(s) < idLength || !ValidID(s[:idLength]) {
		return false
	}
	n.ID, s = s[:idLength], s[idLength:]
	if i := strings.IndexByte(s, '='); i >= 0 {
		id, ok := DecodeClusterID(s[i+1:])
		if !ok || !withCluster {
			return false
		}
		n.Cluster, s = id, s[:i]
	}
	if s == "" {
		return true
	}
	g, f, ok := strings.Cut(strings.TrimPrefix(s, "+"), ".")
	return ok && s[0] == '+' && parseCount(g, &n.Gen) && parseCount(f, &n.Faults)
}

func parseStage(s string, n *Name) bool {
	n.Stage = Stage(s)
	return n.Stage == Translate || n.Stage == Submit
}

func parseUint(s string, v *uint64) bool {
	u, err := strconv.ParseUint(s, 10, 63)
	*v = u
	return err == nil
}

func parseCount(s string, v *int) bool {
	u, err := strconv.ParseUint(s, 10, 31)
	*v = int(u)
	return err == nil && u <= maxGen
}

// ValidID says whether s is a canonical (lower-case) UUID.
func ValidID(s string) bool {
	if len(s) != idLength {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case c >= '0' && c <= '9' || c >= 'a' && c <= 'f':
		default:
			return false
		}
	}
	return true
}

// ValidHost says whether s can be a host's name in file names and tokens: 1 to
// 63 of a-z, 0-9, "." and "-", beginning and ending with a letter or digit.
func ValidHost(s string) bool {
	if len(s) == 0 || len(s) > 63 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
		case (c == '-' || c == '.') && i > 0 && i < len(s)-1:
		default:
			return false
		}
	}
	return true
}

// CommandHost is the host as which a command that writes drafts takes an epoch.
func CommandHost(host string) string { return host + commandSuffix }

// commandSuffix is "~cmd" in the design; names split at "~", so that such a
// host can't stand in a done record, which it never does.
const commandSuffix = "~cmd"

// validOwner is ValidHost, or a host's command.
func validOwner(s string) bool { return ValidHost(strings.TrimSuffix(s, commandSuffix)) }

// EncodeClusterID percent-encodes a cluster's id to [A-Za-z0-9._-] and "%".
func EncodeClusterID(id string) string {
	var b strings.Builder
	for i := range len(id) {
		if c := id[i]; plain(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// DecodeClusterID reverses EncodeClusterID; ok is false for any other spelling.
func DecodeClusterID(s string) (id string, ok bool) {
	if s == "" || len(s) > MaxClusterID {
		return "", false
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if plain(s[i]) {
			b.WriteByte(s[i])
			continue
		}
		if s[i] != '%' || i+2 >= len(s) {
			return "", false
		}
		v, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", false
		}
		b.WriteByte(byte(v))
		i += 2
	}
	id = b.String()
	return id, EncodeClusterID(id) == s
}

// ValidClusterID says whether a cluster's answer can be taken for an id: one
// line, not empty, at most MaxClusterID bytes encoded, and not what marks a
// handover. Anything else means that
// the outcome of the submission is unknown.
func ValidClusterID(id string) bool {
	return !strings.HasPrefix(id, handoverMark) && id != "" && !strings.ContainsAny(id, "\r\n\x00") && len(EncodeClusterID(id)) <= MaxClusterID
}

func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
}

// Bucket is the directory of an id in gate/, once/, done/ and started/: for a
// UUIDv7 the first seven digits, which makes a slice of about 17 minutes; for
// any other "r" and the last two. It is a pure function of the id, fixed by
// the format version: two spellings or settings would be two gates.
func Bucket(id string) string {
	if id[14] == '7' {
		return id[:7]
	}
	return "r" + id[idLength-2:]
}

// sliceBits is the length of a bucket of a UUIDv7, in bits of milliseconds.
const sliceBits = 20

// timed says whether a bucket is a slice of time, which can be closed: two of them
// stand in the order of their names.
func timed(bucket string) bool {
	_, err := strconv.ParseUint(bucket, 16, 28)
	return len(bucket) == 7 && err == nil && strings.ToLower(bucket) == bucket
}

// BucketStart is when a bucket that is a slice of time begins.
func BucketStart(bucket string) time.Time {
	n, _ := strconv.ParseInt(bucket, 16, 64)
	return time.UnixMilli(n << sliceBits).UTC()
}

// BucketEnd is when it ends.
func BucketEnd(bucket string) time.Time {
	return BucketStart(bucket).Add(1 << sliceBits * time.Millisecond)
}

// bucketAt is the bucket of ids that are made at a moment.
func bucketAt(t time.Time) string { return fmt.Sprintf("%07x", max(0, t.UnixMilli())>>sliceBits) }

// bucketBefore is the last bucket that had ended by then; "" if none had.
func bucketBefore(t time.Time) string {
	if t.UnixMilli() < 1<<sliceBits {
		return ""
	}
	return bucketAt(t.Add(-(1 << sliceBits) * time.Millisecond))
}

// Mark is what the name of a file in retention/ says.
type Mark struct {
	Kind   string // one of MarkWanted, MarkPromised, MarkClosed
	Host   string // promised only: which instance
	Epoch  uint64
	Bucket string // this one and all before it
}

// The kinds of marks.
const (
	MarkWanted   = "wanted"   // somebody wants to remove what is final in it
	MarkPromised = "promised" // this epoch lets nothing in there any more
	MarkClosed   = "closed"   // nobody does, ever again
)

// FormatMark gives KIND~BUCKET, or promised~HOST~EPOCH~BUCKET.
func FormatMark(m Mark) string {
	if m.Kind == MarkPromised {
		return fmt.Sprintf("%s~%s~%d~%s", m.Kind, m.Host, m.Epoch, m.Bucket)
	}
	return m.Kind + "~" + m.Bucket
}

// ParseMark parses a name of FormatMark.
func ParseMark(s string) (m Mark, ok bool) {
	p := strings.Split(s, "~")
	m.Kind, m.Bucket = p[0], p[len(p)-1]
	switch {
	case !timed(m.Bucket):
		return m, false
	case m.Kind == MarkPromised && len(p) == 4 && ValidHost(p[1]):
		m.Host = p[1]
		m.Epoch, ok = parseEpoch(p[2])
	case m.Kind == MarkWanted || m.Kind == MarkClosed:
		ok = len(p) == 2
	}
	return m, ok && FormatMark(m) == s
}

// ---- tokens -----------------------------------------------------------------

// Token is who claimed: unique for all time, except for the generation, which
// is there for the reader of a cluster's comment.
type Token struct {
	Spool string
	Host  string
	Epoch uint64
	Seq   uint64
	Gen   int
}

// String gives SPOOL/HOST/EPOCH/SEQ/G: one word.
func (t Token) String() string {
	return fmt.Sprintf("%s/%s/%d/%d/%d", t.Spool, t.Host, t.Epoch, t.Seq, t.Gen)
}

// ParseToken reverses String.
func ParseToken(s string) (t Token, ok bool) {
	p := strings.Split(s, "/")
	if len(p) != 5 || !ValidHost(p[1]) {
		return t, false
	}
	t.Spool, t.Host = p[0], p[1]
	ok = parseUint(p[2], &t.Epoch) && parseUint(p[3], &t.Seq) && parseCount(p[4], &t.Gen)
	return t, ok && t.String() == s
}
