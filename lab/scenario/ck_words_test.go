package scenario

import (
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
)

func watchdogOf(w *watched.World, r *lab.Redis) *watched.Watchdog { return w.Watchdogs[indexOf(w, r)] }

func indexOf(w *watched.World, r *lab.Redis) int { return slices.Index(w.Group.Redis, r) }

func follows(r, master *lab.Redis) error {
	if role := r.Role(); !role.Synced() || role.Following != master.Address {
		return fmt.Errorf("%s is %s", r.Name, role)
	}
	return nil
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
