//go:build soak

package scenario

import (
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
)

// TestMasterCutOffFor20s is case d at its full length.
func TestMasterCutOffFor20s(t *testing.T) {
	t.Parallel()
	guarded, alone := cutOff(t, downAfter, silently, 20*time.Second)
	contractOfCutOff(t, guarded, downAfter)
	sentinelAloneLosesAll(t, alone)
}

// TestContractHoldsAtDownAfter30s is case d where a lease, and all else but the
// hold, is long.
func TestContractHoldsAtDownAfter30s(t *testing.T) {
	t.Parallel()
	const d = 30 * time.Second
	w := watched.Start(t, watched.Options{Group: lab.GroupConfig{DownAfter: d, FailTimeout: d}})
	contractOfCutOff(t, cutMasterOff(t, w, d), d)
}
