//go:build soak

package drift

import (
	"path/filepath"
	"testing"

	"github.com/redis-watchdog/redis-watchdog/lab/booted"
)

// The same as with the server at hand, on the other versions: their roots are
// built where they are not cached.
func TestEveryVersionSoak(t *testing.T) {
	t.Run("redis 7.0.15", func(t *testing.T) { every(t, local()) })
	for _, v := range []struct {
		name, suite, binary string
		packages            []string
	}{
		{"redis 6.0.16", "bullseye", "/usr/bin/redis-server", nil},
		{"redis 8.0.2", "trixie", "/usr/bin/redis-server", []string{"valkey-server"}},
		{"valkey 8.1.1", "trixie", "/usr/bin/valkey-server", []string{"valkey-server"}},
	} {
		t.Run(v.name, func(t *testing.T) {
			root, err := booted.Root(t.Context(), v.suite, v.packages...)
			if err != nil {
				t.Fatal(err)
			}
			if root, err = filepath.EvalSymlinks(root); err != nil {
				t.Fatal(err)
			}
			every(t, target{root, v.binary})
		})
	}
	t.Run("valkey of sid", func(t *testing.T) { // there is no table of it
		root, err := booted.Root(t.Context(), "sid", "valkey-server")
		if err != nil {
			t.Fatal(err)
		}
		if root, err = filepath.EvalSymlinks(root); err != nil {
			t.Fatal(err)
		}
		rewriteForeseen(t, target{root, "/usr/bin/valkey-server"})
	})
}

func every(t *testing.T, tg target) {
	t.Run("fresh", func(t *testing.T) { freshServer(t, tg) })
	t.Run("changed", func(t *testing.T) { everyParameter(t, tg) })
	t.Run("lines", func(t *testing.T) { pickedLines(t, tg) })
	t.Run("random", func(t *testing.T) { randomFiles(t, tg, 300) })
	t.Run("rewrite", func(t *testing.T) { rewriteForeseen(t, tg) })
	t.Run("rewrite random", func(t *testing.T) { rewriteRandomFiles(t, tg, 300) })
}
