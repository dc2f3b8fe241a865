package secure

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"time"
)

// Protocol is the name that both ends give to what they speak inside TLS (ALPN):
// bytes meant for another service don't get as far as a handshake.
const Protocol = "fencepost/1"

// Files are the files of one end, PEM.
type Files struct {
	Cert, Key string   // the certificate with what comes between it and its CA, and its key
	CA        []string // whom the other end's certificate has to come from; each may hold several

	// Require says that a server takes no client without a certificate; else one
	// without is known by its tokens alone.
	Require bool

	// Protocol is what a server speaks inside; "" = Protocol, fencepost's own.
	Protocol string

	Reload time.Duration    // between two looks at the files
	Warn   func(error)      // trouble with a later look; nil = nobody is told
	Now    func() time.Time // default time.Now
}

// ExpirySoon is how long before its end a certificate is worth a warning.
const ExpirySoon = 14 * day

const day = 24 * time.Hour

// Server makes the configuration of a listener. Each connection is checked
// against the files as they are when it comes.
func Server(f Files) (*tls.Config, error) {
	w := &watched[*tls.Config]{files: append([]string{f.Cert, f.Key}, f.CA...), every: f.Reload, warn: f.Warn,
		parse: func(c [][]byte) (*tls.Config, error) { return f.server(c) },
		judge: func(c *tls.Config) error { return f.expiry(c.Certificates[0].Leaf) }}
	if err := w.start(); err != nil {
		return nil, fmt.Errorf("read TLS files: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return w.get(), nil }}, nil
}

func (f *Files) server(contents [][]byte) (*tls.Config, error) {
	if err := checkSecret(f.Key); err != nil {
		return nil, fmt.Errorf("read TLS key: %w", err)
	}
	cert, err := f.pair(contents[0], contents[1])
	if err != nil {
		return nil, err
	}
	c := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert},
		NextProtos: []string{cmp.Or(f.Protocol, Protocol)}, SessionTicketsDisabled: true}
	if len(f.CA) == 0 {
		return c, nil
	}
	c.ClientAuth = tls.VerifyClientCertIfGiven
	if f.Require {
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	c.ClientCAs, err = pool(f.CA, contents[2:])
	return c, err
}

// Client makes the configuration of a client. Without CA files the system's are
// used; without Cert it shows none.
func Client(f Files) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{Protocol}}
	if len(f.CA) > 0 {
		contents, err := readAll(f.CA)
		if err != nil {
			return nil, fmt.Errorf("read CA: %w", err)
		}
		if c.RootCAs, err = pool(f.CA, contents); err != nil {
			return nil, err
		}
	}
	if f.Cert == "" {
		return c, nil
	}
	if err := checkSecret(f.Key); err != nil {
		return nil, fmt.Errorf("read TLS key: %w", err)
	}
	contents, err := readAll([]string{f.Cert, f.Key})
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	cert, err := f.pair(contents[0], contents[1])
	if err != nil {
		return nil, err
	}
	c.Certificates = []tls.Certificate{cert}
	return c, nil
}

func (f *Files) pair(cert, key []byte) (tls.Certificate, error) {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return pair, fmt.Errorf("certificate %s with key %s: %w", f.Cert, f.Key, err)
	}
	if f.left(pair.Leaf) <= 0 {
		return pair, f.expiry(pair.Leaf)
	}
	return pair, nil
}

func (f *Files) left(leaf *x509.Certificate) time.Duration {
	now := time.Now
	if f.Now != nil {
		now = f.Now
	}
	return leaf.NotAfter.Sub(now())
}

// expiry says that a certificate ends soon, or has ended: in other words each day,
// so that it is said each day.
func (f *Files) expiry(leaf *x509.Certificate) error {
	left, end := f.left(leaf), leaf.NotAfter.UTC().Format(time.RFC3339)
	switch {
	case left <= 0:
		return fmt.Errorf("certificate %s ended at %s", f.Cert, end)
	case left < ExpirySoon:
		return fmt.Errorf("certificate %s ends at %s, in %d days", f.Cert, end, left/day)
	}
	return nil
}

func pool(files []string, contents [][]byte) (*x509.CertPool, error) {
	p := x509.NewCertPool()
	for i, data := range contents {
		if !p.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("read CA: %s holds no certificate", files[i])
		}
	}
	return p, nil
}

// PeerName is the client's name by its verified certificate, "" if it showed
// none, and when that certificate ends.
func PeerName(st tls.ConnectionState) (name string, until time.Time, err error) {
	if len(st.VerifiedChains) == 0 {
		return "", until, nil
	}
	leaf := st.VerifiedChains[0][0]
	if !ValidName(leaf.Subject.CommonName) {
		return "", until, fmt.Errorf("the certificate's common name %q can't be a client's name", leaf.Subject.CommonName)
	}
	return leaf.Subject.CommonName, leaf.NotAfter, nil
}

// ValidName says whether a client may be called so: 1 to 128 letters, digits,
// '.', '_', '@' and '-', and nothing that could be taken for an address, by
// which clients without a name are known.
func ValidName(s string) bool {
	if !regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._@-]{0,127}$`).MatchString(s) {
		return false
	}
	_, err := netip.ParseAddr(s)
	return err != nil
}

// errNoCert says what a client's configuration lacks.
var errNoCert = errors.New("a certificate and its key belong together")

// Check says what is missing of the files of one end.
func (f *Files) Check() error {
	if (f.Cert == "") != (f.Key == "") {
		return errNoCert
	}
	return nil
}
