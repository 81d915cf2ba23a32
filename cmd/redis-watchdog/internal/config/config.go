// Package config reads the one configuration file and names everything that is
// wrong with it at once, with line, value and remedy, before anything is touched.
package config

import (
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// DefaultPath is where the configuration is looked for when no --config is given.
const DefaultPath = "/etc/redis-watchdog/redis-watchdog.yaml"

// Config is the whole file. Every key is explained in redis-watchdog.yaml, the
// shipped reference, and in docs/configuration.md; a test compares them.
type Config struct {
	Etcd       Etcd    `yaml:"etcd"`
	HTTP       HTTP    `yaml:"http"`
	Log        Log     `yaml:"log"`
	StateDir   string  `yaml:"state_dir"`
	RuntimeDir string  `yaml:"runtime_dir"`
	Hooks      []Hook  `yaml:"hooks"`
	Groups     []Group `yaml:"groups"`

	File string `yaml:"-"` // where it was read from

	lines  map[string]int    `yaml:"-"` // of every key that is in the file
	values map[string]string `yaml:"-"`
}

// Etcd is how the coordinator is reached.
type Etcd struct {
	Endpoints    []string `yaml:"endpoints"` // http:// or https:// URLs
	Prefix       string   `yaml:"prefix"`    // ends in a slash
	Username     string   `yaml:"username"`
	PasswordFile string   `yaml:"password_file"`
	TLS          *TLS     `yaml:"tls"`

	Password Secret `yaml:"-"` // what password_file held
}

// HTTP is what the status pages, metrics and role checks listen on.
type HTTP struct {
	Listen        string `yaml:"listen"`
	WebConfigFile string `yaml:"web_config_file"` // TLS and basic auth, in the format of Prometheus' exporter-toolkit
}

// Log is how the log is written.
type Log struct {
	Level  string `yaml:"level"`  // trace, debug, info, warn, error
	Format string `yaml:"format"` // text, json
}

// Hook is a command that is run when a Redis of this host changes its phase.
type Hook struct {
	On      []string      `yaml:"on"`      // phases; empty: all
	Command []string      `yaml:"command"` // the program, absolute, and its arguments
	Timeout time.Duration `yaml:"timeout"`
}

// TLS is how one kind of server is spoken to. The nil TLS is plain text; the
// zero one verifies the server against the system's roots.
type TLS struct {
	CA         string `yaml:"ca"`
	Cert       string `yaml:"cert"`
	Key        string `yaml:"key"`
	ServerName string `yaml:"server_name"`

	authority string `yaml:"-"` // what ca held
}

// Group is one Sentinel master name.
type Group struct {
	Name                 string        `yaml:"name"`
	Sentinels            []string      `yaml:"sentinels"`
	SentinelUsername     string        `yaml:"sentinel_username"`
	SentinelPasswordFile string        `yaml:"sentinel_password_file"`
	SentinelTLS          *TLS          `yaml:"sentinel_tls"`
	DownAfter            time.Duration `yaml:"down_after"` // what Sentinel is expected to report; zero: not said
	Policy               Policy        `yaml:"policy"`
	Preflight            Preflight     `yaml:"preflight"`
	Keyspace             Keyspace      `yaml:"keyspace"`
	Nodes                []Node        `yaml:"nodes"`

	SentinelPassword Secret `yaml:"-"`
}

// Policy is the operator's choice. A zero duration is the default of the core,
// which depends on the smallest down-after-milliseconds.
type Policy struct {
	CoordinatorLost string        `yaml:"coordinator_lost"` // serve, refuse
	SentinelsLost   string        `yaml:"sentinels_lost"`   // refuse, serve
	BornLocked      bool          `yaml:"born_locked"`
	Strict          bool          `yaml:"strict"`
	TimeToAct       time.Duration `yaml:"time_to_act"`
	SuspectAfter    time.Duration `yaml:"suspect_after"`
	HintHold        time.Duration `yaml:"hint_hold"`
	ClockRateError  float64       `yaml:"clock_rate_error"` // seconds a second
}

// Keyspace is about audits of the key space.
type Keyspace struct {
	Fleet bool `yaml:"fleet"` // the group takes part in audits of the whole fleet
}

// Node is one Redis on this host.
type Node struct {
	Name         string            `yaml:"name"`
	Address      string            `yaml:"address"` // host:port; empty when Socket is set
	Socket       string            `yaml:"socket"`
	Announced    string            `yaml:"announced"` // how the Sentinels call it; empty: found by run id
	Username     string            `yaml:"username"`
	PasswordFile string            `yaml:"password_file"`
	TLS          *TLS              `yaml:"tls"`
	Unit         string            `yaml:"unit"`
	CommandLine  []string          `yaml:"command_line"` // what redis-server is started with, without its name; nil: found out
	Commands     map[string]string `yaml:"commands"`     // a command as Redis' documentation has it, and what rename-command made of it

	Password Secret `yaml:"-"`
}

// Network is "unix" or "tcp", and what to dial there.
func (n Node) Network() (network, address string) {
	if n.Socket != "" {
		return "unix", n.Socket
	}
	return "tcp", n.Address
}

// Core is the policy as the core takes it.
func (p Policy) Core() watchdog.Policy {
	core := watchdog.Policy{
		TimeToAct:    p.TimeToAct,
		SuspectAfter: p.SuspectAfter,
		HintHold:     p.HintHold,
		BornLocked:   p.BornLocked,
		Strict:       p.Strict,
	}
	if p.CoordinatorLost == serve {
		core.CoordinatorLost = watchdog.CoordinatorLostServe
	}
	if p.SentinelsLost == serve {
		core.SentinelsLost = watchdog.SentinelsLostServe
	}
	return core
}

// Group is the group of that name.
func (c *Config) Group(name string) (Group, bool) {
	for _, g := range c.Groups {
		if g.Name == name {
			return g, true
		}
	}
	return Group{}, false
}

const (
	serve  = "serve"
	refuse = "refuse"
)

// initial is what a key has that is not in the file.
func initial(kind any) {
	switch v := kind.(type) {
	case *Etcd:
		v.Prefix = "/redis-watchdog/v1/"
	case *HTTP:
		v.Listen = "127.0.0.1:26380"
	case *Log:
		v.Level, v.Format = "info", "text"
	case *Hook:
		v.Timeout = 10 * time.Second
	case *Preflight:
		v.setInitial()
	case *Keyspace:
		v.Fleet = true
	case *Policy:
		v.CoordinatorLost, v.SentinelsLost = serve, refuse
		v.BornLocked = true
		v.ClockRateError = 0.001
	}
}
