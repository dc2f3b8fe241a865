package codec

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Record is what travels through the stages: the job, and how it came in.
type Record struct {
	ID         string // canonical, see CanonicalID
	Job        Job
	Client     string    // who sent it, as the accepting host knows it
	ReceivedAt time.Time // by the accepting host's clock; UTC, whole milliseconds
	ReceivedBy string    // the accepting host
	Digest     string    // Digest of the job as the client sent it
}

// Validate reports the first rule that the record breaks, as a *[FieldError].
// It doesn't compare Digest with Job: see the package's documentation.
func (r Record) Validate() error {
	if err := fieldErr("id", checkID(r.ID)); err != nil {
		return err
	}
	if err := fieldErr("client", checkSome(r.Client, MaxClient)); err != nil {
		return err
	}
	if t := r.ReceivedAt; t.UTC().Year() < 1970 || t.UTC().Year() > 9999 {
		return fieldErr("received_at", fmt.Sprintf("year %d is not in 1970 to 9999", t.UTC().Year()))
	}
	if err := fieldErr("received_by", nameChars.check(r.ReceivedBy, MaxHost)); err != nil {
		return err
	}
	if err := fieldErr("digest", checkDigest(r.Digest)); err != nil {
		return err
	}
	if r.Job.Type != "" {
		return fieldErr("type", "is left: a record holds what runs")
	}
	return r.Job.Validate()
}

// Equal reports whether both say the same: see [Job.Equal].
func (r Record) Equal(o Record) bool {
	return r.ID == o.ID && r.Client == o.Client && r.ReceivedAt.Equal(o.ReceivedAt) &&
		r.ReceivedBy == o.ReceivedBy && r.Digest == o.Digest && r.Job.Equal(o.Job)
}

// CanonicalID returns the UUID s in its one form: 36 characters, lower case.
// Only the form with four hyphens is read. The nil UUID (all zero) and the max
// UUID are refused: they are what a program sends that forgot to make one.
func CanonicalID(s string) (string, error) {
	id := strings.ToLower(s)
	if why := checkID(id); why != "" {
		return "", &FieldError{Field: "id", Reason: why}
	}
	return id, nil
}

func checkID(s string) string {
	// uuid.Parse reads four forms; the length admits the one with hyphens only.
	u, err := uuid.Parse(s)
	switch {
	case len(s) != 36 || err != nil:
		return show(s) + " is not a UUID"
	case u.String() != s:
		return show(s) + " is not a UUID in lower case"
	case u == uuid.Nil || u == uuid.Max:
		return show(s) + " names nothing"
	}
	return ""
}

func checkSome(s string, limit int) string {
	if s == "" {
		return "is empty"
	}
	return checkValue(s, limit, checkLine)
}

func checkDigest(s string) string {
	if len(s) != 64 || strings.Trim(s, "0123456789abcdef") != "" {
		return show(s) + " is not a SHA-256 in lower-case hex"
	}
	return ""
}

// timeForm has always three digits of milliseconds and always Z, so that a
// time has one form, and forms sort as times do.
const timeForm = "2006-01-02T15:04:05.000Z"

func formatTime(t time.Time) string { return t.UTC().Truncate(time.Millisecond).Format(timeForm) }

func parseTime(s string) (time.Time, string) {
	t, err := time.Parse(timeForm, s)
	// time.Parse takes a comma for the point: only the form itself is legal.
	if err != nil || t.Format(timeForm) != s {
		return time.Time{}, show(s) + " is not a UTC time like " + timeForm
	}
	return t, ""
}
