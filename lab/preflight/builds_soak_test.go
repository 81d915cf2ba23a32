//go:build soak

package preflight

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/builds"
	"github.com/redis-watchdog/redis-watchdog/preflight"
)

// worldOfBuild is a group with its Sentinels, all of that build.
func worldOfBuild(t *testing.T, b builds.Build) *world {
	t.Helper()
	var w *world
	var lines []string
	if b != builds.Redis60 { // which does not know it and allows DEBUG anyway
		lines = []string{"enable-debug-command yes"}
	}
	c := b.Use(t, lab.GroupConfig{Redis: lab.RedisConfig{Lines: lines}}, func() *lab.Lab { return w.lab })
	w = worldOf(t, c)
	return w
}

// TestEveryBuildIsJudgedAlikeSoak: on a group in which nothing is wrong every
// check of every node passes, whichever server it is, and each that is made to
// fail fails.
func TestEveryBuildIsJudgedAlikeSoak(t *testing.T) {
	for _, b := range []builds.Build{builds.Redis60, builds.Redis80, builds.Valkey81} {
		t.Run(b.Name, func(t *testing.T) {
			w := worldOfBuild(t, b)
			w.drift = true
			// All Sentinels of the lab are on one host, and its Redis save nothing.
			w.lab.Eventually("nothing else is found", time.Minute, func() error {
				// Scripts write through the lock of 6.0: see the test below.
				return w.allPass("sentinel_spread", "persistence_restart", "lock_scripts")
			})
			w.drift = false
			for _, f := range failures() {
				w.check(f)
			}
		})
	}
}

// TestLockThatScriptsPassFailsAndPassesSoak does what the remedy says where scripts
// write through the lock, and takes it back.
func TestLockThatScriptsPassFailsAndPassesSoak(t *testing.T) {
	w := worldOfBuild(t, builds.Redis60)
	rights := func(rules ...any) {
		for _, r := range w.group.Redis {
			r.Do(append([]any{"ACL", "SETUSER", "default"}, rules...)...)
		}
	}
	rights("-eval", "-evalsha")
	w.check(failure{check: "lock_scripts", shows: []string{"6.0.16", "may be run by default"},
		spoil: func(*world) { rights("+evalsha") },
		mend:  func(*world) { rights("-eval", "-evalsha") }})
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
	var w *world
	valkeyRoot := builds.Valkey81.Root(t)
	builds.Valkey81.Leave(t, func() *lab.Lab { return w.lab })
	w = worldOfBuild(t, builds.Redis60)
	become := func(r *lab.Redis, root, binary string) {
		w.lab.Mark("%s becomes %s", r.Name, binary)
		w.write(r.Dir, "build", root+" "+binary+"\n")
		r.Kill()
		r.Restart()
	}
	const here = "/usr/bin/redis-server"
	for _, f := range []failure{
		{check: "parity_version", shows: []string{"is redis 7.0, and these would be empty after a full sync", "redis 6.0 can load no full sync of redis 7.0"},
			spoil: func(w *world) { become(w.candidate(), "/", here) },
			mend: func(w *world) {
				become(w.group.Redis[2], "/", here)
				become(w.master(), "/", here)
				w.group.WaitReplicas()
			}},
		{check: "parity_version", shows: []string{"is valkey 8.1, and these would be empty after a full sync"},
			spoil: func(w *world) { become(w.candidate(), valkeyRoot, builds.Valkey81.Binary) },
			mend:  func(w *world) { become(w.candidate(), "/", here); w.group.WaitReplicas() }},
	} {
		w.check(f)
	}
}
