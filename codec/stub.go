package codec

import (
	"errors"
	"time"
)

type FieldError struct{ Field, Reason string }

func (e *FieldError) Error() string { return "check job: " + e.Field + ": " + e.Reason }

type Layer string
type FrameError struct {
	Layer  Layer
	Reason string
	Err    error
}

func (e *FrameError) Error() string { return "read frame: " + string(e.Layer) + ": " + e.Reason }

// DocumentError ...
type DocumentError struct {
	Format       string // "xml" or "json"
	Line, Column int
	Reason       string
	Err          error
}

func (e *DocumentError) Error() string { return e.Reason }

type Record struct {
	ID         string
	Job        Job
	Client     string
	ReceivedAt time.Time
	ReceivedBy string
	Digest     string
}

var errTodo = errors.New("not written yet")

func (j Job) Validate() error                             { return errTodo }
func (r Record) Validate() error                          { return errTodo }
func ParseJob(doc []byte) (job Job, id string, err error) { return Job{}, "", errTodo }
func CanonicalID(s string) (string, error)                { return "", errTodo }
func EncodeXML(r Record) ([]byte, error)                  { return nil, errTodo }
func DecodeXML(doc []byte) (Record, error)                { return Record{}, errTodo }
func EncodeJSON(r Record) ([]byte, error)                 { return nil, errTodo }
func DecodeJSON(doc []byte) (Record, error)               { return Record{}, errTodo }
func Marshal(m Message) (FrameType, []byte, error)        { return 0, nil, errTodo }
func Unmarshal(f Frame) (Message, error)                  { return nil, errTodo }
func encodeCBOR(v any) []byte                             { return nil }
func (Hello) check() error                                { return nil }
func (Welcome) check() error                              { return nil }
func (Submit) check() error                               { return nil }
func (Accepted) check() error                             { return nil }
func (Refused) check() error                              { return nil }
func (Query) check() error                                { return nil }
func (State) check() error                                { return nil }
func (Ping) check() error                                 { return nil }
func (Pong) check() error                                 { return nil }
func (GoAway) check() error                               { return nil }
