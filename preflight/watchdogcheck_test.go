package preflight

import (
	"strings"
	"testing"
)

// A right is offered for what is denied only: none gives back a command that Redis
// does not know.
func TestRemedyForRightsIsOfWhatIsMissing(t *testing.T) {
	n := &Node{Address: "10.0.0.1:6379", Drift: &Drift{File: "/etc/redis/redis.conf"}}
	for _, tt := range []struct {
		name      string
		d         Watchdog
		has, lack []string
	}{
		{"denied", Watchdog{User: "w", Missing: []string{"+config|set", "+xread on ~redis-watchdog:*"}}, []string{"ACL SETUSER w +config|set +xread on ~redis-watchdog:*"}, []string{"rename-command"}},
		{"renamed", Watchdog{Missing: []string{"+config|get", "+config|set"}, Unknown: []string{"CONFIG"}}, []string{"rename-command /etc/redis/redis.conf", "CONFIG"}, []string{"ACL SETUSER"}},
		{"both", Watchdog{Missing: []string{"+client|kill", "+xread on ~redis-watchdog:*"}, Unknown: []string{"XREAD"}}, []string{"rename-command", "ACL SETUSER default +client|kill"}, []string{"+xread"}},
	} {
		got := rightsRemedy(n, &tt.d)
		for _, want := range tt.has {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q lacks %q", tt.name, got, want)
			}
		}
		for _, wrong := range tt.lack {
			if strings.Contains(got, wrong) {
				t.Errorf("%s: %q has %q", tt.name, got, wrong)
			}
		}
	}
}
