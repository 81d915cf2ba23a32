package systemd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/dbus"
	"github.com/redis-watchdog/redis-watchdog/watchdog/statedir"
)

// dropIn is the bar of a unit, which keeps a Redis down that we have killed. It
// stands there twice. The assertion makes a start that somebody asks for an
// error that says why; but since systemd 254 a unit's own
// automatic restart does not look at assertions (measured with 257; unit_start
// in src/core/unit.c skips them while the unit is "activating", which it now
// stays). What every start runs is ExecCondition=, with "+" outside of the
// unit's sandbox: Debian's allows no program but redis-server. A unit that is
// held back by it is not restarted, whatever Restart= says.
const dropIn = `# The bar of redis-watchdog. While the file named below is there, redis-watchdog has
# killed this Redis because it could not be seen to refuse clients, and nothing
# starts it: it might serve beside another master. To start it all the same,
# guarded: remove the file, then systemctl start. "redis-watchdog release" does
# both, and leaves it unguarded.
[Unit]
AssertPathExists=!%[1]s
[Service]
ExecCondition=+` + tester + ` ! -e %[1]s
`

const tester = "/usr/bin/test"

// installBar makes the bar part of the unit as it is loaded. A drop-in is only
// written, and the manager reloaded, where either half of it is missing.
func (u *Units) installBar(ctx context.Context, conn *dbus.Conn, id string) error {
	mark := u.mark(id)
	stands, err := hasBar(ctx, conn, id, mark)
	if err != nil || stands {
		return err
	}
	path := filepath.Join(filepath.Dir(mark), barName)
	if err := writeDropIn(path, fmt.Appendf(nil, dropIn, mark)); err != nil {
		return fmt.Errorf("%w: %w", ErrUnbarred, err)
	}
	if err := conn.ReloadContext(ctx); err != nil {
		return fmt.Errorf("%w: reload units: %w", ErrUnbarred, err)
	}
	if stands, err = hasBar(ctx, conn, id, mark); err != nil {
		return err
	}
	if !stands {
		return fmt.Errorf("%w: %s has no effect", ErrUnbarred, path)
	}
	return nil
}

// Carrying are the units that were given the bar since the boot.
func (u *Units) Carrying() ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(u.dir, "*.service.d", barName))
	if err != nil {
		return nil, fmt.Errorf("look for bars: %w", err)
	}
	var ids []string
	for _, path := range paths {
		ids = append(ids, strings.TrimSuffix(filepath.Base(filepath.Dir(path)), ".d"))
	}
	return ids, nil
}

const barName = "redis-watchdog.conf"

func hasBar(ctx context.Context, conn *dbus.Conn, id, mark string) (bool, error) {
	asserted, err := property[[][]any](ctx, conn, id, "Asserts")
	if err != nil {
		return false, err
	}
	prop, err := conn.GetServicePropertyContext(ctx, id, "ExecCondition")
	if err != nil {
		return false, fmt.Errorf("read unit: %w", err)
	}
	return asserts(asserted, mark) && tests(prop.Value.Value(), mark), nil
}

// tests looks for our command in the property ExecCondition.
func tests(property any, mark string) bool {
	want := []string{tester, "!", "-e", mark}
	return slices.ContainsFunc(commands(property), func(args []string) bool { return slices.Equal(args, want) })
}

// asserts looks for our assertion in the property Asserts: type, whether it is
// a trigger ("|"), whether it is negated, parameter, last result.
func asserts(all [][]any, mark string) bool {
	for _, a := range all {
		if len(a) >= 4 && a[0] == "AssertPathExists" && a[1] == false && a[2] == true && a[3] == mark {
			return true
		}
	}
	return false
}

// writeDropIn writes a file that systemd never sees half of.
func writeDropIn(path string, content []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, content) {
		return nil
	}
	dir := filepath.Dir(path)
	err := os.Mkdir(dir, 0o755)
	if err == nil {
		err = os.Chmod(dir, 0o755) // whatever our UMask= is: systemctl cat is for all
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make drop-in directory: %w", err)
	}
	if err := statedir.Write(path, content, statedir.How{Mode: 0o644}); err != nil {
		return fmt.Errorf("write drop-in: %w", err)
	}
	return nil
}

// shut puts the bar up: one file in a tmpfs, no disk, no manager.
func (u *Units) putUp(id string) error {
	mark := u.mark(id)
	if err := os.MkdirAll(filepath.Dir(mark), 0o755); err != nil {
		return fmt.Errorf("put bar up: %w", err)
	}
	f, err := os.OpenFile(mark, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("put bar up: %w", err)
	}
	return f.Close()
}
