package sentinel

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// TestFaultsOfConversationsAreLoggedByWhoeverShowsThem: what is wrong with a
// conversation is a fault, and a second line of log beside the daemon's would tell
// it twice.
func TestFaultsOfConversationsAreLoggedByWhoeverShowsThem(t *testing.T) {
	const at = "10.0.0.1:26379"
	for _, c := range []struct {
		fault string
		wrong func(w *Watcher)
	}{
		{"sentinel_away", func(w *Watcher) { w.noteError(at, errors.New("connection refused")) }},
		{"sentinel_auth", func(w *Watcher) { w.noteError(at, fmt.Errorf("%w: WRONGPASS", errRefused)) }},
		{"sentinel_garbage", func(w *Watcher) { w.noteError(at, fmt.Errorf("%w: a torn line", errProtocol)) }},
		{"sentinel_deaf", func(w *Watcher) { w.unsubscribed(at, errors.New("NOPERM")) }},
	} {
		var log bytes.Buffer
		w, err := New(Config{Group: "g", Sentinels: []string{at}, Now: func() watchdog.Instant { return 1 },
			Log: hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Info})})
		if err != nil {
			t.Fatal(err)
		}
		has := func() bool {
			for _, f := range w.Faults() {
				if f.ID == c.fault {
					return true
				}
			}
			return false
		}
		for range 3 {
			c.wrong(w)
		}
		if !has() {
			t.Errorf("%s is no fault: %v", c.fault, w.Faults())
		}
		w.subscribed(at)
		w.noteGood(at)
		if has() {
			t.Errorf("%s is still there when the sentinel answers", c.fault)
		}
		if log.Len() > 0 {
			t.Errorf("%s is logged here too: %s", c.fault, &log)
		}
	}
}
