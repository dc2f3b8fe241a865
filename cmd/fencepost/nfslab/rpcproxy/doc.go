// Package rpcproxy stands between an NFS client and its server and loses the
// reply to one named call, or keeps all replies for a while.
//
// Guarantees: what it passes on it passes on unchanged, and in order unless it is
// slow. The reply
// that it loses is one that the server gave: the call was done. From then on
// the client's connections stay without answer until Join, and both ends see
// the one connection that carried the call break.
//
// Assumes: NFS 3 or 4 over TCP, calls whose operations stand in the order in
// which Linux sends them.
//
// Does not: understand replies, encryption, or RPCs of other programs.
package rpcproxy
