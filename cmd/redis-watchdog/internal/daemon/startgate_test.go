package daemon

import (
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// A Redis that is started shut is a fault only when it stays so, and one that was
// opened in between begins anew.
func TestShutForLongIsAFault(t *testing.T) {
	var s shut
	const start = watchdog.Instant(1)
	for _, look := range []struct {
		shut  bool
		after time.Duration
		want  string
	}{
		{true, 0, ""},
		{true, heldShutAfter - 1, ""},
		{true, heldShutAfter, "no_grant"},
		{false, heldShutAfter + 1, ""},
		{true, heldShutAfter + 2, ""},
		{true, 2*heldShutAfter + 1, ""},
		{true, 2*heldShutAfter + 2, "no_grant"},
	} {
		s.see(look.shut, "no_grant", start.Add(look.after))
		if got := s.because(); got != look.want {
			t.Errorf("shut %v after %s: %q, want %q", look.shut, look.after, got, look.want)
		}
	}
}
