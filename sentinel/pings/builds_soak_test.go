//go:build soak

package pings_test

import (
	"testing"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/builds"
)

// What Sentinel calls its connection, what PING and PONG weigh, and how Redis
// lists them is alike on every build.
func TestPingsOfEveryBuildSoak(t *testing.T) {
	for _, b := range []builds.Build{builds.Redis60, builds.Redis80, builds.Valkey81, builds.Valkey9} {
		t.Run(b.Name, func(t *testing.T) {
			var l *lab.Lab
			c := b.Use(t, lab.GroupConfig{}, func() *lab.Lab { return l })
			l = lab.Loopback(t)
			g := l.Group(c)
			e := listen(t, g, g.Redis[0])
			e.truthful(t, l, g)
			e.reconnected(t, l, g)
		})
	}
}
