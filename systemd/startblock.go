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

// dropIn is the start block of a unit, which keeps a Redis down that we have killed. It
// stands there twice. The assertion makes a start that somebody asks for an
// error that says why; but since systemd 254 a unit's own
// automatic restart does not look at assertions (measured with 257; unit_start
// in src/core/unit.c skips them while the unit is "activating", which it now
// stays). What every start runs is ExecCondition=, with "+" outside of the
// unit's sandbox: Debian's allows no program but redis-server. A unit that is
// held back by it is not restarted, whatever Restart= says.
const dropIn = `# The start block of redis-watchdog. While the file named below is there, redis-watchdog has
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

// installStartBlock makes the start block part of the unit as it is loaded. A
// drop-in is only written, and the manager reloaded, where either half of it is
// missing.
func (u *Units) installStartBlock(ctx context.Context, conn *dbus.Conn, id string) error {
	file := u.blockFile(id)
	loaded, err := hasStartBlock(ctx, conn, id, file)
	if err != nil || loaded {
		return err
	}
	path := filepath.Join(filepath.Dir(file), dropInName)
	if err := writeDropIn(path, fmt.Appendf(nil, dropIn, file)); err != nil {
		return fmt.Errorf("%w: %w", ErrNoStartBlock, err)
	}
	if err := conn.ReloadContext(ctx); err != nil {
		return fmt.Errorf("%w: reload units: %w", ErrNoStartBlock, err)
	}
	if loaded, err = hasStartBlock(ctx, conn, id, file); err != nil {
		return err
	}
	if !loaded {
		return fmt.Errorf("%w: %s has no effect", ErrNoStartBlock, path)
	}
	return nil
}

// Carrying are the units that were given the start block since the boot.
func (u *Units) Carrying() ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(u.dir, "*.service.d", dropInName))
	if err != nil {
		return nil, fmt.Errorf("look for start blocks: %w", err)
	}
	var ids []string
	for _, path := range paths {
		ids = append(ids, strings.TrimSuffix(filepath.Base(filepath.Dir(path)), ".d"))
	}
	return ids, nil
}

const dropInName = "redis-watchdog.conf"

func hasStartBlock(ctx context.Context, conn *dbus.Conn, id, file string) (bool, error) {
	asserted, err := property[[][]any](ctx, conn, id, "Asserts")
	if err != nil {
		return false, err
	}
	prop, err := conn.GetServicePropertyContext(ctx, id, "ExecCondition")
	if err != nil {
		return false, fmt.Errorf("read unit: %w", err)
	}
	return asserts(asserted, file) && tests(prop.Value.Value(), file), nil
}

// tests looks for our command in the property ExecCondition.
func tests(property any, file string) bool {
	want := []string{tester, "!", "-e", file}
	return slices.ContainsFunc(commands(property), func(args []string) bool { return slices.Equal(args, want) })
}

// asserts looks for our assertion in the property Asserts: type, whether it is
// a trigger ("|"), whether it is negated, parameter, last result.
func asserts(all [][]any, file string) bool {
	for _, a := range all {
		if len(a) >= 4 && a[0] == "AssertPathExists" && a[1] == false && a[2] == true && a[3] == file {
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

// block blocks the unit: one file in a tmpfs, no disk, no manager.
func (u *Units) block(id string) error {
	file := u.blockFile(id)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("block start: %w", err)
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("block start: %w", err)
	}
	return f.Close()
}
