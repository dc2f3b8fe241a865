package batch

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"fencepost/codec"
)

// Doc is one job document, or why it is none.
type Doc struct {
	File string // "-" for standard input
	Line int    // where it begins; 1 in a file that is one document
	ID   string // from the document, or empty
	Job  codec.Job
	Err  error // *BadDocument, or the system's error
}

// BadDocument is a document that was not sent.
type BadDocument struct {
	File         string
	Line, Column int // Column 0 = the whole line
	Reason       string
}

func (e *BadDocument) Error() string {
	if e.Column == 0 {
		return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Reason)
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Reason)
}

// Source says where documents come from.
type Source struct {
	Files []string // "-" is Stdin
	Lines bool     // a document a line, instead of one a file
	Stdin io.Reader
}

// Docs reads the documents, one after the other, as they are asked for.
func (s Source) Docs() iter.Seq[Doc] {
	return func(yield func(Doc) bool) {
		for _, file := range s.Files {
			if !s.file(file, yield) {
				return
			}
		}
	}
}

func (s Source) file(file string, yield func(Doc) bool) bool {
	in := s.Stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return yield(Doc{File: file, Line: 1, Err: err})
		}
		defer f.Close()
		in = f
	}
	if s.Lines {
		return lines(file, in, yield)
	}
	text, err := io.ReadAll(io.LimitReader(in, codec.MaxDocument+1)) // one more, for the codec to refuse
	if err != nil {
		return yield(Doc{File: file, Line: 1, Err: fmt.Errorf("read %s: %w", file, err)})
	}
	return yield(parse(file, 1, text, false))
}

// lines reads a document from each line that isn't blank.
func lines(file string, in io.Reader, yield func(Doc) bool) bool {
	r := bufio.NewReaderSize(in, 64<<10)
	for n := 1; ; n++ {
		text, tooLong, err := readLine(r)
		if err != nil && !errors.Is(err, io.EOF) {
			return yield(Doc{File: file, Line: n, Err: fmt.Errorf("read %s: %w", file, err)})
		}
		switch {
		case tooLong:
			bad := &BadDocument{File: file, Line: n, Reason: fmt.Sprintf("has more than %d bytes", codec.MaxDocument)}
			if !yield(Doc{File: file, Line: n, Err: bad}) {
				return false
			}
		case len(bytes.TrimSpace(text)) > 0:
			if !yield(parse(file, n, text, true)) {
				return false
			}
		}
		if err != nil {
			return true
		}
	}
}

// readLine reads one line without its end. Of a line that is too long it keeps
// nothing, but reads on to its end.
func readLine(r *bufio.Reader) (line []byte, tooLong bool, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if !tooLong {
			line = append(line, part...)
		}
		if len(line) > codec.MaxDocument {
			line, tooLong = nil, true
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimSuffix(line, []byte("\n")), tooLong, err
		}
	}
}

// parse reads one document; what it refuses has a position in the file.
func parse(file string, line int, text []byte, lines bool) Doc {
	d := Doc{File: file, Line: line}
	job, id, err := codec.ParseJob(text)
	d.Job, d.ID = job, id
	var bad *codec.DocumentError
	switch {
	case errors.As(err, &bad):
		reason := bad.Reason
		if !lines && bytes.Count(text, []byte("\n{")) > 0 && bad.Column == 1 && bad.Line > 1 {
			reason += " (a document a line? --jsonl)"
		}
		d.Err = &BadDocument{File: file, Line: line + bad.Line - 1, Column: bad.Column, Reason: reason}
	case err != nil:
		d.Err = &BadDocument{File: file, Line: line, Reason: err.Error()}
	}
	return d
}
