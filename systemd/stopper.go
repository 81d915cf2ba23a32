package systemd

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Stopper is how one Redis is killed: through its unit, or its process where no
// unit is configured, or where that unit runs more than this Redis. It is safe
// for concurrent use.
type Stopper struct {
	units *Units
	unit  string

	mu      sync.Mutex
	process *Process // the prepared one, where it is not the unit that is killed
	owned   int      // the process whose own unit the unit was seen to be; 0: none
}

// NewStopper makes the Stopper of the Redis that unit runs; "" is a Redis of no
// unit, which whoever supervises it may start again.
func NewStopper(units *Units, unit string) *Stopper {
	return &Stopper{units: units, unit: unit}
}

// Prepare readies Kill for the Redis that says c of itself. Call it at the
// start and for every new run id. Its error is a fault that the operator should
// hear of while all is well; ErrOtherProcess is a unit that runs another Redis,
// ErrShared one that runs more: it is left alone, and the process is prepared.
func (s *Stopper) Prepare(ctx context.Context, c Claim) error {
	if s.unit == "" {
		return s.prepareProcess(c)
	}
	owns, err := s.units.Owns(ctx, s.unit, c.PID)
	if errors.Is(err, ErrShared) {
		return errors.Join(fmt.Errorf("unit %s is not killed, but the process: %w", s.unit, err), s.prepareProcess(c))
	}
	if err == nil && !owns {
		err = fmt.Errorf("unit %s does not run process %d: %w", s.unit, c.PID, ErrOtherProcess)
	}
	if owns {
		err = s.own(c.PID)
	}
	return errors.Join(s.units.Prepare(ctx, s.unit), err)
}

func (s *Stopper) prepareProcess(c Claim) error {
	p, err := OpenProcess(c)
	if err != nil {
		return err
	}
	return s.replace(p).Close()
}

// own notes whose own the unit is, and lets go of a process of a time when it was
// nobody's.
func (s *Stopper) own(pid int) error {
	s.mu.Lock()
	s.owned = pid
	s.mu.Unlock()
	return s.replace(nil).Close()
}

// shared is whether the process is known to be in a unit together with others.
// The service manager, which may hang just now, is not asked.
func (s *Stopper) shared(pid int) bool {
	s.mu.Lock()
	owned, process := s.owned, s.process
	s.mu.Unlock()
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
func (s *Stopper) Kill(ctx context.Context, pid int, _ string) error {
	if s.unit != "" && !s.shared(pid) {
		return s.units.kill(ctx, s.unit, pid)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.process; p != nil && (pid == 0 || pid == p.pid) {
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

// Shut is the file that keeps a killed Redis from being started; "" when nothing
// does, as always without a unit.
func (s *Stopper) Shut(ctx context.Context) (mark string, err error) {
	if s.unit == "" {
		return "", nil
	}
	state, err := s.units.State(ctx, s.unit)
	if err != nil || !state.Barred {
		return "", err
	}
	return state.Mark, nil
}

// Restore lets the Redis serve again after Kill; without a unit it does nothing.
func (s *Stopper) Restore(ctx context.Context) error {
	if s.unit == "" {
		return nil
	}
	return s.units.Restore(ctx, s.unit)
}

// Close lets go of the prepared process.
func (s *Stopper) Close() error { return s.replace(nil).Close() }

func (s *Stopper) replace(p *Process) (old *Process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, s.process = s.process, p
	return old
}
