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
// start gate is shut first, then the manager is ordered to stop the unit (which
// takes away Restart=) and to kill it. A manager that does not answer at once
// is overtaken: the prepared main process is killed directly, behind the gate.
//
// It returns nil when the main process was seen to be gone, at the latest when
// ctx ends. It does nothing that waits for a disk. Stop orders to other units
// do not follow from it ("ignore-dependencies"): a service that Requires= Redis
// is not stopped by a fence, nor waited for.
func (u *Units) Kill(ctx context.Context, name string) error {
	u.mu.Lock()
	p := u.units[name]
	u.mu.Unlock()
	if p == nil {
		// Not prepared: what is known is the name. Late, but better than none.
		p = &unit{id: name}
	}
	shutErr := u.shut(p.id)

	ordered := make(chan error, 1)
	go func() { ordered <- u.order(ctx, p.id) }()
	share := time.NewTimer(managerShare)
	defer share.Stop()
	var orderErr error
	waiting := true
	select {
	case orderErr = <-ordered:
		waiting = false
	case <-share.C:
	case <-ctx.Done():
	}
	directErr := ErrNoProcess
	if p.process != nil {
		// Also when the manager said yes: killing twice costs nothing.
		directErr = p.process.signal()
	}
	err := u.awaitDead(ctx, p)
	if waiting {
		orderErr = <-ordered // ends with ctx at the latest
	}
	if err != nil {
		return fmt.Errorf("kill unit %s: %w", name, errors.Join(err, shutErr, orderErr, directErr))
	}
	if shutErr != nil || !p.gated {
		u.log.Warn("killed unit is kept down by its stop order alone", "unit", p.id, "error", shutErr)
	}
	if orderErr != nil {
		u.log.Warn("service manager did not take the stop order", "unit", p.id, "error", orderErr)
	}
	return nil
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

// awaitDead waits until the main process is gone: the prepared one, and then
// any that the manager names (a restart that Prepare did not see).
func (u *Units) awaitDead(ctx context.Context, p *unit) error {
	if p.process != nil {
		if err := p.process.awaitExit(ctx); err != nil {
			return err
		}
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := u.connection(ctx)
		if err == nil {
			var pid int
			if pid, err = mainPID(ctx, conn, p.id); err == nil && pid == 0 {
				return nil
			}
		}
		if err != nil && p.process != nil {
			// The manager cannot be asked; what we know of is dead, and the
			// gate is shut.
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}
