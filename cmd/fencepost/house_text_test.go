package main_test

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// topLevel: what a newcomer sees first is the layout and nothing else.
func topLevel(h *house) (found []string) {
	allowed := strings.Fields("cmd spool lease codec submit docs go.mod go.sum README.md LICENSE CHANGELOG.md CONTRIBUTING.md " +
		"fencepost") // the last is the program, which git ignores
	for name := range h.all {
		if name != "." && !strings.Contains(name, "/") && !strings.HasPrefix(name, ".") && !slices.Contains(allowed, name) {
			found = append(found, name+": not part of the layout")
		}
	}
	for _, name := range allowed {
		if name != "fencepost" && !h.all[name] {
			found = append(found, name+": missing at the top level")
		}
	}
	slices.Sort(found)
	return found
}

// The words are put together here so that this file doesn't hold them.
func nothingLeftOpen(h *house) []string {
	return h.grep(regexp.MustCompile(`\b(TO`+`DO|FIX`+`ME|X`+`XX|[Nn]ot implemen`+`ted)\b`), func(string) bool { return true },
		"TO"+"DO", "FIX"+"ME", "X"+"XX", "ot implemen"+"ted")
}

// noPrivatePaths: no path of the machine that it was written on, and no host of
// a package registry.
func noPrivatePaths(h *house) []string {
	words := []string{"../sha" + "red", "/wo" + "rk/", "/fa" + "rm/", "/ro" + "ot/",
		"proxy.gol" + "ang", "sum.gol" + "ang", "deb.deb" + "ian", "registry.np" + "mjs"}
	var quoted []string
	for _, w := range words {
		quoted = append(quoted, regexp.QuoteMeta(w))
	}
	return h.grep(regexp.MustCompile(strings.Join(quoted, "|")), func(name string) bool { return name != "go.sum" }, words...)
}

// grep returns the lines that match, in all files that are wanted. Only files
// with one of the words can match: that is much quicker to know.
func (h *house) grep(bad *regexp.Regexp, want func(name string) bool, words ...string) (found []string) {
	for _, name := range slices.Sorted(maps.Keys(h.text)) {
		has := func(word string) bool { return strings.Contains(h.text[name], word) }
		if !want(name) || !slices.ContainsFunc(words, has) {
			continue
		}
		for i, line := range strings.Split(h.text[name], "\n") {
			if m := bad.FindString(line); m != "" {
				found = append(found, fmt.Sprintf("%s:%d: %q", name, i+1, m))
			}
		}
	}
	return found
}

// linksResolve: every relative link in a page leads to a file, and to a heading
// if it names one.
func linksResolve(h *house) (found []string) {
	link := regexp.MustCompile(`\]\(([^()\s]+)\)`)
	for _, name := range slices.Sorted(maps.Keys(h.text)) {
		if path.Ext(name) != ".md" {
			continue
		}
		for i, line := range strings.Split(prose(h.text[name]), "\n") {
			for _, m := range link.FindAllStringSubmatch(line, -1) {
				if why := h.deadLink(name, m[1]); why != "" {
					found = append(found, fmt.Sprintf("%s:%d: %s: %s", name, i+1, m[1], why))
				}
			}
		}
	}
	return found
}

// deadLink says what is wrong with a link in page; "" = nothing.
func (h *house) deadLink(page, link string) string {
	if strings.Contains(link, ":") {
		return "" // elsewhere
	}
	file, anchor, _ := strings.Cut(link, "#")
	target := page
	if file != "" {
		target = path.Join(path.Dir(page), file)
	}
	switch {
	case !h.all[target]:
		return "no such file"
	case anchor != "" && path.Ext(target) == ".md" && !slices.Contains(anchors(h.text[target]), anchor):
		return "no such heading"
	}
	return ""
}

// referencesResolve: pages that code names, and sections of them, are there.
func referencesResolve(h *house) (found []string) {
	page := regexp.MustCompile(`\bdocs/[A-Za-z0-9_./-]*[A-Za-z0-9](#[A-Za-z0-9-]+)?`)
	section := regexp.MustCompile(`section (\d+)\s+(?:// )?of\s+(?:// )?(docs/[A-Za-z/-]+\.md)`)
	for _, name := range slices.Sorted(maps.Keys(h.text)) {
		if ext := path.Ext(name); ext != ".go" && ext != ".md" || strings.HasSuffix(name, "house_broken_test.go") {
			continue
		}
		if !strings.Contains(h.text[name], "docs/") {
			continue
		}
		for _, m := range page.FindAllString(h.text[name], -1) {
			file, anchor, _ := strings.Cut(m, "#")
			if path.Ext(file) == "" && !h.all[file] {
				continue // the beginning of a pattern
			}
			if !h.all[file] || anchor != "" && !slices.Contains(anchors(h.text[file]), anchor) {
				found = append(found, name+": "+m+": no such page or heading")
			}
		}
		for _, m := range section.FindAllStringSubmatch(h.text[name], -1) {
			if !regexp.MustCompile(`(?m)^## ` + m[1] + `\b`).MatchString(h.text[m[2]]) {
				found = append(found, name+": "+m[2]+" has no section "+m[1])
			}
		}
	}
	return found
}

// prose is a page without its code.
func prose(page string) string {
	page = regexp.MustCompile("(?ms)^ *```.*?^ *```$").ReplaceAllStringFunc(page, func(s string) string {
		return strings.Repeat("\n", strings.Count(s, "\n"))
	})
	return regexp.MustCompile("`[^`\n]*`").ReplaceAllString(page, "")
}

// anchors are the names that a page's headings get on the usual web views.
func anchors(page string) (names []string) {
	page = regexp.MustCompile("(?ms)^ *```.*?^ *```$").ReplaceAllString(page, "")
	for _, m := range regexp.MustCompile(`(?m)^#+ +(.*)$`).FindAllStringSubmatch(page, -1) {
		slug := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, strings.TrimSpace(m[1]))
		name := slug
		for i := 1; slices.Contains(names, name); i++ {
			name = slug + "-" + strconv.Itoa(i)
		}
		names = append(names, name)
	}
	return names
}

// packagesNamed: the Debian packages stand in .ci/run; CONTRIBUTING.md names
// the same, and nobody names another.
func packagesNamed(h *house) (found []string) {
	list := regexp.MustCompile(`(?s)\npackages=\((.*?)\)`).FindStringSubmatch(h.text[".ci/run"])
	if list == nil {
		return []string{".ci/run: no list of packages"}
	}
	packages := strings.Fields(list[1])
	install := regexp.MustCompile(`apt-get install ((?:-\S+ )*)([a-z0-9][a-z0-9.+ \\\n-]*)`)
	for _, name := range slices.Sorted(maps.Keys(h.text)) {
		if name == ".ci/run" || strings.HasSuffix(name, "house_broken_test.go") {
			continue
		}
		for _, m := range install.FindAllStringSubmatch(h.text[name], -1) {
			named := strings.Fields(strings.ReplaceAll(m[2], "\\", " "))
			for _, p := range named {
				if !slices.Contains(packages, p) {
					found = append(found, fmt.Sprintf("%s: package %s is not in .ci/run's list", name, p))
				}
			}
			if name == "CONTRIBUTING.md" && len(named) != len(packages) {
				found = append(found, fmt.Sprintf("%s: names %d packages, .ci/run %d", name, len(named), len(packages)))
			}
		}
	}
	return found
}
