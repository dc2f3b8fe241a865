package codec

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fxamacker/cbor/v2"
)

// Marshal returns the type and the body, in deterministic CBOR, of the frame
// that carries m. A message with an illegal value is refused with a
// *[FieldError]: what is sent can be read.
func Marshal(m Message) (FrameType, []byte, error) {
	err := m.check()
	if s, ok := m.(Submit); ok && err == nil {
		err = s.Job.Validate()
	}
	if err != nil {
		return 0, nil, fmt.Errorf("marshal %v: %w", m.FrameType(), err)
	}
	return m.FrameType(), encodeMessage(m), nil
}

// AppendMessage appends the frame that carries m to dst.
func AppendMessage(dst []byte, m Message) ([]byte, error) {
	t, body, err := Marshal(m)
	if err != nil {
		return dst, err
	}
	return AppendFrame(dst, t, body), nil
}

// submitBody is SUBMIT as it is encoded. The job stays raw at first, so that a
// job that breaks a rule still has the number and id to answer to.
type submitBody struct {
	Seq    uint64          `cbor:"seq"`
	ID     string          `cbor:"id"`
	Job    cbor.RawMessage `cbor:"job"`
	Digest string          `cbor:"digest,omitempty"`
	Auth   *Auth           `cbor:"auth,omitempty"`
}

func encodeMessage(m Message) []byte {
	if s, ok := m.(Submit); ok {
		return encodeCBOR(submitBody{Seq: s.Seq, ID: s.ID, Job: encodeCBOR(s.Job), Digest: s.Digest, Auth: s.Auth})
	}
	return encodeCBOR(m)
}

// Unmarshal reads the message in f. A refused one is a *[FrameError] of layer
// type, cbor, message or job.
//
// For a request (SUBMIT, QUERY) refused at layer message or job the returned
// message isn't nil if its seq could be read: it has Seq, and ID if that is
// legal, for the answer; the connection may go on. After any other error the
// returned message is nil.
func Unmarshal(f Frame) (Message, error) {
	if !f.Type.known() {
		return nil, refuse(LayerType, "%v is not known", f.Type)
	}
	if err := checkCBOR(f.Body); err != nil {
		return nil, err
	}
	keys, err := topKeys(f.Body)
	if err != nil {
		return nil, err
	}
	switch f.Type {
	case TypeHello:
		return decodeMessage[Hello](f.Body, keys)
	case TypeWelcome:
		return decodeMessage[Welcome](f.Body, keys)
	case TypeSubmit:
		return decodeSubmit(f.Body, keys)
	case TypeAccepted:
		return decodeMessage[Accepted](f.Body, keys)
	case TypeRefused:
		return decodeMessage[Refused](f.Body, keys)
	case TypeQuery:
		return decodeQuery(f.Body, keys)
	case TypeState:
		return decodeMessage[State](f.Body, keys)
	case TypePing:
		return decodeMessage[Ping](f.Body, keys)
	case TypePong:
		return decodeMessage[Pong](f.Body, keys)
	}
	return decodeMessage[GoAway](f.Body, keys)
}

// shape is what keys a message has, and whether unknown ones are ignored.
// What is asked must be understood as a whole or refused; what is told may
// tell more in a newer version.
type shape struct {
	required []string
	optional []string
	open     bool
}

func shapeOf(t FrameType) shape {
	switch t {
	case TypeHello:
		return shape{[]string{"versions", "client"}, []string{"software", "features"}, true}
	case TypeWelcome:
		return shape{[]string{"version", "host", "spool", "max_frame", "max_job", "window"}, []string{"software", "features"}, true}
	case TypeSubmit:
		return shape{[]string{"seq", "id", "job"}, []string{"digest", "auth"}, false}
	case TypeAccepted:
		return shape{[]string{"seq", "id", "duplicate", "host"}, nil, true}
	case TypeRefused:
		return shape{[]string{"seq", "code", "reason"}, []string{"id", "retry_after_ms"}, true}
	case TypeQuery:
		return shape{[]string{"seq", "id"}, []string{"auth"}, false}
	case TypeState:
		return shape{[]string{"seq", "id", "state"}, []string{"cluster_id", "host", "detail"}, true}
	case TypeGoAway:
		return shape{[]string{"code", "reason", "last_seq"}, nil, true}
	}
	return shape{[]string{"nonce"}, nil, false} // PING, PONG
}

// checkKeys reports whether there are keys that were ignored.
func checkKeys(t FrameType, keys []string) (ignored bool, err error) {
	s := shapeOf(t)
	for _, k := range s.required {
		if !slices.Contains(keys, k) {
			return false, refuse(LayerMessage, "%v lacks %q", t, k)
		}
	}
	for _, k := range keys {
		if slices.Contains(s.required, k) || slices.Contains(s.optional, k) {
			continue
		}
		if !s.open {
			return false, refuse(LayerMessage, "%v has the unknown key %s", t, show(k))
		}
		ignored = true
	}
	return ignored, nil
}

