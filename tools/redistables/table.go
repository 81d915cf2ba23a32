package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// row is one parameter.
type row struct {
	names []string // the newest first
	kind  string   // with its detail
	flags string
	value string // its default
}

// table is what is recorded of one build.
type table struct {
	build string // "redis 7.0.15"
	rows  []row
	bare  map[string]string
}

func (t *table) String() string {
	var b strings.Builder
	b.WriteString("# Recorded from a real server by tools/redistables: do not edit.\n" + t.build + "\n")
	for _, name := range slices.Sorted(maps.Keys(t.bare)) {
		fmt.Fprintf(&b, "bare\t%s\t%s\n", name, t.bare[name])
	}
	slices.SortFunc(t.rows, func(a, b row) int { return strings.Compare(a.names[0], b.names[0]) })
	for _, r := range t.rows {
		fmt.Fprintf(&b, "%s\t%s\t%s\t%s\n", strings.Join(r.names, "/"), r.kind, r.flags, r.value)
	}
	return b.String()
}

// hidden are names that CONFIG GET * does not show in one version or another.
func hidden() []string {
	return []string{
		"aof-disable-auto-gc", "client-default-resp", "cluster-ping-interval", "debug-context", "enable-debug-assert",
		"key-load-delay", "loading-process-events-interval-bytes", "rdb-key-save-delay", "req-res-logfile",
		"use-exit-on-panic", "watchdog-period",
	}
}

// special is the kind of a parameter that the server has code of its own for.
func special(name string) string {
	switch name {
	case "bind", "dir", "replicaof", "save":
		return name
	case "slaveof":
		return "replicaof"
	case "client-output-buffer-limit":
		return "buffers"
	case "notify-keyspace-events":
		return "events"
	case "latency-tracking-info-percentiles":
		return "percentiles"
	case "oom-score-adj-values":
		return "scores"
	case "shutdown-on-sigint", "shutdown-on-sigterm":
		return "flags default save nosave now force"
	case "unixsocket", "pidfile", "logfile", "aclfile": // not to be tried
		return "text"
	}
	return ""
}

func (s *server) table(ctx context.Context) (*table, error) {
	t := &table{bare: map[string]string{}}
	var shown map[string]string
	flags := map[string]string{}
	err := s.on(ctx, "", func(c *redis.Client, _ string) error {
		info, err := c.Info(ctx, "server").Result()
		if err != nil {
			return fmt.Errorf("info: %w", err)
		}
		if t.build = versionOf(info); t.build == "" {
			return errors.New("info names no version")
		}
		if shown, err = get(ctx, c, "*"); err != nil {
			return err
		}
		for _, name := range hidden() {
			value, err := get(ctx, c, name)
			if err != nil {
				return err
			}
			if _, all := shown[name]; len(value) == 1 && !all {
				flags[name] = "~"
				shown[name] = value[name]
			}
		}
		return s.immutable(ctx, c, shown, flags)
	})
	if err != nil {
		return nil, err
	}
	shown["dir"], shown["unixsocket"] = "", "" // set by the recording
	older := strings.HasPrefix(t.build, "redis 6.")
	if t.build == "redis 6.0.16" || strings.HasPrefix(t.build, "redis 6.0.") {
		t.bare["save"] = "3600 1 300 100 60 10000" // initServerConfig, server.c; main drops it when there is an argument
	}
	taken := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(shown)) {
		if taken[name] {
			continue
		}
		r, err := s.row(ctx, name, shown, older)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, n := range r.names {
			taken[n] = true
		}
		r.flags, r.value = flags[r.names[0]], shown[name]
		t.rows = append(t.rows, r)
		fmt.Println(r.names, r.kind, r.flags)
	}
	return t, nil
}

func versionOf(info string) string {
	field := func(name string) string {
		_, after, _ := strings.Cut(info, "\n"+name+":")
		value, _, _ := strings.Cut(after, "\r")
		return value
	}
	if v := field("valkey_version"); v != "" {
		return "valkey " + v
	}
	if v := field("redis_version"); v != "" {
		return "redis " + v
	}
	return ""
}

// immutable sets every parameter to the value it has.
func (s *server) immutable(ctx context.Context, c *redis.Client, shown, flags map[string]string) error {
	for name, value := range shown {
		err := c.ConfigSet(ctx, name, value).Err()
		var said redis.Error
		switch {
		case err == nil:
		case !errors.As(err, &said):
			return fmt.Errorf("config set %s: %w", name, err)
		case strings.Contains(said.Error(), "immutable"), strings.Contains(said.Error(), "Unsupported CONFIG parameter"):
			flags[name] += "!"
		}
	}
	return nil
}

