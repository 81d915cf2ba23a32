package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	"github.com/hashicorp/go-hclog"
)

// callTimeout bounds one question to the manager that is not on the fence path:
// long enough for a daemon-reload on a host with thousands of units.
const callTimeout = 10 * time.Second

var (
	// ErrNotLoaded is a unit that systemd does not know, or that is masked.
	ErrNotLoaded = errors.New("unit is not loaded")
	// ErrNoStartBlock is a unit whose starts our start block does not stop.
	ErrNoStartBlock = errors.New("the start block that keeps a killed Redis down is not part of the unit")
)

// Units controls the units that run Redis. What Kill needs is brought about by
// Prepare: the connection to the manager, the start block, the process.
//
// The start block is a drop-in that wants a file not to be there
// (redis-watchdog.conf, see dropIn). Kill makes that file, in a tmpfs, and from then on the
// unit starts for nobody: not for Restart=, not for `systemctl start`, not for
// another unit; until Restore or Allow removes it, or the host is rebooted.
//
// It is safe for concurrent use.
type Units struct {
	log hclog.Logger
	// dir is where drop-ins that last until the reboot go, and the files that
	// block a start beside them.
	dir string

	manager atomic.Pointer[manager] // nil: not dialled
	dialing chan struct{}           // holds one value while somebody dials

	orders sync.WaitGroup // stop orders under way

	mu    sync.Mutex
	units map[string]*unit // by the name they were prepared under
}

// unit is what Prepare found out. It is replaced, never changed, and its
// process is closed by whoever replaces it.
type unit struct {
	id            string // the name that the manager itself gives it: no alias
	hasStartBlock bool   // the assertion was seen to be part of the loaded unit
	pid           int    // main process; 0: it has none
	process       *Process
}

// UnitState is what the manager says of a unit.
type UnitState struct {
	Active      string // active, activating, inactive, failed, ...
	Sub         string // running, auto-restart, dead, ...
	MainPID     int    // 0: none
	BlockLoaded bool   // the start block is part of the loaded unit
	Blocked     bool   // its file is there: the unit starts for nobody
	BlockFile   string // the file that shuts it
}

// NewUnits controls units through the manager of this host. Nothing is dialled
// before it is needed.
func NewUnits(log hclog.Logger) *Units {
	return &Units{log: log, dir: "/run/systemd/system", dialing: make(chan struct{}, 1), units: make(map[string]*unit)}
}

// Close lets go of the manager and of every process. It changes no unit. No
// other call may be under way or follow.
func (u *Units) Close() error {
	u.orders.Wait()
	u.mu.Lock()
	defer u.mu.Unlock()
	var errs []error
	for name, p := range u.units {
		errs = append(errs, p.process.Close())
		delete(u.units, name)
	}
	if m := u.manager.Swap(nil); m != nil {
		m.close()
	}
	return errors.Join(errs...)
}

// Prepare readies everything that Kill needs for a unit, such as
// "redis-server.service". It is idempotent and cheap when nothing has changed;
// call it at the start and whenever Redis shows a new run id. It may block for
// some seconds the first time, when the start block has to be loaded.
//
// ErrNoStartBlock, after everything else was prepared, says that Kill would have
// only the stop order to keep the unit down.
func (u *Units) Prepare(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	conn, err := u.connection(ctx)
	if err != nil {
		return fmt.Errorf("prepare unit %s: %w", name, err)
	}
	p := &unit{}
	if p.id, err = loadedID(ctx, conn, name); err != nil {
		return fmt.Errorf("prepare unit %s: %w", name, err)
	}
	blockErr := u.installStartBlock(ctx, conn, p.id)
	p.hasStartBlock = blockErr == nil
	if p.pid, err = mainPID(ctx, conn, p.id); err != nil {
		return fmt.Errorf("prepare unit %s: %w", name, err)
	}
	if p.pid != 0 {
		// The manager names only its own children, and reaps them itself: a
		// number that is still its main process now is the one opened.
		if p.process, err = openPID(p.pid); err != nil {
			return fmt.Errorf("prepare unit %s: %w", name, err)
		}
		if again, err := mainPID(ctx, conn, p.id); err != nil || again != p.pid {
			return errors.Join(fmt.Errorf("prepare unit %s: its main process changed from %d to %d", name, p.pid, again), err, p.process.Close())
		}
	}
	u.mu.Lock()
	old := u.units[name]
	u.units[name] = p
	u.mu.Unlock()
	if old != nil {
		_ = old.process.Close()
	}
	if blockErr != nil {
		return fmt.Errorf("prepare unit %s: %w", name, blockErr)
	}
	return nil
}

// State asks the manager about a unit.
func (u *Units) State(ctx context.Context, name string) (UnitState, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	conn, err := u.connection(ctx)
	if err != nil {
		return UnitState{}, fmt.Errorf("read state of %s: %w", name, err)
	}
	id, err := loadedID(ctx, conn, name)
	if err != nil {
		return UnitState{}, fmt.Errorf("read state of %s: %w", name, err)
	}
	s := UnitState{BlockFile: u.blockFile(id)}
	if s.BlockLoaded, err = hasStartBlock(ctx, conn, id, s.BlockFile); err != nil {
		return UnitState{}, fmt.Errorf("read state of %s: %w", name, err)
	}
	if s.Active, err = property[string](ctx, conn, id, "ActiveState"); err != nil {
		return UnitState{}, fmt.Errorf("read state of %s: %w", name, err)
	}
	if s.Sub, err = property[string](ctx, conn, id, "SubState"); err != nil {
		return UnitState{}, fmt.Errorf("read state of %s: %w", name, err)
	}
	if s.MainPID, err = mainPID(ctx, conn, id); err != nil {
		return UnitState{}, fmt.Errorf("read state of %s: %w", name, err)
	}
	_, err = os.Stat(s.BlockFile)
	s.Blocked = s.BlockLoaded && err == nil
	return s, nil
}

