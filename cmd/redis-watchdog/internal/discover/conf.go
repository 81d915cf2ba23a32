package discover

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/preflight/drift"
	"github.com/redis-watchdog/redis-watchdog/preflight/redisconf"
)

// conf is what a redis.conf or sentinel.conf and all that it includes say.
type conf struct {
	lines  []redisconf.Directive
	unread []string // what it includes and could not be read, and why
	dir    string   // the server works in; empty: not known
}

// conf reads a file of a process, as that sees it: it may have another root, or
// other mounts, than we have. No file is an empty one.
func (p Process) conf(file string) *conf {
	if file == "" {
		return &conf{dir: p.Dir}
	}
	files, started := drift.Files(p.PID)
	if started == "" {
		started = p.Dir // it may have gone elsewhere since ("dir")
	}
	c := &conf{}
	c.lines, c.dir, c.unread = redisconf.Lines(files, file, started)
	return c
}

// last is the first word of the last line of a name; otherwise: there is none.
func (c *conf) last(name, otherwise string) string {
	for _, d := range slices.Backward(c.lines) {
		if d.Name == name && len(d.Args) > 0 {
			return d.Args[0]
		}
	}
	return otherwise
}

// file is the file that a line names, absolute where that can be told.
func (c *conf) file(name string) string {
	file := c.last(name, "")
	if file == "" || filepath.IsAbs(file) || c.dir == "" {
		return file
	}
	return filepath.Join(c.dir, file)
}

// has is whether there is a line of that name.
func (c *conf) has(name string) bool {
	return slices.ContainsFunc(c.lines, func(d redisconf.Directive) bool { return d.Name == name })
}

// ports are that of plain text, and that of TLS; empty: none.
func (c *conf) ports(usual string) (plain, tls string) {
	none := func(port string) string {
		if port == "0" {
			return ""
		}
		return port
	}
	return none(c.last("port", usual)), none(c.last("tls-port", "0"))
}

// secrets are the files of TLS that a client of this server needs: the authority
// it names, and, where it asks its clients for a certificate (tls-auth-clients,
// which is yes unless said otherwise), the one it shows itself to its own master.
func (c *conf) secrets() TLS {
	t := TLS{CA: c.file("tls-ca-cert-file")}
	if strings.EqualFold(c.last("tls-auth-clients", "yes"), "yes") {
		t.Cert, t.Key = c.file("tls-client-cert-file"), c.file("tls-client-key-file")
		if t.Cert == "" {
			t.Cert, t.Key = c.file("tls-cert-file"), c.file("tls-key-file")
		}
		if t.Key == "" { // both in one file
			t.Key = t.Cert
		}
	}
	return t
}

// renamed is what rename-command made of the commands that the watchdog uses. A
// command is renamed by the name it has by then.
func (c *conf) renamed() map[string]string {
	found := map[string]string{}
	for _, d := range c.lines {
		if d.Name != "rename-command" || len(d.Args) != 2 {
			continue
		}
		command := strings.ToLower(d.Args[0])
		for was, now := range found {
			if now != "" && strings.EqualFold(now, command) {
				command = was
			}
		}
		found[command] = d.Args[1]
	}
	used := config.UsedCommands()
	for command := range found {
		if !slices.Contains(used, command) {
			delete(found, command)
		}
	}
	return found
}
