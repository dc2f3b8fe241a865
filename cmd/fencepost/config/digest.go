package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Digest is short and equal on hosts that agree on the settings that all hosts
// should agree on; addresses, programs' paths and the like may differ.
func (c *Config) Digest() string {
	h := sha256.New()
	for _, s := range Settings() {
		if s.Shared {
			fmt.Fprintf(h, "%s=%q\n", s.Key, c.Text(s))
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}
