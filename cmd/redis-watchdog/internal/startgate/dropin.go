package startgate

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/redis-watchdog/redis-watchdog/watchdog/statedir"
)

// UnitDir is where the drop-ins are: they outlive a reboot.
const UnitDir = "/etc/systemd/system"

const dropInName = "redis-watchdog-start-gate.conf"

// A word of a unit file that needs no quoting and holds no specifier.
var plain = regexp.MustCompile(`^[A-Za-z0-9_./@:+=,-]+$`)

// "+": outside of the unit's sandbox, as root. A redis-watchdog that is not
// installed any more shuts nothing; one that is there and fails keeps Redis down,
// and the journal says why.
const dropIn = `# The start gate of redis-watchdog: this Redis starts shut and is opened by its
# watchdog. Away with it: redis-watchdog start-gate off (or remove this file, then
# systemctl daemon-reload).
[Service]
ExecStartPre=+/bin/sh -c 'test ! -x %[1]s || exec %[1]s %[2]s'
`

// Gate is the start gate of one Redis.
type Gate struct {
	Unit    string // as systemd names it: no alias
	File    string // the redis.conf it starts on
	Group   string
	Node    string
	Binary  string // redis-watchdog itself
	Config  string // its configuration
	unitDir string // for tests; empty: UnitDir
}

func (g Gate) path() string { return filepath.Join(dirOf(g.unitDir), g.Unit+".d", dropInName) }

func dirOf(unitDir string) string {
	if unitDir == "" {
		return UnitDir
	}
	return unitDir
}

// Arguments are those of redis-watchdog before a start of the unit.
func (g Gate) Arguments() []string {
	return []string{"--config", g.Config, "start-gate", "shut", g.Group, g.Node, g.File}
}

// On writes the drop-in; systemd has to be told to read it. changed is false
// when it stood there already.
func (g Gate) On() (path string, changed bool, err error) {
	words := append([]string{g.Unit, g.Binary}, g.Arguments()...)
	for _, word := range words {
		if !plain.MatchString(word) {
			return "", false, fmt.Errorf("%q cannot stand in a unit file without quotes: name it otherwise", word)
		}
	}
	path = g.path()
	content := fmt.Appendf(nil, dropIn, g.Binary, strings.Join(g.Arguments(), " "))
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, content) {
		return path, false, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", false, fmt.Errorf("make drop-in directory: %w", err)
	}
	if err := statedir.Write(path, content, statedir.How{Mode: 0o644, Sync: true}); err != nil {
		return "", false, fmt.Errorf("write drop-in: %w", err)
	}
	return path, true, nil
}

// Enabled are the start gates that are on, by the drop-ins there are.
func Enabled(unitDir string) ([]Gate, error) {
	paths, err := filepath.Glob(filepath.Join(dirOf(unitDir), "*.service.d", dropInName))
	if err != nil {
		return nil, fmt.Errorf("look for drop-ins: %w", err)
	}
	var all []Gate
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read drop-in: %w", err)
		}
		g := Gate{Unit: strings.TrimSuffix(filepath.Base(filepath.Dir(path)), ".d"), unitDir: unitDir}
		// Binary, --config, its path, start-gate, shut, group, node, file.
		if _, command, ok := strings.Cut(string(text), "exec "); ok {
			if words := strings.Fields(strings.TrimRight(command, "'\n")); len(words) == 8 {
				g.Binary, g.Config, g.Group, g.Node, g.File = words[0], words[2], words[5], words[6], words[7]
			}
		}
		all = append(all, g)
	}
	return all, nil
}

// Off removes the drop-in, and its directory where nothing else is in it;
// systemd has to be told.
func (g Gate) Off() error {
	if err := os.Remove(g.path()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove drop-in: %w", err)
	}
	left, err := os.ReadDir(filepath.Dir(g.path()))
	if err != nil || len(left) > 0 {
		return nil //nolint:nilerr // a directory that stays is no harm
	}
	if err := os.Remove(filepath.Dir(g.path())); err != nil {
		return fmt.Errorf("remove drop-in directory: %w", err)
	}
	return nil
}