// row finds a parameter's kind, and its other names by what else changes with
// it.
func (s *server) row(ctx context.Context, name string, shown map[string]string, older bool) (row, error) {
	r := row{names: []string{name}}
	kind, other, err := s.kind(ctx, name, shown[name], older)
	if err != nil {
		return row{}, err
	}
	r.kind = kind
	if name == "replicaof" || name == "slaveof" {
		r.names = []string{"replicaof", "slaveof"}
	}
	if other == "" {
		return r, nil
	}
	err = s.on(ctx, name+" "+other, func(c *redis.Client, file string) error {
		now, err := get(ctx, c, "*")
		if err != nil {
			return err
		}
		for n, v := range now {
			if n != name && n != "unixsocket" && n != "dir" && v != shown[n] && v == now[name] && shown[n] == shown[name] {
				r.names = append(r.names, n)
			}
		}
		if len(r.names) == 1 {
			return nil
		}
		return newest(ctx, c, file, &r)
	})
	if said := refused(""); errors.As(err, &said) { // by what goes with it, TLS without a certificate say
		return r, nil
	}
	return r, err
}

// kind probes what a parameter takes, and another value than the default that
// may be tried without harm; none is "".
func (s *server) kind(ctx context.Context, name, value string, older bool) (kind, other string, err error) {
	if k := special(name); k != "" {
		return k, "", nil
	}
	if name == "requirepass" { // with one set, nothing may be asked
		return map[bool]string{true: "text", false: "bytes"}[older], "", nil
	}
	if older {
		switch name {
		case "client-query-buffer-limit":
			return "loosememory", "", nil
		case "unixsocketperm":
			return "looseoctal", "", nil
		}
	}
	said, now, err := s.try(ctx, name, "zz")
	switch {
	case err != nil:
		return "", "", err
	case said == "" && now == "zz":
		_, now, err = s.try(ctx, name, `"a\x00b"`)
		if now == "a\x00b" {
			return "bytes", "zz", err
		}
		return "text", "zz", err
	case strings.Contains(said, "must be 'yes' or 'no'"):
		if name == "daemonize" {
			return "bool", "", nil
		}
		return "bool", map[string]string{"yes": "no", "no": "yes"}[value], nil
	case strings.Contains(said, "one of the following: "):
		return s.enum(ctx, name, value, said)
	case strings.Contains(said, "parsed into an integer"):
		return s.number(ctx, "int", name, value, "-9223372036854775808", "9223372036854775807")
	case strings.Contains(said, "memory or percent"):
		return "percent -100 9223372036854775807", "7%", nil
	case strings.Contains(said, "memory value"):
		return s.number(ctx, "memory", name, value, "0", "18446744073709551615")
	case strings.Contains(said, "Bad directive"):
		return "runtime", "", nil
	case strings.Contains(said, "octal"):
		return "octal 0 511", "", nil
	}
	return "text", "", nil // one with rules of its own
}

// try starts the server with one line, and returns what it said where it did
// not start, else what CONFIG GET prints.
func (s *server) try(ctx context.Context, name, value string) (said, now string, err error) {
	err = s.on(ctx, name+" "+value, func(c *redis.Client, _ string) error {
		values, err := get(ctx, c, name)
		now = values[name]
		return err
	})
	var no refused
	if errors.As(err, &no) {
		return string(no), "", nil
	}
	return "", now, err
}

func (s *server) enum(ctx context.Context, name, value, said string) (kind, other string, err error) {
	_, list, _ := strings.Cut(said, "one of the following: ")
	list, _, _ = strings.Cut(list, "\n")
	kind = "enum"
	for word := range strings.SplitSeq(list, ", ") {
		_, now, err := s.try(ctx, name, word)
		if err != nil {
			return "", "", err
		}
		kind += " " + word
		if now != "" && now != word {
			kind += ">" + now
		} else if now != "" && now != value {
			other = word
		}
	}
	return kind, other, nil
}

// number finds the limits in what the server says of values outside them.
func (s *server) number(ctx context.Context, kind, name, value, least, most string) (string, string, error) {
	between := regexp.MustCompile(`argument must be between (-?\d+) and (\d+) inclusive`)
	for _, tried := range []string{least, most} {
		said, _, err := s.try(ctx, name, tried)
		if err != nil {
			return "", "", err
		}
		if m := between.FindStringSubmatch(said); m != nil {
			least, most = m[1], m[2]
			break
		}
	}
	// The next number is harmless: few clients, say, would shut the recording out.
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return "", "", fmt.Errorf("default of %s: %w", name, err)
	}
	other := strconv.FormatInt(n+1, 10)
	if strconv.FormatInt(n, 10) == most {
		other = strconv.FormatInt(n-1, 10)
	}
	return kind + " " + least + " " + most, other, nil
}

// newest puts the name first that CONFIG REWRITE writes.
func newest(ctx context.Context, c *redis.Client, file string, r *row) error {
	if err := c.ConfigRewrite(ctx).Err(); err != nil {
		return fmt.Errorf("config rewrite: %w", err)
	}
	text, err := readFile(file)
	if err != nil {
		return err
	}
	for line := range strings.SplitSeq(text, "\n") {
		name, _, _ := strings.Cut(line, " ")
		if i := slices.Index(r.names, name); i > 0 {
			r.names[0], r.names[i] = r.names[i], r.names[0]
			return nil
		}
	}
	return nil
}
