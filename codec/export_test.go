package codec

// EncodeCBOR is the job's deterministic encoding, for tests of Size and Digest.
func EncodeCBOR(v any) []byte { return encodeCBOR(v) }

// QuickXML is DecodeXML's quick way alone, SlowXML its slow one.
func QuickXML(doc []byte) (Record, bool) { return quickXML(doc) }

// SlowXML is the other.
func SlowXML(doc []byte) (Record, error) {
	d, err := newDocument(formatXML, doc)
	if err != nil {
		return Record{}, err
	}
	return decodeXML(d, doc)
}
