package metrics

// The rules for Prometheus, the runbooks and the dashboard for Grafana must
// match what the program exposes, and each other.

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/redis-watchdog/redis-watchdog/lab/need"
)

const root = "../../../.."

func contents(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const (
	rulesFile     = "systemd/prometheus/redis-watchdog.rules.yml"
	rulesTestFile = "systemd/prometheus/redis-watchdog.rules.test.yml"
	dashboardFile = "systemd/grafana/redis-watchdog.json"
	runbooksFile  = "docs/runbooks.md"
)

type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func rules(t *testing.T) []rule {
	t.Helper()
	var file struct {
		Groups []struct {
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Unmarshal([]byte(contents(t, rulesFile)), &file); err != nil {
		t.Fatal(err)
	}
	var all []rule
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) < 10 {
		t.Fatalf("got %d rules", len(all))
	}
	return all
}

type dashboard struct {
	Templating struct {
		List []struct {
			Name       string `json:"name"`
			Type       string `json:"type"`
			Definition string `json:"definition"`
		} `json:"list"`
	} `json:"templating"`
	Panels []panel `json:"panels"`
}

type panel struct {
	ID         int        `json:"id"`
	Title      string     `json:"title"`
	Datasource datasource `json:"datasource"`
	GridPos    struct{ H, W, X, Y int }
	Targets    []struct {
		Expr       string     `json:"expr"`
		Datasource datasource `json:"datasource"`
	} `json:"targets"`
}

type datasource struct {
	UID string `json:"uid"`
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	var d dashboard
	if err := json.Unmarshal([]byte(contents(t, dashboardFile)), &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Panels) < 10 {
		t.Fatalf("got %d panels", len(d.Panels))
	}
	return d
}

func TestAlertsHaveRunbooksAndNoOther(t *testing.T) {
	var alerts []string
	for _, r := range rules(t) {
		alerts = append(alerts, r.Alert)
		if severity := r.Labels["severity"]; severity != "critical" && severity != "warning" {
			t.Errorf("%s has severity %q", r.Alert, severity)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s lacks a summary or a description", r.Alert)
		}
		if want := "/" + runbooksFile + "#" + strings.ToLower(r.Alert); !strings.HasSuffix(r.Annotations["runbook_url"], want) {
			t.Errorf("%s: runbook_url is %q, want …%s", r.Alert, r.Annotations["runbook_url"], want)
		}
	}
	parts := strings.Split(contents(t, runbooksFile), "\n## ")[1:]
	var pages []string
	for _, part := range parts {
		name, body, _ := strings.Cut(part, "\n")
		pages = append(pages, name)
		for _, want := range []string{"**Means**: ", "**Look**: ", "**Do**: "} {
			if !strings.Contains(body, want) {
				t.Errorf("the runbook of %s has no %s", name, want)
			}
		}
		for _, link := range regexp.MustCompile(`\(#([a-z]+)\)`).FindAllStringSubmatch(body, -1) {
			if !slices.ContainsFunc(alerts, func(a string) bool { return strings.ToLower(a) == link[1] }) {
				t.Errorf("the runbook of %s refers to #%s, which there is not", name, link[1])
			}
		}
	}
	if !slices.Equal(alerts, pages) {
		t.Errorf("alerts %q\nrunbooks %q: not the same in the same order", alerts, pages)
	}
}

// namesIn are our metrics in an expression, without what Prometheus appends to
// a histogram.
func namesIn(expression string) []string {
	names := regexp.MustCompile(`redis_watchdog_[a-z_]+`).FindAllString(expression, -1)
	for i, name := range names {
		for _, suffix := range []string{"_bucket", "_count", "_sum"} {
			name = strings.TrimSuffix(name, suffix)
		}
		names[i] = name
	}
	return names
}

func TestRulesAndDashboardUseOnlyMetricsThereAre(t *testing.T) {
	known := constants(t)
	check := func(where, expression string) {
		names := namesIn(expression)
		if len(names) == 0 && !strings.Contains(expression, "up{") {
			t.Errorf("%s uses none of our metrics: %s", where, expression)
		}
		for _, name := range names {
			if !slices.Contains(known, name) {
				t.Errorf("%s uses %s, which there is not", where, name)
			}
		}
	}
	for _, r := range rules(t) {
		check(r.Alert, r.Expr)
	}
	d := readDashboard(t)
	shown := map[string]bool{}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			check("panel "+p.Title, target.Expr)
			for _, name := range namesIn(target.Expr) {
				shown[name] = true
			}
			if !strings.Contains(target.Expr, `master_name=~"$master_name", instance=~"$instance"`) {
				t.Errorf("panel %s does not follow the variables: %s", p.Title, target.Expr)
			}
			if target.Datasource.UID != "${datasource}" || p.Datasource.UID != "${datasource}" {
				t.Errorf("panel %s asks the data source %q", p.Title, target.Datasource.UID)
			}
		}
	}
	for _, name := range []string{Phase, MasterInfo, GrantRemaining, FenceDeadline, EarliestPromotion, CoordinatorAge, SentinelsAgreeing, Faults, Veto, Steps} {
		if !shown[name] {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
	var variables []string
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
		if v.Type == "query" {
			check("variable "+v.Name, v.Definition)
		}
	}
	if !slices.Equal(variables, []string{"datasource", "master_name", "instance"}) {
		t.Errorf("got variables %q", variables)
	}
}

func TestDashboardPanelsDoNotOverlap(t *testing.T) {
	panels := readDashboard(t).Panels
	for i, a := range panels {
		if g := a.GridPos; g.X+g.W > 24 || g.W <= 0 || g.H <= 0 {
			t.Errorf("panel %s does not fit: %+v", a.Title, g)
		}
		for _, b := range panels[i+1:] {
			p, q := a.GridPos, b.GridPos
			if a.ID == b.ID || p.X < q.X+q.W && q.X < p.X+p.W && p.Y < q.Y+q.H && q.Y < p.Y+p.H {
				t.Errorf("panels %s and %s are in one place, or have one id", a.Title, b.Title)
			}
		}
	}
}

// promtool is Prometheus' own, which `make setup` brings.
func promtool(t *testing.T) string {
	t.Helper()
	need.Servers(t)
	if own, err := filepath.Abs(filepath.Join(root, ".tools/promtool")); err == nil {
		if _, err := os.Stat(own); err == nil {
			return own
		}
	}
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatal("no promtool: run make setup")
	}
	return path
}

