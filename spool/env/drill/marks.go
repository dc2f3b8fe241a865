package drill

// The marks.
const (
	LookFoundDone Mark = "look-found-done" // a rename was answered with an error, and a look found it done
	SourceGone    Mark = "source-gone"     // a rename was answered ENOENT twice, and its source is gone
	LinkIsOurs    Mark = "link-is-ours"    // a link was answered EEXIST, and the name is our own file's
)
