package watched

import "github.com/redis-watchdog/redis-watchdog/lab"

// Guard starts a watchdog beside a Redis that was added to the group, and
// counts both among the World's from now on.
func (w *World) Guard(r *lab.Redis, o Options) *Watchdog {
	w.T.Helper()
	d := w.newWatchdog(r.Host, r, o)
	w.Hosts = append(w.Hosts, r.Host)
	w.Group.Redis = append(w.Group.Redis, r)
	w.Watchdogs = append(w.Watchdogs, d)
	d.Restart()
	return d
}
