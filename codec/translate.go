package codec

// Translate turns a job's XML file into its JSON file: what the translate stage
// does. The same input always gives the same output.
func Translate(xml []byte) ([]byte, error) {
	r, err := DecodeXML(xml)
	if err != nil {
		return nil, err
	}
	return encodeJSON(r), nil // it was checked when it was read
}
