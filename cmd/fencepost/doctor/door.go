package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"fencepost/cmd/fencepost/secure"
)

// Door is what this host and its clients know each other by. Paths are absolute.
type Door struct {
	Host    End      // what this host shows, and whom it lets in
	Send    End      // what send shows from here, and which hosts it believes
	Names   []string // by which this host may be reached
	Secrets []Secret // files beside the keys that only this user may read
}

// End is one end of a connection.
type End struct {
	Cert, Key string
	CA        []string
}

// Secret is a file and the setting that names it. Some may be read by a group.
type Secret struct {
	Setting, File string
	Group         bool
}

// table is an end with the table of the settings that it comes from.
type table struct {
	name   string
	caName string // the setting of its CAs
	end    End
}

func (d *Door) tables() []table {
	return []table{{"tls", "tls.client_ca", d.Host}, {"send", "send.ca", d.Send}}
}

func (t table) shows() bool { return t.end.Cert != "" && t.end.Key != "" }

func doorChecks() []check {
	return []check{
		{"FP070", "certificates and keys", "Without them serve doesn't start, and send isn't let in.", false, checkPairs},
		{"FP071", "secrets", "Whoever reads a key or a token can pose as its owner; serve takes none that others may read.", false, checkSecrets},
		{"FP072", "certificates' time", "From its end on a certificate is refused, and so is every one of a CA that has ended.", false, checkExpiry},
		{"FP073", "certificates and CAs", "A certificate counts only with those who know its CA, and for what it was made for.", false, checkAuthorities},
		{"FP074", "certificates' names", "Clients compare a host's certificate with the name that they connect to; hosts take a client's name from its own.", false, checkNames},
	}
}

// eachCert looks at every end whose certificate can be read: FP070 says what can't.
func (p *patient) eachCert(do func(t table, certs []*x509.Certificate)) {
	for _, t := range p.Door.tables() {
		if certs, err := p.certificates(t.end.Cert); t.shows() && err == nil && len(certs) > 0 {
			do(t, certs)
		}
	}
}

// eachCA looks at every certificate of a CA, in the same way.
func (p *patient) eachCA(do func(what string, t table, c *x509.Certificate)) {
	for _, t := range p.Door.tables() {
		for _, file := range t.end.CA {
			certs, _ := p.certificates(file)
			for _, c := range certs {
				do(fmt.Sprintf("%s %s (%s)", t.caName, file, c.Subject), t, c)
			}
		}
	}
}

// orNothing is what a check found, if there was anything to look at.
func (f Finding) orNothing(what string) Finding {
	if f.Verdict == OK && len(f.Evidence) == 0 {
		return skipped(what)
	}
	return f
}

const noCertificate = "no certificate is configured here, or none can be read (FP070)"

// readAbsolute reads a file by its absolute path.
func (p *patient) readAbsolute(name string) ([]byte, fs.FileInfo, error) {
	defer p.Begin("read", name)()
	name = strings.TrimPrefix(path.Clean(name), "/")
	st, err := fs.Stat(p.Machine, name)
	var data []byte
	switch {
	case err != nil:
	case !st.Mode().IsRegular():
		err = errors.New("not a regular file")
	default:
		data, err = readMachine(p, name)
	}
	var named *fs.PathError
	if errors.As(err, &named) {
		err = named.Err // the caller says which
	}
	return data, st, err
}

// certificates are those of a PEM file, in its order.
func (p *patient) certificates(file string) (certs []*x509.Certificate, err error) {
	data, _, err := p.readAbsolute(file)
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, c)
	}
	return certs, nil
}

