package drift

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"

	"github.com/redis-watchdog/redis-watchdog/systemd/trusted"
)

// program is a server's program that may be started.
type program struct {
	binary string   // as seen in root, all links followed
	root   *os.File // what its process has for "/"; nil: what we have
}

func (p program) close() {
	if p.root != nil {
		_ = p.root.Close() // a directory that was only looked through
	}
}

// rootName is root as shadow.Config has it: the directory that was looked at,
// whatever its name leads to by now.
func (p program) rootName() string {
	if p.root == nil {
		return ""
	}
	return fmt.Sprintf("/proc/self/fd/%d", p.root.Fd())
}

// servers are the names of programs that are a server: Debian's is called
// redis-check-rdb, and the server's name is a link to it.
func servers() []string {
	return []string{"redis-server", "valkey-server", "redis-check-rdb", "valkey-check-rdb", "redis-check-aof", "valkey-check-aof", "redis-sentinel", "valkey-sentinel"}
}

// program is what a restart would start, where that may be started by us, who
// hold the passwords: by a name that is a server's, or the unit's, and a file
// that nobody but root can have put there. What runs is known from /proc; where
// that may not be read, INFO names it, which a Redis in other hands can make say
// anything.
func (r *reader) program() (p program, err error) {
	name, units := r.process.exe, r.Program
	if units == "" && startsRedis(r.Service, r.Info["executable"], r.Info["config_file"]) {
		units = r.Service[0]
	}
	if name == "" {
		name = units
	}
	if name == "" {
		name = r.Info["executable"]
	}
	if !path.IsAbs(name) {
		return p, errors.New("where the binary is cannot be seen")
	}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if r.process.chroot != "" {
		if p.root, err = os.Open(r.process.chroot); err != nil {
			return p, fmt.Errorf("look into its root directory: %w", err)
		}
	}
	if p.binary, err = trusted.Program(p.root, name); err != nil {
		return p, err
	}
	if known := servers(); name != units && !slices.Contains(known, path.Base(name)) && !slices.Contains(known, path.Base(p.binary)) {
		return p, fmt.Errorf("%s has no name of a server", name)
	}
	if r.process.runs != nil {
		here, err := os.Stat(p.rootName() + p.binary)
		if err != nil {
			return p, fmt.Errorf("look at %s: %w", p.binary, err)
		}
		if !os.SameFile(here, r.process.runs) {
			return p, fmt.Errorf("%s of this host is not what runs: Redis is in a container, or has been replaced", p.binary)
		}
	}
	return p, nil
}
