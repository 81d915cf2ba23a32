//go:build soak

package goredis

import (
	"testing"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/builds"
)

// TestEveryBuildSoak is what depends on the server, on those that `make test` does
// not run.
func TestEveryBuildSoak(t *testing.T) {
	for _, b := range []builds.Build{builds.Redis60, builds.Redis80, builds.Valkey81} {
		for name, test := range map[string]func(*testing.T, *lab.Lab, string){
			"what is sent": whatIsSent, "wrong password": wrongPassword, "restricted default": restrictedDefault,
			"full server": fullServer, "refused": refused, "late answer": lateAnswer,
		} {
			t.Run(b.Name+"/"+name, func(t *testing.T) {
				var l *lab.Lab
				b.Leave(t, func() *lab.Lab { return l })
				binary := b.Script(t, "")
				l = lab.Loopback(t)
				test(t, l, binary)
			})
		}
	}
}
