package slurmrest

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"fencepost/submit"
	"fencepost/submit/internal/word"
)

// Codes of Slurm's that are told apart here; the numbers are those of its
// slurm_errno.h, and never change.
const (
	codeInvalidJob = 2017
	codeAccounting = 2050
)

// over is what is said of ids that are not known (any more), or of jobs that are
// over.
var over = []int{codeInvalidJob, 2021, 2084, 4002}

// outcomes is what codes mean. Nothing that isn't known here is taken for a
// refusal: it may have been accepted.
var outcomes = map[int]submit.Outcome{
	// Surely not accepted, nobody's fault.
	11:   submit.Unavailable, // the job limit (EAGAIN)
	1800: submit.Unavailable, // no connection to the controller
	2027: submit.Unavailable, // a standby controller
	2037: submit.Unavailable, // disabled
	2070: submit.Unavailable, // partition inactive
	2105: submit.Unavailable, // submissions disabled
	2131: submit.Unavailable, // a standby controller

	// This host.
	1005: submit.Unfit,                                                             // another protocol version
	1007: submit.Unfit,                                                             // authentication
	2002: submit.Unfit,                                                             // denied
	2010: submit.Unfit,                                                             // invalid user
	6000: submit.Unfit, 6001: submit.Unfit, 6004: submit.Unfit, 6007: submit.Unfit, // munge, or the token

	// The job.
	2000: submit.Rejected, 2001: submit.Rejected, 2003: submit.Rejected, 2004: submit.Rejected, 2005: submit.Rejected,
	2006: submit.Rejected, 2008: submit.Rejected, 2009: submit.Rejected, 2012: submit.Rejected, 2014: submit.Rejected,
	2015: submit.Rejected, 2018: submit.Rejected, 2029: submit.Rejected, 2044: submit.Rejected, 2045: submit.Rejected,
	2048: submit.Rejected, codeAccounting: submit.Rejected, 2051: submit.Rejected, 2057: submit.Rejected, 2063: submit.Rejected,
	2066: submit.Rejected, 2069: submit.Rejected, 2072: submit.Rejected, 2115: submit.Rejected, 2119: submit.Rejected,
	2122: submit.Rejected,
	9001: submit.Rejected, 9002: submit.Rejected, // this daemon can't read it
}

// statuses is what a status means that slurmrestd, or a proxy before it, gives
// without a word of Slurm's.
var statuses = map[int]submit.Outcome{
	http.StatusUnauthorized: submit.Unfit, http.StatusForbidden: submit.Unfit, http.StatusNotFound: submit.Unfit,
	http.StatusMethodNotAllowed: submit.Unfit, http.StatusBadRequest: submit.Unfit, http.StatusProxyAuthRequired: submit.Unfit,
	http.StatusRequestEntityTooLarge: submit.Rejected, http.StatusTooManyRequests: submit.Unavailable,
	http.StatusServiceUnavailable: submit.Unavailable,
}

// unanswered judges a request that has no answer. Only where there was never a
// connection for it is it sure that nothing was sent. The daemon behind a socket
// is this host's own, so that its absence is, too.
func (c *Cluster) unanswered(r request, err error, connected bool) error {
	e := &submit.Error{Op: r.op, Err: err}
	var cert *tls.CertificateVerificationError
	switch {
	case errors.As(err, &cert):
		e.Outcome = submit.Unfit
	case !connected && c.door.unix && !errors.Is(err, errTimeout) && !errors.Is(err, context.Canceled):
		e.Outcome, e.Detail = submit.Unfit, "is slurmrestd running on this host, and may this user use its socket?"
	case !connected || !r.mutates:
		e.Outcome = submit.Unavailable
	}
	return e
}

// judge reads an answer and says what it means.
func (c *Cluster) judge(ctx context.Context, r request, resp *http.Response) (*answer, error) {
	read, limit := r.read, r.limit
	if limit == 0 {
		limit = maxAnswer
	}
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") || resp.StatusCode/100 != 2 && resp.StatusCode != http.StatusInternalServerError {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, word.MaxMessage))
		return nil, status(r, resp, text)
	}
	if read == nil {
		read = readAnswer
	}
	body := &io.LimitedReader{R: resp.Body, N: limit}
	a, err := read(body)
	if err == nil {
		// To its end, so that the connection can be used again.
		_, err = io.Copy(io.Discard, body)
	}
	if body.N <= 0 {
		err = fmt.Errorf("answer of over %d bytes", limit)
	}
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, unclear(r, "", fmt.Errorf("%s: %w", resp.Status, err))
	}
	// The id counts, whatever is said beside it.
	if resp.StatusCode/100 == 2 && (len(a.Errors) == 0 || a.JobID > 0) {
		return a, nil
	}
	return a, r.failed(a, resp.Status)
}

func readAnswer(r io.Reader) (*answer, error) {
	a := &answer{}
	return a, json.NewDecoder(r).Decode(a)
}

// status judges an answer that isn't Slurm's.
func status(r request, resp *http.Response, text []byte) error {
	outcome, ok := statuses[resp.StatusCode]
	if !ok {
		return unclear(r, word.Message(text), errors.New(resp.Status))
	}
	if !r.mutates && outcome == submit.Rejected {
		outcome = submit.Unfit
	}
	return &submit.Error{Outcome: outcome, Op: r.op, Detail: word.Message(text), Err: errors.New(resp.Status)}
}

// unclear is unknown for what may have been done, and unavailable for a mere
// question.
func unclear(r request, detail string, err error) error {
	e := &submit.Error{Op: r.op, Detail: detail, Err: err}
	if !r.mutates {
		e.Outcome = submit.Unavailable
	}
	return e
}

// failed judges what stands under "errors". Several that mean different things
// mean nothing that is sure.
func (r request) failed(a *answer, status string) error {
	codes := []int{}
	for _, p := range a.Errors {
		if n := p.code(); n != 0 && !slices.Contains(codes, n) {
			codes = append(codes, n)
		}
	}
	if len(codes) > 0 && !slices.ContainsFunc(codes, func(n int) bool { return !slices.Contains(r.benign, n) }) {
		return nil
	}
	outcome, known := submit.Unknown, false
	for i, n := range codes {
		o, ok := outcomes[n]
		if n == codeAccounting && limitWords(a.words()) {
			o = submit.Unavailable
		}
		if !ok || i > 0 && o != outcome {
			known = false
			break
		}
		outcome, known = o, true
	}
	if !known {
		detail := a.words()
		if !r.mutates && slices.Contains(codes, -1) {
			detail += " (the controller doesn't answer, or refuses this user, token or munge key)"
		}
		return unclear(r, detail, errors.New(status))
	}
	if outcome == submit.Rejected && !r.mutates {
		outcome = submit.Unavailable
	}
	return &submit.Error{Outcome: outcome, Op: r.op, Detail: a.words(), Err: errors.New(status)}
}

// limitWords tells a limit that will have room again from a policy.
func limitWords(s string) bool {
	return strings.Contains(s, "SubmitJobLimit") || strings.Contains(s, "MaxSubmitJob") || strings.Contains(s, "MaxJobsPerUser")
}
