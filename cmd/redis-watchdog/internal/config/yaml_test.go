package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// example is a configuration that a document shows.
type example struct{ where, text string }

// examples are the whole configurations in README and docs, and the shipped
// reference with every key switched on.
func examples(t *testing.T) []example {
	t.Helper()
	root := filepath.Join("..", "..", "..", "..")
	files, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	var found []example
	for _, file := range append(files, filepath.Join(root, "README.md")) {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(source), "\n")
		for i, line := range lines {
			if strings.TrimSpace(line) != "etcd:" {
				continue
			}
			margin := line[:len(line)-len("etcd:")]
			var block []string
			for _, l := range lines[i:] {
				if l != "" && !strings.HasPrefix(l, margin) || strings.HasPrefix(l, "```") {
					break
				}
				block = append(block, strings.TrimPrefix(l, margin))
			}
			if text := strings.Join(block, "\n") + "\n"; strings.Contains(text, "groups:") {
				found = append(found, example{fmt.Sprintf("%s:%d", filepath.Base(file), i+1), text})
			}
		}
	}
	reference, err := os.ReadFile(filepath.Join("..", "..", "redis-watchdog.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	full := strings.ReplaceAll(offKey.ReplaceAllString(string(reference), "$1$2"), "http://10", "https://10")
	return append(found, example{"redis-watchdog.yaml", full})
}

// restyle writes the same document in another of YAML's forms.
func restyle(t *testing.T, text string, collections, texts yaml.Style) string {
	t.Helper()
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		t.Fatal(err)
	}
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		n.HeadComment, n.LineComment, n.FootComment = "", "", ""
		switch {
		case n.Kind == yaml.MappingNode, n.Kind == yaml.SequenceNode:
			n.Style = collections
		case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str":
			n.Style = texts
		}
		for _, below := range n.Content {
			walk(below)
		}
	}
	walk(&document)
	out, err := yaml.Marshal(&document)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestEveryExampleReadsAlikeInEveryForm(t *testing.T) {
	all := examples(t)
	if len(all) < 3 {
		t.Fatalf("only %d examples were found", len(all))
	}
	for _, e := range all {
		want, err := parse("x", []byte(e.text), noEnv, false)
		if err != nil {
			t.Errorf("%s: %v", e.where, err)
			continue
		}
		want.lines, want.values = nil, nil // where it is written differs, not what it says
		for name, text := range map[string]string{
			"block":         restyle(t, e.text, 0, 0),
			"block, quoted": restyle(t, e.text, 0, yaml.DoubleQuotedStyle),
			"block, single": restyle(t, e.text, 0, yaml.SingleQuotedStyle),
			"flow":          restyle(t, e.text, yaml.FlowStyle, 0),
			"flow, quoted":  restyle(t, e.text, yaml.FlowStyle, yaml.DoubleQuotedStyle),
		} {
			got, err := parse("x", []byte(text), noEnv, false)
			if err != nil {
				t.Errorf("%s in %s:\n%s\n%v", e.where, name, text, err)
				continue
			}
			got.lines, got.values = nil, nil
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s in %s: got %+v\nwant %+v", e.where, name, got, want)
			}
		}
	}
}

// An URL and an address are plain texts inside braces and brackets: a colon
// begins a value only where a space follows it.
func TestAddressesNeedNoQuotesInsideBraces(t *testing.T) {
	c, err := load(t, `{etcd: {endpoints: [http://10.0.0.11:2379, http://10.0.0.12:2379]}, groups: [{name: m1,
  sentinels: [10.0.0.11:26379, sentinel-2.internal:26379, "[fd00::3]:26379"], nodes: [{address: 127.0.0.1:6379}]}]}`)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"http://10.0.0.11:2379", "http://10.0.0.12:2379"}; !slices.Equal(c.Etcd.Endpoints, want) {
		t.Errorf("got %q", c.Etcd.Endpoints)
	}
	if want := []string{"10.0.0.11:26379", "sentinel-2.internal:26379", "[fd00::3]:26379"}; !slices.Equal(c.Groups[0].Sentinels, want) {
		t.Errorf("got %q", c.Groups[0].Sentinels)
	}
}

func TestLoadMergesSections(t *testing.T) {
	c, err := load(t, strings.Replace(valid, "groups:", "groups:\n  - {name: m0, sentinels: [h:1], policy: &p {strict: true, time_to_act: 200ms}, nodes: [{address: h:2}]}", 1)+
		"    policy:\n      <<: *p\n      strict: false\n")
	if err != nil {
		t.Fatal(err)
	}
	if p := c.Groups[1].Policy; p.Strict || p.TimeToAct.Milliseconds() != 200 {
		t.Errorf("got %+v", p)
	}
}

// Texts that make a reader of YAML go wrong: each is one fault with its line, or
// what it says, and never an endless walk.
func TestOddYAML(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"anchor inside itself", valid + "    policy: &p {preflight: *p}\n", "8: groups[0].policy.preflight: unknown key"},
		{"list inside itself", valid + "hooks: &h [*h]\n", "hooks[0]: is a list, not a section of keys"},
		{"merge of a text", valid + "    policy: {<<: here}\n", "does not name a section of keys"},
		{"no such anchor", valid + "    policy: *nobody\n", "unknown anchor"},
		{"tab", strings.Replace(valid, "  endpoints", "\tendpoints", 1), "2: is not YAML"},
		{"text after the end", valid + "...\n] x", "is not YAML"},
		{"a key that is a list", valid + "? [a, b]\n: c\n", "unknown key"},
	} {
		_, err := load(t, test.text)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
	}
	if _, err := load(t, "\ufeff"+strings.ReplaceAll(valid, "\n", "\r\n")); err != nil {
		t.Errorf("as Windows writes it: %v", err)
	}
}

// Fifty sections each of which brings the one before in twice: 2^50 if each were
// walked every time.
func TestMergesDoNotDouble(t *testing.T) {
	text := "x0: &x0 {strict: true}\n"
	for i := range 50 {
		text += fmt.Sprintf("x%d: &x%d {<<: [*x%d, *x%d]}\n", i+1, i+1, i, i)
	}
	_, err := load(t, text+valid+"    policy: {<<: *x50}\n")
	faults, ok := err.(Faults)
	if !ok || len(faults) != 51 {
		t.Errorf("got %v, want a fault for each of the 51 unknown keys", err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(valid)
	f.Add(valid + "    policy: &p {<<: *p}\n")
	f.Add("a: &a [*a, {<<: [*a, *a]}]\n--- {}")
	place := regexp.MustCompile(`^x(:\d+)?: `)
	f.Fuzz(func(t *testing.T, text string) {
		_, err := parse("x", []byte(text), noEnv, false)
		if faults, ok := err.(Faults); ok {
			for _, fault := range faults {
				if !place.MatchString(fault.Error()) || fault.Remedy == "" {
					t.Errorf("a fault without a place or a remedy: %v", fault)
				}
			}
		}
	})
}
