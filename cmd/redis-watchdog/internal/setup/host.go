package setup

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/preflight/gather"
	"github.com/redis-watchdog/redis-watchdog/preflight/redisconf"
	"github.com/redis-watchdog/redis-watchdog/systemd"
)

// Redis is one that runs on this host.
type Redis struct {
	Process
	Address  string // to be asked at; empty: on its socket only
	File     string // its redis.conf; empty: not found
	Password bool   // it wants one of its clients
	TLS      bool   // it speaks TLS only
	CA       string // then: the file of the authority, as its redis.conf names it
}

// Group is a group that has a Redis here.
type Group struct {
	Name      string
	Sentinels []string // of all hosts, the local ones first
	Nodes     []Redis
	Password  bool // the Sentinels want one
	TLS       bool // they speak TLS only
}

// Host is what was found here.
type Host struct {
	Groups []Group
	Notes  []string // what was found and is not used, and why
}

// ErrNothing is a host without a Redis of a group.
var ErrNothing = errors.New("no Redis of a Sentinel-managed group runs on this host")

// Find looks at the processes of this host, at their files, and asks each Redis
// where its file is. It changes nothing.
func Find(ctx context.Context) (*Host, error) {
	processes, err := Processes()
	if err != nil {
		return nil, err
	}
	h := &Host{}
	var servers []Redis
	groups := map[string]*Group{}
	var monitored []Monitored
	for _, p := range processes {
		if !p.Sentinel {
			h.ownUnit(ctx, &p)
			servers = append(servers, server(ctx, p))
			continue
		}
		s, err := sentinel(ctx, p)
		if err != nil {
			h.note("the Sentinel with PID %d: %v", p.PID, err)
			continue
		}
		for _, m := range s.Groups {
			for _, u := range m.Unread {
				h.note("left out of group %s, as nothing can be there: %s in %s (SENTINEL RESET %s at one Sentinel after the other forgets it)", m.Name, u, s.File, m.Name)
			}
			if m.Master == "" {
				continue
			}
			g := groups[m.Name]
			if g == nil {
				g = &Group{Name: m.Name}
				groups[m.Name] = g
				monitored = append(monitored, m)
			}
			g.Password, g.TLS = g.Password || s.Password, g.TLS || s.TLS
			own := s.Announce
			if own == "" {
				own = p.seenFrom(m.Master)
			}
			g.Sentinels = merged(g.Sentinels, append([]string{own}, m.Sentinels...))
		}
	}
	if len(monitored) == 0 && len(servers) > 0 {
		h.note("no Sentinel runs on this host: write the configuration by hand, naming the Sentinels of the other hosts")
	}
	local, err := localAddresses()
	if err != nil {
		return nil, err
	}
	for _, r := range servers {
		m := belongs(r, monitored, local)
		if m == nil {
			h.note("the Redis with PID %d at %s belongs to no group of a Sentinel here", r.PID, orSocket(r))
			continue
		}
		groups[m.Name].Nodes = append(groups[m.Name].Nodes, r)
	}
	for _, m := range monitored {
		if g := groups[m.Name]; len(g.Nodes) > 0 {
			h.Groups = append(h.Groups, *g)
		} else {
			h.note("group %s has no Redis on this host", m.Name)
		}
	}
	if len(h.Groups) == 0 {
		return h, ErrNothing
	}
	return h, nil
}

// ownUnit finds the unit of a Redis with which more runs: it is its own where the
// service manager calls that Redis its main process. Another is none: killed, a
// supervisor would go down with all it runs.
func (h *Host) ownUnit(ctx context.Context, p *Process) {
	if p.Shared == "" {
		return
	}
	units := systemd.NewUnits(hclog.NewNullLogger())
	defer func() { _ = units.Close() }() // nothing was left under way
	if owns, err := units.Owns(ctx, p.Shared, p.PID); err == nil && owns {
		p.Unit, p.Shared = p.Shared, ""
		return
	}
	h.note("the Redis with PID %d was started by %s, which runs more than it: that is no unit of its own, and unit is left out. A Redis that hangs is killed by its process, and whatever supervises it may start it again; the start gate needs a unit", p.PID, p.Shared)
}

func (h *Host) note(format string, args ...any) {
	h.Notes = append(h.Notes, fmt.Sprintf(format, args...))
}

func orSocket(r Redis) string {
	if r.Address == "" {
		return strings.Join(r.Sockets, ", ")
	}
	return r.Address
}

func merged(all, more []string) []string {
	for _, one := range more {
		if !slices.Contains(all, one) {
			all = append(all, one)
		}
	}
	return all
}

// belongs is the group whose master or replica that is.
func belongs(r Redis, groups []Monitored, local []netip.Addr) *Monitored {
	for i, m := range groups {
		for _, address := range append([]string{m.Master}, m.Replicas...) {
			host, port, err := net.SplitHostPort(address)
			if err != nil || !hasPort(r.Process, port) {
				continue
			}
			for _, ip := range resolve(host) {
				if slices.Contains(local, ip) {
					return &groups[i]
				}
			}
		}
	}
	return nil
}

