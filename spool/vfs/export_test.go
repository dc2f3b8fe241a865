package vfs

// ForceWalk makes o do without openat2.
func ForceWalk(o *OS) { o.walk = true }

// AsNFS makes o do as on NFS.
func AsNFS(o *OS) { o.nfs = true }

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
