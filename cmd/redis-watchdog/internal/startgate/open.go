package startgate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/statedir"
)

// Note is why a node is left open when it starts: nobody would open it. The
// watchdog writes it, for it alone knows what etcd orders. The zero Note is none.
type Note struct {
	Released    bool             `json:"released"`
	Maintenance watchdog.Instant `json:"maintenance_until"` // of this boot; zero: there is none
	Boot        string           `json:"boot_id"`
}

// Leave is the note of a node whose watchdog has these orders.
func Leave(o watchdog.Orders) Note { return Note{Released: o.Released, Maintenance: o.Maintenance} }

func notePath(stateDir, group, node string) string {
	return filepath.Join(stateDir, "start-open", statedir.FileName(group, node))
}

// Write puts the note in the place of the one that stands; the zero Note takes
// it away.
func (n Note) Write(stateDir, group, node string) error {
	path := notePath(stateDir, group, node)
	if n == (Note{}) {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove note for the start gate: %w", err)
		}
		return nil
	}
	boot, err := statedir.BootID()
	if err == nil {
		n.Boot = boot
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = statedir.WriteJSON(path, n, statedir.How{Sync: true})
	}
	if err != nil {
		return fmt.Errorf("write note for the start gate: %w", err)
	}
	return nil
}

// LeftOpen says why the node starts as its redis.conf says; empty: it starts
// shut, also when that cannot be found out.
func LeftOpen(stateDir, group, node string, now watchdog.Instant) string {
	var n Note
	if err := statedir.ReadJSON(notePath(stateDir, group, node), &n); err != nil {
		return ""
	}
	boot, err := statedir.BootID()
	switch {
	case n.Released:
		return "it is released"
	case err == nil && n.Boot == boot && now < n.Maintenance:
		return "its group is in maintenance"
	}
	return ""
}
