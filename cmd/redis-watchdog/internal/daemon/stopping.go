package daemon

import (
	"context"
	"os"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/systemd"
	"github.com/redis-watchdog/redis-watchdog/systemd/helper"
)

// redisControl kills one Redis, keeps it down and starts it again: see
// systemd.Redis.
type redisControl interface {
	Prepare(ctx context.Context, c systemd.Claim) error
	Kill(ctx context.Context, pid int, runID string) error
	StartBlock(ctx context.Context) (file string, err error)
	Restore(ctx context.Context) error
	Close() error
}

// unitControl is what is done about units: by ourselves as root, by the helper
// for everybody else, as the shipped unit has it.
type unitControl struct {
	own   *systemd.Units // nil: there is a helper
	other *helper.Client
}

func openUnits(log hclog.Logger) unitControl {
	if os.Geteuid() == 0 {
		return unitControl{own: systemd.NewUnits(log)}
	}
	return unitControl{other: helper.New(helper.Path)}
}

// redis is the control of a node; name is no other's.
func (u unitControl) redis(name, unit string) redisControl {
	if u.own != nil {
		return systemd.NewRedis(u.own, unit)
	}
	return u.other.Redis(name, unit)
}

// supervision is what the service manager does with the unit.
func (u unitControl) supervision(ctx context.Context, unit string) (systemd.Supervision, error) {
	if u.own != nil {
		return u.own.Supervision(ctx, unit)
	}
	return u.other.Supervision(ctx, unit)
}

// commandLine is what the unit starts whose main process that is.
func (u unitControl) commandLine(ctx context.Context, pid int) ([]string, error) {
	if u.own != nil {
		return u.own.CommandLine(ctx, pid)
	}
	return u.other.CommandLine(ctx, pid)
}

func (u unitControl) close() error {
	if u.own == nil {
		return nil
	}
	return u.own.Close()
}
