package field

import (
	"os"
	"strings"
	"testing"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/builds"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
)

// buildKey names the build that every case is played on ("redis 6.0", "redis 7.0",
// "redis 8.0", "valkey 8.1", "valkey 9"); empty: what is installed here. make field
// goes through all.
const buildKey = "FIELD_BUILD"

// start is watched.Start, with the build that was asked for. A case that has a
// binary of its own keeps it.
func start(t *testing.T, o watched.Options) *watched.World {
	t.Helper()
	b, other := askedFor(t)
	if !other || o.Group.Redis.Binary != "" {
		return watched.Start(t, o)
	}
	var w *watched.World
	o.Group = b.Use(t, o.Group, func() *lab.Lab {
		if w == nil {
			return nil
		}
		return w.Lab
	})
	w = watched.Start(t, o)
	return w
}

// askedFor is the build that was asked for, and whether one was.
func askedFor(t *testing.T) (builds.Build, bool) {
	t.Helper()
	name := os.Getenv(buildKey)
	if name == "" {
		return builds.Build{}, false
	}
	var known []string
	for _, b := range []builds.Build{builds.Redis60, builds.Redis70, builds.Redis80, builds.Valkey81, builds.Valkey9} {
		if b.Name == name {
			return b, true
		}
		known = append(known, b.Name)
	}
	t.Fatalf("%s=%q is none of %s", buildKey, name, strings.Join(known, ", "))
	return builds.Build{}, false
}

// isOn says whether that build was asked for.
func isOn(t *testing.T, which builds.Build) bool {
	t.Helper()
	b, other := askedFor(t)
	return other && b == which
}

// notOn skips a case whose story no other build tells, or not in a root of its own.
func notOn(t *testing.T, why string, which ...builds.Build) {
	t.Helper()
	b, other := askedFor(t)
	if !other {
		return
	}
	for _, one := range which {
		if one == b {
			t.Skipf("not on %s: %s", b.Name, why)
		}
	}
	if len(which) == 0 {
		t.Skipf("not on another build than the one that is installed: %s", why)
	}
}
