package keyspace

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/builds"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/fit"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/source"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/stall"
)

// large are values that are none of the fit's: other lengths, other numbers, filled
// side by side.
const large = `local n, from, step = tonumber(ARGV[1]), tonumber(ARGV[2]), 50
for i = from, from + n - 1, step do
  local a, h, z, l = {}, {}, {}, {}
  for j = i, i + step - 1 do
    local m = 'm:' .. (j * 7919 % 1000003) .. ':' .. j
    a[#a+1] = m .. ':of a longer name' h[#h+1] = m h[#h+1] = j z[#z+1] = (j * 31 % 5003) z[#z+1] = m l[#l+1] = m .. ':' .. string.rep('x', 80)
  end
  redis.call('SADD', 'set', unpack(a)) redis.call('HSET', 'hash', unpack(h)) redis.call('ZADD', 'zset', unpack(z)) redis.call('RPUSH', 'list', unpack(l))
end`

func fillLarge(t *testing.T, r *lab.Redis, n int) {
	t.Helper()
	const part = 1_000
	for from := 0; from < n; from += part {
		r.Do("EVAL", large, "0", strconv.Itoa(part), strconv.Itoa(from))
	}
	r.Do("SETRANGE", "string", 64<<20-1, "x")
}

// auditOf is an audit by SCAN, and its large keys by name.
func auditOf(t *testing.T, r *lab.Redis) (keyspace.Audit, map[string]keyspace.Large) {
	t.Helper()
	a, err := scan(t.Context(), r, source.ScanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]keyspace.Large{}
	for _, k := range a.Large {
		keys[k.Key] = k
	}
	return a, keys
}

