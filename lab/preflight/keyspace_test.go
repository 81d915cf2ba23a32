package preflight

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/source"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/stall"
)

// audited puts an audit of the master into the facts, as it is kept and read
// again: of now, by the coarse table, so that this machine's speed does not
// decide, against a down-after-milliseconds for which the data of a test is large
// enough.
func (w *world) audited(age time.Duration) {
	w.t.Helper()
	audit, err := source.Scan(w.lab.Context(), source.Server{Address: w.master().Socket}, source.ScanOptions{Options: source.Options{Now: time.Now}})
	if err != nil {
		w.t.Fatal(err)
	}
	audit.WouldStall(stall.Lazyfree{}, stall.Coarse("a test"), stall.Limits{})
	text, err := audit.Keep("the test", false)
	if err != nil {
		w.t.Fatal(err)
	}
	kept, left, err := keyspace.ReadKept(text)
	if err != nil || left != 0 {
		w.t.Fatalf("read what was kept: %v, %d left out", err, left)
	}
	w.edit = func(f *preflight.Facts) {
		f.Coordinator.Audit = &preflight.Audit{Kept: kept, Age: age}
		for i := range f.Sentinels {
			f.Sentinels[i].DownAfter = 800 * time.Millisecond
		}
	}
}

// whale is a hash that would stall.
const whale, whaleFields = "user:lastbuy", 900_000

func (w *world) fillWhale() {
	w.t.Helper()
	for i := 0; i < whaleFields; i += 5000 {
		w.master().Do("EVAL", `local n = tonumber(ARGV[1]) for i = n, n + 4999, 50 do local a = {} for j = i, i + 49 do a[#a+1] = j a[#a+1] = 'v' end redis.call('HSET', KEYS[1], unpack(a)) end`,
			"1", whale, strconv.Itoa(i))
	}
	w.group.WaitReplicas()
}

// everywhere sets a parameter at every node.
func (w *world) everywhere(name, value string) {
	for _, r := range w.group.Redis {
		r.Do("CONFIG", "SET", name, value)
	}
}

func TestKeyspaceChecksFailAndPassOnRealServers(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{"keyspace_stall", "keyspace_resync", "keyspace_age"} {
		w.expect(id, "", preflight.Unknown, "no audit was kept")
	}
	w.fillWhale()
	for _, f := range []failure{
		{check: "keyspace_age", of: group,
			spoil: func(w *world) { w.audited(8 * 24 * time.Hour) }, shows: []string{"8.0 days old"},
			mend: func(w *world) { w.audited(0) }},
		{check: "keyspace_resync", of: group,
			spoil: func(w *world) { w.audited(0) }, shows: []string{"answer nobody", w.candidate().Address},
			mend: func(w *world) { w.paste(w.finding("keyspace_resync", "")) }},
		{check: "keyspace_stall", of: group,
			spoil: func(w *world) { w.audited(0) }, shows: []string{strconv.Quote(whale), "DEL would hold", "the group bears 100ms", fmt.Sprint(whaleFields)},
			mend: func(w *world) { w.paste(w.finding("keyspace_stall", "")) }},
	} {
		w.check(f)
	}
	// It is cured in truth: DEL leaves the work to another thread, at the replicas
	// too.
	w.everywhere("slowlog-log-slower-than", "20000")
	for _, r := range w.group.Redis {
		r.Do("SLOWLOG", "RESET")
	}
	w.master().Do("DEL", whale)
	w.group.WaitReplicas()
	for _, r := range w.group.Redis {
		if slow := fmt.Sprint(r.Do("SLOWLOG", "GET", "10")); strings.Contains(strings.ToLower(slow), "del") {
			t.Errorf("%s: DEL was slow: %s", r.Name, slow)
		}
	}
}
