package scenario

// Words of case j.

import (
	"testing"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// answeredLate is what a Redis answered although another had been promoted:
// from the promotion until it was a replica in step.
func answeredLate(c *watched.Cutting, change watched.Change) lab.Trace {
	until := watchdog.Never
	if change.Rejoined.At != 0 {
		until = change.Rejoined.After
	}
	all := append(c.Sides.Writes(), c.Sides.Reads()...)
	return all.On(change.Old.Address).OK().Received(change.Promoted.At, until)
}

// noOverlap is what must hold of every change of master, fenced or killed, until
// an old one that was killed is started again: without a start gate it answers for
// the moment until it is seen (docs/guarantees.md).
func noOverlap(t *testing.T, c *watched.Cutting, change watched.Change, until watchdog.Instant) {
	t.Helper()
	if change.Promoted.At == 0 || change.New == change.Old {
		t.Fatalf("nobody was promoted: %s is the master still", change.Old.Name)
	}
	if late := answeredLate(c, change).Received(0, until); len(late) != 0 {
		t.Errorf("%d commands were answered by the old master after the promotion, the first %v after it",
			len(late), late[0].Received.Sub(change.Promoted.At))
	}
	if w, r := len(change.OverlappingWrites.Received(0, until)), len(change.OverlappingReads.Received(0, until)); w+r != 0 {
		t.Errorf("%d writes and %d reads overlap, want 0", w, r)
	}
	if change.Rejoined.At == 0 {
		t.Error("the old master never became a replica in step")
	}
}