func decodeMessage[M Message](body []byte, keys []string) (Message, error) {
	var m M
	ignored, err := checkKeys(m.FrameType(), keys)
	if err != nil {
		return nil, err
	}
	if err := decodeInto(decoder, &m, body); err != nil {
		return nil, err
	}
	if err := m.check(); err != nil {
		return nil, messageErr(LayerMessage, err)
	}
	if !ignored {
		if err := checkSame(body, encodeCBOR(m), LayerMessage); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func decodeQuery(body []byte, keys []string) (Message, error) {
	m, err := decodeMessage[Query](body, keys)
	if err == nil {
		return m, nil
	}
	if seq, id := requestOf(body); seq != 0 {
		return Query{Seq: seq, ID: id}, err
	}
	return nil, err
}

func decodeSubmit(body []byte, keys []string) (Message, error) {
	m, err := readSubmit(body, keys)
	if err == nil {
		return m, nil
	}
	if seq, id := requestOf(body); seq != 0 {
		return Submit{Seq: seq, ID: id}, err
	}
	return nil, err
}

func readSubmit(body []byte, keys []string) (Submit, error) {
	if _, err := checkKeys(TypeSubmit, keys); err != nil {
		return Submit{}, err
	}
	var b submitBody
	if err := decodeInto(decoder, &b, body); err != nil {
		return Submit{}, err
	}
	m := Submit{Seq: b.Seq, ID: b.ID, Digest: b.Digest, Auth: b.Auth}
	if err := m.check(); err != nil {
		return Submit{}, messageErr(LayerMessage, err)
	}
	job, err := readJob(b.Job)
	if err != nil {
		return Submit{}, err
	}
	m.Job = job
	if err := checkSame(body, encodeMessage(m), LayerMessage); err != nil {
		return Submit{}, err
	}
	if m.Digest != "" && m.Digest != Digest(job) {
		return Submit{}, refuse(LayerJob, "digest is %s, the message says %s", Digest(job), m.Digest)
	}
	return m, nil
}

// jobKeys are the keys of a job, in CBOR as in documents.
var jobKeys = []string{
	"name", "script", "command", "args", "owner", "environment", "queue", "resources", "env", "labels", "workdir",
	"type", "params",
}

func readJob(raw []byte) (Job, error) {
	keys, err := topKeys(raw)
	if err != nil {
		return Job{}, refuse(LayerJob, "job is not a map")
	}
	for _, k := range keys {
		if !slices.Contains(jobKeys, k) {
			return Job{}, refuse(LayerJob, "unknown key %s", show(k))
		}
	}
	var j Job
	if err := decodeInto(jobDecoder, &j, raw); err != nil {
		var fe *FrameError
		if errors.As(err, &fe) {
			fe.Layer = LayerJob
		}
		return Job{}, err
	}
	if err := j.Validate(); err != nil {
		return Job{}, messageErr(LayerJob, err)
	}
	// The job's bytes are what its digest is of, so a job has one form only.
	return j, checkSame(raw, encodeCBOR(j), LayerJob)
}

// decodeInto maps an item that checkCBOR has passed onto a struct.
func decodeInto(d cbor.DecMode, v any, body []byte) error {
	err := d.Unmarshal(body, v)
	if err == nil {
		return nil
	}
	// The library names Go's types and fields; its words are for us, so the
	// key is all that is kept of them where it says it.
	var te *cbor.UnmarshalTypeError
	if errors.As(err, &te) && te.StructFieldName != "" {
		field := te.StructFieldName[strings.LastIndexByte(te.StructFieldName, '.')+1:]
		return &FrameError{Layer: LayerMessage, Reason: fmt.Sprintf("%s has the wrong type: %s", field, te.CBORType), Err: err}
	}
	var ue *cbor.UnknownFieldError
	if errors.As(err, &ue) {
		return &FrameError{Layer: LayerMessage, Reason: "unknown key in resources", Err: err}
	}
	return &FrameError{Layer: LayerMessage, Reason: strings.TrimPrefix(err.Error(), "cbor: "), Err: err}
}

func messageErr(l Layer, err error) error {
	reason := err.Error()
	var fe *FieldError
	if errors.As(err, &fe) {
		reason = fe.Field + " " + fe.Reason
	}
	return &FrameError{Layer: l, Reason: reason, Err: err}
}

// checkSame refuses the one freedom that is left: to say an empty value
// instead of leaving it out.
func checkSame(got, want []byte, l Layer) error {
	if bytes.Equal(got, want) {
		return nil
	}
	return refuse(l, "an empty value is not left out")
}

// requestOf reads what is needed to answer a request that was refused.
func requestOf(body []byte) (seq uint64, id string) {
	var loose struct {
		Seq cbor.RawMessage `cbor:"seq"`
		ID  cbor.RawMessage `cbor:"id"`
	}
	if decoder.Unmarshal(body, &loose) != nil || decoder.Unmarshal(loose.Seq, &seq) != nil {
		return 0, ""
	}
	if decoder.Unmarshal(loose.ID, &id) != nil || checkID(id) != "" {
		return seq, ""
	}
	return seq, id
}
