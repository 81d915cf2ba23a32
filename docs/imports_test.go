package docs

// The core knows none of those who sense and act for it: what decides can be
// read, tested and simulated without a server.

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

const module = "github.com/redis-watchdog/redis-watchdog/"

// imports are the paths that each file below a folder of the project imports,
// tests included.
func imports(t *testing.T, folder string) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	err := filepath.WalkDir(filepath.Join("..", folder), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(filepath.ToSlash(path), "../")
		all[name] = nil
		for _, i := range file.Imports {
			of, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			all[name] = append(all[name], of)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 3 {
		t.Fatalf("%s has %d files of Go: the wrong folder", folder, len(all))
	}
	return all
}

func TestNoArrowRunsUpFromWatchdog(t *testing.T) {
	for file, paths := range imports(t, "watchdog") {
		for _, path := range paths {
			if ours, is := strings.CutPrefix(path, module); is && ours != "watchdog" && !strings.HasPrefix(ours, "watchdog/") {
				t.Errorf("%s imports %s: the core, and what is below it, may know nothing of who senses and acts for it", file, ours)
			}
		}
	}
}

// TestTheCoreIsPure: what decides is handed the time and values, and touches
// nothing.
func TestTheCoreIsPure(t *testing.T) {
	pure := []string{"cmp", "errors", "fmt", "maps", "math", "slices", "strconv", "strings", "time", module + "watchdog"}
	for file, paths := range imports(t, "watchdog") {
		if folder := path.Dir(file); folder != "watchdog" && folder != "watchdog/failover" || strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, path := range paths {
			if !slices.Contains(pure, path) {
				t.Errorf("%s imports %s, which may do something", file, path)
			}
		}
		text, err := os.ReadFile(filepath.Join("..", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, does := range []string{"time.Now", "time.Since", "time.Until", "time.Sleep", "time.After", "time.New", "time.Tick", "\tgo ", "fmt.Print", "fmt.Scan"} {
			if strings.Contains(string(text), does) {
				t.Errorf("%s has %q: it is told the time, and does nothing", file, strings.TrimSpace(does))
			}
		}
	}
}

// TestOnePlaceForAFileAndABoot: what must be so in all that is kept on disk is
// written once. init makes files that are not there yet, and replaces none.
func TestOnePlaceForAFileAndABoot(t *testing.T) {
	for _, root := range []string{"cmd", "fencing", "preflight", "sentinel", "systemd", "watchdog"} {
		for file := range imports(t, root) {
			if strings.HasSuffix(file, "_test.go") || strings.HasPrefix(file, "watchdog/statedir/") {
				continue
			}
			text, err := os.ReadFile(filepath.Join("..", file))
			if err != nil {
				t.Fatal(err)
			}
			for _, own := range []string{"os.Rename(", "unix.Renameat(", ".Rename(", "os.CreateTemp(", "random/boot_id"} {
				if strings.Contains(string(text), own) && (file != "cmd/redis-watchdog/init.go" || own != "os.CreateTemp(") {
					t.Errorf("%s has %s: package statedir does that", file, own)
				}
			}
		}
	}
}

// TestTheGatesValuesStandInOnePlace: whoever must know what the gate sets asks
// package watchdog, or the two part one day.
func TestTheGatesValuesStandInOnePlace(t *testing.T) {
	for _, root := range []string{"cmd", "fencing", "preflight", "sentinel", "systemd", "watchdog"} {
		for file := range imports(t, root) {
			if strings.HasSuffix(file, "_test.go") || strings.Contains(file, "/testdata/") || file == "watchdog/settings.go" {
				continue
			}
			text, err := os.ReadFile(filepath.Join("..", file))
			if err != nil {
				t.Fatal(err)
			}
			for _, value := range []string{watchdog.LockValue + `"`, watchdog.NowhereMaster + `"`} {
				if strings.Contains(string(text), value) {
					t.Errorf("%s has %q of its own: it is in watchdog/settings.go", file, value)
				}
			}
		}
	}
}
