package keyspace

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/keydata"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/source"
)

// ghost is the replica without a port that a Sentinel lists; empty: none.
func ghost(s *lab.Sentinel, group string) string {
	for _, r := range s.Replicas(group) {
		if strings.HasSuffix(r["name"], ":0") {
			return r["name"]
		}
	}
	return ""
}

// slowly makes an audit of the Redis outlast a few of Sentinel's INFOs, which
// it sends every ten seconds.
func slowly(t *testing.T, g *lab.Group) {
	t.Helper()
	fill(t, g.Redis[0], keydata.Options{Seed: 4, Keys: 8000})
	g.WaitReplicas()
	for _, r := range g.Redis {
		r.Do("CONFIG", "SET", "rdb-key-save-delay", "3000") // us: 24 s in all
	}
}

// What an audit of a master does to every Sentinel, and what ends it.
func TestAuditOfAMasterLeavesAGhostInSentinel(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	g := l.Group(lab.GroupConfig{})
	slowly(t, g)
	from := l.Host("auditor")
	want := from.IP + ":0"
	got, err := streamed{g.Redis[0], from}.audit(t, source.StreamOptions{Master: true})
	if err != nil || got.Source.Replica {
		t.Fatalf("got %+v, %v", got.Source, err)
	}
	for _, s := range g.Sentinels {
		l.Eventually(s.Name+" lists the ghost", 30*time.Second, func() error {
			if got := ghost(s, g.Name); got != want {
				return fmt.Errorf("it lists %q", got)
			}
			return nil
		})
		text, err := os.ReadFile(s.ConfigFile)
		if line := fmt.Sprintf("sentinel known-replica %s %s 0", g.Name, from.IP); err != nil || !strings.Contains(string(text), line) {
			t.Errorf("%s: no %q in its file, %v", s.Name, line, err)
		}
	}
	if n := g.Redis[0].Info()["connected_slaves"]; n != strconv.Itoa(len(g.Redis)-1) {
		t.Errorf("the master still has %s replicas", n)
	}
	// The audit is over, and a Sentinel that is started anew has it from its file.
	g.Sentinels[0].Term()
	g.Sentinels[0].Restart()
	if got := ghost(g.Sentinels[0], g.Name); got != want {
		t.Errorf("after a restart it lists %q", got)
	}
	// One after the other: a Sentinel that was reset must first find the others.
	for _, s := range g.Sentinels {
		s.Do("SENTINEL", "RESET", g.Name)
		l.Eventually(s.Name+" knows the others again", time.Minute, func() error {
			state := s.State(g.Name)
			if a, b := state["num-slaves"], state["num-other-sentinels"]; a != strconv.Itoa(len(g.Redis)-1) || b != strconv.Itoa(len(g.Sentinels)-1) {
				return fmt.Errorf("it knows %s replicas and %s Sentinels", a, b)
			}
			return nil
		})
	}
	for _, s := range g.Sentinels {
		if got := ghost(s, g.Name); got != "" || len(s.Replicas(g.Name)) != len(g.Redis)-1 {
			t.Errorf("%s: lists %q, and %d replicas", s.Name, got, len(s.Replicas(g.Name)))
		}
	}
}

// A replica that is audited while its master is written to keeps its link and
// follows, and no Sentinel sees anything.
func TestAuditOfAReplicaLeavesNothing(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	g := l.Group(lab.GroupConfig{})
	slowly(t, g)
	master, replica := g.Redis[0], g.Redis[1]
	sentinel := source.Server{Address: g.Sentinels[0].Address, Dial: g.Sentinels[0].Host.Dial}
	if _, err := source.Stream(t.Context(), sentinel, source.StreamOptions{}); err == nil || !strings.Contains(err.Error(), "is a Sentinel; name the port of a Redis") {
		t.Errorf("a Sentinel's port: %v", err)
	}
	if _, err := source.Scan(t.Context(), sentinel, source.ScanOptions{}); err == nil || !strings.Contains(err.Error(), "is a Sentinel; name the port of a Redis") {
		t.Errorf("a Sentinel's port: %v", err)
	}
	load := l.Host("writer").Writer(lab.LoadConfig{To: master})
	before := replica.Info()
	ended := make(chan error, 1)
	go func() {
		_, err := streamed{replica, l.Host("auditor")}.audit(t, source.StreamOptions{})
		ended <- err
	}()
	followed, looks := int64(0), 0
	offset := func(info map[string]string) int64 {
		n, err := strconv.ParseInt(info["slave_repl_offset"], 10, 64)
		if err != nil {
			t.Error(err)
		}
		return n
	}
	for last, done := offset(before), false; !done; looks++ {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
			done = true
		case <-time.After(time.Second):
		}
		now := replica.Info()
		if now["master_link_status"] != "up" || now["run_id"] != before["run_id"] {
			t.Errorf("link %s", now["master_link_status"])
		}
		if at := offset(now); at > last {
			followed, last = followed+1, at
		}
		for _, s := range g.Sentinels {
			if got := ghost(s, g.Name); got != "" {
				t.Fatalf("%s lists %q", s.Name, got)
			}
		}
	}
	load.Stop()
	// Ten seconds is what Sentinel takes to ask anew.
	if looks < 15 || followed < int64(looks)*3/4 {
		t.Errorf("the replica went on in %d of %d looks", followed, looks)
	}
	l.Eventually("the replica has all", 30*time.Second, func() error {
		if a, b := master.Info()["master_repl_offset"], replica.Info()["slave_repl_offset"]; a != b {
			return errors.New(a + " and " + b)
		}
		return nil
	})
	if full := replica.Info()["sync_full"]; master.Info()["sync_full"] != strconv.Itoa(len(g.Redis)-1) || full != "1" {
		t.Errorf("full syncs: the master gave %s, the replica %s", master.Info()["sync_full"], full)
	}
	for _, s := range g.Sentinels {
		if got := s.Replicas(g.Name); len(got) != len(g.Redis)-1 {
			t.Errorf("%s lists %v", s.Name, got)
		}
	}
}
