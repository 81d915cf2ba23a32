//go:build soak

package preflight

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/builds"
	"github.com/redis-watchdog/redis-watchdog/preflight"
)

// TestWhoLoadsWhoseFullSyncSoak: of every two builds, a replica that has nothing
// either comes into step with its master's data or never does, as preflight says;
// also with what none but Valkey 9 has, fields of hashes that expire.
func TestWhoLoadsWhoseFullSyncSoak(t *testing.T) {
	all := []builds.Build{builds.Redis60, builds.Redis70, builds.Redis80, builds.Valkey81, builds.Valkey9}
	var l *lab.Lab
	for _, b := range all {
		b.Leave(t, func() *lab.Lab { return l })
	}
	l = lab.New(t)
	h := l.Host("a")
	start := func(b builds.Build, port int, master *lab.Redis) *lab.Redis {
		return h.Redis(lab.RedisConfig{Name: fmt.Sprintf("redis%d", port), Port: port, Binary: b.Script(t, ""), ReplicaOf: master})
	}
	facts := func(r *lab.Redis) preflight.Node {
		return preflight.Node{Address: r.Address, Redis: &preflight.Redis{Info: r.Info()}}
	}
	for i, from := range all {
		for _, volatile := range []bool{false, true} {
			if volatile && from != builds.Valkey9 {
				continue
			}
			port := 7000 + 100*i
			if volatile {
				port += 50
			}
			master := start(from, port, nil)
			for k := range 300 {
				master.Do("SET", fmt.Sprint("s", k), k)
				master.Do("HSET", "h", k, k)
				master.Do("ZADD", "z", k, k)
				master.Do("RPUSH", "l", k)
				master.Do("SADD", "t", k)
				master.Do("XADD", "x", "*", "k", k)
			}
			if volatile {
				master.Do("HSET", "fields", "f", "v")
				master.Do("HEXPIRE", "fields", "3600", "FIELDS", "1", "f")
			}
			n := fmt.Sprint(master.Do("DBSIZE"))
			for j, to := range all {
				r := start(to, port+1+j, master)
				why := preflight.NoSync(facts(r), facts(master))
				what := fmt.Sprintf("%s of %s (fields that expire: %t)", to.Name, from.Name, volatile)
				if why != "" {
					l.Pause(3 * time.Second)
					if r.Role().Synced() {
						t.Errorf("%s is in step, and preflight says %s", what, why)
					}
					r.Kill()
					continue
				}
				l.Eventually(what+" is in step", 30*time.Second, func() error {
					if is := fmt.Sprint(r.Do("DBSIZE")); !r.Role().Synced() || is != n {
						return errors.New("it has " + is + " of " + n)
					}
					return nil
				})
				r.Kill()
			}
			master.Kill()
		}
	}
}
