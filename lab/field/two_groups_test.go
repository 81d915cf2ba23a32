package field

// One Redis in the lists of two groups.

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// A replica of the group shop is made one of session's by a slip of the hand, and
// put back a moment later. Sentinel forgets no replica: session's list it from then
// on, and it has the largest offset of all. The master of session dies: one of its
// own replicas takes over, with session's data, and shop notices nothing.
func TestReplicaOfAnotherGroupIsNotPromoted(t *testing.T) {
	notOn(t, "its second group is of the one that is installed")
	t.Parallel()
	// Sentinel's default: no sooner does it point at its master what it lists.
	group := func(name string) lab.GroupConfig { return lab.GroupConfig{Name: name, FailTimeout: 3 * time.Minute} }
	first := start(t, watched.Options{Group: group("session")})
	second := watched.StartIn(first.Lab, t, watched.Options{Names: []string{"f", "g", "h"}, On: first.Etcd, Group: group("shop")})
	session, shop := begin(t, first), begin(t, second)
	borrowed := second.Others(shop.master)[0]
	value := strings.Repeat("x", 1<<20)
	for i := range 8 {
		shop.master.Redis.Do("SET", fmt.Sprintf("shop:%d", i), value)
	}

	borrowed.Redis.Do("REPLICAOF", session.master.Host.IP, fmt.Sprint(session.master.Redis.Port))
	session.done("REPLICAOF of a replica of shop to session's master")
	listed := func() error {
		for _, s := range first.Group.Sentinels {
			if !strings.Contains(fmt.Sprint(s.Do("SENTINEL", "REPLICAS", "session")), borrowed.Redis.Address) {
				return fmt.Errorf("%s does not list it", s.Name)
			}
		}
		return nil
	}
	session.Eventually("session's Sentinels list it", time.Minute, listed)
	borrowed.Redis.Do("REPLICAOF", shop.master.Host.IP, fmt.Sprint(shop.master.Redis.Port))
	session.done("and back")
	second.Group.WaitReplicas()

	st := session.told(session.master, "two_groups", borrowed.Redis.Address, `"shop"`, "SENTINEL RESET session")
	shop.told(borrowed, "two_groups", `"session"`)
	borrowed.WaitFor("is vetoed, and every Sentinel shows it", func(s agent.Status) bool { return s.Veto && s.VetoSeen })
	if out, code := session.master.CLI("preflight", "session"); code != 1 || !strings.Contains(out, "replication_lineage at "+borrowed.Redis.Address) {
		t.Errorf("preflight of session: exit %d\n%s", code, out)
	}
	if err := listed(); err != nil {
		t.Fatalf("the story has changed: %v", err)
	}

	killed := session.master.Redis.Kill()
	session.done("the master of session is killed")
	serving := first.WaitServing(first.Others(session.master)...)
	first.Group.WaitMaster(first.Group.Redis[1:]...)
	writes := session.writer.Stop()
	session.reader.Stop()
	if lost := lab.Lost(writes.Received(0, killed), serving.Redis); len(lost) > len(writes)/10 {
		t.Errorf("%d of %d acknowledged writes are lost", len(lost), len(writes.OK()))
	}
	for _, d := range first.Others(session.master) {
		if got := d.Redis.Do("EXISTS", "shop:0"); got != int64(0) {
			t.Errorf("%s has shop's keys", d.Name)
		}
	}
	// That it is held for no moment is a matter of the machine, too: two groups and
	// one etcd share it.
	for what, load := range map[string]*lab.Load{"write": shop.writer, "read": shop.reader} {
		if trace := load.Stop(); len(trace.Failed()) > 0 {
			t.Errorf("shop's clients: %d of %d %ss failed: %s", len(trace.Failed()), len(trace), what, trace)
		}
	}

	session.master.Redis.Restart()
	first.WaitGuarded()
	// The failover has pointed all that session's Sentinels list at the new master.
	borrowed.WaitFor("follows shop's master again", func(s agent.Status) bool {
		return s.LinkUp && s.Following == shop.master.Redis.Address && s.Data == "in_step"
	})
	session.Eventually("session's master has its own replicas only", patience, func() error {
		if info := fmt.Sprint(serving.Redis.Do("INFO", "replication")); strings.Contains(info, borrowed.Redis.Host.IP) {
			return fmt.Errorf("it has %s", info)
		}
		return nil
	})
	session.paste(serving, remedyOf(st, "two_groups"))
	// A veto is judged anew once a minute.
	session.Eventually("shop's replica may be promoted again", 3*patience, func() error {
		s, err := borrowed.TryStatus()
		if err == nil && (s.Veto || hasFault(s, "two_groups") || !s.LinkUp) {
			err = fmt.Errorf("veto %t, link %t, faults %v", s.Veto, s.LinkUp, s.Faults)
		}
		return err
	})
	serving.WaitFor("has its replicas, and no other", func(s agent.Status) bool { return !hasFault(s, "two_groups") && s.PromotableReplicas == 2 })
}

func hasFault(s agent.Status, id string) bool {
	for _, f := range s.Faults {
		if f.ID == id {
			return true
		}
	}
	return false
}
