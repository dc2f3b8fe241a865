package nfssim

// Arrival is a request that has reached the server, and that a model of the
// server's time holds back until it has its turn.
type Arrival struct{ r *rpc }

// RPC is the request's name, Call what a process asked for.
func (a Arrival) RPC() string { return a.r.op.String() }

// Call is nil for what the kernel does by itself.
func (a Arrival) Call() *Call { return a.r.call }

// Dirs are the numbers of the directories whose names it is to change; 0 is none.
func (a Arrival) Dirs() (dir, other uint64) {
	r := a.r
	switch r.op {
	case opRename:
		if r.to != r.dir {
			other = r.to.ino
		}
		return r.dir.ino, other
	case opLink:
		return r.to.ino, 0
	case opOpen:
		if !r.create {
			return 0, 0
		}
	case opMkdir, opRmdir, opRemove:
	default:
		return 0, 0
	}
	return r.dir.ino, 0
}

// Durable says whether, as things are now, the request changes what has to be on
// stable storage before it is answered. A rename of what is gone doesn't.
func (a Arrival) Durable() bool {
	r := a.r
	switch r.op {
	case opOpen:
		return r.create && r.dir.get(r.name) == nil
	case opRename, opRmdir, opRemove:
		return r.dir.get(r.name) != nil
	case opLink:
		return r.to.get(r.toName) == nil
	case opWrite:
		return r.stable
	case opMkdir, opSetattr, opCommit:
		return true
	}
	return false
}

// Serve executes the request, and sends the answer on its way.
func (a Arrival) Serve() { a.r.arrived() }
