package scenario

import (
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
)

// TestSentinelThatLies: of four Sentinels one announces a failover that never
// was, every second: first with no more than the announcement, then naming the
// other master itself, at an epoch that rises with every lie.
func TestSentinelThatLies(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	liar := watched.NewLiar(t, l.Host("d"), "10.77.0.1:6379", 0)
	w := watched.StartIn(l, t, watched.Options{Config: func(c *watched.Config) {
		sentinels, _ := c.Groups[0]["sentinels"].([]string)
		c.Groups[0]["sentinels"] = append(sentinels, liar.Address)
	}})
	master, other := w.Group.Redis[0], w.Group.Redis[1]
	if got := w.Watchdogs[0].Status().SentinelsKnown; got != 4 {
		t.Fatalf("%d Sentinels are known, want the liar among 4", got)
	}
	q := expectQuiet(w)

	w.Mark("it announces a switch every second, and names the master all the same")
	for range 4 {
		liar.Announce(master.Address, other.Address)
		w.Pause(time.Second)
	}
	if rows := q.decidedSince(); len(rows) != 0 {
		t.Errorf("decided %v for an announcement without substance", rows)
	}
	w.Mark("it names another too, at a rising epoch")
	const lies = 8
	for epoch := range lies {
		liar.Name(other.Address, uint64(epoch)+7)
		liar.Announce(master.Address, other.Address)
		w.Pause(time.Second)
	}

	q.nobodyDeposed(t)
	q.nothingWritten(t)
	// A hint holds the writers of the master for a moment: once, not per lie.
	rows := q.decidedSince()
	if n := len(rows[8]); n != 1 || !strings.HasPrefix(rows[8][0], "a:") {
		t.Errorf("writers were held %d times for %d lies: %v, want once", n, lies, rows[8])
	}
	at, wait := q.writer.Trace().LongestWait()
	t.Logf("the longest wait was %v (%.2f D), %v after the start", wait, float64(wait)/float64(downAfter), w.Since(at))
	q.clientsNoticedNothing(t)
	if master != w.Group.Master() {
		t.Errorf("the master changed")
	}
}
