package vfs

// ForceWalk makes o do without openat2.
func ForceWalk(o *OS) { o.walk = true }
