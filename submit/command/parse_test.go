package command_test

import (
	"reflect"
	"strings"
	"testing"

	"fencepost/submit"
	"fencepost/submit/command"
)

const key = "0196e9f4-2222-7000-8000-000000000001"

func TestParseListing(t *testing.T) {
	tests := []struct {
		name, out string
		want      []submit.Job
		ok        bool
	}{
		{"nothing", "", nil, true},
		{"only a newline", "\n", nil, true},
		{"one", "17 " + key + " s/h/3/4/0 held\n", []submit.Job{{ID: "17", Name: "fp-" + key, Key: key, Token: "s/h/3/4/0", State: submit.Held, Detail: "held"}}, true},
		{"no newline, more blanks", "17\t" + key + "  tok running", []submit.Job{{ID: "17", Name: "fp-" + key, Key: key, Token: "tok", State: submit.Running, Started: true, Detail: "running"}}, true},
		{"not ours", "18 nightly - done\n", []submit.Job{{ID: "18", Name: "fp-nightly", Token: "-", State: submit.Done, Started: true, Detail: "done"}}, true},
		{"capitals are another key", "18 " + strings.ToUpper(key) + " t pending\n", []submit.Job{{ID: "18", Name: "fp-" + strings.ToUpper(key), Token: "t", State: submit.Pending, Detail: "pending"}}, true},
		{"three words", "17 " + key + " held\n", nil, false},
		{"five words", "17 " + key + " t held x\n", nil, false},
		{"unknown state", "17 " + key + " t suspended\n", nil, false},
		{"state in capitals", "17 " + key + " t HELD\n", nil, false},
		{"cut off", "17 " + key + " t held\n18 " + key + " t he", nil, false},
		{"id twice", "17 a t held\n17 b t held\n", nil, false},
		{"control", "1\x1b7 a t held\n", nil, false},
		{"not UTF-8", "17 \xff t held\n", nil, false},
		{"id too long", strings.Repeat("/", 34) + " a t held\n", nil, false},
		{"error text", "error: can't connect to the cluster\n", nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := command.ParseListing([]byte(tt.out), "fp-")
			if (err == nil) != tt.ok || tt.ok && !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, %v, want %+v, ok %v", got, err, tt.want, tt.ok)
			}
		})
	}
}

func FuzzParseListing(f *testing.F) {
	f.Add([]byte("17 " + key + " s/h/3/4/0 held\n"))
	f.Add([]byte("17 a b done\r\n\n18 c d failed"))
	f.Fuzz(func(t *testing.T, b []byte) {
		jobs, err := command.ParseListing(b, "fp-")
		if err != nil {
			return
		}
		// What was understood reads the same when written down again.
		var again strings.Builder
		for _, j := range jobs {
			again.WriteString(strings.Join([]string{j.ID, strings.TrimPrefix(j.Name, "fp-"), j.Token, j.Detail}, " ") + "\n")
		}
		jobs2, err := command.ParseListing([]byte(again.String()), "fp-")
		if err != nil || !reflect.DeepEqual(jobs, jobs2) {
			t.Fatalf("got %+v, %v, want %+v", jobs2, err, jobs)
		}
	})
}
