package field

// What Sentinels list and no Redis is: entries that cannot be read.

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// backup runs redis-cli --rdb on a host against a master until every Sentinel
// has taken it for a replica, as it does with one that lasts for more than the
// 10 s between two INFOs: it is piped to somebody who does not read.
func backup(s *story, h *lab.Host, master *lab.Redis) (ghost string) {
	s.t.Helper()
	pipe := filepath.Join(s.t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		s.t.Fatal(err)
	}
	// Open for both, so that neither end waits for the other.
	reader, err := os.OpenFile(pipe, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	defer reader.Close()
	if fmt.Sprint(master.Do("EXISTS", "much")) == "0" { // more than the sockets and the pipe hold
		master.Do("SETRANGE", "much", 64<<20, "x")
	}
	cli := h.Start("backup", "redis-cli", "-h", master.Host.IP, "-p", fmt.Sprint(master.Port), "--rdb", pipe)
	ghost = h.IP + ":0"
	s.Eventually("every Sentinel takes the backup for a replica", time.Minute, func() error {
		for _, one := range s.Group.Sentinels {
			if !lists(one, s.Group.Name, ghost) {
				return fmt.Errorf("%s does not list %s; redis-cli: %s", one.Name, ghost, cli.Text())
			}
		}
		return nil
	})
	for buffer := make([]byte, 1<<20); ; {
		if err := reader.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			s.t.Fatal(err)
		}
		if _, err := reader.Read(buffer); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			s.t.Fatal(err)
		}
		select {
		case <-cli.Done():
			return ghost
		default:
		}
	}
}

func lists(s *lab.Sentinel, group, replica string) bool {
	return slices.ContainsFunc(s.Replicas(group), func(r map[string]string) bool {
		return r["ip"]+":"+r["port"] == replica
	})
}

// redis-cli --rdb at a master, the commonest backup there is. Sentinel takes it
// for a replica at port 0, writes it into sentinel.conf and never forgets it.
// What the Sentinels say about the master is as true as before.
func TestBackupAtTheMasterLeavesAGhost(t *testing.T) {
	t.Parallel()
	w := start(t, watched.Options{Group: lab.GroupConfig{Redis: lab.RedisConfig{Lines: []string{"rdbcompression no"}}}})
	s := begin(t, w)
	place := w.Lab.Host("backup")
	s.done("redis-cli --rdb, at the master, piped to a slow place")
	ghost := backup(s, place, s.master.Redis)
	s.done("once more")
	backup(s, place, s.master.Redis)

	for _, d := range w.Watchdogs {
		s.told(d, "sentinel_ghost", ghost, "SENTINEL RESET "+w.Group.Name)
		d.WaitFor("hears and counts every Sentinel", func(st agent.Status) bool {
			return st.SentinelsAnswering == 3 && st.SentinelsAgreeing == 3
		})
	}
	for _, d := range w.Watchdogs {
		for _, f := range d.Status().Faults {
			if strings.HasPrefix(f.ID, "sentinel_") && f.ID != "sentinel_ghost" {
				t.Errorf("%s is told %s besides: %s", d.Name, f.ID, f.Text)
			}
		}
	}
	s.shows(ghost, "status")
	if out := s.shows(ghost, "preflight", w.Group.Name); strings.Contains(out, "BLOCKS") {
		t.Errorf("preflight blocks:\n%s", out)
	}
	s.shows(ghost, "init", "--dry-run", "--etcd", strings.Join(w.Etcd.Endpoints(), ","))

	s.done("the remedy: SENTINEL RESET at one Sentinel after the other")
	for _, one := range w.Group.Sentinels {
		one.Do("SENTINEL", "RESET", w.Group.Name)
		w.Eventually(one.Name+" lists all replicas and Sentinels again", time.Minute, func() error {
			if r, o := one.Replicas(w.Group.Name), one.Sentinels(w.Group.Name); len(r) != 2 || len(o) != 2 {
				return fmt.Errorf("replicas %v, Sentinels %v", r, o)
			}
			return nil
		})
	}
	for _, d := range w.Watchdogs {
		d.WaitFor("is told of nothing any more", func(st agent.Status) bool {
			return !slices.ContainsFunc(st.Faults, func(f agent.Fault) bool { return strings.HasPrefix(f.ID, "sentinel_") })
		})
	}
	s.undisturbed()
}
