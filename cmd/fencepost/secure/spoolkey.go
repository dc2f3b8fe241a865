package secure

import (
	"bytes"
	"fmt"
)

// SpoolKeys are the keys that the hosts of a spool share, and the share doesn't
// have: one for each purpose, made of one secret.
type SpoolKeys struct {
	Files   []byte // signs the files of jobs
	Journal []byte // makes the links of journals
}

// ReadSpoolKeys reads the secret: a file with one line of 32 characters or more.
// Without a file there are no keys.
func ReadSpoolKeys(file string) (SpoolKeys, error) {
	if file == "" {
		return SpoolKeys{}, nil
	}
	if err := checkSecret(file); err != nil {
		return SpoolKeys{}, fmt.Errorf("spool_key_file: %w", err)
	}
	data, err := readSmall(file)
	if err != nil {
		return SpoolKeys{}, fmt.Errorf("spool_key_file: %w", err)
	}
	data = bytes.TrimSpace(data)
	if len(data) < minSecret || bytes.ContainsAny(data, " \t\r\n") {
		return SpoolKeys{}, fmt.Errorf("spool_key_file: %s: not one line of %d characters or more (openssl rand -hex 32 makes one)", file, minSecret)
	}
	return SpoolKeys{mac(string(data), []byte("fencepost spool files")), mac(string(data), []byte("fencepost spool journal"))}, nil
}
