package field

import (
	"errors"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab/watched"
)

// C is promoted while its watchdog is dead, so nobody opens it, and dies; then B
// is promoted, whose history went on from C's, of which etcd has no record.
func TestPromotedTwiceWithoutAnOpening(t *testing.T) {
	t.Parallel()
	w := start(t, watched.Options{})
	s := begin(t, w)
	var b, c *watched.Watchdog
	for _, d := range w.Others(s.master) {
		if b == nil {
			b = d
		} else {
			c = d
		}
	}
	s.done("the watchdog of a replica is killed, and Sentinel prefers that replica")
	c.Kill()
	c.Redis.Do("CONFIG", "SET", "replica-priority", "10")
	w.Eventually("the Sentinels know the priority", patience, func() error {
		for _, one := range w.Group.Sentinels {
			for _, r := range one.Replicas(w.Group.Name) {
				if r["port"] != "" && r["ip"]+":"+r["port"] == c.Redis.Address && r["slave-priority"] != "10" {
					return errors.New(one.Name + " has " + r["slave-priority"])
				}
			}
		}
		return nil
	})
	s.done("the master is killed")
	s.master.Redis.Kill()
	w.Group.WaitMaster(c.Redis)
	w.Eventually("the other replica goes on with the new master's history", patience, func() error {
		theirs, ours := c.Redis.Info()["master_replid"], b.Redis.Info()["master_replid"]
		if theirs != ours || b.Redis.Info()["master_link_status"] != "up" {
			return errors.New("not yet")
		}
		return nil
	})
	w.Pause(2 * time.Second) // for its watchdog to have seen it
	s.done("and the one that took its place, before anybody opened it")
	c.Redis.Kill()
	w.Eventually("the last one serves", 4*patience, func() error {
		st, err := b.TryStatus()
		if err == nil && (st.Phase != "serve" || !st.GrantOurs) {
			err = errors.New(st.Phase + " " + st.Reason)
		}
		return err
	})
	s.writer.Stop()
	s.reader.Stop()
}
