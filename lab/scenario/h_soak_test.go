//go:build soak

package scenario

import "testing"

// Case h in full: every failpoint of every step.
func TestWatchdogKilledAtEveryFailpoint(t *testing.T) {
	t.Parallel()
	crashAt(t, steps())
}
