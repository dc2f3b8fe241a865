package nfslab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"

	"fencepost/cmd/fencepost/nfslab/guest"
	"fencepost/cmd/fencepost/nfslab/line"
)

// HostConfig is a host to add.
type HostConfig struct {
	// Name is its hostname, and by it its NFS client's identity: two hosts of
	// one name are twins. "" = "host" and its number.
	Name string
	// Version of NFS: "4.2", "4.1", "4.0" or "3". "" = "4.2".
	Version string
	// Options are more options for the mount: "actimeo=60,lookupcache=all".
	Options string
	// Lossy hosts have a proxy between them and the server, so that LoseReply
	// works. All that they do takes longer.
	Lossy bool
	// NewPort has the proxy of a lossy host come to the server from another
	// port with each connection. Otherwise it takes the host's, as without it.
	NewPort bool
}

// Mount is where the export is on every host.
const Mount = guest.Mount

// Host is a host in the laboratory. Its Client starts commands on it.
type Host struct {
	*line.Client
	Name string
	Addr string // in the laboratory's network; the server is 10.9.0.1

	lab    *Lab
	number int
	init   *line.Cmd
	proxy  *line.Cmd
	acks   chan string
	lost   chan string
}

// maxHosts bounds the hosts that a laboratory ever had: an address is never
// used again, since servers remember clients by it.
const maxHosts = 240

// AddHost starts a host and mounts the export on it.
func (l *Lab) AddHost(ctx context.Context, c HostConfig) (*Host, error) {
	h := &Host{Name: c.Name, lab: l, acks: make(chan string, 16), lost: make(chan string, 16)}
	l.mu.Lock()
	l.hosts = append(l.hosts, h)
	h.number = len(l.hosts)
	l.mu.Unlock()
	if h.number > maxHosts {
		return nil, fmt.Errorf("more than %d hosts", maxHosts)
	}
	h.Addr = guest.HostAddr(h.number)
	if h.Name == "" {
		h.Name = fmt.Sprintf("host%d", h.number)
	}
	if c.Version == "" {
		c.Version = "4.2"
	}
	if err := h.start(ctx, c); err != nil {
		return nil, errors.Join(fmt.Errorf("host %s: %w", h.Name, err), h.Close())
	}
	return h, nil
}

func (h *Host) start(ctx context.Context, c HostConfig) error {
	port := serverPort
	if c.Lossy {
		if err := h.startProxy(ctx, c.NewPort); err != nil {
			return err
		}
		port = h.proxyPort()
	}
	said := &lockedBuffer{}
	h.init = h.lab.Server.Command(guest.Program, guest.RoleHost, h.Name, h.Addr, c.Version, fmt.Sprint(port), c.Options)
	r, w := io.Pipe()
	h.init.Namespaces, h.init.Input, h.init.Stdout, h.init.Stderr = true, true, w, said
	if err := h.init.Start(); err != nil {
		return err
	}
	link := h.lab.Server.Command("ip", "link", "add", h.link(), "master", "br0", "up", "type", "veth",
		"peer", "name", "eth0", "netns", fmt.Sprint(h.init.Pid()))
	if _, err := link.Output(ctx); err != nil {
		return err
	}
	if _, err := io.WriteString(h.init, "\n"); err != nil { // its cable is there
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = r.CloseWithError(context.Cause(ctx)) })
	defer stop()
	if _, err := io.ReadFull(r, make([]byte, len(guest.Ready))); err != nil {
		return fmt.Errorf("%w: %s", err, said)
	}
	h.Client = line.NewClient(r, h.init)
	return nil
}

// link is the server's end of the host's network cable.
func (h *Host) link() string { return fmt.Sprintf("v%d", h.number) }

const serverPort = 2049

func (h *Host) proxyPort() int { return 3000 + h.number }