// fitted are the rates of the program that is tested, on this host, now.
func fitted(t *testing.T, b *builds.Build, server string) stall.Rates {
	t.Helper()
	c := fit.Config{Server: server, Temporary: t.TempDir(), Deadline: 2 * time.Minute}
	if b != nil {
		c.Binary, c.Root = b.Binary, b.Root(t)
		c.Temporary = c.Root + "/tmp" // it is seen from there
	} else {
		var err error
		if c.Binary, err = exec.LookPath("redis-server"); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	rates, err := fit.Run(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	return rates
}

// took is what one command took of a server: the smaller of its time by the
// server's clock, in which others of this machine run too, and of its main
// thread's processor time.
func took(t *testing.T, r *lab.Redis, command string, do func()) time.Duration {
	t.Helper()
	used := func() (total float64) {
		i := r.Info()
		for _, name := range []string{"used_cpu_user", "used_cpu_sys"} {
			text, known := i[name+"_main_thread"]
			if !known {
				text = i[name] // 6.0 tells no more
			}
			v, err := strconv.ParseFloat(text, 64)
			if err != nil {
				t.Fatal(err)
			}
			total += v
		}
		return total
	}
	r.Do("CONFIG", "RESETSTAT")
	before := used()
	do()
	processor := used() - before
	return min(time.Duration(processor*1e9), clockOf(t, r, command))
}

// clockOf is what all calls of a command took since the figures were reset.
func clockOf(t *testing.T, r *lab.Redis, command string) time.Duration {
	t.Helper()
	text, _ := r.Do("INFO", "commandstats").(string)
	_, text, _ = strings.Cut(text, "cmdstat_"+command+":")
	_, usec, _ := strings.Cut(text, "usec=")
	usec, _, _ = strings.Cut(usec, ",")
	clock, err := strconv.ParseFloat(usec, 64)
	if err != nil {
		t.Fatalf("%s: %q", command, text)
	}
	return time.Duration(clock * 1e3)
}

// within asks whether it took what was said; half of the least is let pass, for
// it is the least of a few rounds of other data, and whatever is said to be less than
// a millisecond at the least: that is none of a stall. So is a quarter on top of the
// most: this machine runs others beside it.
func within(t *testing.T, what string, took time.Duration, said stall.Cost) {
	t.Helper()
	t.Logf("%s: %v to %v said, took %v", what, said.Low, said.High, took)
	if !said.Known || said.Low >= time.Millisecond && took < said.Low/2 || took > said.High*5/4+time.Millisecond {
		t.Errorf("%s: took %v, and %+v was said", what, took, said)
	}
}

// What a removal takes of a real server lies within what was said, with each of
// its settings: what was fitted on this host, and the coarse table.
func TestStallsAreWhatARealServerTakes(t *testing.T) { stalls(t, nil, "redis", true) }

// stalls is the test of one build; coarse is whether the coarse table is asked too.
func stalls(t *testing.T, b *builds.Build, product string, coarse bool) {
	t.Helper()
	r := server(t, b)
	const n = 300_000
	names := []string{"set", "hash", "zset", "list", "string"}
	server := product + " " + r.Info()[product+"_version"]
	rates := fitted(t, b, server)
	for _, lazy := range []string{"no", "yes"} {
		for _, name := range []string{"lazyfree-lazy-user-del", "lazyfree-lazy-server-del"} {
			r.Do("CONFIG", "SET", name, lazy)
		}
		l := stall.LazyfreeOf(server, map[string]string{"lazyfree-lazy-user-del": lazy, "lazyfree-lazy-server-del": lazy})
		fillLarge(t, r, n)
		_, keys := auditOf(t, r)
		for _, name := range names {
			key := keys[name].StallKey()
			d := took(t, r, "del", func() { r.Do("DEL", name) })
			within(t, fmt.Sprintf("DEL %s, lazyfree-lazy-user-del %s", name, lazy), d, stall.One(stall.Del, key, l, rates))
			if coarse {
				within(t, "by the coarse table", d, stall.One(stall.Del, key, l, stall.Coarse("")))
			}
		}
		fillLarge(t, r, n)
		for _, name := range names {
			r.Do("SET", "small", "x")
			within(t, fmt.Sprintf("RENAME over %s, lazyfree-lazy-server-del %s", name, lazy), took(t, r, "rename", func() { r.Do("RENAME", "small", name) }), stall.One(stall.Rename, keys[name].StallKey(), l, rates))
		}
		r.Do("FLUSHALL")
	}
	fillLarge(t, r, n)
	_, keys := auditOf(t, r)
	for _, name := range names {
		within(t, "UNLINK "+name, took(t, r, "unlink", func() { r.Do("UNLINK", name) }), stall.One(stall.Unlink, keys[name].StallKey(), stall.Lazyfree{}, rates))
	}
}

// A MIGRATE holds up its source for as long as was said at the least, and neither
// of the two works longer than was said. (It waits for the target, so only the clock
// tells how long it lasts, and others of this machine run by that clock too.)
func TestMigrateIsWhatARealServerTakes(t *testing.T) {
	l := lab.New(t)
	host := l.Host("a")
	source, target := host.Redis(lab.RedisConfig{}), host.Redis(lab.RedisConfig{Name: "target", Port: host.Port(6380)})
	fillLarge(t, source, 300_000)
	rates := fitted(t, nil, "redis "+source.Info()["redis_version"])
	_, keys := auditOf(t, source)
	for _, name := range []string{"hash", "zset", "list", "string"} {
		key := keys[name].StallKey()
		var parsing time.Duration
		working := took(t, source, "migrate", func() {
			parsing = took(t, target, "restore", func() {
				source.Do("MIGRATE", target.Host.IP, strconv.Itoa(target.Port), name, "0", "60000")
			})
		})
		within(t, "RESTORE "+name, parsing, stall.One(stall.Restore, key, stall.Lazyfree{}, rates))
		lasted, said := clockOf(t, source, "migrate"), stall.One(stall.Migrate, key, stall.Lazyfree{}, rates)
		t.Logf("MIGRATE %s: %v to %v said, lasted %v, worked %v", name, said.Low, said.High, lasted, working)
		if lasted < said.Low/2 || working > said.High {
			t.Errorf("MIGRATE %s: lasted %v, worked %v, and %+v was said", name, lasted, working, said)
		}
	}
}
