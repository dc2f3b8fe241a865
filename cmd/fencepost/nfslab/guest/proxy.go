package guest

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"fencepost/cmd/fencepost/nfslab/rpcproxy"
)

// runProxy: LISTEN SERVER AS NEWPORT. It takes connections at LISTEN and connects
// to SERVER from the address AS and the client's own port, since a server tells
// a request that comes again by its client's port, too; if NEWPORT is "true",
// from any port. Orders on
// standard input: "lose OP", "hold OP", "join", "slow TIME OP" and "most". It says
// "ready", "ok" to each order, to the last one with the number, and "lost OP" when it has lost a reply or held back a call.
func runProxy(args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("proxy: %d arguments", len(args))
	}
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	defer l.Close()
	p := rpcproxy.New(func(client net.Addr) (net.Conn, error) {
		local := &net.TCPAddr{IP: net.ParseIP(args[2])}
		if c, ok := client.(*net.TCPAddr); ok && args[3] != "true" {
			local.Port = c.Port
		}
		d := net.Dialer{LocalAddr: local, Timeout: 5 * time.Second, Control: func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) {
				_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
			})
		}}
		return d.Dial("tcp", args[1])
	}, func(op string) { fmt.Println("lost", op) })
	go func() { _ = p.Serve(l) }()
	fmt.Println("ready")
	orders := bufio.NewScanner(os.Stdin)
	for orders.Scan() {
		order, op, _ := strings.Cut(orders.Text(), " ")
		answer := "ok"
		switch order {
		case "lose":
			err = p.Lose(op)
		case "hold":
			err = p.Hold(op)
		case "join":
			p.Join()
		case "slow":
			err = slowDown(p, op)
		case "most":
			answer = fmt.Sprint("ok ", p.Most())
		default:
			err = fmt.Errorf("proxy: order %q", order)
		}
		if err != nil {
			return err
		}
		fmt.Println(answer)
	}
	return orders.Err()
}

// slowDown: TIME OP.
func slowDown(p *rpcproxy.Proxy, how string) error {
	wait, op, _ := strings.Cut(how, " ")
	d, err := time.ParseDuration(wait)
	if err == nil {
		p.Slow(d, op)
	}
	return err
}
