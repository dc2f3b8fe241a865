package codec

import (
	"fmt"
	"slices"
)

// The checks of messages' values. They hold both ways: a message that fails is
// neither sent nor taken.

const (
	maxVersions = 16
	maxFeatures = 32
)

// maxRetryAfterMS is a day: longer is a wish to never be asked again, and
// codes say that.
const maxRetryAfterMS = 24 * 3600 * 1000

func (m Hello) check() error {
	if len(m.Versions) == 0 || len(m.Versions) > maxVersions {
		return fieldErr("versions", fmt.Sprintf("has %d entries, not 1 to %d", len(m.Versions), maxVersions))
	}
	if err := fieldErr("client", checkSome(m.Client, MaxClient)); err != nil {
		return err
	}
	return checkPeer(m.Software, m.Features)
}

func (m Welcome) check() error {
	if err := fieldErr("host", nameChars.check(m.Host, MaxHost)); err != nil {
		return err
	}
	if err := fieldErr("spool", nameChars.check(m.Spool, MaxName)); err != nil {
		return err
	}
	switch {
	case m.Version == 0:
		return fieldErr("version", "is 0")
	case m.Window == 0:
		return fieldErr("window", "is 0")
	case m.MaxJob == 0 || m.MaxJob > m.MaxFrame:
		return fieldErr("max_job", fmt.Sprintf("is %d, not in 1 to max_frame", m.MaxJob))
	}
	return checkPeer(m.Software, m.Features)
}

func checkPeer(software string, features []string) error {
	if err := fieldErr("software", checkValue(software, MaxClient, checkLine)); err != nil {
		return err
	}
	if len(features) > maxFeatures {
		return fieldErr("features", fmt.Sprintf("has %d entries, more than %d", len(features), maxFeatures))
	}
	for i, f := range features {
		if why := nameChars.check(f, MaxWord); why != "" {
			return fieldErr(fmt.Sprintf("features[%d]", i), why)
		}
	}
	return nil
}

func checkRequest(seq uint64, id string) error {
	if seq == 0 {
		return fieldErr("seq", "is 0")
	}
	return fieldErr("id", checkID(id))
}

func (m Submit) check() error {
	if err := checkRequest(m.Seq, m.ID); err != nil {
		return err
	}
	if m.Digest != "" {
		if err := fieldErr("digest", checkDigest(m.Digest)); err != nil {
			return err
		}
	}
	return m.Auth.check()
}

func (m Accepted) check() error {
	if err := checkRequest(m.Seq, m.ID); err != nil {
		return err
	}
	return fieldErr("host", nameChars.check(m.Host, MaxHost))
}

func (m Refused) check() error {
	if m.Seq == 0 {
		return fieldErr("seq", "is 0")
	}
	if m.ID != "" {
		if err := fieldErr("id", checkID(m.ID)); err != nil {
			return err
		}
	}
	if m.RetryAfterMS < 0 || m.RetryAfterMS > maxRetryAfterMS {
		return fieldErr("retry_after_ms", fmt.Sprintf("is %d, not in 0 to %d", m.RetryAfterMS, maxRetryAfterMS))
	}
	return checkWhy(m.Code, m.Reason)
}

func (m Query) check() error {
	if err := checkRequest(m.Seq, m.ID); err != nil {
		return err
	}
	return m.Auth.check()
}

func (m State) check() error {
	if err := checkRequest(m.Seq, m.ID); err != nil {
		return err
	}
	if err := fieldErr("state", checkLower(m.State)); err != nil {
		return err
	}
	if err := fieldErr("cluster_id", checkValue(m.ClusterID, MaxClient, checkLine)); err != nil {
		return err
	}
	if m.Host != "" {
		if err := fieldErr("host", nameChars.check(m.Host, MaxHost)); err != nil {
			return err
		}
	}
	return fieldErr("detail", checkValue(m.Detail, MaxReason, checkLine))
}

func (Ping) check() error { return nil }

func (Pong) check() error { return nil }

func (m GoAway) check() error { return checkWhy(m.Code, m.Reason) }

func checkWhy(code Code, reason string) error {
	if err := fieldErr("code", checkLower(string(code))); err != nil {
		return err
	}
	return fieldErr("reason", checkValue(reason, MaxReason, checkLine))
}

// checkLower checks a word of the protocol: known or of a newer version.
func checkLower(s string) string {
	bad := func(b byte) bool { return (b < 'a' || b > 'z') && b != '_' }
	if s == "" || len(s) > MaxWord || slices.ContainsFunc([]byte(s), bad) {
		return show(s) + " is not a word of a-z and '_'"
	}
	return ""
}
