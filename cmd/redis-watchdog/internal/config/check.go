package config

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
)

// checker looks at the values, once all that could be read has been.
type checker struct {
	*decoder
	dir         string // a relative path is counted from here
	credentials string // $CREDENTIALS_DIRECTORY
	files       bool
}

// at notes a fault of a key with the value that was written for it.
func (c *checker) at(key, problem, remedy string) { c.fault(key, c.values[key], problem, remedy) }

// broken says that the key has a fault already: one is enough.
func (c *checker) broken(key string) bool {
	return slices.ContainsFunc(c.faults, func(f Fault) bool { return f.Key == key })
}

func (c *checker) check(config *Config) {
	c.checkEtcd(&config.Etcd)
	c.checkHTTP(&config.HTTP)
	c.oneOf("log.level", config.Log.Level, "trace", "debug", "info", "warn", "error")
	c.oneOf("log.format", config.Log.Format, "text", "json")
	c.absolute("state_dir", config.StateDir)
	c.absolute("runtime_dir", config.RuntimeDir)
	if config.StateDir == config.RuntimeDir {
		c.at("state_dir", "is the runtime_dir too", "keep them apart: one survives a reboot, the other must not")
	}
	for i := range config.Hooks {
		c.checkHook(fmt.Sprintf("hooks[%d]", i), config.Hooks[i])
	}
	if len(config.Groups) == 0 && !c.broken("groups") {
		c.at("groups", "there is no group to watch over", "add one, with the name Sentinel has for it, its sentinels and its nodes on this host")
	}
	names, redis := map[string]string{}, map[string]string{}
	for i := range config.Groups {
		c.checkGroup(fmt.Sprintf("groups[%d]", i), &config.Groups[i], names, redis)
	}
}

func (c *checker) checkEtcd(e *Etcd) {
	if len(e.Endpoints) == 0 && !c.broken("etcd.endpoints") {
		c.at("etcd.endpoints", "no etcd is named", "list every member, as http://host:2379 or https://host:2379")
	}
	members := map[string]int{}
	for i, endpoint := range e.Endpoints {
		key := fmt.Sprintf("etcd.endpoints[%d]", i)
		u, err := url.Parse(endpoint)
		var first int
		var again bool
		if err == nil {
			member := strings.ToLower(u.Hostname()) + ":" + cmp.Or(u.Port(), "2379")
			if first, again = members[member]; !again {
				members[member] = i
			}
		}
		switch {
		case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || strings.Trim(u.Path, "/") != "":
			c.at(key, "is not the URL of an etcd member", "write http://host:2379 or https://host:2379")
		case u.User != nil:
			c.values[key] = u.Redacted()
			c.at(key, "carries a user or password", "use etcd.username and etcd.password_file")
		case u.Scheme == "http" && e.TLS != nil:
			c.at(key, "is plain http although etcd.tls is given", "write https, or take etcd.tls out")
		case u.Port() != "" && !validPort(u.Port()):
			c.at(key, "has no port between 1 and 65535", "etcd's own is 2379")
		case again:
			c.at(key, fmt.Sprintf("is the member that etcd.endpoints[%d] is", first), "list every member once: one that is counted twice would pass for a majority")
		case unspecified(u.Hostname()):
			c.at(key, "is no address of a member: it stands for every address of whatever host asks", "write the address by which all hosts reach that member")
		}
	}
	if !strings.HasPrefix(e.Prefix, "/") || e.Prefix == "/" || strings.Contains(e.Prefix, "//") || hasControl(e.Prefix) {
		c.at("etcd.prefix", "is not a prefix for keys", "write a path that starts with a slash, such as /redis-watchdog/v1/")
	}
	e.Password = c.secret("etcd", "password_file", e.PasswordFile)
	switch {
	case e.Username != "" && e.PasswordFile == "":
		c.at("etcd.username", "has no password", "add etcd.password_file")
	case e.Username == "" && e.PasswordFile != "":
		c.at("etcd.password_file", "belongs to nobody", "add etcd.username")
	}
	c.checkTLS("etcd.tls", e.TLS)
}

