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
