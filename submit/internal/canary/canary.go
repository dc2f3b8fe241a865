package canary

import (
	"strconv"
	"strings"
)

const head = "canary."

// Key names the canary of one instance. It stands where a job's id would: no
// UUID looks like it.
func Key(host string, epoch uint64) string {
	return head + host + "." + strconv.FormatUint(epoch, 10)
}

// Token is the canary's token: sequence number and generation are 0, which no
// claim's are.
func Token(spool, host string, epoch uint64) string {
	return spool + "/" + host + "/" + strconv.FormatUint(epoch, 10) + "/0/0"
}

// Parse takes a job's name at the cluster apart; ok is false if it isn't a
// canary's.
func Parse(prefix, name string) (host string, epoch uint64, ok bool) {
	key, ok := strings.CutPrefix(name, prefix+head)
	if !ok {
		return "", 0, false
	}
	i := strings.LastIndexByte(key, '.')
	if i < 1 {
		return "", 0, false
	}
	epoch, err := strconv.ParseUint(key[i+1:], 10, 64)
	if err != nil || strconv.FormatUint(epoch, 10) != key[i+1:] {
		return "", 0, false
	}
	return key[:i], epoch, true
}
