package main_test

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestReloadRules: at SIGHUP what clients may do is read again, and nothing else;
// what can't be used changes nothing, and ends nothing.
func TestReloadRules(t *testing.T) {
	s := newSite(t, []string{"a"}, "--stages", "ingest")
	const mayType = "[clients.'127.0.0.1']\ntypes = ['t']\n[types.t]\ncommand = ['/bin/true']\n"
	conf := s.file("c.toml", mayType)
	a := s.start("a", "--config", conf)
	reload := func(text string) {
		t.Helper()
		s.file("c.toml", text)
		a.signal(syscall.SIGHUP)
	}
	script, typed := s.jobs(1, "#!/bin/sh\n"), s.file("typed.json", `{"name":"x","type":"t"}`)
	send := func(file string) string {
		_, errs, code := s.try("send", "--to", a.addr, "--timeout", "20s", file)
		if code == 0 {
			return ""
		}
		return errs
	}
	want := func(file, says string) {
		t.Helper()
		eventually(t, 20*time.Second, func() string {
			if errs := send(file); (says == "") != (errs == "") || !strings.Contains(errs, says) {
				return "got " + errs + ", want " + says
			}
			return ""
		})
	}
	before := s.digest()
	want(script, "no scripts or commands of its own")
	want(typed, "")
	reload(strings.Replace(mayType, "types = ", "scripts = true\ntypes = ", 1))
	want(script, "")

	reload("nonsense")
	eventually(t, 20*time.Second, func() string {
		if log := tail(a.log); !strings.Contains(log, `"event":"reload-refused"`) {
			return "no word on nonsense: " + log
		}
		return ""
	})
	want(script, "")

	if got := s.digest(); got != before {
		t.Errorf("the digest of what all hosts should agree on is %s, was %s", got, before)
	}
	const disabled = "[clients.'127.0.0.1']\ndisabled = true\n[types.u]\ncommand = ['/bin/true']\n"
	reload("workers = 7\n" + disabled)
	eventually(t, 20*time.Second, func() string {
		if log := tail(a.log); !strings.Contains(log, "workers can't change while the daemon runs") {
			return "no word on what needs a restart: " + log
		}
		return ""
	})
	want(typed, "")
	reload(disabled)
	want(typed, "not allowed here")
	eventually(t, 20*time.Second, func() string {
		if s.digest() == before {
			return "the digest is the same, though types differ"
		}
		return ""
	})
	if code := a.stop(t); code != 0 {
		t.Errorf("stopped with %d", code)
	}
}

// digest is that of the first host's configuration, as others see it.
func (s *site) digest() string {
	s.t.Helper()
	var doc struct {
		Hosts []struct {
			Digest string `json:"config_digest"`
		}
	}
	if err := json.Unmarshal([]byte(s.run(0, "hosts", "--json", "--spool", s.spool)), &doc); err != nil {
		s.t.Fatal(err)
	}
	return doc.Hosts[0].Digest
}
