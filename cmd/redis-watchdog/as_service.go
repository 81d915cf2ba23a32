package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/discover"
	"github.com/redis-watchdog/redis-watchdog/systemd"
)

// asServiceTimeout bounds what is asked of systemd and the check itself.
const asServiceTimeout = 20 * time.Second

// checkAsService has check-config done by a process of the service's user: what
// root can read says nothing of what the service can. done is false where there
// is no such user, or we are not root.
func (a *app) checkAsService(ctx context.Context) (done bool, err error) {
	if os.Geteuid() != 0 {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, asServiceTimeout)
	defer cancel()
	who, err := serviceCredential(ctx)
	if err != nil {
		return true, unknown("check as the service's user: %w", err)
	}
	if who == nil {
		return false, nil
	}
	self, err := os.Executable()
	if err != nil {
		return true, unknown("find own program: %w", err)
	}
	args := []string{"--config", a.configPath, "check-config"}
	if a.output != "" {
		args = append(args, "--output", a.output)
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Stdout, cmd.Stderr = a.out, a.errOut
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	err = cmd.Run()
	if ended, ok := errors.AsType[*exec.ExitError](err); ok && ended.Exited() {
		return true, &exitError{code: ended.ExitCode()}
	}
	if err != nil {
		return true, unknown("check as the service's user: %w", err)
	}
	return true, nil
}

// serviceCredential is the user and the groups that the unit names; nil: root, or
// there is no systemd to be asked, or no such unit. A user or a group that the
// host does not have is an error: the unit would not start.
func serviceCredential(ctx context.Context) (*syscall.Credential, error) {
	units := systemd.NewUnits(hclog.NewNullLogger())
	defer func() { _ = units.Close() }() // nothing was left under way
	service, err := units.Service(ctx, discover.ServiceUnit)
	if err != nil || service.User == "" || service.User == "root" {
		return nil, nil //nolint:nilerr // nobody else is known
	}
	u, err := user.Lookup(service.User)
	if err != nil {
		return nil, fmt.Errorf("find user of the service: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("uid of %s: %w", u.Username, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("gid of %s: %w", u.Username, err)
	}
	c := &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	for _, name := range service.Groups {
		if g, err := user.LookupGroup(name); err == nil {
			name = g.Gid
		}
		id, err := strconv.ParseUint(name, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("find group %s of the service: %w", name, err)
		}
		c.Groups = append(c.Groups, uint32(id))
	}
	return c, nil
}