func runPromtool(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), promtool(t), args...)
	cmd.WaitDelay = 5 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// TestAlertsFireAndStayQuiet runs the rules against made-up series: every alert
// once when it must fire, once when it must not.
func TestAlertsFireAndStayQuiet(t *testing.T) {
	var file struct {
		Tests []struct {
			Alerts []struct {
				Name string `yaml:"alertname"`
				Exp  []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		} `yaml:"tests"`
	}
	if err := yaml.Unmarshal([]byte(contents(t, rulesTestFile)), &file); err != nil {
		t.Fatal(err)
	}
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, test := range file.Tests {
		for _, a := range test.Alerts {
			if len(a.Exp) > 0 {
				fires[a.Name] = true
			} else {
				quiet[a.Name] = true
			}
		}
	}
	for _, r := range rules(t) {
		if !fires[r.Alert] || !quiet[r.Alert] {
			t.Errorf("%s: tested firing: %v, tested quiet: %v", r.Alert, fires[r.Alert], quiet[r.Alert])
		}
	}
	runPromtool(t, "test", "rules", filepath.Join(root, rulesTestFile))
}

// TestDashboardExpressionsAreGood lets promtool parse them, as if they were rules.
func TestDashboardExpressionsAreGood(t *testing.T) {
	type recorded struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	var all []recorded
	for _, p := range readDashboard(t).Panels {
		for i, target := range p.Targets {
			all = append(all, recorded{fmt.Sprintf("panel_%d_%d", p.ID, i), strings.ReplaceAll(target.Expr, "$__rate_interval", "5m")})
		}
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	b, err := yaml.Marshal(map[string]any{"groups": []map[string]any{{"name": "dashboard", "rules": all}}})
	if err == nil {
		err = os.WriteFile(file, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	runPromtool(t, "check", "rules", file)
}