// startProxy starts the way to the server that can lose replies. The server
// sees the client at an address of its own, not the proxy's.
func (h *Host) startProxy(ctx context.Context, newPort bool) error {
	as := fmt.Sprintf("10.9.1.%d", 10+h.number)
	h.proxy = h.lab.Server.Command(guest.Program, guest.RoleProxy,
		fmt.Sprintf("%s:%d", guest.ServerAddr, h.proxyPort()), fmt.Sprintf("%s:%d", guest.ServerAddr, serverPort), as, fmt.Sprint(newPort))
	r, w := io.Pipe()
	h.proxy.Input, h.proxy.Stdout, h.proxy.Stderr = true, w, h.lab.log
	if err := h.proxy.Start(); err != nil {
		return err
	}
	go func() {
		for lines := bufio.NewScanner(r); lines.Scan(); {
			to := h.acks
			if strings.HasPrefix(lines.Text(), "lost ") {
				to = h.lost
			}
			select {
			case to <- lines.Text():
			default: // nobody asks
			}
		}
	}()
	_, err := h.acknowledged(ctx)
	return err
}

func (h *Host) acknowledged(ctx context.Context) (answer string, err error) {
	select {
	case answer = <-h.acks:
		return answer, nil
	case <-h.proxy.Ended():
		return "", fmt.Errorf("the proxy ended: %w", h.proxy.Wait())
	case <-ctx.Done():
		return "", fmt.Errorf("the proxy doesn't answer: %w", context.Cause(ctx))
	}
}

func (h *Host) order(order string) error {
	_, err := h.ask(order)
	return err
}

func (h *Host) ask(order string) (answer string, err error) {
	if h.proxy == nil {
		return "", fmt.Errorf("%s: %w: the host isn't lossy", order, errors.ErrUnsupported)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	if _, err := io.WriteString(h.proxy, order+"\n"); err != nil {
		return "", err
	}
	return h.acknowledged(ctx)
}

// Cut pulls the host's network cable.
func (h *Host) Cut() error { return h.cable("link down") }

func (h *Host) cable(op string) error {
	_, err := h.lab.agent.Call(guest.Call{Op: op, Name: h.link()})
	return err
}

// Join ends Cut, LoseReply and HoldCall.
func (h *Host) Join() error {
	if h.proxy != nil {
		if err := h.order("join"); err != nil {
			return err
		}
	}
	return h.cable("link up")
}

// LoseReply loses the reply to the host's next call of op (see
// rpcproxy.Lose) and cuts the host off from the server's files then.
func (h *Host) LoseReply(op string) error { return h.order("lose " + op) }

// HoldCall has the host's next call of op reach the server only after Join: it
// is cut off from the server's files when it makes it.
func (h *Host) HoldCall(op string) error { return h.order("hold " + op) }

// Slow keeps each reply to the host for so long, and counts its calls of op (see
// rpcproxy.Losable) that wait for one.
func (h *Host) Slow(wait time.Duration, op string) error {
	return h.order(fmt.Sprintf("slow %s %s", wait, op))
}

// Most is how many of those calls have waited at a time.
func (h *Host) Most() (n int, err error) {
	answer, err := h.ask("most")
	if err == nil {
		_, err = fmt.Sscanf(answer, "ok %d", &n)
	}
	return n, err
}

// Lost waits until the reply was lost, or the call held back.
func (h *Host) Lost(ctx context.Context) error {
	select {
	case <-h.lost:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("no reply was lost: %w", context.Cause(ctx))
	}
}

// StartAgent starts an agent on the host.
func (h *Host) StartAgent() (*Agent, error) { return h.lab.StartAgent(h.Client) }

// Close switches the host off, without a word to the server.
func (h *Host) Close() error {
	if h.init != nil {
		_ = h.Cut()
		_ = h.init.SignalGroup(syscall.SIGKILL)
	}
	if h.proxy != nil {
		_ = h.proxy.CloseInput()
	}
	return nil
}

// RestartServer ends the NFS server's threads, and all it remembers with them,
// and starts it again. Grace begins.
func (l *Lab) RestartServer() error {
	_, err := l.agent.Call(guest.Call{Op: "restart server"})
	return err
}

// filler takes the space that FillDisk takes away.
const filler = guest.Export + "/.filler"

// FillDisk has the server run out of space: what needs a new block fails.
// FreeDisk ends that.
func (l *Lab) FillDisk() error {
	_, err := l.agent.Call(guest.Call{Op: "fill", Name: filler})
	return err
}

// FreeDisk ends FillDisk.
func (l *Lab) FreeDisk() error {
	_, err := l.agent.Call(guest.Call{Op: "remove", Name: filler})
	return err
}
