package gather

// One entry of a list that makes no sense is left out and named; the others
// stand.

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight"
)

func flat(words ...string) []any {
	var r []any
	for _, w := range words {
		r = append(r, w)
	}
	return r
}

func replicasAnd(word int, spoilt string) []any {
	var list []any
	for i := range 3 {
		words := []string{"ip", fmt.Sprintf("10.0.0.%d", i), "port", "6379", "flags", "slave", "slave-priority", "100",
			"slave-repl-offset", "7", "info-refresh", "900", "last-ok-ping-reply", "10", "master-host", "10.0.0.9", "master-port", "6379", "role-reported", "slave"}
		if i == 1 && word >= 0 {
			words[(2*word+1)%len(words)] = spoilt
		}
		list = append(list, flat(words...))
	}
	return list
}

func FuzzSentinelEntries(f *testing.F) {
	for field := range uint8(10) {
		for _, word := range []string{"", "0", "-1", "x", "99999999999999999999", "65536", "::", "a.b"} {
			f.Add(field, word)
		}
	}
	f.Fuzz(func(t *testing.T, field uint8, word string) {
		n := &names{hosts: map[string]string{strings.ToLower(strings.TrimSuffix(word, ".")): "192.0.2.1"}} // nobody is asked
		var sane, s preflight.Sentinel
		readLists(t.Context(), &sane, replicasAnd(-1, ""), nil, n)
		readLists(t.Context(), &s, replicasAnd(int(field), word), nil, n)
		if len(sane.Replicas) != 3 || sane.Unread != nil {
			t.Fatalf("sane: %+v", sane)
		}
		if len(s.Replicas)+len(s.Unread) != 3 || len(s.Replicas) < 2 {
			t.Fatalf("%d replicas, and %v left out, of 3", len(s.Replicas), s.Unread)
		}
		if s.Replicas[0] != sane.Replicas[0] || s.Replicas[len(s.Replicas)-1] != sane.Replicas[2] {
			t.Fatalf("the others changed: %+v", s.Replicas)
		}
		for _, r := range s.Replicas {
			if r.Address == "" {
				t.Fatalf("a replica without an address: %+v", r)
			}
		}
	})
}

// What redis-cli --rdb leaves is named as the Sentinel spells it, and asked by
// nobody.
func TestAReplicaAtPortZeroIsLeftOutAndNamed(t *testing.T) {
	var s preflight.Sentinel
	readLists(t.Context(), &s, replicasAnd(1, "0"), nil, &names{})
	if len(s.Replicas) != 2 || !slices.Equal(s.Unread, []preflight.Unread{{Name: "10.0.0.1:0", In: "SENTINEL REPLICAS", Why: "nothing listens on port 0"}}) {
		t.Errorf("got %+v", s)
	}
}

// A number of SENTINEL MASTER that cannot be read is named; only without its
// epoch it names nobody.
func TestAFieldOfTheMasterThatCannotBeRead(t *testing.T) {
	fields := map[string]string{"config-epoch": "3", "quorum": "2", "num-other-sentinels": "2", "parallel-syncs": "1", "down-after-milliseconds": "5000"}
	for field := range fields {
		spoilt := map[string]string{}
		for k, v := range fields {
			spoilt[k] = v
		}
		spoilt[field] = "?"
		var s preflight.Sentinel
		err := readMaster(&s, spoilt)
		switch {
		case field == "config-epoch":
			if err == nil {
				t.Error("an epoch of ? was read")
			}
		case err != nil || s.Epoch != 3:
			t.Errorf("%s: %v, %+v", field, err, s)
		case field == "down-after-milliseconds":
			if s.DownAfter != -1 {
				t.Errorf("down-after ? is %v", s.DownAfter)
			}
		case len(s.Unread) != 1 || s.Unread[0].Name != field:
			t.Errorf("%s is not named: %+v", field, s.Unread)
		}
	}
}

// FuzzRedisEntries spoils one line of INFO, of CLIENT LIST and of the slow log.
func FuzzRedisEntries(f *testing.F) {
	for _, line := range []string{"", "slave1:ip=10.0.0.2,port=0,state=wait_bgsave,offset=0,lag=0", "slave1:", "slave1:ip", "slave1:offset=x,lag=y", ":", "#", "module:", "id=1 name=sentinel-", "\x00"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if strings.ContainsAny(line, "\r\n") {
			return
		}
		info := "role:master\r\nslave0:ip=10.0.0.1,port=6379,state=online,offset=5,lag=1\r\n" + line + "\r\nused_memory:7\r\n"
		facts := &preflight.Redis{}
		readInfo(info, facts, time.Time{})
		key, _, _ := strings.Cut(line, ":")
		if key != "slave0" && (len(facts.Replicas) == 0 || facts.Replicas[0] != (preflight.ReplicaLine{Address: "10.0.0.1:6379", State: "online", Offset: 5, LagSeconds: 1})) {
			t.Fatalf("%q changed another line: %+v", line, facts.Replicas)
		}
		if key != "used_memory" && facts.Info["used_memory"] != "7" {
			t.Fatalf("%q hides a line: %v", line, facts.Info)
		}
		users := []preflight.User{{Name: "default", Rules: "on ~* +@all"}, {Name: "s", Rules: "on +ping"}}
		if !strings.Contains(line, "user=") {
			lacks := sentinelLacks(line+"\nid=3 name=sentinel-0123abcd-cmd user=s\n", users)
			if len(lacks["s"]) == 0 {
				t.Fatalf("%q hides a client: %v", line, lacks)
			}
		}
		log := []any{flat(line), []any{int64(1), int64(1), int64(5), flat("KEYS", "*")}}
		if got := slow(log, time.Time{}); len(got) != 1 || got[0].Command != "keys" {
			t.Fatalf("the slow log: %+v", got)
		}
	})
}
