//go:build soak

package gate

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/redis-watchdog/redis-watchdog/lab/builds"
)

// TestEveryChangeWorksAtAnyMemorySoak is TestEveryChangeWorksAtAnyMemory on the
// builds that `make test` does not run.
func TestEveryChangeWorksAtAnyMemorySoak(t *testing.T) {
	for _, b := range []builds.Build{builds.Redis60, builds.Redis80, builds.Valkey81, builds.Valkey9} {
		t.Run(b.Name, func(t *testing.T) {
			binary := b.Script(t, "")
			for _, m := range memories() {
				t.Run(m.String(), func(t *testing.T) {
					t.Parallel()
					everyChange(t, m, func(lines ...string) *server { return startBuild(t, b, binary, lines...) })
				})
			}
		})
	}
}

// startBuild is startRedis for another build, whose script binary is.
func startBuild(t testing.TB, b builds.Build, binary string, lines ...string) *server {
	t.Helper()
	parent, err := os.MkdirTemp("", "gate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(parent) })
	b.LeaveDir(t, parent)
	dir := filepath.Join(parent, "redis")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return startIn(t, dir, binary, lines...)
}

// TestLockAndHoldStopEveryWriterSoak is TestLockAndHoldStopEveryWriter on those
// builds: the table of versions in preflight is what they really do.
func TestLockAndHoldStopEveryWriterSoak(t *testing.T) {
	for _, b := range []builds.Build{builds.Redis60, builds.Redis80, builds.Valkey81, builds.Valkey9} {
		t.Run(b.Name, func(t *testing.T) { lockAndHold(t, startBuild(t, b, b.Script(t, ""))) })
	}
}

// TestOpeningSoak is TestOpenedRedisFencesItselfWhenItsWatchdogStandsStill and
// TestFenceOvertakesAnOpeningThatWasNotAnswered on those builds.
func TestOpeningSoak(t *testing.T) {
	for _, b := range []builds.Build{builds.Redis60, builds.Redis80, builds.Valkey81, builds.Valkey9} {
		t.Run(b.Name, func(t *testing.T) {
			binary := b.Script(t, "")
			openedWhileItsWatchdogStandsStill(t, startBuild(t, b, binary))
			fenceOvertakes(t, func() *server { return startBuild(t, b, binary) })
		})
	}
}
