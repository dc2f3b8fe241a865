package vfs

// ForceWalk makes o do without openat2.
func ForceWalk(o *OS) { o.walk = true }

// KeptDirs is how many directories' descriptors are kept.
func KeptDirs(o *OS) int {
	o.dirs.mu.Lock()
	defer o.dirs.mu.Unlock()
	return len(o.dirs.open)
}

// Syncs is syncs.
type Syncs = syncs

// Do is do.
func (s *syncs) Do(dir string, sync func() error) error { return s.do(dir, sync) }

// SyncsBusy is how many directories are being synced.
func SyncsBusy(s *Syncs) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.busy)
}

// SyncsWaiting is whether somebody waits for the next fsync of a directory.
func SyncsWaiting(s *Syncs, dir string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.busy[dir] != nil
}
