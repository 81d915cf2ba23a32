package field

// Power is lost everywhere at once, and everything comes back from disk.

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/fencing/gate"
	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// powerLost ends everything on every host in one moment.
func powerLost(s *story) {
	s.t.Helper()
	for _, d := range s.Watchdogs {
		d.Redis.Kill()
	}
	for _, d := range s.Watchdogs {
		d.Kill()
	}
	for _, one := range s.Group.Sentinels {
		one.Kill()
	}
	s.Etcd.Kill()
	s.done("power is lost on every host at once")
}

// powerBack starts the hosts of these watchdogs, and all Sentinels and etcd. A
// Redis that its redis.conf makes a master starts shut, as under a start gate.
func powerBack(s *story, daemons ...*watched.Watchdog) {
	s.t.Helper()
	s.Etcd.Restart()
	for _, one := range s.Group.Sentinels {
		one.Restart()
	}
	for _, d := range daemons {
		startShut(s, d)
		d.Redis.Restart()
		d.Restart()
	}
	s.done("power is back")
}

// recorded waits until etcd has been told of all that the master has by now; what a
// power cut leaves there is that, less half a minute at the most.
func (s *story) recorded() {
	s.t.Helper()
	offset, err := strconv.ParseInt(s.master.Redis.Info()["master_repl_offset"], 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Eventually("etcd is told how far the master is", time.Minute, func() error {
		if d := s.World.Record().Data; d.Master != watchdog.Address(s.master.Redis.Address) || d.Offset < offset {
			return fmt.Errorf("it has %s of %s, the master %d", d, d.Master, offset)
		}
		return nil
	})
}

func startShut(s *story, d *watched.Watchdog) {
	s.t.Helper()
	conf, err := os.ReadFile(d.Redis.ConfigFile)
	if err != nil {
		s.t.Fatal(err)
	}
	if slices.ContainsFunc(strings.Split(string(conf), "\n"), func(line string) bool { return strings.HasPrefix(line, "replicaof ") }) {
		return
	}
	text := string(conf) + strings.Join(gate.StartFencedLines(), "\n") + "\n"
	if err := os.WriteFile(d.Redis.ConfigFile, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// Power is lost, and all hosts come back: the best of what is on their disks is
// served without a person's help, whatever they keep there.
func TestPowerLostEverywhereComesBackByItself(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		lines []string
		save  func(s *story) (wanted *watched.Watchdog, kept lab.Trace) // before power is lost; nil: whoever
	}{
		{"everybody saved a moment ago", nil, func(s *story) (*watched.Watchdog, lab.Trace) {
			acked := s.writer.Stop()
			s.master.Redis.Do("WAIT", "2", "10000")
			for _, d := range s.Watchdogs {
				d.Redis.Do("SAVE")
			}
			return s.master, acked
		}},
		{"append-only files", []string{"appendonly yes", "appendfsync always"}, func(s *story) (*watched.Watchdog, lab.Trace) {
			return s.master, s.writer.Stop()
		}},
		{"snapshots of minutes ago, a replica's the newest", nil, func(s *story) (*watched.Watchdog, lab.Trace) {
			s.master.Redis.Do("SAVE")
			s.writer.WaitOK(lab.Now().Add(time.Second), time.Minute)
			newest := s.Others(s.master)[1]
			kept := s.writer.Trace()
			s.master.Redis.Do("WAIT", "2", "10000")
			newest.Redis.Do("SAVE")
			s.writer.WaitOK(lab.Now().Add(2*time.Second), time.Minute)
			s.writer.Stop()
			return newest, kept
		}},
		{"a cache that keeps nothing", nil, func(s *story) (*watched.Watchdog, lab.Trace) {
			s.writer.Stop()
			return nil, nil
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := shortFailover(watched.Options{})
			o.Group.Redis.Lines = tt.lines
			s := begin(t, start(t, o))
			s.reader.Stop()
			wanted, kept := tt.save(s)
			powerLost(s)
			powerBack(s, s.Watchdogs...)
			serving := s.WaitServing()
			if wanted != nil && serving != wanted {
				t.Errorf("%s serves, want %s", serving.Name, wanted.Name)
			}
			if lost := lab.Lost(kept, serving.Redis); len(lost) != 0 {
				t.Errorf("%d of %d writes that were on a disk are lost at %s, want 0", len(lost), len(kept.OK()), serving.Name)
			}
			s.WaitGuarded()
			for _, d := range s.Watchdogs {
				d.WaitFor("is as ever", func(st agent.Status) bool {
					return st.Data == "in_step" && !st.Veto && !slices.ContainsFunc(st.Faults, func(f agent.Fault) bool { return f.ID == "data_behind" })
				})
			}
		})
	}
}

// The master's host does not come back. A replica whose disk has all that the
// master had told etcd is promoted; where none has, a person decides.
func TestPowerLostAndTheMasterStaysAway(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		whole bool
	}{{"its replicas saved all", true}, {"its replicas saved long ago", false}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := begin(t, start(t, shortFailover(watched.Options{})))
			s.reader.Stop()
			others := s.Others(s.master)
			save := func() {
				for _, d := range others {
					d.Redis.Do("SAVE")
				}
			}
			if !tt.whole {
				save()
				s.writer.WaitOK(lab.Now().Add(2*time.Second), time.Minute)
			}
			acked := s.writer.Stop()
			s.master.Redis.Do("WAIT", "2", "10000")
			s.recorded()
			if tt.whole {
				save()
			}
			before := s.attempts()
			powerLost(s)
			powerBack(s, others...)
			if tt.whole {
				serving := s.WaitServing(others...)
				if lost := lab.Lost(acked, serving.Redis); len(lost) != 0 {
					t.Errorf("%d acknowledged writes are lost at %s, want 0", len(lost), serving.Name)
				}
				return
			}
			st := s.told(others[0], "data_behind", s.master.Redis.Address, "unfence")
			s.triedToPromote(before, 2)
			for _, d := range others {
				if role := d.Redis.Role(); role.Name != "slave" {
					t.Errorf("%s is %s", d.Name, role)
				}
			}
			for _, command := range commandsIn(t, st, "data_behind") {
				s.run(others[0], command)
			}
			s.WaitServing(others[0])
		})
	}
}
