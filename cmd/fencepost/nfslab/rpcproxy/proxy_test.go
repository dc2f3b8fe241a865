package rpcproxy_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"fencepost/cmd/fencepost/nfslab/rpcproxy"
)

// xdr puts a message together: numbers of 4 bytes, strings as opaque, bytes as
// they are.
func xdr(parts ...any) (b []byte) {
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			b = binary.BigEndian.AppendUint32(b, uint32(p))
		case string:
			b = append(binary.BigEndian.AppendUint32(b, uint32(len(p))), p...)
			b = append(b, make([]byte, -len(p)&3)...)
		case []byte:
			b = append(b, p...)
		}
	}
	return b
}

func call(xid, vers, proc int, args ...any) []byte {
	return append(xdr(xid, 0, 2, 100003, vers, proc, 1, "credential", 0, ""), xdr(args...)...)
}

// compound is a version 4 call; the first argument is the number of operations.
func compound(minor int, n int, ops ...any) []byte {
	return call(7, 4, 1, append([]any{"", minor, n}, ops...)...)
}

func record(body []byte, fragments int) (raw []byte) {
	size := (len(body) + fragments - 1) / fragments
	for i := range fragments {
		part := body[min(i*size, len(body)):min((i+1)*size, len(body))]
		mark := uint32(len(part))
		if i == fragments-1 {
			mark |= 1 << 31
		}
		raw = append(binary.BigEndian.AppendUint32(raw, mark), part...)
	}
	return raw
}

func TestReadRecord(t *testing.T) {
	want := []byte("what is in it")
	for _, fragments := range []int{1, 2, 5} {
		wire := record(want, fragments)
		raw, body, err := rpcproxy.ReadRecord(bytes.NewReader(append(slices.Clone(wire), "next"...)))
		if err != nil || !bytes.Equal(raw, wire) || !bytes.Equal(body, want) {
			t.Errorf("%d fragments: got %q, %q, %v", fragments, raw, body, err)
		}
		for cut := 1; cut < len(wire); cut++ {
			if _, _, err := rpcproxy.ReadRecord(bytes.NewReader(wire[:cut])); err == nil {
				t.Errorf("%d fragments, %d of %d bytes: a record", fragments, cut, len(wire))
			}
		}
	}
	if _, _, err := rpcproxy.ReadRecord(bytes.NewReader(nil)); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
	if _, _, err := rpcproxy.ReadRecord(bytes.NewReader(xdr(1<<31 | 1<<30))); err == nil {
		t.Error("a record of 1 GiB is believed")
	}
}

