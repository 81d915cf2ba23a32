package setup

import (
	"fmt"
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
		if g.TLS {
			line("    sentinel_tls: {}")
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
			if r.TLS && r.CA != "" {
				put("tls: {ca: %q}", r.CA)
			} else if r.TLS {
				put("tls: {}")
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
