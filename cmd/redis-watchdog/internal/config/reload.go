package config

// What a running watchdog may take over of a file that has changed.

import (
	"fmt"
	"reflect"
)

// At is a fault of a key of this file, with what is written there.
func (c *Config) At(key, problem, remedy string) Fault {
	d := decoder{file: c.File, lines: c.lines}
	d.fault(key, c.values[key], problem, remedy)
	return d.faults[0]
}

// Fixed names what the next file would change although a running watchdog
// cannot: where its records are, where its keys in etcd are, what it listens on,
// and the form of the log.
func (c *Config) Fixed(next *Config) Faults {
	var faults Faults
	for _, k := range []struct{ key, now, then string }{
		{"etcd.prefix", c.Etcd.Prefix, next.Etcd.Prefix},
		{"http.listen", c.HTTP.Listen, next.HTTP.Listen},
		{"http.web_config_file", c.HTTP.WebConfigFile, next.HTTP.WebConfigFile},
		{"log.format", c.Log.Format, next.Log.Format},
		{"state_dir", c.StateDir, next.StateDir},
		{"runtime_dir", c.RuntimeDir, next.RuntimeDir},
	} {
		if k.now != k.then {
			faults = append(faults, next.At(k.key, fmt.Sprintf("is %q in force, and a reload cannot change it", k.now),
				"take the change back, or: systemctl restart redis-watchdog"))
		}
	}
	return faults
}

// SameEtcd says whether the coordinator is reached in the same way.
func (c *Config) SameEtcd(next *Config) bool { return reflect.DeepEqual(c.Etcd, next.Etcd) }

// SameServers says whether the group's Sentinels and Redis are the same and are
// reached in the same way, whatever else has changed. What the files hold that
// the group names is compared too.
func (g Group) SameServers(next Group) bool {
	return reflect.DeepEqual(g.servers(), next.servers())
}

// SameSentinels is SameServers for the Sentinels alone.
func (g Group) SameSentinels(next Group) bool {
	g, next = g.servers(), next.servers()
	g.Nodes, next.Nodes = nil, nil
	return reflect.DeepEqual(g, next)
}

// servers is the group without what can be told to one that is being watched
// over: its rules.
func (g Group) servers() Group {
	g.Policy = Policy{ClockRateError: g.Policy.ClockRateError} // the tally's
	g.Preflight, g.Keyspace, g.DownAfter = Preflight{}, Keyspace{}, 0
	return g
}

// SameRedis says whether the Redis is reached in the same way.
func (n Node) SameRedis(next Node) bool {
	n.Unit, next.Unit, n.Announced, next.Announced = "", "", "", ""
	n.CommandLine, next.CommandLine = nil, nil
	return reflect.DeepEqual(n, next)
}