func hasPort(p Process, port string) bool {
	return slices.ContainsFunc(p.Listens, func(at netip.AddrPort) bool { return fmt.Sprint(at.Port()) == port })
}

// resolve is the addresses of a host, which may be a name (resolve-hostnames).
func resolve(host string) []netip.Addr {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip.Unmap()}
	}
	ctx, cancel := context.WithTimeout(context.Background(), gather.DefaultTimeout)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil
	}
	for i := range ips {
		ips[i] = ips[i].Unmap()
	}
	return ips
}

func localAddresses() ([]netip.Addr, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list addresses of this host: %w", err)
	}
	var local []netip.Addr
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			local = append(local, p.Addr().Unmap())
		}
	}
	return local, nil
}

// reached is where a process on this host is reached: on loopback if it listens
// there.
func (p Process) reached() string {
	for _, at := range p.Listens {
		if at.Addr().IsLoopback() {
			return at.String()
		}
	}
	for _, at := range p.Listens {
		if at.Addr().IsUnspecified() {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), at.Port()).String()
		}
	}
	if len(p.Listens) > 0 {
		return p.Listens[0].String()
	}
	return ""
}

// seenFrom is how another host reaches it: at the address this host has on the
// way there. Nothing is sent.
func (p Process) seenFrom(other string) string {
	if conn, err := net.Dial("udp", other); err == nil {
		defer conn.Close()
		if host, _, err := net.SplitHostPort(conn.LocalAddr().String()); err == nil {
			return net.JoinHostPort(host, fmt.Sprint(p.port()))
		}
	}
	return p.reached()
}

// server is a Redis and its file.
func server(ctx context.Context, p Process) Redis {
	r := Redis{Process: p, Address: p.reached()}
	file, err := configFile(ctx, p)
	r.Password = errors.Is(err, errNoAuth)
	r.File = file
	words := directives(file)
	plain, tls := words["port"], words["tls-port"]
	if plain == "0" && tls != "" && tls != "0" {
		r.TLS, r.CA = true, words["tls-ca-cert-file"]
	}
	r.Password = r.Password || words["requirepass"] != ""
	return r
}

// sentinel is what a Sentinel's file says: it cannot run without one.
func sentinel(ctx context.Context, p Process) (*Sentinel, error) {
	file, err := configFile(ctx, p)
	if file == "" {
		return nil, fmt.Errorf("its sentinel.conf was not found: %w", err)
	}
	return ReadSentinel(file)
}

var (
	errNoAuth = errors.New("it wants a password")
	errNoFile = errors.New("neither it, nor its arguments, nor the usual places name one")
)

// configFile is the file a process was started with: it says so, or its
// arguments do, or a file in one of the usual places has its port.
func configFile(ctx context.Context, p Process) (string, error) {
	ask := gather.Server{Address: p.reached()}
	if len(p.Sockets) > 0 {
		ask.Socket = p.Sockets[0]
	}
	info, asked := ask.Do(ctx, "INFO", "server")
	for line := range strings.Lines(info) {
		if file, ok := strings.CutPrefix(strings.TrimSpace(line), "config_file:"); ok && file != "" {
			return file, nil
		}
	}
	if asked != nil && strings.Contains(asked.Error(), "NOAUTH") {
		asked = errNoAuth
	}
	for _, arg := range p.Args {
		if filepath.IsAbs(arg) && readable(arg) {
			return arg, asked
		}
	}
	for _, pattern := range []string{filepath.Join(p.Dir, "*.conf"), "/etc/redis/*.conf", "/etc/redis/*/*.conf", "/etc/redis*.conf", "/etc/valkey/*.conf", "/etc/valkey/*/*.conf", "/etc/valkey*.conf"} {
		if pattern == "*.conf" {
			continue // its directory is not known
		}
		files, err := filepath.Glob(pattern)
		if err != nil {
			return "", fmt.Errorf("look for %s: %w", pattern, err)
		}
		for _, file := range files {
			words := directives(file)
			if words["sentinel"] != "" == p.Sentinel && (hasPort(p, words["port"]) || hasPort(p, words["tls-port"])) {
				return file, asked
			}
		}
	}
	if asked == nil {
		asked = errNoFile
	}
	return "", asked
}

func readable(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular()
}

// directives are the first words behind the names in a file, of each the last:
// enough to tell a port. Includes are not followed.
func directives(file string) map[string]string {
	found := map[string]string{}
	text, err := os.ReadFile(file)
	if err != nil {
		return found
	}
	for line := range strings.Lines(string(text)) {
		if words, ok := redisconf.Split(strings.TrimSpace(line)); ok && len(words) > 1 && !strings.HasPrefix(words[0], "#") {
			found[strings.ToLower(words[0])] = words[1]
		}
	}
	return found
}