func TestParse(t *testing.T) {
	seq := make([]byte, 32)
	sequence := xdr(53, seq)
	open := func(how int) []byte { return xdr(18, 0, 2, 0, 0, 0, "owner", how) }
	for _, c := range []struct {
		name string
		body []byte
		want []string
	}{
		{"v3 null", call(7, 3, 0), nil},
		{"v3 create", call(7, 3, 8), []string{"create"}},
		{"v3 mkdir", call(7, 3, 9), []string{"mkdir"}},
		{"v3 remove", call(7, 3, 12), []string{"remove"}},
		{"v3 rmdir", call(7, 3, 13), []string{"rmdir"}},
		{"v3 rename", call(7, 3, 14), []string{"rename"}},
		{"v3 link", call(7, 3, 15), []string{"link"}},
		{"v3 getattr", call(7, 3, 1), nil},
		{"v4 null", call(7, 4, 0), nil},
		{"4.0 rename", compound(0, 4, 22, "dir", 32, 22, "other", 29, "from", "to"), []string{"rename"}},
		{"4.2 rename", compound(2, 5, sequence, 22, "dir", 32, 22, "other", 29, "from", "to"), []string{"rename"}},
		{"4.2 link", compound(2, 6, sequence, 22, "file", 32, 22, "dir", 11, "name", 9, 2, 1, 2), []string{"link"}},
		{"4.2 mkdir", compound(2, 4, sequence, 22, "dir", 6, 2, "name", 0, 0, 10), []string{"mkdir"}},
		{"4.2 symlink", compound(2, 4, sequence, 22, "dir", 6, 5, "target", "name", 0, 0, 10), nil},
		{"4.2 remove", compound(2, 3, sequence, 22, "dir", 28, "name"), []string{"remove", "rmdir"}},
		{"4.2 open", compound(2, 4, sequence, 22, "dir", open(0), 0, "name"), nil},
		{"4.2 create", compound(2, 4, sequence, 22, "dir", open(1), 0), []string{"create"}},
		{"4.2 getattr first", compound(2, 4, sequence, 24, 9, 2, 1, 2, 28, "name"), []string{"remove", "rmdir"}},
		{"4.2 unknown first", compound(2, 3, sequence, 99, 28, "name"), nil},
		{"4.2 cut short", compound(2, 3, sequence, 22, "dir"), nil},
		{"another program", append(xdr(7, 0, 2, 100005, 3, 14, 0, "", 0, ""), 0), nil},
	} {
		got, err := rpcproxy.Parse(c.body)
		if err != nil || got.XID != 7 || got.Reply || !slices.Equal(got.Ops, c.want) {
			t.Errorf("%s: got %+v, %v, want %q", c.name, got, err, c.want)
		}
	}
	if got, err := rpcproxy.Parse(xdr(9, 1, 0)); err != nil || !got.Reply || got.XID != 9 {
		t.Errorf("reply: got %+v, %v", got, err)
	}
	for _, bad := range [][]byte{nil, xdr(1), xdr(1, 2), xdr(1, 0, 2, 100003, 4, 1, 1, 1<<30), xdr(1, 0, 3, 100003, 3, 14, 0, "", 0, "")} {
		if got, err := rpcproxy.Parse(bad); err == nil {
			t.Errorf("%x: got %+v", bad, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(compound(2, 5, 53, make([]byte, 32), 22, "dir", 32, 22, "other", 29, "from", "to"))
	f.Add(call(7, 3, 14))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := rpcproxy.Parse(b)
		if err == nil && m.Reply && len(m.Ops) > 0 {
			t.Errorf("a reply that asks for something: %+v", m)
		}
		if raw, body, err := rpcproxy.ReadRecord(bytes.NewReader(b)); err == nil && len(body) > len(raw)-4 {
			t.Errorf("a record of %d bytes has %d", len(raw), len(body))
		}
	})
}

// waits is the number of a call that the server answers with the next one.
const waits = 100

// lab is a proxy with an echoing server behind it.
type lab struct {
	proxy *rpcproxy.Proxy
	addr  string
	done  chan []byte // what the server has done
	lost  chan string
}

func start(t *testing.T) *lab {
	t.Helper()
	server := listen(t)
	l := &lab{done: make(chan []byte, 10), lost: make(chan string, 10)}
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				var answers []byte
				for {
					_, body, err := rpcproxy.ReadRecord(c)
					if err != nil {
						return
					}
					l.done <- body
					xid := int(binary.BigEndian.Uint32(body))
					answers = append(answers, record(xdr(xid, 1, 0), 1)...)
					if xid == waits {
						continue
					}
					if _, err := c.Write(answers); err != nil {
						return
					}
					answers = nil
				}
			}()
		}
	}()
	front := listen(t)
	l.addr = front.Addr().String()
	l.proxy = rpcproxy.New(func(net.Addr) (net.Conn, error) { return net.Dial("tcp", server.Addr().String()) },
		func(op string) { l.lost <- op })
	go func() { _ = l.proxy.Serve(front) }()
	return l
}

