package clustertest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
)

// KeyServer is a small service that takes jobs by POST, runs them, and honours
// the header Idempotency-Key: the same key and body again is the same job,
// another body is refused with 422.
type KeyServer struct {
	fake fake

	mu   sync.Mutex // guards jobs
	jobs map[string]keyJob
}

type keyJob struct{ id, body string }

// NewKeyServer makes one. The test's binary must call Main.
func NewKeyServer(t testing.TB) *KeyServer {
	t.Helper()
	return &KeyServer{fake: fake{dir: t.TempDir()}, jobs: make(map[string]keyJob)}
}

func (s *KeyServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		return
	}
	body, err := io.ReadAll(r.Body)
	key := r.Header.Get("Idempotency-Key")
	if err != nil || key == "" || r.Method != http.MethodPost || r.Header.Get("Fencepost-Token") == "" {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	j, again := s.jobs[key]
	switch {
	case again && j.body != string(body):
		http.Error(w, "key used for another job", http.StatusUnprocessableEntity)
		return
	case !again:
		n := 100 + len(s.jobs)
		j = keyJob{id: fmt.Sprintf("job/%d", n), body: string(body)}
		if err := s.fake.start(&fakeJob{ID: n, Doc: body}); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		s.jobs[key] = j
	}
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(map[string]any{"id": j.id, "again": again})
}
