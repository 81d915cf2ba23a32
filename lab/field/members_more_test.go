package field

// Sentinels and etcd members, by docs/members.md: see members_test.go.

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
)

func TestSentinelIsReplacedAsWritten(t *testing.T) {
	t.Parallel()
	w := start(t, unhurried())
	k := follow(begin(t, w), w.Lab.Host("d"))
	old := w.Group.Sentinels[2]
	k.reloads()
	k.does["10.0.0.14: enable --now redis-sentinel"] = func() {
		w.Group.Sentinels = append(w.Group.Sentinels, k.hosts["10.0.0.14"].Sentinel(lab.SentinelConfig{
			Monitors: []lab.Monitor{{Group: w.Group.Name, Master: k.master.Redis, DownAfter: unhurried().Group.DownAfter, Quorum: 3}}}))
	}
	k.does["10.0.0.13: disable --now redis-sentinel"] = func() {
		stop(old.Process)()
		w.Group.Sentinels = slices.DeleteFunc(w.Group.Sentinels, func(s *lab.Sentinel) bool { return s == old })
	}
	k.through("Add a Sentinel")
	k.hears(4)
	k.through("Remove a Sentinel")
	k.hears(3)
	for _, d := range w.Watchdogs {
		k.clean(d)
	}
	k.unrefused()
}

func TestEtcdMemberIsReplacedAsWritten(t *testing.T) {
	t.Parallel()
	w := start(t, unhurried())
	k := follow(begin(t, w), w.Lab.Host("d"))
	left, old := w.Etcd.Members[:2:2], w.Etcd.Members[2]
	k.reloads()
	k.does["10.0.0.13: disable --now etcd"] = stop(old.Process)
	k.does["10.0.0.14: enable --now etcd"] = func() {
		fresh := w.Etcd.Joiner(k.hosts["10.0.0.14"], left...)
		w.Etcd.Members = append(left, fresh)
		fresh.Restart()
	}
	k.through("Replace an etcd member")
	for _, d := range w.Watchdogs {
		k.clean(d)
	}
	// It counts: with another one away there is a majority only by it.
	k.renews(w.Etcd.Members[1])
	k.unrefused()
}

// hears waits until every watchdog knows so many Sentinels, and all of them agree.
func (k *walk) hears(n int) {
	k.t.Helper()
	for _, d := range k.Watchdogs {
		k.Eventually(fmt.Sprintf("%s knows %d", d.Name, n), 3*patience, func() error {
			if st, err := d.TryStatus(); err != nil || st.SentinelsKnown != n || st.SentinelsAgreeing != n {
				return fmt.Errorf("%d of %d agree, %v", st.SentinelsAgreeing, st.SentinelsKnown, err)
			}
			return nil
		})
	}
}

func TestSentinelIsRebuiltAsWritten(t *testing.T) {
	t.Parallel()
	w := start(t, unhurried())
	k := follow(begin(t, w), nil)
	old := w.Group.Sentinels[2]
	stop(old.Process)()
	k.done("a Sentinel is stopped, and nothing is left of its sentinel.conf")
	k.does["10.0.0.13: enable --now redis-sentinel"] = func() {
		old.WriteConfig()
		old.Restart()
	}
	k.through("Rebuild a Sentinel")
	k.hears(3)
	for _, d := range w.Watchdogs {
		k.clean(d)
	}
	k.unrefused()
}

func TestSentinelIsMovedAsWritten(t *testing.T) {
	t.Parallel()
	w := start(t, unhurried())
	k := follow(begin(t, w), nil)
	k.reloads()
	moved := w.Group.Sentinels[2]
	k.does["10.0.0.13: stop redis-sentinel"] = stop(moved.Process)
	k.does["10.0.0.13: start redis-sentinel"] = func() {
		conf, err := os.ReadFile(moved.ConfigFile)
		if err == nil {
			err = os.WriteFile(moved.ConfigFile, regexp.MustCompile(`(?m)^port \d+$`).ReplaceAll(conf, []byte("port 26381")), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		moved.Port, moved.Address = 26381, moved.Host.IP+":26381"
		moved.Restart()
	}
	k.through("Move a Sentinel")
	k.hears(3)
	for _, d := range w.Watchdogs {
		k.clean(d)
	}
	k.unrefused()
}

// renews waits until the master's grant is renewed although a member does not answer.
func (k *walk) renews(frozen *lab.Member) {
	k.t.Helper()
	frozen.Stop()
	k.done(frozen.Name + " is frozen")
	before := lab.Now()
	k.Eventually("the grant is renewed", patience, func() error {
		st, err := k.master.TryStatus()
		if err == nil && (!st.GrantOurs || st.CoordinatorAge < 0 || st.CoordinatorAge > 4 || lab.Now().Sub(before) < 5*time.Second) {
			err = fmt.Errorf("grant ours %t, etcd heard %.1f s ago", st.GrantOurs, st.CoordinatorAge)
		}
		return err
	})
	frozen.Cont()
}

func TestEtcdMemberIsAddedAndRemovedAsWritten(t *testing.T) {
	t.Parallel()
	w := start(t, unhurried())
	k := follow(begin(t, w), w.Lab.Host("d"))
	three := slices.Clone(w.Etcd.Members)
	k.reloads()
	k.does["10.0.0.14: enable --now etcd"] = func() {
		fresh := w.Etcd.Joiner(k.hosts["10.0.0.14"], three...)
		w.Etcd.Members = append(w.Etcd.Members, fresh)
		fresh.Restart()
	}
	k.through("Add an etcd member")
	w.Etcd.Members = slices.Delete(slices.Clone(w.Etcd.Members), 2, 3) // what the files say from now on
	// A member that was removed ends by itself; in life systemd starts it again.
	k.does["10.0.0.13: disable --now etcd"] = func() { three[2].Wait() }
	k.through("Remove an etcd member")
	for _, d := range w.Watchdogs {
		k.clean(d)
	}
	// The new one counts: with another one away there is a majority only by it.
	k.renews(three[1])
	k.unrefused()
}

func TestEtcdMemberIsMovedAsWritten(t *testing.T) {
	t.Parallel()
	w := start(t, unhurried())
	k := follow(begin(t, w), nil)
	moved := w.Etcd.Members[2]
	k.reloads()
	k.does["10.0.0.13: stop etcd"] = stop(moved.Process)
	k.does["10.0.0.13: start etcd"] = func() {
		w.Etcd.Move(moved, 2389, 2390)
		moved.Restart()
	}
	k.through("Move an etcd member")
	for _, d := range w.Watchdogs {
		k.clean(d)
	}
	k.renews(w.Etcd.Members[1])
	k.unrefused()
}
