package systemd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	"golang.org/x/sys/unix"
)

// managerShare is how long Kill leaves it to the manager before it kills the
// prepared process itself: a systemd that is not busy needs a few milliseconds,
// one that is reloading may need seconds.
const managerShare = 50 * time.Millisecond

// Kill kills the unit's processes with SIGKILL and keeps the unit down: the
// start is blocked first, then the manager is ordered to stop the unit (which
// takes away Restart=) and to kill it. A manager that does not answer at once
// is overtaken: the prepared main process is killed directly, behind the start block.
//
// It returns nil when the main process was seen to be gone, at the latest when
// ctx ends. It does nothing that waits for a disk. Stop orders to other units
// do not follow from it ("ignore-dependencies"): a service that Requires= Redis
// is not stopped by a fence, nor waited for.
func (u *Units) Kill(ctx context.Context, name string) error { return u.kill(ctx, name, 0) }

// kill is Kill; pid is what Redis said of itself, for a Redis that was started
// since Prepare.
func (u *Units) kill(ctx context.Context, name string, pid int) error {
	p, process := u.prepared(name)
	defer func() { _ = process.Close() }()
	blockErr := u.block(p.id)
	if process != nil && process.exited() || pid != 0 && pid != process.PID() {
		if fresh, err := OpenProcess(Claim{PID: pid}); err == nil {
			_ = process.Close()
			process = fresh
		} else if process != nil && process.exited() {
			_ = process.Close()
			process = nil
		}
	}

	share := managerShare
	if blockErr != nil || !p.hasStartBlock {
		// Killed without the order, it would be restarted into serving.
		u.log.Warn("unit will be kept down by its stop order alone", "unit", p.id, "error", blockErr)
		share = half(ctx)
	}
	ordered := make(chan error, 1)
	u.orders.Go(func() {
		// Not ended by ctx: the order takes the unit out of its automatic
		// restart also when it comes after the death.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
		defer cancel()
		err := u.order(ctx, p.id)
		if err != nil {
			u.log.Warn("service manager did not take the stop order", "unit", p.id, "error", err)
		}
		ordered <- err
	})
	timer := time.NewTimer(share)
	defer timer.Stop()
	var orderErr error
	select {
	case orderErr = <-ordered:
	case <-timer.C:
		orderErr = errors.New("the service manager did not answer")
	case <-ctx.Done():
	}
	directErr := ErrNoProcess
	if process != nil {
		// Also when the manager said yes: killing twice costs nothing.
		directErr = process.signal()
	}
	if err := u.awaitDead(ctx, p.id, process); err != nil {
		return fmt.Errorf("kill unit %s: %w", name, errors.Join(err, blockErr, orderErr, directErr))
	}
	return nil
}

// prepared is what Prepare left for a unit, with a process of the caller's own:
// another Prepare may replace it meanwhile. Of a unit that was not prepared only
// the name is known: late, but better than none.
func (u *Units) prepared(name string) (*unit, *Process) {
	u.mu.Lock()
	defer u.mu.Unlock()
	p := u.units[name]
	if p == nil {
		return &unit{id: name}, nil
	}
	process, err := p.process.duplicate()
	if err != nil {
		u.log.Warn("prepared process cannot be used", "unit", p.id, "error", err)
	}
	return p, process
}

// half is half of the time that ctx leaves, at most a second.
func half(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return min(time.Second, time.Until(deadline)/2)
	}
	return time.Second
}

// order has the manager stop the unit and kill all of it. The stop comes first
// and is queued when the call returns: from then on the end of the main process
// is no reason for a restart (service_enter_restart in src/core/service.c). Its
// SIGTERM, after which Redis would go on serving reads for up to ten seconds,
// is followed by the SIGKILL within a message.
func (u *Units) order(ctx context.Context, id string) error {
	conn, err := u.connection(ctx)
	if err != nil {
		return err
	}
	_, stopErr := conn.StopUnitContext(ctx, id, "ignore-dependencies", nil)
	if stopErr != nil {
		stopErr = fmt.Errorf("order stop: %w", stopErr)
	}
	killErr := conn.KillUnitWithTarget(ctx, id, dbus.All, int32(unix.SIGKILL))
	if killErr != nil {
		killErr = fmt.Errorf("order kill: %w", killErr)
	}
	return errors.Join(stopErr, killErr)
}

// awaitDead waits until the main process is gone: the one that was killed, and
// then any that the manager names (a restart that Prepare did not see). A
// manager that does not answer is not waited for when the process was seen to
// die: nothing starts behind the start block.
func (u *Units) awaitDead(ctx context.Context, id string, process *Process) error {
	if process != nil {
		if err := process.awaitExit(ctx); err != nil {
			return err
		}
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		pid, err := u.askMainPID(ctx, id, process != nil)
		if err == nil && pid == 0 || err != nil && process != nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

// askMainPID asks the manager; in a hurry it waits for no more than its share.
func (u *Units) askMainPID(ctx context.Context, id string, hurry bool) (int, error) {
	if hurry {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, managerShare)
		defer cancel()
	}
	conn, err := u.connection(ctx)
	if err != nil {
		return 0, err
	}
	return mainPID(ctx, conn, id)
}