func checkPairs(_ context.Context, p *patient) Finding {
	f := good()
	for _, t := range p.Door.tables() {
		if t.shows() {
			p.checkPair(&f, t)
		}
		for _, file := range t.end.CA {
			certs, err := p.certificates(file)
			if err == nil && len(certs) == 0 {
				err = errors.New("it holds no certificate")
			}
			if err != nil {
				f.add(Warn, "put the CA's certificate, PEM, where "+t.caName+" says", fmt.Sprintf("%s %s: %v", t.caName, file, err))
			} else {
				f.Evidence = append(f.Evidence, fmt.Sprintf("%s %s holds %d", t.caName, file, len(certs)))
			}
		}
	}
	return f.orNothing("no certificate is configured here")
}

func (p *patient) checkPair(f *Finding, t table) {
	cert, _, err := p.readAbsolute(t.end.Cert)
	what := t.name + ".cert " + t.end.Cert
	var key []byte
	if err == nil {
		what += " with " + t.name + ".key " + t.end.Key
		key, _, err = p.readAbsolute(t.end.Key)
	}
	if err == nil {
		_, err = tls.X509KeyPair(cert, key)
	}
	if err != nil {
		f.add(Warn, fmt.Sprintf("put the certificate and its key where %s.cert and %s.key say, readable by the user that runs fencepost (docs/ops/install.md)", t.name, t.name),
			fmt.Sprintf("%s: %v", what, err))
		return
	}
	f.Evidence = append(f.Evidence, what+": they belong together")
}

func checkSecrets(_ context.Context, p *patient) Finding {
	f := good()
	secrets := slices.Clone(p.Door.Secrets)
	for _, t := range p.Door.tables() {
		if _, _, err := p.readAbsolute(t.end.Key); t.shows() && err == nil { // else it is FP070's
			secrets = append(secrets, Secret{t.name + ".key", t.end.Key, false})
		}
	}
	for _, s := range secrets {
		_, st, err := p.readAbsolute(s.File)
		others := fs.FileMode(0o077)
		if s.Group {
			others = 0o007
		}
		switch {
		case err != nil:
			f.add(Warn, "make it readable by the user that runs fencepost, and by nobody else", fmt.Sprintf("%s %s: %v", s.Setting, s.File, err))
		case st.Mode().Perm()&others != 0:
			f.add(Refuse, "chmod 600 "+s.File+", and change the secret: somebody may have read it",
				fmt.Sprintf("%s %s has mode %04o", s.Setting, s.File, st.Mode().Perm()))
		default:
			f.Evidence = append(f.Evidence, fmt.Sprintf("%s has mode %04o", s.Setting, st.Mode().Perm()))
		}
	}
	return f.orNothing("no key and no token is configured here")
}

func checkExpiry(_ context.Context, p *patient) Finding {
	f := good()
	p.eachCert(func(t table, certs []*x509.Certificate) {
		for _, c := range certs {
			f.time(fmt.Sprintf("%s.cert %s (%s)", t.name, t.end.Cert, c.Subject), c, "have a new certificate made and put it there: it is read without a restart")
		}
	})
	p.eachCA(func(what string, t table, c *x509.Certificate) {
		f.time(what, c, "put the new CA beside the old one in "+t.caName+", give out new certificates, then take the old one away")
	})
	return f.orNothing(noCertificate)
}

// time judges when a certificate counts.
func (f *Finding) time(what string, c *x509.Certificate, fix string) {
	now, end := time.Now(), c.NotAfter.UTC().Format(time.DateOnly)
	left := c.NotAfter.Sub(now)
	switch {
	case left <= 0:
		f.add(Warn, fix, fmt.Sprintf("%s ended on %s", what, end))
	case now.Before(c.NotBefore):
		f.add(Warn, "look at this machine's clock (timedatectl); else "+fix, fmt.Sprintf("%s begins on %s", what, c.NotBefore.UTC().Format(time.DateOnly)))
	case left < secure.ExpirySoon:
		f.add(Warn, fix, fmt.Sprintf("%s ends on %s, in %d days", what, end, int(left.Hours()/24)))
	default:
		f.Evidence = append(f.Evidence, fmt.Sprintf("%s ends on %s", what, end))
	}
}

