package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
)

const cookieName = "fencepost_token"

// guarded is every request's way in: headers first, so that refusals have them,
// then the method, the name it came under, the token, and a free slot.
func (s *Server) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", s.csp)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "this page only shows: GET or HEAD", http.StatusMethodNotAllowed)
			return
		}
		if !s.cfg.AnyHost && !s.guards() && !ownName(r.Host) {
			http.Error(w, "not served under this name: use an address, localhost or this machine's name", http.StatusMisdirectedRequest)
			return
		}
		if !s.admitted(w, r) {
			return
		}
		select {
		case s.busy <- struct{}{}:
			defer func() { <-s.busy }()
		default:
			h.Set("Retry-After", "2")
			http.Error(w, "too many viewers at the moment", http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// streamed bounds what lasts: streams must not use up the slots of pages.
func (s *Server) streamed(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case s.streams <- struct{}{}:
			defer func() { <-s.streams }()
			next(w, r)
		default:
			w.Header().Set("Retry-After", "10")
			http.Error(w, "too many live viewers at the moment", http.StatusServiceUnavailable)
		}
	}
}

// ownName says whether a Host header can only be meant for this machine.
func ownName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if _, err := netip.ParseAddr(host); err == nil || host == "localhost" {
		return true
	}
	own, err := os.Hostname()
	return err == nil && host == strings.ToLower(own)
}

// guards says whether viewers have to show something.
func (s *Server) guards() bool { return s.cfg.Token != "" || s.cfg.Certificates }

// admitted checks the certificate, or the token: in a header, in the cookie, or
// once in the query, which gives the cookie and takes the token out of the address.
func (s *Server) admitted(w http.ResponseWriter, r *http.Request) bool {
	if !s.guards() || r.URL.Path == "/healthz" || r.URL.Path == "/readyz" {
		return true
	}
	if s.cfg.Certificates && r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		return true
	}
	if s.cfg.Token == "" {
		http.Error(w, "a certificate is needed, from a CA in http_client_ca", http.StatusForbidden)
		return false
	}
	cookie := digest("cookie " + s.cfg.Token)
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok && same(bearer, s.cfg.Token) {
		return true
	}
	if c, err := r.Cookie(cookieName); err == nil && same(c.Value, cookie) {
		return true
	}
	q := r.URL.Query()
	if same(q.Get("token"), s.cfg.Token) {
		http.SetCookie(w, &http.Cookie{Name: cookieName, Value: cookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode,
			Secure: r.TLS != nil, MaxAge: 12 * 3600})
		q.Del("token")
		to := *r.URL
		to.RawQuery = q.Encode()
		// Relative to this very server, whatever the path says.
		to.Scheme, to.Host, to.Path = "", "", "/"+strings.TrimLeft(to.Path, "/\\")
		http.Redirect(w, r, to.String(), http.StatusSeeOther)
		return false
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="fencepost"`)
	http.Error(w, "a token is needed: Authorization: Bearer TOKEN, or ?token=TOKEN once in a browser", http.StatusUnauthorized)
	return false
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// same takes as long whatever the texts are.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
