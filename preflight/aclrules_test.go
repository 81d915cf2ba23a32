package preflight

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/redis-watchdog/redis-watchdog/lab"
)

func TestSameRights(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"on ~* &* -@all +get +set", "on ~* &* -@all +set +get", true},
		{"on ~a:* ~b:* -@all", "on ~b:* ~a:* -@all", true},
		{"on -@all +get -get +get", "on -@all +get", true},
		{"on -@all +client|id +client|kill", "on -@all +client|kill +client|id", true},
		{"on -@all +config -config|set", "on -@all -config|set +config", false},
		{"on +@all -get", "on -get +@all", false},
		{"on -@all +@read -get", "on -@all -get +@read", false},
		{"on -@all +get", "on -@all +get +set", false},
		{"on -@all +get", "off -@all +get", false},
		{"on -@all", "on", true},
		{"on #1 -@all", "on #2 -@all", false},
		{"on -@all (~a +get) (~b +set)", "on -@all (~b +set) (~a +get)", true},
		{"on -@all (~a +get)", "on -@all ~a +get", false},
		{"on ~x(y) -@all", "on ~x -@all (y)", false},
	} {
		if got := SameRights(tt.a, tt.b); got != tt.same {
			t.Errorf("%q and %q: same %v, want %v", tt.a, tt.b, got, tt.same)
		}
	}
}

// TestRightsCalledTheSameAreTheSame asks a real Redis: of rules in random
// orders, those that are called the same let every command through, or none.
func TestRightsCalledTheSameAreTheSame(t *testing.T) {
	l := lab.Loopback(t)
	r := l.Host("a").Redis(lab.RedisConfig{})
	words := strings.Fields("+get -get +set -set +config +config|get -config|set -config +client|id -client|id +client +@read -@read +@write +@connection -@connection +@all -@all +select|0 %R~a ~b ~z")
	probes := [][]any{{"get", "a"}, {"get", "z"}, {"set", "a", "1"}, {"set", "b", "1"}, {"config", "get", "x"}, {"config", "set", "save", ""}, {"client", "id"}, {"client", "kill", "1.1.1.1:1"}, {"ping"}, {"select", "0"}, {"select", "1"}, {"mget", "b"}}
	rights := func(name string, rules []string) (listed, may string) {
		args := []any{"ACL", "SETUSER", name, "reset", "on"}
		for _, word := range rules {
			args = append(args, word)
		}
		r.Do(args...)
		for _, line := range r.Do("ACL", "LIST").([]any) {
			if rest, ok := strings.CutPrefix(line.(string), "user "+name+" "); ok {
				listed = rest
			}
		}
		for _, p := range probes {
			may += fmt.Sprint(r.Do(append([]any{"ACL", "DRYRUN", name}, p...)...) == "OK")
		}
		return listed, may
	}
	pick := rand.New(rand.NewPCG(1, 2))
	same := 0
	for range 600 {
		rules := make([]string, 1+pick.IntN(6))
		for i := range rules {
			rules[i] = words[pick.IntN(len(words))]
		}
		other := slices.Clone(rules)
		pick.Shuffle(len(other), func(i, j int) { other[i], other[j] = other[j], other[i] })
		listed, may := rights("one", rules)
		listedOther, mayOther := rights("two", other)
		if !SameRights(listed, listedOther) {
			continue
		}
		same++
		if may != mayOther {
			t.Errorf("called the same, and are not:\n%s\n%s\n%s\n%s", listed, listedOther, may, mayOther)
		}
	}
	t.Logf("%d of 600 pairs are called the same", same)
	if same < 60 {
		t.Errorf("only %d of 600 pairs were compared: the test shows nothing", same)
	}
}
