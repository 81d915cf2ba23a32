package shadow

import (
	"slices"
	"strings"

	"github.com/redis-watchdog/redis-watchdog/preflight/redisconf"
)

// Overridden are the parameters the copy sets itself, so that the shadow
// touches nothing: their values must come from the file. TLS is among them
// because a certificate the caller may not read would end the shadow.
func Overridden() []string {
	return []string{
		"aclfile", "appendonly", "cluster-config-file", "cluster-enabled", "daemonize", "dir", "logfile", "pidfile",
		"port", "replicaof", "supervised", "syslog-enabled", "tls-cluster", "tls-port", "tls-replication", "unixsocket",
		"unixsocketgroup", // a group the shadow need not be in
	}
}

// line is one line of the copy and where it comes from.
type line struct {
	text string
	from redisconf.Position // zero: the copy's own
}

// copyOf rewrites a configuration for the shadow: includes in place, without
// what it overrides, without modules and renamed commands (the shadow itself has
// to be asked), each word quoted anew.
func copyOf(build *redisconf.Build, config *redisconf.Config) []line {
	dropped := append(Overridden(), "loadmodule", "rename-command", "sentinel")
	var lines []line
	for _, d := range config.Directives {
		name := d.Name
		p := build.Parameter(name)
		if p != nil {
			name = p.Name
		}
		switch {
		case slices.Contains(dropped, name):
		case p == nil && strings.Contains(name, "."): // a module's
		case name == "include":
			// The end of an include changes how later save lines are read.
			lines = append(lines, line{"include /dev/null", d.At})
		default:
			words := []string{d.Name}
			for _, arg := range d.Args {
				words = append(words, redisconf.Quote(arg))
			}
			lines = append(lines, line{strings.Join(words, " "), d.At})
		}
	}
	return lines
}

// overrides are the copy's own last lines.
func (c Config) overrides(socket, aclfile, password string) []line {
	dir := socket[:strings.LastIndexByte(socket, '/')]
	texts := []string{
		"port 0", "unixsocket " + redisconf.Quote(socket), "dir " + redisconf.Quote(dir), `logfile ""`, `pidfile ""`,
		"daemonize no", "supervised no", "appendonly no", "syslog-enabled no", "cluster-enabled no",
	}
	if c.Build.Parameter("tls-port") != nil && c.hasTLS() {
		texts = append(texts, "tls-port 0", "tls-replication no", "tls-cluster no")
	}
	if aclfile != "" {
		texts = append(texts, "aclfile "+aclfile)
	} else {
		texts = append(texts, userLine(password))
	}
	var lines []line
	for _, text := range texts {
		lines = append(lines, line{text: text})
	}
	return lines
}

func (c Config) hasTLS() bool {
	if c.Known == nil {
		return true
	}
	_, ok := c.Known["tls-port"]
	return ok
}

// user is whom the shadow is asked as: its default user may be anything.
const user = "redis-watchdog-shadow"

func userLine(password string) string { return "user " + user + " on >" + password + " ~* +@all" }
