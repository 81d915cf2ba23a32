package gate

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// What a real replica tells of its data: in step, its link lost, started again
// from its snapshot, promoted.
func TestDataFromDiskIsToldFromDataInStep(t *testing.T) {
	master := startRedis(t)
	s := startRedis(t, "replicaof 127.0.0.1 "+master.port)
	l := startGate(t, s)
	l.Want(watchdog.Gate{Access: watchdog.Follow})
	master.do("SET", "k", "v")
	master.do("WAIT", "1", "10000")
	saved := l.sees("a replica in step", func(r watchdog.Redis) bool {
		return r.LinkUp && r.InStep && r.Position.ID != "" && r.Position.Offset > 0
	}).Position
	s.do("SAVE")
	for range 3 {
		master.do("SET", "k", "newer")
	}
	l.sees("more of the same history", func(r watchdog.Redis) bool { return r.Position.ID == saved.ID && r.Position.Offset > saved.Offset })

	master.kill()
	lost := l.sees("a link that was lost", func(r watchdog.Redis) bool { return r.Role == watchdog.Replica && !r.LinkUp && !r.Empty })
	if !lost.InStep {
		t.Error("a replica whose master has gone: not in step, want that it was")
	}
	s.kill()
	s.start()
	disk := l.sees("the new run", func(r watchdog.Redis) bool {
		return r.RunID != lost.RunID && r.Answer == watchdog.Up && r.Role == watchdog.Replica && r.Position.ID != ""
	})
	if disk.InStep || disk.Empty {
		t.Errorf("from its snapshot: got in step %v, empty %v, want neither", disk.InStep, disk.Empty)
	}
	if p := disk.Position; p.ID != saved.ID || p.Offset < saved.Offset || p.Offset >= lost.Position.Offset || p.Before != "" {
		t.Errorf("from its snapshot: got %+v, want of %+v, less than %+v", p, saved, lost.Position)
	}
	s.do("REPLICAOF", "NO", "ONE")
	promoted := l.sees("a master with a history of its own", func(r watchdog.Redis) bool { return r.Role == watchdog.Master && r.Position.Before != "" })
	if p := promoted.Position; p.Before != saved.ID || p.Until != disk.Position.Offset || !p.Holds(disk.Position) || p.Holds(lost.Position) {
		t.Errorf("promoted: got %+v, want that it went on from %+v", p, disk.Position)
	}
	s.kill()
	if err := removeSnapshot(s); err != nil {
		t.Fatal(err)
	}
	s.start()
	if r := l.sees("an empty one", func(r watchdog.Redis) bool { return r.RunID != promoted.RunID && r.Answer == watchdog.Up && r.Empty }); r.Position.Holds(saved) {
		t.Errorf("empty: got %+v, which holds %+v", r.Position, saved)
	}
}

// Before 7.0 a replica that never was in step counts its seconds from 1970.
func TestLinkThatNeverWasIsNoLostLink(t *testing.T) {
	for text, want := range map[string]bool{"0": true, "12": true, "86400": true, "-1": false, "1795906948": false, "": false, "x": false} {
		if got := lostLink(text); got != want {
			t.Errorf("master_link_down_since_seconds:%s: got %v, want %v", text, got, want)
		}
	}
}

func FuzzPositionOf(f *testing.F) {
	f.Add("f46db3cc8f071256789756bcc942a006bb2dc72a", "107", "0000000000000000000000000000000000000000", "-1")
	f.Add("h2", "120", "h1", "108")
	f.Add("h2", "-9223372036854775808", "h1", "9223372036854775807")
	f.Fuzz(func(t *testing.T, id, offset, before, until string) {
		p := positionOf(map[string]string{"master_replid": id, "master_repl_offset": offset, "master_replid2": before, "second_repl_offset": until})
		if p.ID == "" && p != (watchdog.Position{}) {
			t.Errorf("a position of no history: %+v", p)
		}
		if p.ID != "" && (!p.Holds(p) || !p.Related(p)) {
			t.Errorf("%+v does not hold itself", p)
		}
		if p.Before == "" && p.Until != 0 || p.Until < 0 {
			t.Errorf("%+v goes on from nowhere", p)
		}
	})
}

func removeSnapshot(s *server) error { return os.Remove(filepath.Join(s.dir, "dump.rdb")) }
