package script_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"fencepost/submit/internal/script"
)

func TestInterpreter(t *testing.T) {
	for text, want := range map[string][]string{
		"#!/bin/sh":                     {"/bin/sh"},
		"#!/bin/sh\necho":               {"/bin/sh"},
		"#! /bin/sh \n":                 {"/bin/sh"},
		"#!/bin/bash -e\n":              {"/bin/bash", "-e"},
		"#!/usr/bin/env python3 -u\n":   {"/usr/bin/env", "python3 -u"},
		"#!\t/usr/bin/awk \t -f x \t\n": {"/usr/bin/awk", "-f x"},
		"#!\n":                          nil,
		"#! \n/bin/sh":                  nil,
		"echo\n":                        nil,
		"":                              nil,
	} {
		got, err := script.Interpreter(text)
		if !slices.Equal(got, want) || (err == nil) != (want != nil) {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
}

func FuzzQuote(f *testing.F) {
	f.Add("it's", "$(id) `id` \\ \n !")
	f.Add("", "'")
	f.Fuzz(func(t *testing.T, a, b string) {
		if strings.ContainsRune(a+b, 0) {
			t.Skip("no program can get a NUL")
		}
		out, err := exec.Command("/bin/sh", "-c", "printf '%s\\0' "+script.QuoteAll([]string{a, b})).Output()
		if want := a + "\x00" + b + "\x00"; err != nil || string(out) != want {
			t.Fatalf("got %q, %v, want %q", out, err, want)
		}
	})
}
