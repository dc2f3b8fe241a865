package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"fencepost/cmd/fencepost/access"
	"fencepost/cmd/fencepost/config"
	"fencepost/cmd/fencepost/ingest"
	"fencepost/cmd/fencepost/secure"
	"fencepost/cmd/fencepost/trust"
	"fencepost/codec"
	"fencepost/spool"
	"fencepost/spool/vfs"
)

// Features of docs/spec/wire.md that a host may name in WELCOME.
const (
	featureToken = "token"
	featureTypes = "types"
)

// door is who is let in, and to do what.
type door struct {
	tls    *tls.Config    // nil = plain TCP
	tokens *secure.Tokens // nil = none are taken
	policy *access.Policy
	strict bool // a client without a name may do nothing
	now    func() time.Time
}

// openDoor reads everything that the configuration names. What is wrong with it
// is found before anything is taken.
func (d *daemon) openDoor(sp *spool.Spool, c *config.Loaded) (o *door, err error) {
	o = &door{now: sp.Env.Wall}
	wrong := func(key string, err error) error {
		return &exitError{code: exitUsage, err: fmt.Errorf("%s: %w", key, err), next: "docs/ops/install.md has a worked example"}
	}
	warn := func(err error) {
		d.log.Warn().Err(err).Str("event", "door-files").Msg("trouble with the files of tls or token_file")
	}
	if o.policy, err = c.Policy(); err != nil {
		return nil, &exitError{code: exitUsage, err: err}
	}
	if c.TLS.Cert != "" {
		o.tls, err = secure.Server(secure.Files{Cert: c.TLS.Cert, Key: c.TLS.Key, CA: c.TLS.ClientCA,
			Require: c.TLS.ClientCert == "require", Reload: c.TLS.Reload.Duration, Warn: warn})
		if err != nil {
			return nil, wrong("tls", err)
		}
	}
	if c.TokenFile != "" {
		o.tokens, err = secure.NewTokens(secure.TokenConfig{File: c.TokenFile, Spool: sp.ID, Skew: c.TokenSkew.Duration,
			Reload: c.TLS.Reload.Duration, Now: o.now, Warn: warn})
		if err != nil {
			return nil, wrong("token_file", err)
		}
	}
	// Where names can be proven, they have to be: a client that just leaves its
	// name out must not be better off.
	o.strict = len(c.TLS.ClientCA) > 0 || c.TokenFile != ""
	return o, nil
}

func (o *door) features() (f []string) {
	if o.tokens != nil {
		f = append(f, featureToken)
	}
	// Types may be added while this runs; a job of one that isn't there is told so.
	return append(f, featureTypes)
}

// identify is the connection's part: the certificate, else the address.
func (o *door) identify(nc net.Conn, _ codec.Hello) (ingest.Peer, error) {
	p := ingest.Peer{Name: ingest.Address(nc)}
	if tc, ok := nc.(*tls.Conn); ok {
		name, until, err := secure.PeerName(tc.ConnectionState())
		if err != nil {
			return p, err
		}
		if name != "" {
			p.Name, p.Verified, p.Until = name, true, until
		}
	}
	if !p.Verified && o.strict {
		if o.tokens == nil {
			return p, errors.New("it has shown no certificate")
		}
		p.Unproven = true // each request says who it is from
		return p, nil
	}
	var err error
	p.Conns, err = o.policy.Connect(p.Name)
	return p, err
}

// authenticate is the request's part: the token.
func (o *door) authenticate(p ingest.Peer, m codec.Message) (ingest.Peer, error) {
	auth := codec.AuthOf(m)
	switch {
	case auth == nil && (p.Verified || !o.strict):
		return p, nil
	case auth == nil:
		return p, notAllowed("this host wants a token")
	case o.tokens == nil:
		return p, notAllowed("this host takes no tokens")
	}
	name, err := o.tokens.Verify(m, *auth)
	switch {
	case errors.Is(err, secure.ErrFull), errors.Is(err, secure.ErrReplay):
		// Signed anew it may be taken: a network may well repeat a frame.
		return p, &ingest.Refusal{Code: codec.CodeBusy, Reason: err.Error()}
	case err != nil:
		return p, notAllowed(err.Error())
	case p.Verified && p.Name != name:
		return p, notAllowed("the token is not that of the certificate's client")
	}
	conns, err := o.policy.Connect(name)
	return ingest.Peer{Name: name, Verified: p.Verified, Conns: conns}, refusal(err)
}

func (o *door) admit(client string, job codec.Job, now time.Time) (codec.Job, error) {
	job, err := o.policy.Admit(client, job, now)
	return job, refusal(err)
}

