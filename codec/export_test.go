package codec

// EncodeCBOR is the job's deterministic encoding, for tests of Size and Digest.
func EncodeCBOR(v any) []byte { return encodeCBOR(v) }
