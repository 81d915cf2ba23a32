package field

// REPLICAOF, typed by hand.

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
)

// TestReplicaIsPointedElsewhereByHand: REPLICAOF NO ONE at a replica by a slip of
// the hand, and then REPLICAOF of the other replica. Who was made a master by hand
// takes no write meanwhile, whoever sends it one; both come back by themselves, and
// nobody has to be told.
func TestReplicaIsPointedElsewhereByHand(t *testing.T) {
	t.Parallel()
	w := start(t, watched.Options{Systemd: true, Group: lab.GroupConfig{FailTimeout: 10 * time.Second}})
	s := begin(t, w)
	replica, other := w.Others(s.master)[0], w.Others(s.master)[1]

	stray := other.Host.Writer(lab.LoadConfig{To: replica.Redis}) // a client that was told the wrong address
	s.done(replica.Name + ": REPLICAOF NO ONE")
	replica.Redis.Do("REPLICAOF", "NO", "ONE")
	w.Eventually("it is a replica of the master again", time.Minute, func() error { return follows(replica, s.master) })
	if took := stray.Stop().OK(); len(took) > 0 {
		t.Errorf("%s took %d writes, the first %s", replica.Name, len(took), took[0].Key)
	}

	s.done(replica.Name + ": REPLICAOF of the other replica")
	host, port, _ := strings.Cut(other.Redis.Address, ":")
	replica.Redis.Do("REPLICAOF", host, port)
	w.Eventually("it is a replica of the master again", time.Minute, func() error { return follows(replica, s.master) })
	w.Eventually("it has what the master has", time.Minute, func() error {
		if a, b := keysOf(replica.Redis), keysOf(s.master.Redis); a+50 < b {
			return fmt.Errorf("%d keys of %d", a, b)
		}
		return nil
	})
	s.calm()
	s.undisturbed()
	s.failsOver()
}
