package discover

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// What init calls itself at the servers, and where it keeps the passwords.
const (
	User             = "redis-watchdog"
	RedisPassword    = "redis-password" // beside the configuration
	SentinelPassword = "sentinel-password"
)

// YAML is the configuration for what was found, with the coordinator's
// endpoints.
func (h *Host) YAML(etcd []string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Written by redis-watchdog init from what runs on this host. Every key is explained")
	line("# in the reference, redis-watchdog.yaml; try a change with: redis-watchdog check-config")
	line("etcd:")
	line("  endpoints: [%s]", quoted(etcd))
	line("  #username: %s", User)
	line("  #password_file: etcd-password")
	if slices.ContainsFunc(etcd, func(e string) bool { return strings.HasPrefix(e, "https://") }) {
		line("  tls: {} # the system's authorities; ca, cert and key name others")
	}
	line("groups:")
	for _, g := range h.Groups {
		line("  - name: %s", strconv.Quote(g.Name))
		line("    sentinels: [%s]", quoted(g.Sentinels))
		if g.Password {
			line("    sentinel_username: %s", User)
			line("    sentinel_password_file: %s", SentinelPassword)
		}
		if g.TLS != nil {
			line("    sentinel_tls: %s", g.TLS)
		}
		line("    nodes:")
		for i, r := range g.Nodes {
			key := "- "
			put := func(format string, args ...any) {
				line("      "+key+format, args...)
				key = "  "
			}
			if len(g.Nodes) > 1 {
				put("name: %q", fmt.Sprintf("redis-%d", r.port()))
			}
			switch {
			case r.Address != "":
				put("address: %q", r.Address)
			case len(r.Sockets) > 0:
				put("socket: %q", r.Sockets[0])
			default:
				put("address: \"\" # node %d listens nowhere", i)
			}
			if r.Unit != "" {
				put("unit: %q", r.Unit)
			}
			if r.Password {
				put("username: %s", User)
				put("password_file: %s", RedisPassword)
			}
			if r.TLS != nil {
				put("tls: %s", r.TLS)
			}
			if len(r.Commands) > 0 {
				put("commands:")
				for _, command := range slices.Sorted(maps.Keys(r.Commands)) {
					put("  %s: %q", command, r.Commands[command])
				}
			}
		}
	}
	return b.String()
}

func quoted(all []string) string {
	var out []string
	for _, one := range all {
		out = append(out, strconv.Quote(one))
	}
	return strings.Join(out, ", ")
}

// String is the value of a key of YAML.
func (t *TLS) String() string {
	var keys []string
	for _, k := range [][2]string{{"ca", t.CA}, {"cert", t.Cert}, {"key", t.Key}, {"server_name", t.Name}} {
		if k[1] != "" {
			keys = append(keys, k[0]+": "+strconv.Quote(k[1]))
		}
	}
	return "{" + strings.Join(keys, ", ") + "}"
}
