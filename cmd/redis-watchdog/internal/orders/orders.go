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
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
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
	return filepath.Join(stateDir, "orders", agent.FileName(group, node))
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
	if err := replace(path, append(content, '\n')); err != nil {
		return fmt.Errorf("write local order: %w", err)
	}
	return nil
}

func replace(path string, content []byte) error {
	dir := filepath.Dir(path)
	// The state directory itself is the service's to make: one that is missing
	// is the wrong one.
	if err := os.Mkdir(dir, 0o750); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	// Root writes, the service's own user reads: both belong to whom the state
	// directory belongs to.
	owner, err := os.Stat(filepath.Dir(dir))
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".order-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already when all went well
	if stat, ok := owner.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		if err := errors.Join(os.Chown(dir, int(stat.Uid), int(stat.Gid)), f.Chown(int(stat.Uid), int(stat.Gid))); err != nil {
			f.Close()
			return err
		}
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Chmod(0o640), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
