package field

// Restarts of the watchdog beside witnesses that do not answer at once.

import (
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// TestWatchdogsRestartedBesideASlowEtcd: the stricter rule, by which a master
// refuses at the end of its grant. Every watchdog is upgraded while etcd answers
// nobody, for longer than a start waits for it and shorter than the grants go on.
func TestWatchdogsRestartedBesideASlowEtcd(t *testing.T) {
	t.Parallel()
	w := start(t, watched.Options{
		Systemd: true, Group: lab.GroupConfig{DownAfter: 12 * time.Second}, Policy: map[string]string{"coordinator_lost": "refuse"},
	})
	s := begin(t, w)
	s.done("etcd answers nobody any more, and every watchdog is restarted")
	w.Etcd.Stop()
	for _, d := range w.Watchdogs {
		d.Term()
		d.Restart()
	}
	s.master.WaitFor("serves by the word of the Sentinels", func(st agent.Status) bool {
		return st.Phase == "serve" && st.Reason == "certified_by_sentinels"
	})
	w.Pause(3 * time.Second)
	s.done("etcd answers again")
	w.Etcd.Cont()
	w.WaitGuarded()
	s.undisturbed()
}
