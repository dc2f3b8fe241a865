package secure

// Remember sets how many signatures are remembered in a life.
func (t *Tokens) Remember(n int) { t.seen.most = n }
