//go:build soak

package preflight

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/booted"
	"github.com/redis-watchdog/redis-watchdog/preflight"
)

// build is a server of another Debian, in a root of its own.
type build struct{ name, suite, binary string }

func builds() []build {
	return []build{
		{"redis 6.0", "bullseye", "/usr/bin/redis-server"},
		{"redis 8.0", "trixie", "/usr/bin/redis-server"},
		{"valkey 8.1", "trixie", "/usr/bin/valkey-server"},
	}
}

// enter runs a server in its root, where the directory of the lab is where it
// is outside. Of what is in "build" beside its configuration, if that is there.
const enter = `#!/bin/sh
root=ROOT binary=BINARY lab=${PWD%/*}
if [ -e build ]; then read -r root binary < build; fi
if [ "$root" = / ]; then exec "$binary" "$@" MODE; fi
mkdir -p "$root$lab"
export root binary lab
exec unshare --mount sh -c 'mount --bind "$lab" "$root$lab" && exec chroot "$root" /bin/sh -c "cd \"\$0\" && exec \"\$binary\" \"\$@\"" "$PWD" "$@"' sh "$@" MODE
`

// root is where it is; it is built where that is not done yet.
func (b build) root(t *testing.T) string {
	t.Helper()
	packages := []string(nil)
	if b.suite == "trixie" {
		packages = []string{"valkey-server"}
	}
	root, err := booted.Root(t.Context(), b.suite, packages...)
	if err == nil {
		root, err = filepath.EvalSymlinks(root)
	}
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// world is a group with its Sentinels, all of that build.
func (b build) world(t *testing.T) *world {
	t.Helper()
	root := b.root(t)
	script := func(mode string) string {
		to := filepath.Join(t.TempDir(), "server")
		text := strings.NewReplacer("ROOT", root, "BINARY", b.binary, "MODE", mode).Replace(enter)
		if err := os.WriteFile(to, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		return to
	}
	var w *world
	t.Cleanup(func() { // after the lab has ended
		if err := os.Remove(root + w.lab.Dir()); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	})
	var lines []string
	if b.name != "redis 6.0" { // which does not know it and allows DEBUG anyway
		lines = []string{"enable-debug-command yes"}
	}
	w = worldOf(t, lab.GroupConfig{Redis: lab.RedisConfig{Binary: script(""), Lines: lines}, Sentinel: lab.SentinelConfig{Binary: script("--sentinel")}})
	return w
}

// TestEveryBuildIsJudgedAlikeSoak: on a group in which nothing is wrong every
// check of every node passes, whichever server it is, and each that is made to
// fail fails.
func TestEveryBuildIsJudgedAlikeSoak(t *testing.T) {
	for _, b := range builds() {
		t.Run(b.name, func(t *testing.T) {
			w := b.world(t)
			w.drift = true
			// All Sentinels of the lab are on one host, and its Redis save nothing.
			w.lab.Eventually("nothing else is found", time.Minute, func() error {
				return w.allPass("sentinel_spread", "persistence_restart")
			})
			w.drift = false
			for _, f := range failures() {
				w.check(f)
			}
		})
	}
}

// allPass names what does not, but for these.
func (w *world) allPass(but ...string) error {
	var bad []string
	for _, f := range preflight.Judge(w.policy, w.facts(), w.candidate().Address).Findings {
		if f.Outcome != preflight.Passed && !slices.Contains(but, f.Check) {
			bad = append(bad, fmt.Sprintf("%s of %q is %s: %s", f.Check, f.Node, f.Outcome, shown(f)))
		}
	}
	if len(bad) > 0 {
		return errors.New(strings.Join(bad, "\n"))
	}
	return nil
}

// TestVersionsFailAndPassSoak upgrades a group: the candidate first, which then
// must not become the master of the old ones.
func TestVersionsFailAndPassSoak(t *testing.T) {
	old := builds()[0]
	valkey := builds()[2]
	valkeyRoot := valkey.root(t)
	w := old.world(t)
	t.Cleanup(func() { _ = os.Remove(valkeyRoot + w.lab.Dir()) })
	become := func(r *lab.Redis, root, binary string) {
		w.lab.Mark("%s becomes %s", r.Name, binary)
		w.write(r.Dir, "build", root+" "+binary+"\n")
		r.Kill()
		r.Restart()
	}
	const here = "/usr/bin/redis-server"
	for _, f := range []failure{
		{check: "parity_version", shows: []string{"is 7.0 and older ones may not be able to load its data", "(6.0)"},
			spoil: func(w *world) { become(w.candidate(), "/", here) },
			mend: func(w *world) {
				become(w.group.Redis[2], "/", here)
				become(w.master(), "/", here)
				w.group.WaitReplicas()
			}},
		{check: "parity_version", shows: []string{"is valkey and these are not"},
			spoil: func(w *world) { become(w.candidate(), valkeyRoot, valkey.binary) },
			mend:  func(w *world) { become(w.candidate(), "/", here); w.group.WaitReplicas() }},
	} {
		w.check(f)
	}
}
