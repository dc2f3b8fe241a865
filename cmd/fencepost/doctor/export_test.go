package doctor

import (
	"context"
	"io/fs"
	"time"

	"fencepost/lease"
	"fencepost/submit"
)

// What tests reach.
var (
	JudgeType  = judgeType
	JudgeUmask = judgeUmask
	JudgeFree  = judgeFree
	FindMount  = findMount
	Submounts  = submounts
	Names      = names
)

// Timers makes the check of timers alone.
func Timers(machine fs.FS, dir string) Finding {
	return checkTimers(context.Background(), &patient{Config: Config{Dir: dir, Machine: machine, Begin: func(string, string) func() { return func() {} }}, real: dir})
}

// ClientID makes the check of the client's identifier alone.
func ClientID(machine fs.FS, own string, members ...lease.Member) Finding {
	return checkClientID(context.Background(), &patient{Config: Config{Machine: machine, Host: "a", MachineID: own}, members: members})
}

// Hosts makes the checks that compare hosts, by id.
func Hosts(cfg Config, members []lease.Member, hosts []lease.HostState) map[string]Finding {
	p := &patient{Config: cfg, members: members, hosts: hosts}
	out := map[string]Finding{}
	for _, c := range hostChecks() {
		if c.id < "FP045" {
			out[c.id] = c.run(context.Background(), p)
		}
	}
	return out
}

// ServerClock judges an offset.
func ServerClock(offset time.Duration) Finding {
	return checkServerClock(context.Background(), &patient{offset: offset})
}

// Sources makes the check of what hosts have mounted.
func Sources(cfg Config, hosts []lease.HostState) Finding {
	p := newPatient(cfg)
	p.hosts = hosts
	return checkSources(p)
}

// Token makes the check of a cluster's token alone.
func Token(c submit.Cluster) Finding { return checkToken(context.Background(), nil, c) }

// DoorChecks makes the checks of certificates and secrets, by id.
func DoorChecks(d Door, machine fs.FS) map[string]Finding {
	p := &patient{Config: Config{Door: d, Machine: machine, Begin: func(string, string) func() { return func() {} }}}
	out := map[string]Finding{}
	for _, c := range doorChecks() {
		out[c.id] = c.run(context.Background(), p)
	}
	return out
}