// verify says what is wrong with a chain of certificates for those who know these
// CAs.
func (p *patient) verify(certs []*x509.Certificate, files []string, usage x509.ExtKeyUsage) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, file := range files {
		cas, _ := p.certificates(file)
		for _, c := range cas {
			roots.AddCert(c)
		}
	}
	for _, c := range certs[1:] {
		between.AddCert(c)
	}
	_, err := certs[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{usage}})
	return err
}

func checkAuthorities(_ context.Context, p *patient) Finding {
	f := good()
	p.eachCert(func(t table, certs []*x509.Certificate) {
		// What one end shows, the other end's CAs have to know.
		usage, word, other, cas := x509.ExtKeyUsageServerAuth, "serverAuth", "send.ca", p.Door.Send.CA
		if t.name == "send" {
			usage, word, other, cas = x509.ExtKeyUsageClientAuth, "clientAuth", "tls.client_ca", p.Door.Host.CA
		}
		what, leaf := t.name+".cert "+t.end.Cert, certs[0]
		if !madeFor(leaf, usage) {
			f.add(Warn, "have one made with extendedKeyUsage="+word, what+" isn't made for this: it lacks "+word)
			return
		}
		if len(cas) == 0 {
			f.Evidence = append(f.Evidence, fmt.Sprintf("%s is of %s; were %s set here, it would be compared with that", what, leaf.Issuer, other))
			return
		}
		var invalid x509.CertificateInvalidError
		err := p.verify(certs, cas, usage)
		switch {
		case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
			f.Evidence = append(f.Evidence, what+" isn't looked at further: it isn't its time (FP072)")
		case err != nil:
			f.add(Warn, fmt.Sprintf("put its CA into %s, and what comes between the two behind it into %s.cert", other, t.name), fmt.Sprintf("%s is of no CA in %s: %v", what, other, err))
		default:
			f.Evidence = append(f.Evidence, what+" is of a CA in "+other)
		}
	})
	p.eachCA(func(what string, _ table, c *x509.Certificate) {
		if !c.IsCA {
			f.add(Warn, "put the certificate of the CA there, not one that it has made", what+" is no CA")
		}
	})
	return f.orNothing(noCertificate)
}

// madeFor: without any use named, a certificate is for all.
func madeFor(c *x509.Certificate, usage x509.ExtKeyUsage) bool {
	return len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0 || slices.Contains(c.ExtKeyUsage, usage) || slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny)
}

func checkNames(_ context.Context, p *patient) Finding {
	f := good()
	p.eachCert(func(t table, certs []*x509.Certificate) {
		if t.name == "send" {
			f.clientName(t.end.Cert, certs[0].Subject.CommonName)
		} else {
			f.hostNames(t.end.Cert, certs[0], p.Door.Names)
		}
	})
	return f.orNothing(noCertificate)
}

func (f *Finding) clientName(file, name string) {
	if secure.ValidName(name) {
		f.Evidence = append(f.Evidence, "send.cert is of client "+name)
		return
	}
	f.add(Warn, "have one made whose common name is 1 to 128 letters, digits, '.', '_', '@' and '-', and no address",
		fmt.Sprintf("send.cert %s: its common name %q can't be a client's name", file, name))
}

func (f *Finding) hostNames(file string, c *x509.Certificate, called []string) {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	const fix = "have one made with subjectAltName=DNS:NAME for each name, and IP:ADDRESS for each address, by which clients connect"
	switch {
	case len(names) == 0:
		f.add(Warn, fix, fmt.Sprintf("tls.cert %s has no subjectAltName: no client takes it", file))
	case !slices.ContainsFunc(called, func(name string) bool { return c.VerifyHostname(name) == nil }):
		f.add(Warn, fix, fmt.Sprintf("tls.cert %s is for %s, and this host is called %s", file, strings.Join(names, ", "), strings.Join(called, ", ")))
	default:
		f.Evidence = append(f.Evidence, "tls.cert is for "+strings.Join(names, ", "))
	}
}
