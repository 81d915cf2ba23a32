package discover

import (
	"os/user"
	"strconv"
	"syscall"

	"github.com/redis-watchdog/redis-watchdog/preflight/drift"
)

// ServiceUser is whom the service runs as, as the package makes it; its group is
// called the same.
const ServiceUser = "redis-watchdog"

// ServiceUnit is the unit of the service.
const ServiceUnit = "redis-watchdog.service"

// ServiceGroup is the group of the service; false: there is none, and the
// service runs as root, if at all.
func ServiceGroup() (gid int, ok bool) {
	g, err := user.LookupGroup(ServiceUser)
	if err != nil {
		return 0, false
	}
	gid, err = strconv.Atoi(g.Gid)
	return gid, err == nil
}

// ReadingGroups are the groups whose members may read the redis.conf of a Redis
// here, and the files of TLS that are written, where not everybody may, and the
// service is no member. A file that only its owner may read is noted.
func (h *Host) ReadingGroups() (groups []string, unreadable []string) {
	look := func(pid int, file string) {
		if file == "" {
			return
		}
		info, err := drift.Stat(pid, file)
		if err != nil || info.Mode().Perm()&0o004 != 0 {
			return
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return
		}
		// Not root's group: its members may read too much else.
		if info.Mode().Perm()&0o040 == 0 || stat.Gid == 0 {
			unreadable = merged(unreadable, []string{file})
			return
		}
		name := strconv.FormatUint(uint64(stat.Gid), 10)
		if g, err := user.LookupGroupId(name); err == nil {
			name = g.Name
		}
		groups = merged(groups, []string{name})
	}
	tls := func(t *TLS) {
		if t != nil {
			look(0, t.CA)
			look(0, t.Cert)
			look(0, t.Key)
		}
	}
	for _, g := range h.Groups {
		tls(g.TLS)
		for _, r := range g.Nodes {
			look(r.PID, r.File)
			tls(r.TLS)
		}
	}
	return groups, unreadable
}
