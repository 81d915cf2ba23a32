package drift

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/preflight/redisconf"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// Expected is what a restart would give one parameter.
type Expected struct {
	Text  string // as CONFIG GET would print it
	Where string // "redis.conf:12", "default of 7.0.15", "command line"
	Why   string // not empty: Text is not known, and why
}

// Rules are how differences are judged.
type Rules struct {
	// Originals are the operator's values of what the watchdog may hold: see
	// Held. A name that is missing is compared as any other.
	Originals map[string]string
	// Unwritten says that the file may hold values of the watchdog that it has
	// let go of since, and is about to write out of it.
	Unwritten bool
	// Ignore are patterns (path.Match) of names that may differ.
	Ignore []string
	// FilesLimit is RLIMIT_NOFILE of the process, soft; 0: not known.
	FilesLimit uint64
}

// DefaultIgnore are the names that may differ where nothing is configured: what
// the supervisor sets on the command line, as Debian's unit does.
func DefaultIgnore() []string { return []string{"daemonize", "supervised"} }

// Secrets are the parameters whose values are never shown.
func Secrets() []string {
	return []string{"masterauth", "primaryauth", "requirepass", "tls-client-key-file-pass", "tls-key-file-pass"}
}

// mask is a value as it may be shown.
func mask(name, value string) string {
	if value != "" && (slices.Contains(Secrets(), name) || strings.HasSuffix(name, "-pass") || strings.HasSuffix(name, "auth")) {
		return preflight.Masked
	}
	return value
}

// Compare judges every parameter of running, under its newest name. d gets what
// was found; its other fields are left alone.
func Compare(d *preflight.Drift, build *redisconf.Build, running map[string]string, expected map[string]Expected, rules Rules) {
	d.FileConfig = map[string]string{}
	for _, name := range names(build, running) {
		want, known := expected[name]
		value := valueOf(build, running, name)
		p := preflight.Parameter{Name: name, Running: mask(name, value), File: mask(name, want.Text), Where: want.Where}
		if !known || want.Why != "" {
			if p.Why = want.Why; !known {
				p.Why = "the build's own table does not know it; allow the shadow run"
			}
			p.File = ""
			d.Unknown = append(d.Unknown, p)
			continue
		}
		d.FileConfig[name] = p.File
		judge(d, p, value, want.Text, aliases(build, name), rules)
	}
}

// aliases are all names of a parameter, the newest first.
func aliases(build *redisconf.Build, name string) []string {
	if p := build.Parameter(name); p != nil {
		return append([]string{p.Name}, p.Aliases...)
	}
	return []string{name}
}

// judge sorts one known parameter.
func judge(d *preflight.Drift, p preflight.Parameter, running, file string, all []string, rules Rules) {
	if original, ok := rules.Originals[p.Name]; ok && slices.Contains(watchdog.Parameters(), p.Name) {
		switch {
		case running != original && file == original:
			p.Why = "the watchdog holds it; a restart gives the operator's value"
			d.Ours = append(d.Ours, p)
			return
		case running != original && file == running:
			p.Why = "the watchdog's value stands in the file, by a CONFIG REWRITE; the operator's is " + original
			d.Ours = append(d.Ours, p)
			return
		case rules.Unwritten && running == original && file == watchdog.Settings()[p.Name]:
			p.Why = "the watchdog's value is left in the file, by a CONFIG REWRITE while it stood; it is about to be written out"
			d.Ours = append(d.Ours, p)
			return
		}
	}
	switch {
	case running == file:
	case p.Name == "replicaof":
		p.Why = "Sentinel says who is whose replica"
		d.Ours = append(d.Ours, p)
	case ignored(all, rules.Ignore):
		d.Allowed = append(d.Allowed, p)
	case p.Name == "maxclients" && lowered(running, file, rules.FilesLimit):
		p.Why = "lowered by Redis itself: the limit of open files allows no more"
		d.Allowed = append(d.Allowed, p)
	case p.Name == "pidfile" && file == "" && strings.HasPrefix(running, "/var/run/"):
		p.Why = "Redis' own choice where it is to write one and none is named"
		d.Allowed = append(d.Allowed, p)
	default:
		d.Drifted = append(d.Drifted, p)
	}
}

// ignored says whether any of the names matches any of the patterns.
func ignored(names, patterns []string) bool {
	for _, pattern := range patterns {
		for _, name := range names {
			if ok, err := path.Match(strings.ToLower(pattern), name); err == nil && ok {
				return true
			}
		}
	}
	return false
}

// reservedFiles is CONFIG_MIN_RESERVED_FDS: descriptors Redis keeps for itself.
const reservedFiles = 32

// lowered says whether Redis lowered maxclients to what the limit of open files
// leaves (adjustOpenFilesLimit, server.c).
func lowered(running, file string, limit uint64) bool {
	r, f := atoi(running), atoi(file)
	return limit > reservedFiles && r < f && r == limit-reservedFiles
}

func atoi(s string) (n uint64) {
	for _, c := range []byte(s) {
		n = n*10 + uint64(c-'0')
	}
	return n
}

// names are the parameters of running, each once, sorted.
func names(build *redisconf.Build, running map[string]string) []string {
	unique := map[string]bool{}
	for name := range running {
		unique[aliases(build, name)[0]] = true
	}
	return slices.Sorted(maps.Keys(unique))
}

// valueOf is the running value under whichever name it is shown.
func valueOf(build *redisconf.Build, running map[string]string, name string) string {
	for _, n := range aliases(build, name) {
		if v, ok := running[n]; ok {
			return v
		}
	}
	return ""
}
