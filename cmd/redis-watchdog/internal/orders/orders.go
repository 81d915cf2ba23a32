// Package orders keeps what an operator ordered on this host, in the state
// directory, for the day the coordinator is away: the command line writes it,
// the watchdog reads it.
package orders

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/statedir"
)

// Order is what stands for one node of this host. The zero Order is none: what
// the coordinator says holds.
type Order struct {
	Fence   bool      `json:"fence"`   // refuse clients
	Release bool      `json:"release"` // undo everything and leave the node alone
	By      string    `json:"by"`
	At      time.Time `json:"at"` // wall clock, for people
	Reason  string    `json:"reason"`
}

// Over is the coordinator's orders with this host's added. One given here
// takes none of the coordinator's back: opening needs the grant, and that
// needs the coordinator.
func (o Order) Over(from watchdog.Orders) watchdog.Orders {
	from.Fence = from.Fence || o.Fence
	from.Released = from.Released || o.Release
	return from
}

// Path is the file of a node's order.
func Path(stateDir, group, node string) string {
	return filepath.Join(stateDir, inStateDir, statedir.FileName(group, node))
}

// Read is the order that stands; the zero Order when there is none. With an
// error nothing is known: keep what was read before.
func Read(stateDir, group, node string) (Order, error) {
	content, err := os.ReadFile(Path(stateDir, group, node))
	if errors.Is(err, os.ErrNotExist) {
		return Order{}, nil
	}
	if err != nil {
		return Order{}, fmt.Errorf("read local order: %w", err)
	}
	var o Order
	if err := json.Unmarshal(content, &o); err != nil {
		return Order{}, fmt.Errorf("decode local order %s: %w", Path(stateDir, group, node), err)
	}
	return o, nil
}

// Write puts an order in the place of the one that stands, at once or not at
// all. The zero Order takes it away.
func Write(stateDir, group, node string, o Order) error {
	path := Path(stateDir, group, node)
	if o == (Order{}) {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove local order: %w", err)
		}
		return nil
	}
	content, err := json.MarshalIndent(o, "", "  ")
	if err != nil {
		return fmt.Errorf("encode local order: %w", err)
	}
	if err := replace(stateDir, filepath.Base(path), append(content, '\n')); err != nil {
		return fmt.Errorf("write local order: %w", err)
	}
	return nil
}

const inStateDir = "orders"

// replace writes as root into a directory of the service's own user, whom it
// gives what it wrote. It never leaves the state directory: a symbolic link that
// leads out of it is an error, so that root's hand does not reach where that
// user's does not.
func replace(stateDir, name string, content []byte) error {
	// The state directory itself is the service's to make: one that is missing
	// is the wrong one.
	root, err := os.OpenRoot(stateDir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.Mkdir(inStateDir, 0o750); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	uid, gid, err := owner(root)
	if err != nil {
		return err
	}
	dir, err := root.Open(inStateDir)
	if err != nil {
		return err
	}
	how := statedir.How{Mode: 0o640, Sync: true}
	if os.Geteuid() == 0 {
		how.Owner, err = &statedir.Owner{UID: uid, GID: gid}, root.Lchown(inStateDir, uid, gid)
	}
	if err == nil {
		err = statedir.WriteIn(dir, name, content, how)
	}
	return errors.Join(err, dir.Close())
}

// owner is whom the state directory belongs to: the service's user.
func owner(root *os.Root) (uid, gid int, err error) {
	info, err := root.Stat(".")
	if err != nil {
		return 0, 0, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, fmt.Errorf("no owner of %s is known", root.Name())
	}
	return int(stat.Uid), int(stat.Gid), nil
}