// Restore takes the start block away and starts the unit, and returns when it is
// active. When ctx ends first the start goes on: a Redis 6.0 that is a replica
// is not active before its first sync.
func (u *Units) Restore(ctx context.Context, name string) error {
	if err := u.Allow(ctx, name); err != nil {
		return fmt.Errorf("restore unit %s: %w", name, err)
	}
	conn, err := u.connection(ctx)
	if err != nil {
		return fmt.Errorf("restore unit %s: %w", name, err)
	}
	id, err := loadedID(ctx, conn, name)
	if err != nil {
		return fmt.Errorf("restore unit %s: %w", name, err)
	}
	// A killed unit has failed; forget it, or its start limit may be reached.
	if err := conn.ResetFailedUnitContext(ctx, id); err != nil {
		u.log.Debug("reset of failed unit refused", "unit", id, "error", err)
	}
	if _, err := conn.StartUnitContext(ctx, id, "replace", nil); err != nil {
		return fmt.Errorf("restore unit %s: start: %w", name, err)
	}
	if err := awaitActive(ctx, conn, id); err != nil {
		return fmt.Errorf("restore unit %s: %w", name, err)
	}
	return u.Prepare(ctx, name)
}

// Allow takes the start block away and starts nothing.
func (u *Units) Allow(ctx context.Context, name string) error {
	conn, err := u.connection(ctx)
	if err != nil {
		return fmt.Errorf("unblock start: %w", err)
	}
	id, err := loadedID(ctx, conn, name)
	if err != nil {
		return fmt.Errorf("unblock start: %w", err)
	}
	if err := os.Remove(u.blockFile(id)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("unblock start: %w", err)
	}
	return nil
}

// manager is an open connection to the service manager.
type manager struct {
	*dbus.Conn
	cancel context.CancelFunc
}

func (m *manager) close() {
	m.Close()
	m.cancel()
}

// connection is the open connection to the manager, dialled anew when it broke:
// as root straight to systemd, which needs no D-Bus daemon to be alive. It waits
// for a dial under way and for its own, both until ctx ends.
func (u *Units) connection(ctx context.Context) (*dbus.Conn, error) {
	if m := u.manager.Load(); m != nil && m.Connected() {
		return m.Conn, nil
	}
	select {
	case u.dialing <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("connect to systemd: %w", context.Cause(ctx))
	}
	defer func() { <-u.dialing }()
	if m := u.manager.Load(); m != nil {
		if m.Connected() {
			return m.Conn, nil
		}
		m.close()
		u.manager.Store(nil)
	}
	// The context of the dial is that of the connection's whole life: ctx ends
	// it only while it is being made.
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	keep := context.AfterFunc(ctx, cancel)
	dial := dbus.NewSystemConnectionContext
	if os.Geteuid() == 0 {
		dial = dbus.NewSystemdConnectionContext
	}
	conn, err := dial(life)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("connect to systemd: %w", errors.Join(err, context.Cause(ctx)))
	}
	m := &manager{Conn: conn, cancel: cancel}
	if !keep() {
		m.close()
		return nil, fmt.Errorf("connect to systemd: %w", context.Cause(ctx))
	}
	u.manager.Store(m)
	return conn, nil
}

// blockFile is the file whose presence blocks its start. It ends in no .conf:
// systemd reads over it.
func (u *Units) blockFile(id string) string {
	return filepath.Join(u.dir, id+".d", "redis-watchdog.start-block")
}

// loadedID is the name the manager itself gives the unit; an alias has its
// drop-ins elsewhere.
func loadedID(ctx context.Context, conn *dbus.Conn, name string) (string, error) {
	state, err := property[string](ctx, conn, name, "LoadState")
	if err != nil {
		return "", err
	}
	id, err := property[string](ctx, conn, name, "Id")
	if err != nil {
		return "", err
	}
	if state != "loaded" || id == "" {
		return "", fmt.Errorf("%w (%s)", ErrNotLoaded, state)
	}
	return id, nil
}

// property is one property of a unit, not all of its hundreds. It is the zero T
// where the manager has it as something else.
func property[T any](ctx context.Context, conn *dbus.Conn, unit, name string) (T, error) {
	p, err := conn.GetUnitPropertyContext(ctx, unit, name)
	if err != nil {
		var none T
		return none, fmt.Errorf("read %s of unit: %w", name, err)
	}
	value, _ := p.Value.Value().(T)
	return value, nil
}

func mainPID(ctx context.Context, conn *dbus.Conn, id string) (int, error) {
	prop, err := conn.GetServicePropertyContext(ctx, id, "MainPID")
	if err != nil {
		return 0, fmt.Errorf("read main process: %w", err)
	}
	pid, _ := prop.Value.Value().(uint32)
	return int(pid), nil
}

// awaitActive asks until the unit is active, or no longer on its way to it.
func awaitActive(ctx context.Context, conn *dbus.Conn, id string) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		// The job before the state: what the state is when it is over is how it ended.
		job, err := property[[]any](ctx, conn, id, "Job")
		if err != nil {
			return fmt.Errorf("await start: %w", err)
		}
		state, err := property[string](ctx, conn, id, "ActiveState")
		if err != nil {
			return fmt.Errorf("await start: %w", err)
		}
		if state == "active" {
			return nil
		}
		if len(job) > 0 && job[0] == uint32(0) && state != "activating" {
			return fmt.Errorf("await start: unit is %s", state)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("await start: unit is %s: %w", state, context.Cause(ctx))
		case <-tick.C:
		}
	}
}