func listen(t *testing.T) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func (l *lab) connect(t *testing.T) net.Conn {
	c, err := net.Dial("tcp", l.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// ask sends a call and returns the reply's number, or the error.
func ask(t *testing.T, c net.Conn, body []byte, wait time.Duration) (int, error) {
	if _, err := c.Write(record(body, 1)); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(wait)); err != nil {
		t.Fatal(err)
	}
	_, reply, err := rpcproxy.ReadRecord(c)
	if err != nil {
		return 0, err
	}
	return int(binary.BigEndian.Uint32(reply)), nil
}

const long = 20 * time.Second

func TestLose(t *testing.T) {
	l := start(t)
	if err := l.proxy.Lose("truncate"); err == nil {
		t.Error("truncate can be lost")
	}
	if err := l.proxy.Lose("rename"); err != nil {
		t.Fatal(err)
	}
	c := l.connect(t)
	if got, err := ask(t, c, call(1, 3, 15), long); got != 1 || err != nil {
		t.Errorf("a link: got %d, %v", got, err)
	}
	<-l.done
	if _, err := ask(t, c, call(2, 3, 14), long); err == nil {
		t.Error("the rename was answered")
	}
	if got := <-l.lost; got != "rename" {
		t.Errorf("lost %q", got)
	}
	if body := <-l.done; !bytes.Equal(body, call(2, 3, 14)) {
		t.Errorf("the server has done %x", body)
	}
	again := l.connect(t)
	if _, err := ask(t, again, call(2, 3, 14), 100*time.Millisecond); err == nil {
		t.Error("answered while cut off")
	}
	if len(l.done) != 0 {
		t.Error("the server hears a client that is cut off")
	}
	l.proxy.Join()
	if err := again.SetReadDeadline(time.Now().Add(long)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := rpcproxy.ReadRecord(again); err != nil {
		t.Errorf("after Join: %v", err)
	}
	if got, err := ask(t, again, call(3, 3, 14), long); got != 3 || err != nil {
		t.Errorf("the next rename: got %d, %v", got, err)
	}
}

// TestLoseOne: of two calls under way the one named is lost, and if both are of
// its name the first.
func TestLoseOne(t *testing.T) {
	for _, c := range []struct {
		name          string
		first, second []byte
		answered      bool // the first one
	}{
		{"another and it", call(waits, 3, 15), call(2, 3, 14), true},
		{"it twice", call(waits, 3, 14), call(2, 3, 14), false},
	} {
		l := start(t)
		if err := l.proxy.Lose("rename"); err != nil {
			t.Fatal(err)
		}
		conn := l.connect(t)
		if _, err := conn.Write(record(c.first, 1)); err != nil {
			t.Fatal(err)
		}
		got, err := ask(t, conn, c.second, long)
		if answered := err == nil && got == waits; answered != c.answered {
			t.Errorf("%s: got %d, %v", c.name, got, err)
		}
		if _, _, err := rpcproxy.ReadRecord(conn); err == nil {
			t.Errorf("%s: the second was answered", c.name)
		}
	}
}

func TestHold(t *testing.T) {
	l := start(t)
	if err := l.proxy.Hold("rename this~"); err != nil {
		t.Fatal(err)
	}
	c := l.connect(t)
	if got, err := ask(t, c, call(7, 3, 14, "that~1"), long); got != 7 || err != nil {
		t.Errorf("another rename: got %d, %v", got, err)
	}
	<-l.done
	if _, err := ask(t, c, call(1, 3, 14, "this~1"), long); err == nil {
		t.Error("the rename was answered")
	}
	if got := <-l.lost; got != "rename" {
		t.Errorf("lost %q", got)
	}
	again := l.connect(t)
	if _, err := ask(t, again, call(1, 3, 14, "this~1"), 100*time.Millisecond); err == nil {
		t.Error("answered while cut off")
	}
	if len(l.done) != 0 {
		t.Error("the server has a call that is held back")
	}
	l.proxy.Join()
	if err := again.SetReadDeadline(time.Now().Add(long)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := rpcproxy.ReadRecord(again); err != nil {
		t.Errorf("after Join: %v", err)
	}
	if body := <-l.done; !bytes.Equal(body, call(1, 3, 14, "this~1")) {
		t.Errorf("the server has done %x", body)
	}
}

// TestSlow: replies come late, all of them, and the calls that wait are counted.
func TestSlow(t *testing.T) {
	l := start(t)
	if got := l.proxy.Most(); got != 0 {
		t.Errorf("%d calls at a time before any", got)
	}
	const wait = 50 * time.Millisecond
	l.proxy.Slow(time.Second, "rename")
	c := l.connect(t)
	for _, body := range [][]byte{call(1, 3, 14), call(2, 3, 14), call(3, 3, 15)} {
		if _, err := c.Write(record(body, 1)); err != nil {
			t.Fatal(err)
		}
		<-l.done
	}
	if err := c.SetReadDeadline(time.Now().Add(long)); err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for range 3 {
		_, reply, err := rpcproxy.ReadRecord(c)
		if err != nil {
			t.Fatal(err)
		}
		seen[int(binary.BigEndian.Uint32(reply))] = true
	}
	if len(seen) != 3 {
		t.Errorf("replies %v", seen)
	}
	if got := l.proxy.Most(); got < 1 || got > 2 {
		t.Errorf("%d renames at a time, want 2, or 1 on a very busy machine", got)
	}
	// One after the other: each has its reply before the next.
	l.proxy.Slow(wait, "rename")
	for i := range 3 {
		sent := time.Now()
		if got, err := ask(t, c, call(10+i, 3, 14), long); got != 10+i || err != nil {
			t.Errorf("got %d, %v", got, err)
		}
		if took := time.Since(sent); took < wait {
			t.Errorf("answered after %v", took)
		}
		<-l.done
	}
	if got := l.proxy.Most(); got != 1 {
		t.Errorf("%d renames at a time, want 1", got)
	}
}
