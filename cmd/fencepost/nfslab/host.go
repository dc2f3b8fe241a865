package nfslab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
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

// AddHost starts a host and mounts the export on it.
func (l *Lab) AddHost(ctx context.Context, c HostConfig) (*Host, error) {
	h := &Host{Name: c.Name, lab: l, acks: make(chan string, 16), lost: make(chan string, 16)}
	l.mu.Lock()
	l.hosts = append(l.hosts, h)
	h.number = len(l.hosts)
	l.mu.Unlock()
	if h.number > 99 {
		return nil, errors.New("more than 99 hosts")
	}
	h.Addr = fmt.Sprintf("10.9.0.%d", 10+h.number)
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
	if err := h.startProxy(); err != nil {
		return err
	}
	h.init = h.lab.Server.Command(guest.Program, guest.RoleHost)
	r, w := io.Pipe()
	h.init.Namespaces, h.init.Input, h.init.Stdout, h.init.Stderr = true, true, w, h.lab.log
	h.Client = line.NewClient(r, h.init)
	if err := h.init.Start(); err != nil {
		return err
	}
	err := h.lab.sh(ctx, fmt.Sprintf("ip link add v%d type veth peer name eth0 netns %d && ip link set v%d master br0 up",
		h.number, h.init.Pid(), h.number))
	if err != nil {
		return err
	}
	script := h.Command("sh", "-c", hostScript)
	export := "/"
	if c.Version == "3" {
		export = "/tmp/export"
	}
	script.Env = []string{"NAME=" + h.Name, "ADDR=" + h.Addr, "VERS=" + c.Version, fmt.Sprintf("PORT=%d", h.port()),
		"OPTIONS=" + c.Options, "EXPORT=" + export}
	_, err = script.Output(ctx)
	return err
}

func (h *Host) port() int { return 3000 + h.number }

// startProxy starts the way to the server that can lose replies. The server
// sees the client at an address of its own, not the proxy's.
func (h *Host) startProxy() error {
	as := fmt.Sprintf("10.9.0.%d", 110+h.number)
	if err := h.lab.sh(context.Background(), "ip addr add "+as+"/32 dev lo"); err != nil {
		return err
	}
	h.proxy = h.lab.Server.Command(guest.Program, guest.RoleProxy, fmt.Sprintf("10.9.0.1:%d", h.port()), "10.9.0.1:2049", as)
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
	return h.acknowledged()
}

const ackTime = 20 * time.Second

func (h *Host) acknowledged() error {
	select {
	case <-h.acks:
		return nil
	case <-h.proxy.Ended():
		return fmt.Errorf("the proxy ended: %w", h.proxy.Wait())
	case <-time.After(ackTime):
		return errors.New("the proxy doesn't answer")
	}
}

func (h *Host) order(order string) error {
	if _, err := io.WriteString(h.proxy, order+"\n"); err != nil {
		return err
	}
	return h.acknowledged()
}

// Cut pulls the host's network cable.
func (h *Host) Cut() error {
	return h.lab.sh(context.Background(), fmt.Sprintf("ip link set v%d down", h.number))
}

// Join ends Cut and LoseReply.
func (h *Host) Join() error {
	return errors.Join(h.order("join"), h.lab.sh(context.Background(), fmt.Sprintf("ip link set v%d up", h.number)))
}

// LoseReply loses the reply to the host's next call of op (see
// rpcproxy.Losable) and cuts the host off from the server's files then.
func (h *Host) LoseReply(op string) error { return h.order("lose " + op) }

// Lost waits until the reply was lost.
func (h *Host) Lost(ctx context.Context) error {
	select {
	case <-h.lost:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("no reply was lost: %w", context.Cause(ctx))
	}
}

// Close switches the host off, without a word to the server.
func (h *Host) Close() error {
	if h.init != nil {
		_ = h.lab.sh(context.Background(), fmt.Sprintf("ip link del v%d", h.number))
		_ = h.init.CloseInput()
	}
	if h.proxy != nil {
		_ = h.proxy.CloseInput()
	}
	return nil
}

// sh runs a short script where the server runs.
func (l *Lab) sh(ctx context.Context, script string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	_, err := l.Server.Command("sh", "-c", script).Output(ctx)
	return err
}

// RestartServer ends the NFS server's threads, and all it remembers with them,
// and starts it again. Grace begins.
func (l *Lab) RestartServer() error {
	return l.sh(context.Background(), "rpc.nfsd 0 && rpc.nfsd 8")
}

// FillDisk has the server run out of space; FreeDisk ends that.
func (l *Lab) FillDisk() error {
	return l.sh(context.Background(), "dd if=/dev/zero of=/tmp/export/.filler bs=1M 2>/dev/null; dd if=/dev/zero of=/tmp/export/.filler2 bs=4k 2>/dev/null; sync /tmp/export")
}

func (l *Lab) FreeDisk() error {
	return l.sh(context.Background(), "rm -f /tmp/export/.filler /tmp/export/.filler2")
}
