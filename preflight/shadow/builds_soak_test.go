//go:build soak

package shadow

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis-watchdog/redis-watchdog/lab/builds"
	"github.com/redis-watchdog/redis-watchdog/preflight"
)

// TestShadowKnowsWhatTheLockIsWorthSoak asks each build what its write lock does
// to a script, also where its limits would have it refuse the script for another
// reason, and wants what the versions say.
func TestShadowKnowsWhatTheLockIsWorthSoak(t *testing.T) {
	for _, b := range []struct {
		builds.Build
		server, version string
	}{
		{builds.Redis60, "redis", "6.0.16"}, {builds.Redis80, "redis", "8.0.2"}, {builds.Valkey81, "valkey", "8.1.1"}, {builds.Valkey9, "valkey", "8.1.1"},
	} {
		t.Run(b.Name, func(t *testing.T) {
			root := b.Root(t)
			for _, text := range []string{"", "maxmemory 1\nmaxmemory-policy noeviction\n", "min-replicas-to-write 3\nmin-replicas-max-lag 0\n", "rename-command EVAL ''\n"} {
				c := shadowOfVersion(t, b.server, b.version, text)
				c.Root, c.Binary, c.Temporary = root, b.Binary, filepath.Join(root, "tmp")
				result, err := Run(t.Context(), c)
				if err != nil {
					t.Fatal(err)
				}
				want := preflight.ScriptExecuted
				if stops, known := preflight.LockStopsScripts(strings.TrimPrefix(result.Version, "v")); stops && known {
					want = preflight.ScriptRefused
				}
				if result.LockedScript != want {
					t.Errorf("%s with %q: got %q, want %q", result.Version, text, result.LockedScript, want)
				}
			}
		})
	}
}
