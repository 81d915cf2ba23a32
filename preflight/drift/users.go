package drift

import (
	"strings"

	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/preflight/redisconf"
)

// compareUsers compares ACL LIST by user. Rules are as secret as passwords.
func (r *reader) compareUsers(config *redisconf.Config, shadow []string) {
	if r.Users == nil {
		return
	}
	running := byUser(r.Users)
	expected := byUser(shadow)
	if shadow == nil {
		if len(config.Users) == 0 && config.Values["aclfile"].Text == "" {
			for name := range running {
				if name != "default" {
					r.d.Drifted = append(r.d.Drifted, userParameter(name, true, false))
				}
			}
			return
		}
		r.d.Unknown = append(r.d.Unknown, preflight.Parameter{Name: "users", Running: preflight.Masked, File: preflight.Masked,
			Why: "only a shadow run can tell what rules of users come to"})
		return
	}
	for name, rules := range running {
		if other, ok := expected[name]; !ok || !preflight.SameRights(other, rules) {
			r.d.Drifted = append(r.d.Drifted, userParameter(name, true, ok))
		}
	}
	for name := range expected {
		if _, ok := running[name]; !ok {
			r.d.Drifted = append(r.d.Drifted, userParameter(name, false, true))
		}
	}
}

func userParameter(name string, runs, filed bool) preflight.Parameter {
	p := preflight.Parameter{Name: "user " + name, Where: "users", Why: "its rights or passwords differ"}
	if runs {
		p.Running = preflight.Masked
	}
	if filed {
		p.File = preflight.Masked
	}
	switch {
	case !filed:
		p.Why = "a restart forgets it"
	case !runs:
		p.Why = "a restart brings it back"
	}
	return p
}

// byUser is the rules of every user in lines of ACL LIST. A "sanitize-payload" is left out: Redis
// prints it of a user that was read from a file and not of the same one that was
// not, and it is what holds anyway.
func byUser(lines []string) map[string]string {
	users := map[string]string{}
	for _, line := range lines {
		line = strings.ReplaceAll(line, " sanitize-payload ", " ")
		if words := strings.SplitN(line, " ", 3); len(words) == 3 && words[0] == "user" {
			users[words[1]] = words[2]
		}
	}
	return users
}
