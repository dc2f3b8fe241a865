package lease

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"fencepost/spool"
)

// Identity says which process this is.
type Identity struct {
	Host         string // a spool.ValidHost
	MachineID    string
	BootID       string
	PID          int
	Nonce        string // fresh for each process
	Started      time.Time
	Version      string
	ConfigDigest string
	From         Whereabouts // of one that is refused: see Here
}

// Whereabouts helps people to find a process that nobody knows. Nothing rests on
// it, and what can't be found out is empty.
type Whereabouts struct {
	Hostname  string // the machine's, whatever the process calls itself
	Addresses string // of its interfaces, blanks between them
	User      string // that the process runs as
	Program   string // its file
}

// maxAddresses bounds how many are told.
const maxAddresses = 8

// Here are this process's own whereabouts. It asks nothing that could hang, such as
// a directory service: a host that is refused ends at once.
func Here() Whereabouts {
	var w Whereabouts
	w.Hostname, _ = os.Hostname()
	w.Program, _ = os.Executable()
	w.User = userName(os.Geteuid())
	all, _ := net.InterfaceAddrs()
	var told []string
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() && len(told) < maxAddresses {
			told = append(told, n.IP.String())
		}
	}
	w.Addresses = strings.Join(told, " ")
	return w
}

// userName is a user's name in the machine's own list, else the number.
func userName(uid int) string {
	id := strconv.Itoa(uid)
	data, _ := os.ReadFile("/etc/passwd")
	for line := range strings.Lines(string(data)) {
		if f := strings.Split(line, ":"); len(f) > 2 && f[2] == id {
			return f[0]
		}
	}
	return id
}

// Where a Linux machine keeps its identity: never on the share.
var machineIDFiles = []string{"/etc/machine-id", "/var/lib/dbus/machine-id"}

const bootIDFile = "/proc/sys/kernel/random/boot_id"

// Local is this process's identity. host and machineID, if not empty, override
// what the machine says of itself; Version and ConfigDigest are the caller's to
// fill in.
func Local(host, machineID string) (Identity, error) {
	host, err := localHost(host)
	if err != nil {
		return Identity{}, err
	}
	if machineID == "" {
		if machineID, err = localMachine(); err != nil {
			return Identity{}, err
		}
	}
	boot, err := os.ReadFile(bootIDFile)
	if err != nil {
		return Identity{}, fmt.Errorf("read boot id: %w", err)
	}
	nonce, err := uuid.NewRandom()
	if err != nil {
		return Identity{}, fmt.Errorf("make instance id: %w", err)
	}
	id := Identity{Host: host, MachineID: strings.ToLower(strings.TrimSpace(machineID)),
		BootID: strings.TrimSpace(string(boot)), PID: os.Getpid(), Nonce: nonce.String(), Started: time.Now()}
	return id, id.validate()
}

// localHost is the given name in lower case, or the machine's without domain.
func localHost(host string) (string, error) {
	given := host
	if host == "" {
		name, err := os.Hostname()
		if err != nil {
			return "", fmt.Errorf("ask for the host name: %w", err)
		}
		given = name
		host, _, _ = strings.Cut(name, ".")
	}
	host = strings.ToLower(host)
	if !spool.ValidHost(host) {
		return "", fmt.Errorf("host name %q can't be used in file names: 1 to 63 of a-z, 0-9, dot and hyphen, "+
			"beginning and ending with a letter or digit; choose another one for this instance", given)
	}
	return host, nil
}

func localMachine() (string, error) {
	var failed []error
	for _, file := range machineIDFiles {
		data, err := os.ReadFile(file)
		if id := strings.TrimSpace(string(data)); err == nil && id != "" && id != "uninitialized" {
			return id, nil
		}
		if err == nil {
			err = fmt.Errorf("%s is empty", file)
		}
		failed = append(failed, err)
	}
	return "", fmt.Errorf("this machine has no machine id (systemd-machine-id-setup makes one, or set one in the configuration): %w",
		errors.Join(failed...))
}

// maxIdentity bounds each string of an identity: it has to fit a record.
const maxIdentity = 100

func (id Identity) validate() error {
	if !spool.ValidHost(id.Host) {
		return fmt.Errorf("identity: invalid host name %q", id.Host)
	}
	for _, f := range []struct{ what, value string }{
		{"machine id", id.MachineID}, {"boot id", id.BootID}, {"nonce", id.Nonce},
	} {
		if !word(f.value) {
			return fmt.Errorf("identity of host %s: %s %q: want 1 to %d letters, digits, hyphens, dots or underscores",
				id.Host, f.what, f.value, maxIdentity)
		}
	}
	return nil
}

// word says whether s can be part of a file name and of a record.
func word(s string) bool {
	if len(s) == 0 || len(s) > maxIdentity || s[0] == '.' {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}
