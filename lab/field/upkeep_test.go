package field

// Upkeep: of etcd, of passwords, and of disks that run full.

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
)

// TestUpkeepOfEtcd: what a person does with etcd between two incidents, down to
// a restart of each member.
func TestUpkeepOfEtcd(t *testing.T) {
	t.Parallel()
	w := start(t, watched.Options{Systemd: true})
	s := begin(t, w)
	client := w.Etcd.Client(nil)
	asks := func(what string, question func(ctx context.Context) error) {
		t.Helper()
		s.done(what)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := question(ctx); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for range 2 {
		asks("compaction to the newest revision", func(ctx context.Context) error {
			got, err := client.Get(ctx, "/")
			if err != nil {
				return err
			}
			_, err = client.Compact(ctx, got.Header.Revision, clientv3.WithCompactPhysical())
			if errors.Is(err, rpctypes.ErrCompacted) {
				err = nil // nothing was written since
			}
			return err
		})
		for _, m := range w.Etcd.Members {
			asks("defragmentation of "+m.Name, func(ctx context.Context) error {
				_, err := client.Defragment(ctx, m.Endpoint)
				return err
			})
		}
		asks("a snapshot", func(ctx context.Context) error {
			r, err := client.Snapshot(ctx)
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, r)
			return errors.Join(err, r.Close())
		})
		asks("the leader is moved", func(ctx context.Context) error {
			leader := w.Etcd.Leader()
			list, err := client.MemberList(ctx)
			if err != nil {
				return err
			}
			for _, m := range list.Members {
				if m.ClientURLs[0] != leader.Endpoint {
					at := w.Etcd.Client(nil, leader)
					_, err = at.MoveLeader(ctx, m.ID)
					return err
				}
			}
			return errors.New("there is no other")
		})
	}
	for _, m := range w.Etcd.Members {
		s.done(m.Name + " is started again")
		m.Term()
		m.Restart()
		w.Etcd.WaitHealthy()
	}
	s.calm()
	s.undisturbed()
	s.failsOver()
}

// TestPasswordOfRedisIsRotated as Redis' manual has it, with two passwords for a
// while: Redis, replication, Sentinels and watchdogs get the new one in turn.
func TestPasswordOfRedisIsRotated(t *testing.T) {
	t.Parallel()
	const before, after = "last-year", "this-year"
	file := filepath.Join(t.TempDir(), "redis-password")
	written := func(password string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	written(before)
	w := start(t, watched.Options{
		Systemd: true,
		Group: lab.GroupConfig{
			Redis:   lab.RedisConfig{Users: []string{"user default on >" + before + " ~* &* +@all"}, ReplUser: "default", ReplPass: before},
			Monitor: lab.Monitor{Password: before},
		},
		Config: func(c *watched.Config) {
			c.Groups[0]["nodes"].([]map[string]any)[0]["password_file"] = file
		},
	})
	s := begin(t, w)
	every := func(line string) {
		t.Helper()
		for _, d := range w.Watchdogs {
			s.types(d.Name, typed{line}, d.Redis.Try)
		}
	}
	every("ACL SETUSER default >" + after)
	every("CONFIG SET masterauth " + after)
	for _, one := range w.Group.Sentinels {
		s.types(one.Name, typed{"SENTINEL SET mymaster auth-pass " + after}, one.Try)
	}
	written(after)
	for _, d := range w.Watchdogs {
		s.done(d.Name + " is reloaded")
		from := len(d.Text())
		d.Signal(syscall.SIGHUP)
		d.WaitLogged("the configuration is taken over", from, func(line string) bool { return strings.Contains(line, "configuration taken over") })
	}
	every("ACL SETUSER default <" + before)
	every("ACL SAVE")
	every("CONFIG REWRITE")
	s.done("who still stands on the old password is put out")
	for _, d := range w.Others(s.master) {
		s.types(d.Name, typed{"CLIENT KILL TYPE normal"}, d.Redis.Try)
	}
	s.types(s.master.Name, typed{"CLIENT KILL TYPE replica", "CLIENT KILL USER default"}, s.master.Redis.Try)
	s.calm()
	s.undisturbed()
	s.failsOver()
}

// TestDisksOfTheWatchdogsRunFull: nothing that the watchdogs keep can be written
// any more. The master is fenced and another granted all the same, and the one
// that was cut off follows.
func TestDisksOfTheWatchdogsRunFull(t *testing.T) {
	t.Parallel()
	w := start(t, watched.Options{Paused: true, Systemd: true})
	var disks []*lab.Disk
	for _, d := range w.Watchdogs {
		c := d.Config()
		disks = append(disks, w.SmallDisk(c.StateDir), w.SmallDisk(c.RuntimeDir))
		d.Restart()
	}
	w.WaitGuarded()
	s := begin(t, w)
	s.done("every disk of theirs is full")
	for _, disk := range disks {
		disk.Fill()
	}
	w.Pause(10 * time.Second)
	s.undisturbed()
	s.cutOffAndHealed(func(next *watched.Watchdog) {
		s.told(next, "identity_save", "no space left on device")
		s.told(next, "record", "no space left on device")
		s.done("there is room again")
		for _, disk := range disks {
			disk.Clear()
		}
	})
	s.calm()
}

// TestDisksOfTheRedisRunFull: no redis.conf can be written any more, at the
// fence, at the promotion and afterwards.
func TestDisksOfTheRedisRunFull(t *testing.T) {
	t.Parallel()
	w := start(t, watched.Options{Paused: true, Systemd: true})
	var disks []*lab.Disk
	for _, d := range w.Watchdogs {
		d.Redis.Term()
		disks = append(disks, w.SmallDisk(d.Redis.Dir, "redis.conf"))
		d.Redis.Restart()
	}
	w.Group.WaitReplicas()
	w.Group.WaitStable()
	for _, d := range w.Watchdogs {
		d.Restart()
	}
	w.WaitGuarded()
	s := begin(t, w)
	s.done("the disk of every Redis is full")
	for _, disk := range disks {
		disk.Fill()
	}
	w.Pause(5 * time.Second)
	s.undisturbed()
	s.cutOffAndHealed(func(next *watched.Watchdog) {
		s.told(next, "config_rewrite")
		s.done("there is room again: a replica needs it for a full sync")
		for _, disk := range disks {
			disk.Clear()
		}
	})
	s.calm()
}

// cutOffAndHealed cuts the master's host off until another is written to, has
// what follows be done with that one, and heals: no write and no read of the old
// one overlaps.
func (s *story) cutOffAndHealed(before func(next *watched.Watchdog)) {
	s.t.Helper()
	cut := s.BeforeCut()
	cut.Cut("the master's host is cut off", func() { s.Isolate(s.master.Host) })
	cut.WaitWritten()
	before(s.WaitServing(s.Others(s.master)...))
	change := cut.Heal()
	s.t.Logf("the change: %s", change.Sum(3*time.Second))
	if n, m := len(change.OverlappingWrites), len(change.OverlappingReads); n+m > 0 {
		s.t.Errorf("%d writes and %d reads overlap", n, m)
	}
	if change.New == s.master.Redis || change.Fenced.At == 0 {
		s.t.Errorf("the old master was not fenced, or nobody was promoted: %s", change.Sum(3*time.Second))
	}
}
