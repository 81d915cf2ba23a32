package systemd

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Redis is one Redis of this host, and how it is killed: through its unit, or its
// process where no unit is configured, or where that unit runs more than this
// Redis. It is safe for concurrent use.
type Redis struct {
	units *Units
	unit  string

	mu      sync.Mutex
	process *Process // the prepared one, where it is not the unit that is killed
	owned   int      // the process whose own unit the unit was seen to be; 0: none
}

// NewRedis is the Redis that unit runs; "" is one of no
// unit, which whoever supervises it may start again.
func NewRedis(units *Units, unit string) *Redis {
	return &Redis{units: units, unit: unit}
}

// Prepare readies Kill for the Redis that says c of itself. Call it at the
// start and for every new run id. Its error is a fault that the operator should
// hear of while all is well; ErrOtherProcess is a unit that runs another Redis,
// ErrShared one that runs more: it is left alone, and the process is prepared.
func (r *Redis) Prepare(ctx context.Context, c Claim) error {
	if r.unit == "" {
		return r.prepareProcess(c)
	}
	owns, err := r.units.Owns(ctx, r.unit, c.PID)
	if errors.Is(err, ErrShared) {
		return errors.Join(fmt.Errorf("unit %s is not killed, but the process: %w", r.unit, err), r.prepareProcess(c))
	}
	if err == nil && !owns {
		err = fmt.Errorf("unit %s does not run process %d: %w", r.unit, c.PID, ErrOtherProcess)
	}
	if owns {
		err = r.own(c.PID)
	}
	return errors.Join(r.units.Prepare(ctx, r.unit), err)
}

func (r *Redis) prepareProcess(c Claim) error {
	p, err := OpenProcess(c)
	if err != nil {
		return err
	}
	return r.replace(p).Close()
}

// own notes whose own the unit is, and lets go of a process of a time when it was
// nobody's.
func (r *Redis) own(pid int) error {
	r.mu.Lock()
	r.owned = pid
	r.mu.Unlock()
	return r.replace(nil).Close()
}

// shared is whether the process is known to be in a unit together with others.
// The service manager, which may hang just now, is not asked.
func (r *Redis) shared(pid int) bool {
	r.mu.Lock()
	owned, process := r.owned, r.process
	r.mu.Unlock()
	switch {
	case process != nil:
		return true // Prepare has seen it
	case pid == 0 || pid == owned:
		return false
	}
	_, err := Alone(pid)
	return errors.Is(err, ErrShared)
}

// Kill kills Redis and returns nil when it was seen to be gone. pid is what
// Redis said last of its process, 0 if nothing; the run id is for the caller's
// log. See Units.Kill and Process.Kill.
func (r *Redis) Kill(ctx context.Context, pid int, _ string) error {
	if r.unit != "" && !r.shared(pid) {
		return r.units.kill(ctx, r.unit, pid)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.process; p != nil && (pid == 0 || pid == p.pid) {
		return p.Kill(ctx)
	}
	if pid == 0 {
		return ErrNoProcess
	}
	p, err := OpenProcess(Claim{PID: pid}) // not prepared: its name must do
	if err != nil {
		return err
	}
	return errors.Join(p.Kill(ctx), p.Close())
}

// StartBlock is the file that keeps a killed Redis from being started; "" when nothing
// does, as always without a unit.
func (r *Redis) StartBlock(ctx context.Context) (file string, err error) {
	if r.unit == "" {
		return "", nil
	}
	state, err := r.units.State(ctx, r.unit)
	if err != nil || !state.Blocked {
		return "", err
	}
	return state.BlockFile, nil
}

// Restore lets the Redis serve again after Kill; without a unit it does nothing.
func (r *Redis) Restore(ctx context.Context) error {
	if r.unit == "" {
		return nil
	}
	return r.units.Restore(ctx, r.unit)
}

// Close lets go of the prepared process.
func (r *Redis) Close() error { return r.replace(nil).Close() }

func (r *Redis) replace(p *Process) (old *Process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old, r.process = r.process, p
	return old
}