// unspecified is whether a host is 0.0.0.0 or ::.
func unspecified(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsUnspecified()
}

func (c *checker) checkHTTP(h *HTTP) {
	c.hostPort("http.listen", h.Listen, true)
	if h.WebConfigFile == "" {
		return
	}
	h.WebConfigFile = c.path(h.WebConfigFile)
	if !c.files {
		return
	}
	if err := web.Validate(h.WebConfigFile); err != nil {
		c.at("http.web_config_file", "does not stand: "+err.Error(), "see docs/http.md, TLS and basic auth, for the form")
	}
}

func (c *checker) checkTLS(key string, t *TLS) {
	if t == nil {
		return
	}
	if (t.Cert == "") != (t.Key == "") {
		c.at(key, "a client certificate needs both cert and key", "give both, or neither where the server asks for none")
	}
	for _, file := range []struct {
		name string
		path *string
	}{{"ca", &t.CA}, {"cert", &t.Cert}, {"key", &t.Key}} {
		if *file.path != "" {
			*file.path = c.path(*file.path)
		}
	}
	if !c.files || c.broken(key) {
		return
	}
	if t.Key != "" {
		if problem, remedy := keyProblem(t.Key); problem != "" {
			c.at(key+".key", problem, remedy)
			return
		}
	}
	if pem, err := os.ReadFile(t.CA); t.CA != "" && err == nil {
		t.authority = string(pem) // another file of the same name is another authority
	}
	if _, err := t.Client(); err != nil {
		c.at(key, err.Error(), "name PEM files: ca the authority that signed the server's certificate, cert and key our own")
	}
}

// secret reads the password file a key names.
func (c *checker) secret(section, name, path string) Secret {
	if path == "" || !c.files {
		return ""
	}
	key := section + "." + name
	secret, problem, remedy := readSecret(c.path(path))
	if problem != "" {
		c.at(key, problem, remedy)
	}
	return secret
}

// path is where a file that the configuration names is: as it stands, or among
// the credentials systemd hands over, or beside the configuration.
func (c *checker) path(name string) string {
	switch {
	case filepath.IsAbs(name):
		return name
	case c.credentials != "":
		return filepath.Join(c.credentials, name)
	}
	return filepath.Join(c.dir, name)
}

func (c *checker) oneOf(key, value string, allowed ...string) {
	if !slices.Contains(allowed, value) && !c.broken(key) {
		c.at(key, "is not one of "+strings.Join(allowed, ", "), "write one of them")
	}
}

func (c *checker) absolute(key, path string) {
	if !filepath.IsAbs(path) {
		c.at(key, "is not an absolute path", "start it with a slash")
	}
}

// hostPort checks an address; anyHost allows the empty host, which listens on all.
func (c *checker) hostPort(key, address string, anyHost bool) {
	host, port, err := net.SplitHostPort(address)
	switch {
	case c.broken(key):
	case err != nil:
		c.at(key, "is not an address", "write host:port, or [host]:port for IPv6")
	case !validPort(port):
		c.at(key, "has no port between 1 and 65535", "write host:port")
	case host == "" && !anyHost:
		c.at(key, "has no host", "write host:port")
	case host != "" && !validHost(host):
		c.at(key, "has a host that is neither an IP address nor a name", "write host:port, or [host]:port for IPv6")
	}
}

func (c *checker) within(key string, value, low, high time.Duration, why string) {
	if value != 0 && (value < low || value > high) {
		c.at(key, fmt.Sprintf("is not between %s and %s", low, high), why)
	}
}

var (
	hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?$`)
	allDigit = regexp.MustCompile(`^[0-9.]+$`)
)

func validHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	// 10.0.0.256 is a mistyped address, not a name.
	return len(host) < 254 && hostName.MatchString(host) && !allDigit.MatchString(host)
}

func validPort(port string) bool {
	n, err := strconv.Atoi(port)
	return err == nil && n > 0 && n < 65536
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
