package web_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"fencepost/cmd/fencepost/web"
)

const ops = "../../../docs/ops/"

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// need is exec.LookPath; in CI what is needed must be there.
func need(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return path
}

// Every metric has a line, and nobody names one that isn't there.
func TestMetricsAreDocumented(t *testing.T) {
	page := read(t, ops+"metrics.md")
	names := web.MetricNames()
	for _, n := range names {
		if !strings.Contains(page, "| `"+n+"` |") {
			t.Errorf("metrics.md has no line for %s", n)
		}
	}
	for _, file := range []string{"metrics.md", "alerts.rules.yml", "grafana-dashboard.json", "runbook.md"} {
		for _, n := range regexp.MustCompile(`fencepost_[a-z_]+`).FindAllString(read(t, ops+file), -1) {
			if !slices.Contains(names, strings.TrimSuffix(n, "_bucket")) {
				t.Errorf("%s names %s, which nothing makes", file, n)
			}
		}
	}
}

// Every alert has its line, and a part of the runbook.
func TestAlertsAreDocumented(t *testing.T) {
	rules, page, runbook := read(t, ops+"alerts.rules.yml"), read(t, ops+"alerts.md"), read(t, ops+"runbook.md")
	parts := strings.Split(rules, "- alert: ")[1:]
	if len(parts) < 10 {
		t.Fatalf("got %d alerts: can't read the rules", len(parts))
	}
	for _, p := range parts {
		name, body, _ := strings.Cut(p, "\n")
		m := regexp.MustCompile(`runbook: docs/ops/runbook\.md#([a-z-]+)\n`).FindStringSubmatch(body)
		if m == nil {
			t.Errorf("%s: no runbook annotation", name)
			continue
		}
		if !strings.Contains(runbook, "\n## "+strings.ReplaceAll(m[1], "-", " ")+"\n") && !strings.Contains(runbook, "\n## "+m[1]+"\n") {
			t.Errorf("%s: runbook.md has no heading %s", name, m[1])
		}
		if !strings.Contains(page, "| "+name+" |") || !strings.Contains(page, "(runbook.md#"+m[1]+")") {
			t.Errorf("%s: no line in alerts.md", name)
		}
		if !regexp.MustCompile(`severity: (page|ticket)\b`).MatchString(body) || !strings.Contains(body, "command: fencepost ") {
			t.Errorf("%s: no severity, or no first command", name)
		}
	}
}

// Prometheus' own tool reads the rules, and sees each of them fire.
func TestAlertRules(t *testing.T) {
	tool := need(t, "promtool")
	dir := t.TempDir()
	for from, to := range map[string]string{ops + "alerts.rules.yml": "alerts.rules.yml", "testdata/alerts.test.yml": "alerts.test.yml"} {
		if err := os.WriteFile(filepath.Join(dir, to), []byte(read(t, from)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"check", "rules", "alerts.rules.yml"}, {"test", "rules", "alerts.test.yml"}} {
		cmd := exec.Command(tool, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	tests := read(t, "testdata/alerts.test.yml")
	for _, p := range strings.Split(read(t, ops+"alerts.rules.yml"), "- alert: ")[1:] {
		name, _, _ := strings.Cut(p, "\n")
		if strings.Count(tests, name) < 2 {
			t.Errorf("%s isn't tested both ways", name)
		}
	}
}

// The dashboard is what Grafana imports, and each panel asks for something.
func TestDashboard(t *testing.T) {
	var d struct {
		Title  string
		Panels []struct {
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, ops+"grafana-dashboard.json")), &d); err != nil {
		t.Fatal(err)
	}
	if d.Title == "" || len(d.Panels) < 10 {
		t.Fatalf("got title %q and %d panels", d.Title, len(d.Panels))
	}
	exprs := []string{}
	for _, p := range d.Panels {
		if p.Title == "" || len(p.Targets) == 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %q: no title, no target, or too wide", p.Title)
		}
		for _, target := range p.Targets {
			exprs = append(exprs, strings.ReplaceAll(strings.ReplaceAll(target.Expr, "$__rate_interval", "1m"), "$job", ".*"))
		}
	}
	tool := need(t, "promtool")
	rules := "groups:\n  - name: dashboard\n    rules:\n"
	for i, e := range exprs {
		name, _ := json.Marshal(e)
		rules += "      - record: panel:" + string(rune('a'+i/26)) + string(rune('a'+i%26)) + "\n        expr: " + string(name) + "\n"
	}
	file := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(tool, "check", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}
