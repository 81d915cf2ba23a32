//go:build soak

package scenario

import "testing"

// TestClientsWaitNoLongerThanWithSentinelAloneSoak is the same with more pairs.
func TestClientsWaitNoLongerThanWithSentinelAloneSoak(t *testing.T) {
	t.Parallel()
	waitsOfPairs(t, 10)
}
