package vfs

// Streamer is an FS that can list a directory without holding all its names.
type Streamer interface {
	// Each calls do with each name that List would return; who keeps one clones it:
	// its bytes are another's later. After an error some names may have been told;
	// what was told then is no listing.
	Each(dir string, do func(name string)) error
}

// Each lists a directory name by name.
func Each(fs FS, dir string, do func(name string)) error {
	if s, ok := fs.(Streamer); ok {
		return s.Each(dir, do)
	}
	names, err := fs.List(dir)
	for _, name := range names {
		do(name)
	}
	return err
}
