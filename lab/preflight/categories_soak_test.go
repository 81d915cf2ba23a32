//go:build soak

package preflight

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/builds"
	"github.com/redis-watchdog/redis-watchdog/preflight"
)

// TestCategoriesAreTheBuildsOwnSoak: what is recorded of ACL CAT, and of what ACL
// LIST makes of what was typed, is what the servers say.
func TestCategoriesAreTheBuildsOwnSoak(t *testing.T) {
	var l *lab.Lab
	listed := map[string]map[string]string{} // by build and what was typed
	var typed []string
	file, err := os.Open("../../preflight/testdata/acl_listed.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if rules, ok := strings.CutPrefix(lines.Text(), "typed "); ok {
			typed = append(typed, rules)
		} else if name, rules, ok := strings.Cut(lines.Text(), ": "); ok && !strings.HasPrefix(name, "#") {
			if listed[name] == nil {
				listed[name] = map[string]string{}
			}
			listed[name][typed[len(typed)-1]] = rules
		}
	}
	others := []builds.Build{builds.Redis60, builds.Redis70, builds.Redis80, builds.Valkey81, builds.Valkey9}
	for _, b := range others {
		b.Leave(t, func() *lab.Lab { return l })
	}
	l = lab.New(t)
	h := l.Host("a")
	for i, b := range others {
		name := b.Name
		if name == "valkey 9" {
			name = "valkey 9.1"
		}
		r := h.Redis(lab.RedisConfig{Name: fmt.Sprintf("redis%d", i), Port: 7000 + i, Binary: b.Script(t, "")})
		recorded := preflight.ACLCategories(name)
		categories := words(r.Do("ACL", "CAT"))
		if len(categories) != len(recorded) {
			t.Errorf("%s has the categories %q, recorded are %d", name, categories, len(recorded))
		}
		for _, c := range categories {
			got := words(r.Do("ACL", "CAT", c))
			slices.Sort(got)
			if !slices.Equal(slices.Compact(got), recorded[c]) {
				t.Errorf("%s @%s: %q, recorded is %q", name, c, got, recorded[c])
			}
		}
		for n, rules := range typed {
			user := fmt.Sprintf("u%d", n)
			command := []any{"ACL", "SETUSER", user}
			for _, w := range strings.Fields(rules) {
				command = append(command, w)
			}
			if _, err := r.Try(command...); err != nil {
				if listed[name][rules] != "-" {
					t.Errorf("%s: %s: %v", name, rules, err)
				}
				continue
			}
			for _, line := range words(r.Do("ACL", "LIST")) {
				if got, ok := strings.CutPrefix(line, "user "+user+" "); ok && len(strings.Fields(got)) > 0 {
					// Up to 7.0 single commands stand in an order of each process' own.
					if want := listed[name][rules]; !preflight.SameRights(got, want) {
						t.Errorf("%s: %s: listed as %q, recorded is %q", name, rules, got, want)
					}
				}
			}
		}
	}
}

func words(answer any) (all []string) {
	list, _ := answer.([]any)
	for _, one := range list {
		all = append(all, strings.ToLower(fmt.Sprint(one)))
	}
	return all
}
