package setup

import (
	"os"
	"os/user"
	"slices"
	"strconv"
	"syscall"
)

// ReadingGroups are the groups whose members may read the redis.conf of a Redis
// here, where not everybody may: the service is root without what lets root read
// past permissions. A file that only its owner may read is noted.
func (h *Host) ReadingGroups() (groups []string, unreadable []string) {
	for _, g := range h.Groups {
		for _, r := range g.Nodes {
			info, err := os.Stat(r.File)
			if err != nil || info.Mode().Perm()&0o004 != 0 {
				continue
			}
			stat, ok := info.Sys().(*syscall.Stat_t)
			if !ok || stat.Uid == 0 || stat.Gid == 0 && info.Mode().Perm()&0o040 != 0 {
				continue // root's own
			}
			if info.Mode().Perm()&0o040 == 0 {
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
