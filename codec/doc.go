// Package codec holds the job and the forms it travels in: binary frames with
// CBOR bodies on the wire, XML and JSON documents on the share. Bytes in,
// bytes out: it knows no files, no clock and no network.
//
// The formats are specified in docs/spec/wire.md, docs/spec/job-xml.md and
// docs/spec/job-json.md; the vectors in testdata are part of them.
//
// # Guarantees
//
//   - decode(encode(x)) equals x for every record that passes
//     [Record.Validate], in XML, in JSON and in CBOR. Empty slices and maps
//     equal absent ones and come back as nil.
//   - Every encoder is deterministic: the same value gives the same bytes, on
//     every host and in every run.
//   - What a decoder accepts passes Validate: a decoded job holds no text that
//     another form can't carry, and no name that could be taken for an option,
//     a directive or a path.
//   - What is refused is refused with a reason, and with where: line and column
//     for documents ([DocumentError]), the layer for frames ([FrameError]).
//   - [ReadFrame] checks the header's checksum before it believes the length,
//     the length before it allocates, and allocates as bytes arrive: a peer
//     that announces 4 GiB costs nothing.
//
// # Assumes
//
//   - The caller bounds time: a reader that stalls stalls ReadFrame.
//   - The caller bounds documents by [MaxDocument] before reading them into
//     memory; the decoders check it again.
//
// # Does not
//
//   - Compare [Record].Digest with the record's job: the digest is that of the
//     job as the client sent it, and the one who stores a job may expand it.
//   - Decide what a client may do, which version to speak, or what to retry:
//     it names codes ([Code]) and says which of them are final.
package codec
