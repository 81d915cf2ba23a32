// Package builds has the servers of other Debians, each run in a root of its own
// (package booted), for tests that hold whatever the build is.
package builds

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/booted"
)

// Build is a server of another Debian.
type Build struct{ Name, Suite, Binary string }

var (
	Redis60  = Build{"redis 6.0", "bullseye", "/usr/bin/redis-server"}
	Redis70  = Build{"redis 7.0", "bookworm", "/usr/bin/redis-server"}
	Redis80  = Build{"redis 8.0", "trixie", "/usr/bin/redis-server"}
	Valkey81 = Build{"valkey 8.1", "trixie", "/usr/bin/valkey-server"}
	Valkey9  = Build{"valkey 9", "sid", "/usr/bin/valkey-server"} // of no release yet: whatever there is
)

// enter runs a server in its root, where the directory of the lab is where it
// is outside. Of what is in "build" beside its configuration, if that is there.
const enter = `#!/bin/sh
root=ROOT binary=BINARY lab=${PWD%/*}
if [ -e build ]; then read -r root binary < build; fi
if [ "$root" = / ]; then exec "$binary" "$@" MODE; fi
mkdir -p "$root$lab"
export root binary lab
exec unshare --mount sh -c 'mount --rbind "$lab" "$root$lab" && exec chroot "$root" /bin/sh -c "cd \"\$0\" && exec \"\$binary\" \"\$@\"" "$PWD" "$@"' sh "$@" MODE
`

// Root is where the build is; it is made where that is not done yet.
func (b Build) Root(t testing.TB) string {
	t.Helper()
	packages := []string(nil)
	if strings.HasPrefix(b.Name, "valkey") {
		packages = []string{"valkey-server"}
	}
	root, err := booted.Root(t.Context(), b.Suite, packages...)
	if err == nil {
		root, err = filepath.EvalSymlinks(root)
	}
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// Script writes a script that runs the server in its root, as one that is
// installed is run: in a directory of the test's, whose parent is seen in the
// root as well. It is left there, empty, at RootOf(t) + that parent. mode goes
// behind the server's own arguments ("--sentinel"; empty: none).
func (b Build) Script(t testing.TB, mode string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "server")
	text := strings.NewReplacer("ROOT", b.Root(t), "BINARY", b.Binary, "MODE", mode).Replace(enter)
	if err := os.WriteFile(to, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return to
}

// Use has a group made of that build, Sentinels and all. of is called at the
// end of the test, for the lab's directory.
func (b Build) Use(t testing.TB, c lab.GroupConfig, of func() *lab.Lab) lab.GroupConfig {
	t.Helper()
	b.Leave(t, of)
	c.Redis.Binary, c.Sentinel.Binary = b.Script(t, ""), b.Script(t, "--sentinel")
	return c
}

// Leave removes, after the lab has ended, where its directory was seen in the
// root.
func (b Build) Leave(t testing.TB, of func() *lab.Lab) {
	root := b.Root(t)
	t.Cleanup(func() {
		l := of()
		if l == nil {
			return
		}
		leave(t, root, l.Dir())
	})
}

// LeaveDir is Leave for a directory of the test's that is no lab's.
func (b Build) LeaveDir(t testing.TB, dir string) {
	root := b.Root(t)
	t.Cleanup(func() { leave(t, root, dir) })
}

func leave(t testing.TB, root, dir string) {
	if err := os.Remove(root + dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
