// Package trust keeps files that others may have written from being taken for a
// job. It stands between the spool and the share.
//
// # Guarantees
//
//   - With a key, the file of a job is handed out only as a host with that key
//     wrote it for that job: not changed, not cut, not another job's.
//   - [Owners] refuses a job's file that somebody else owns, or may write, by the
//     descriptor that was opened, not by a name.
//   - What is refused matches vfs.ErrUntrusted, and so vfs.ErrNotRegular: the
//     stages set it aside. A host without the key gives a signed file back.
//
// # Assumes
//
//   - The key is on the hosts, not on the share.
//
// # Does not
//
//   - Protect names: who may rename on the share can still take jobs away, put
//     them back, or bring an old file of a job back. The gates stand against that.
//   - Hide anything: files are signed, not encrypted.
package trust