func notAllowed(reason string) error {
	return &ingest.Refusal{Code: codec.CodeNotAllowed, Reason: reason}
}

// refusal is what the server tells of an error of package access.
func refusal(err error) error {
	var d *access.Denied
	if errors.As(err, &d) {
		return &ingest.Refusal{Code: d.Code, Reason: d.Reason, RetryAfter: d.After}
	}
	return err
}

// checkUser: a daemon that other machines can talk to doesn't need root's rights,
// and what they find in it would have them. Where the network is trusted, or
// nobody else can reach it, it is only said.
func (d *daemon) checkUser(uid int) error {
	if uid != 0 || d.cfg.RunAsRoot {
		return nil
	}
	local, err := config.Loopback(d.cfg.Listen)
	if d.serves(spool.Ingest) && !d.cfg.InsecureListen && (err != nil || !local) {
		return &exitError{code: exitUsage, err: fmt.Errorf("other machines can reach %s, and this would run as root", d.cfg.Listen),
			next: "run it as a user of its own (User= in the unit), or set run_as_root = true (--run-as-root)"}
	}
	d.log.Warn().Str("event", "root").Msg("runs as root, which it doesn't need: use a user of its own, or set run_as_root")
	return nil
}

// forGroup makes files for the group of several users.
func forGroup(fs vfs.FS, users config.List) {
	if o, ok := fs.(*vfs.OS); ok && len(users) > 0 {
		o.Group = true
	}
}

// inspectOwners lets only files of jobs through that this user, root, another of
// the spool's users, or who owns its format file has written. The last is for
// servers that give all files another owner.
func inspectOwners(fs vfs.FS, dir string, others config.List) error {
	o, ok := fs.(*vfs.OS)
	if !ok {
		return nil
	}
	users := []uint32{0, uint32(os.Geteuid())}
	var st unix.Stat_t
	if unix.Lstat(filepath.Join(dir, spool.FormatFile), &st) == nil {
		users = append(users, st.Uid)
	}
	for _, name := range others {
		uid, err := uidOf(name)
		if err != nil {
			return &exitError{code: exitUsage, err: fmt.Errorf("spool_users: %w", err), next: "make the user, or give its number"}
		}
		users = append(users, uid)
	}
	o.Inspect = trust.Owners(len(others) > 0, users...)
	return nil
}

func uidOf(name string) (uint32, error) {
	text := name
	if _, err := strconv.ParseUint(name, 10, 32); err != nil {
		u, err := user.Lookup(name)
		if err != nil {
			return 0, err
		}
		text = u.Uid
	}
	uid, err := strconv.ParseUint(text, 10, 32)
	return uint32(uid), err
}

// ingestConfig is the server's configuration.
func (d *daemon) ingestConfig(sp *spool.Spool, c *config.Loaded, o *door, b ingest.Backend) ingest.Config {
	l := c.Limits
	return ingest.Config{Backend: b, Host: d.id.Host, SpoolID: sp.ID, Software: "fencepost/" + version(),
		TLS: o.tls, Features: o.features(), Identify: o.identify, Authenticate: o.authenticate, Admit: o.admit,
		MaxConns: l.Connections, MaxPerAddr: l.PerAddress, MaxStrange: l.Unknown, MaxAge: l.ConnectionAge.Duration,
		Window: l.Window, MaxJob: int(l.Job), MaxAccepts: l.Accepts, MaxPending: l.Pending, Memory: int64(l.Memory),
		Handshake: l.HandshakeTimeout.Duration, Idle: l.IdleTimeout.Duration, Frame: l.FrameTimeout.Duration,
		MinRate: int(l.MinRate), Write: l.WriteTimeout.Duration, Answer: l.AnswerTimeout.Duration,
		RetryAfter: l.RetryAfter.Duration, Retention: c.Retention.Duration, Log: d.log}
}

// clientSecurity is what send shows and wants to see.
func clientSecurity(s config.Send) (conf *tls.Config, token *secure.Token, err error) {
	if s.TLS || len(s.CA) > 0 || s.Cert != "" || s.ServerName != "" {
		if conf, err = secure.Client(secure.Files{Cert: s.Cert, Key: s.Key, CA: s.CA}); err != nil {
			return nil, nil, err
		}
		conf.ServerName = s.ServerName
	}
	if s.TokenFile != "" {
		t, err := secure.ReadToken(s.TokenFile)
		if err != nil {
			return nil, nil, err
		}
		token = &t
	}
	return conf, token, nil
}
