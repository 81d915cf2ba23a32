package drift

import (
	"fmt"

	"github.com/redis-watchdog/redis-watchdog/preflight/redisconf"
)

// fromFile is what a restart gives by our reading of the file and the defaults
// of the build's table.
func fromFile(build *redisconf.Build, version string, config *redisconf.Config, bare bool) map[string]Expected {
	expected := map[string]Expected{}
	for _, p := range build.Names {
		e := Expected{Text: p.Default, Where: "default of " + version}
		if text, ok := build.Bare[p.Name]; ok && bare {
			e.Text = text
		}
		if build.Borrowed {
			e = Expected{Why: fmt.Sprintf("no table of defaults for %s %s; allow the shadow run", build.Product, version)}
		}
		if p.Kind == redisconf.Dir {
			e = startDir(config)
		}
		expected[p.Name] = e
	}
	for name, v := range config.Values {
		expected[name] = Expected{Text: v.Text, Where: v.At.String(), Why: v.Why}
	}
	return expected
}

// startDir is what dir becomes where the file does not name it.
func startDir(config *redisconf.Config) Expected {
	if config.Dir == "" {
		return Expected{Why: "the file does not name it, and the directory a restart would begin in is not known"}
	}
	return Expected{Text: config.Dir, Where: "where it was started"}
}

// overlay puts the shadow's answers in the place of our own, but for what the
// shadow was made to say (skip).
func overlay(expected map[string]Expected, build *redisconf.Build, shadow map[string]string, config *redisconf.Config, version string, skip []string) {
	for name, text := range shadow {
		p := build.Parameter(name)
		if p != nil {
			name = p.Name
		}
		if contains(skip, name, p) {
			continue
		}
		where := "default of " + version
		if v, ok := config.Values[name]; ok {
			where = v.At.String()
		}
		expected[name] = Expected{Text: text, Where: where}
	}
	if !build.Borrowed {
		return
	}
	// What the shadow had to set itself and the file does not name: its defaults
	// are of no table, but these have been the same in every version there is.
	for _, p := range build.Names {
		if contains(skip, p.Name, p) && p.Kind != redisconf.Dir {
			if _, named := config.Values[p.Name]; !named {
				expected[p.Name] = Expected{Text: p.Default, Where: "default of " + build.Version}
			}
		}
	}
}

func contains(names []string, name string, p *redisconf.Parameter) bool {
	for _, n := range names {
		if n == name || p != nil && n == p.Name {
			return true
		}
	}
	return false
}
