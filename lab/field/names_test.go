package field

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// byName is a group whose Redis and Sentinels announce names and find one
// another by them; the watchdogs are told the Sentinels by name, too.
func byName(group lab.GroupConfig) watched.Options {
	group.ByName = true
	return watched.Options{Group: group, Config: func(c *watched.Config) {
		c.Groups[0]["sentinels"] = []string{"a:26379", "b:26379", "c:26379"}
	}}
}

// The name server is gone, and meanwhile the watchdogs are restarted, as by an
// upgrade. The Sentinels go on to name hosts: what these were is remembered.
func TestWatchdogsRestartedWithoutNames(t *testing.T) {
	t.Parallel()
	w := start(t, byName(lab.GroupConfig{}))
	if named := fmt.Sprint(w.Group.Sentinels[0].Do("SENTINEL", "GET-MASTER-ADDR-BY-NAME", w.Group.Name)); !strings.Contains(named, "a ") {
		t.Fatalf("the Sentinels name %s, want a host's name", named)
	}
	s := begin(t, w)
	for _, d := range w.Watchdogs {
		recordOfNames(w, d)
	}
	s.done("no name resolves any more; every watchdog is restarted")
	w.NamesAway()
	for _, d := range w.Watchdogs {
		d.Process.Restart()
	}
	w.WaitGuarded()
	for _, d := range w.Watchdogs {
		d.WaitFor("goes by the majority", func(st agent.Status) bool {
			return st.SentinelsAgreeing == 3 && st.Master == s.master.Redis.Address && st.Address == d.Redis.Address
		})
	}
	w.Pause(10 * time.Second) // three times what a Sentinel takes to hold a master down
	w.NamesBack()
	w.Pause(6 * time.Second) // and they are looked up again
	w.WaitGuarded()
	s.undisturbed()
}

// The same, and what was remembered is lost with the state of one replica's host.
// Nobody can tell there whom the Sentinels name, so that nothing is changed.
func TestNamesThatWereNeverResolved(t *testing.T) {
	t.Parallel()
	w := start(t, watched.Options{Group: lab.GroupConfig{ByName: true}}) // told the Sentinels by IP
	s := begin(t, w)
	s.done("no name resolves any more; the records of all watchdogs are lost, and they are restarted")
	w.NamesAway()
	for _, d := range w.Watchdogs {
		file := recordOfNames(w, d)
		d.Process.Kill()
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		d.Process.Restart()
	}
	s.told(s.master, "sentinel_unresolved", "b:6379, c:6379", "name server")
	w.Pause(10 * time.Second)
	w.NamesBack()
	w.WaitGuarded()
	s.undisturbed()
}

// recordOfNames is the file in which a watchdog keeps what names were found to
// be, once it is there.
func recordOfNames(w *watched.World, d *watched.Watchdog) (file string) {
	w.T.Helper()
	w.Eventually(d.Name+" has a record of names", patience, func() error {
		files, err := filepath.Glob(filepath.Join(d.Dir, "state", "names.*"))
		if err != nil || len(files) != 1 {
			return fmt.Errorf("there are %v: %v", files, err)
		}
		file = files[0]
		return nil
	})
	return file
}

var replicaOf = regexp.MustCompile(`(?m)^(?:replicaof|slaveof) (\S+) `)

// followsByName waits until redis.conf says that a Redis follows the host's, by
// its name.
func followsByName(t *testing.T, w *watched.World, r *lab.Redis, master *lab.Host) {
	t.Helper()
	w.Eventually("redis.conf of "+r.Name+" names "+master.Name, patience, func() error {
		text, err := os.ReadFile(r.ConfigFile)
		if err != nil {
			return err
		}
		if m := replicaOf.FindStringSubmatch(string(text)); m == nil || m[1] != master.Name {
			return fmt.Errorf("it says %q", m)
		}
		return nil
	})
}

// A failover in a group that goes by names: the Sentinels point the replicas at a
// name, and that is the master which has been agreed upon. Then the master is cut
// off, and its watchdog makes it a replica: by the name as well.
func TestReplicasFollowANameThatIsTheMaster(t *testing.T) {
	t.Parallel()
	w := start(t, byName(lab.GroupConfig{}))
	s := begin(t, w)
	s.done("SENTINEL FAILOVER, and then the new master is cut off for a while")
	old := s.master
	w.Group.Failover()
	w.Eventually("another serves", time.Minute, func() error {
		if st := old.Status(); st.Role != "replica" {
			return fmt.Errorf("the old master is %s", st.Role)
		}
		return nil
	})
	serving := w.WaitServing(w.Others(old)...)
	w.Group.WaitReplicas()
	for _, d := range w.Others(serving) {
		// While the link is up nobody is told that it follows another, the first
		// time that is asked included.
		w.Eventually(d.Name+" is a good replica", time.Minute, func() error {
			if d.Get("/replica") == 200 {
				return nil
			}
			st := d.Status()
			if st.LinkUp && st.Master == serving.Redis.Address && st.Following != st.Master {
				t.Fatalf("%s follows %q, and the master is %s", d.Name, st.Following, st.Master)
			}
			return fmt.Errorf("it is %s of %s, link %v", st.Role, st.Following, st.LinkUp)
		})
		followsByName(t, w, d.Redis, serving.Host)
	}
	w.WaitGuarded()
	w.Partition([]*lab.Host{serving.Host}, hostsOf(w.Others(serving)))
	next := w.WaitServing(w.Others(serving)...)
	serving.WaitPhase("refuse")
	w.Heal()
	w.Group.WaitReplicas()
	w.WaitGuarded()
	for _, d := range w.Others(next) {
		followsByName(t, w, d.Redis, next.Host)
	}
	for _, d := range w.Watchdogs {
		if n := strings.Count(d.Text(), "reason=missed_failover"); n > 0 {
			t.Errorf("%s was re-pointed %d times although it followed the master", d.Name, n)
		}
	}
	if !strings.Contains(serving.Text(), "reason=rejoining") {
		t.Errorf("its watchdog did not make %s a replica: nothing was shown", serving.Name)
	}
}

func hostsOf(daemons []*watched.Watchdog) (hosts []*lab.Host) {
	for _, d := range daemons {
		hosts = append(hosts, d.Host)
	}
	return hosts
}
