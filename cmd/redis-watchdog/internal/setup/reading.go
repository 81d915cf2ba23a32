package setup

import (
	"os"
	"os/user"
	"slices"
	"strconv"
	"syscall"
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
// here, where not everybody may, and the service is no member. A file that only
// its owner may read is noted.
func (h *Host) ReadingGroups() (groups []string, unreadable []string) {
	for _, g := range h.Groups {
		for _, r := range g.Nodes {
			info, err := os.Stat(r.File)
			if err != nil || info.Mode().Perm()&0o004 != 0 {
				continue
			}
			stat, ok := info.Sys().(*syscall.Stat_t)
			if !ok {
				continue
			}
			// Not root's group: its members may read too much else.
			if info.Mode().Perm()&0o040 == 0 || stat.Gid == 0 {
				unreadable = append(unreadable, r.File)
				continue
			}
			name := strconv.FormatUint(uint64(stat.Gid), 10)
			if g, err := user.LookupGroupId(name); err == nil {
				name = g.Name
			}
			if !slices.Contains(groups, name) {
				groups = append(groups, name)
			}
		}
	}
	return groups, unreadable
}
