package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
)

// Service is what the manager has loaded of a unit.
type Service struct {
	ID       string     // the name it gives the unit itself: no alias
	Start    []string   // program and arguments of its first ExecStart=
	StartPre [][]string // of each ExecStartPre=
	Running  bool       // it has a main process
	MainPID  int        // 0: it has none
	User     string     // it runs as; empty: root
	Groups   []string   // SupplementaryGroups=
}

// Service reads a unit; ErrNotLoaded where there is none.
func (u *Units) Service(ctx context.Context, name string) (Service, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	conn, err := u.connection(ctx)
	if err != nil {
		return Service{}, fmt.Errorf("read unit %s: %w", name, err)
	}
	s := Service{}
	if s.ID, err = loadedID(ctx, conn, name); err != nil {
		return Service{}, fmt.Errorf("read unit %s: %w", name, err)
	}
	start, err := conn.GetServicePropertyContext(ctx, s.ID, "ExecStart")
	if err != nil {
		return Service{}, fmt.Errorf("read unit %s: %w", name, err)
	}
	pre, err := conn.GetServicePropertyContext(ctx, s.ID, "ExecStartPre")
	if err != nil {
		return Service{}, fmt.Errorf("read unit %s: %w", name, err)
	}
	if all := commands(start.Value.Value()); len(all) > 0 {
		s.Start = all[0]
	}
	s.StartPre = commands(pre.Value.Value())
	user, err := conn.GetServicePropertyContext(ctx, s.ID, "User")
	if err != nil {
		return Service{}, fmt.Errorf("read unit %s: %w", name, err)
	}
	groups, err := conn.GetServicePropertyContext(ctx, s.ID, "SupplementaryGroups")
	if err != nil {
		return Service{}, fmt.Errorf("read unit %s: %w", name, err)
	}
	s.User, _ = user.Value.Value().(string)
	s.Groups, _ = groups.Value.Value().([]string)
	pid, err := mainPID(ctx, conn, s.ID)
	if err != nil {
		return Service{}, fmt.Errorf("read unit %s: %w", name, err)
	}
	s.Running, s.MainPID = pid != 0, pid
	return s, nil
}

// ErrNotMain is a process that is not the main one of its unit: what the unit
// starts is another program, which starts that one.
var ErrNotMain = errors.New("process is not the main one of a unit")

// CommandLine is what the unit whose main process that is starts: the program
// and its arguments, as ExecStart= of the loaded unit has them. It is what the
// next start gives, and what this process was started with unless the unit was
// changed since. Variables of the environment are not put in.
func (u *Units) CommandLine(ctx context.Context, pid int) ([]string, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return nil, fmt.Errorf("find unit of process %d: %w", pid, err)
	}
	name := UnitOf(string(text))
	if name == "" {
		return nil, fmt.Errorf("find unit of process %d: %w", pid, ErrNotMain)
	}
	service, err := u.Service(ctx, name)
	if err != nil {
		return nil, err
	}
	if service.MainPID != pid || len(service.Start) == 0 {
		return nil, fmt.Errorf("%w: %d, of %s", ErrNotMain, pid, name)
	}
	return service.Start, nil
}

// Reread has the manager read its unit files again.
func (u *Units) Reread(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	conn, err := u.connection(ctx)
	if err == nil {
		err = conn.ReloadContext(ctx)
	}
	if err != nil {
		return fmt.Errorf("reread units: %w", errors.Join(err, context.Cause(ctx)))
	}
	return nil
}

// commands are the arguments in a property such as ExecCondition: of each
// command there are path, arguments, and much else.
func commands(property any) [][]string {
	all, _ := property.([][]any)
	var found [][]string
	for _, command := range all {
		if len(command) >= 2 {
			if args, _ := command[1].([]string); args != nil {
				found = append(found, slices.Clone(args))
			}
		}
	}
	return found
}
