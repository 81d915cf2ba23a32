package discover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/preflight/drift"
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
	TLS      *TLS   // it speaks TLS there; nil: plain text
	Announce string // host:port by which it has itself called; empty: not set
	// Commands is what rename-command made of those that the watchdog uses: the
	// name in lower case to the new one, empty where it was taken away.
	Commands map[string]string
}

// Group is a group that has a Redis here.
type Group struct {
	Name      string
	Sentinels []string // of all hosts, the local ones first
	Nodes     []Redis
	Password  bool // the Sentinels want one
	TLS       *TLS // they speak TLS; nil: plain text
}

// TLS names the files that a client needs, as the server's own file does. Empty:
// it names none.
type TLS struct {
	CA        string
	Cert, Key string // of ours, where it asks its clients for one
	Name      string // whom its certificate is for, where it is not whom we ask
}

// Host is what was found here.
type Host struct {
	Groups []Group
	Notes  []string // what was found and is not used, and why
}

// Renamed is whether a Redis here has renamed commands.
func (h *Host) Renamed() bool {
	return slices.ContainsFunc(h.Groups, func(g Group) bool {
		return slices.ContainsFunc(g.Nodes, func(r Redis) bool { return len(r.Commands) > 0 })
	})
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
			servers = append(servers, h.server(ctx, p))
			continue
		}
		s, err := sentinel(ctx, p)
		if err != nil {
			h.note("the Sentinel with PID %d: %v", p.PID, err)
			continue
		}
		h.unread(s.File, s.Unread)
		if why := drift.Denied(p.PID, s.File); why != "" {
			h.note("the Sentinel with PID %d cannot replace %s: %s. It runs all the same, and forgets with its next restart whatever it learnt: a failover, its epoch, replicas and Sentinels", p.PID, s.File, why)
		}
		for _, m := range s.Groups {
			m.ask(ctx, s)
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
			g.Password = g.Password || s.Password
			if g.TLS == nil {
				g.TLS = s.TLS
			}
			own := s.Announce
			if own == "" {
				own = p.seenFrom(m.Master, s.Port)
			}
			for _, one := range append([]string{own}, m.Sentinels...) {
				g.Sentinels = another(g.Sentinels, one)
			}
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
			h.note("the Redis with PID %d at %s belongs to no group of a Sentinel here: none lists it at an address of this host, or at what its redis.conf announces (replica-announce-ip)", r.PID, orSocket(r))
			continue
		}
		if host, _, err := net.SplitHostPort(r.Announce); err == nil && !slices.ContainsFunc(resolve(host), func(ip netip.Addr) bool { return slices.Contains(local, ip) }) {
			h.note("the Redis with PID %d announces %s, an address that no interface of this host has: right where it is translated (NAT, a container's host); else clients and replicas are sent astray, and replica-announce-ip in %s is to be corrected", r.PID, r.Announce, r.File)
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
			if r.Announce != "" && sameAddress(address, r.Announce) {
				return &groups[i]
			}
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

// sameAddress is whether two host:port are one: a name is what it resolves to.
func sameAddress(a, b string) bool {
	if a == b {
		return true
	}
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB {
		return false
	}
	other := resolve(hostB)
	return slices.ContainsFunc(resolve(hostA), func(ip netip.Addr) bool { return slices.Contains(other, ip) })
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

// seenFrom is how another host reaches it: at the address this host has on the
// way there. Nothing is sent.
func (p Process) seenFrom(other, port string) string {
	if conn, err := net.Dial("udp", other); err == nil {
		defer conn.Close()
		if host, _, err := net.SplitHostPort(conn.LocalAddr().String()); err == nil {
			return net.JoinHostPort(host, port)
		}
	}
	return net.JoinHostPort("127.0.0.1", port)
}

// server is a Redis and its file.
func (h *Host) server(ctx context.Context, p Process) Redis {
	d := p.door(ctx)
	r := Redis{Process: p, Address: d.address}
	file, err := configFile(ctx, p, d)
	r.Password = errors.Is(err, errNoAuth)
	r.File = file
	c := p.conf(file)
	h.unread(file, c.unread)
	plainPort, tlsPort := c.ports("6379")
	if d.speaks == secured || d.speaks == silence && d.address != "" && plainPort == "" && tlsPort != "" {
		t := c.secrets()
		t.Name = d.named
		r.TLS = &t
		if t.Key != "" {
			h.note("the Redis with PID %d asks its clients for a certificate (tls-auth-clients): its own, %s, is written, whose key the service then reads; better a certificate of its own", p.PID, t.Cert)
		}
	}
	r.Password = r.Password || c.last("requirepass", "") != ""
	r.Announce = announced(c, plainPort, tlsPort)
	r.Commands = c.renamed()
	return r
}

// unread notes what a file includes and could not be read.
func (h *Host) unread(file string, why []string) {
	for _, one := range why {
		h.note("%s was not read whole: %s", file, one)
	}
}

// announced is the address by which a Redis has itself called; of the port 0,
// which is the default, it is its own.
func announced(c *conf, plainPort, tlsPort string) string {
	either := func(name string) string { return c.last("replica-"+name, c.last("slave-"+name, "")) }
	host, port := either("announce-ip"), either("announce-port")
	if host == "" {
		return ""
	}
	if port == "" || port == "0" {
		if port = plainPort; port == "" || c.last("tls-replication", "no") == "yes" && tlsPort != "" {
			port = tlsPort
		}
	}
	return net.JoinHostPort(host, port)
}

// sentinel is what a Sentinel's file says: it cannot run without one.
func sentinel(ctx context.Context, p Process) (*Sentinel, error) {
	d := p.door(ctx)
	file, err := configFile(ctx, p, d)
	if file == "" {
		return nil, fmt.Errorf("its sentinel.conf was not found: %w", err)
	}
	s, err := ReadSentinel(p, file)
	if err != nil {
		return nil, err
	}
	s.door = d
	return s, nil
}

var (
	errNoAuth   = errors.New("it wants a password")
	errNotAsked = errors.New("it does not answer in plain text, and neither its arguments nor the usual places name one")
	errNoFile   = errors.New("neither it, nor its arguments, nor the usual places name one")
)

// configFile is the file a process was started with: it says so, or its
// arguments do, or a file in one of the usual places has its port.
func configFile(ctx context.Context, p Process, d door) (string, error) {
	ask := gather.Server{Address: d.address}
	if len(p.Sockets) > 0 {
		ask.Socket = p.Sockets[0]
	}
	var info string
	asked := errNotAsked
	if ask.Socket != "" || d.speaks == plain {
		info, asked = ask.Do(ctx, "INFO", "server")
	}
	for line := range strings.Lines(info) {
		if file, ok := strings.CutPrefix(strings.TrimSpace(line), "config_file:"); ok && file != "" {
			return file, nil
		}
	}
	if asked != nil && strings.Contains(asked.Error(), "NOAUTH") {
		asked = errNoAuth
	}
	files, started := drift.Files(p.PID)
	if len(p.Args) > 0 && !strings.HasPrefix(p.Args[0], "-") {
		file := p.Args[0]
		if !filepath.IsAbs(file) && started != "" {
			file = filepath.Join(started, file)
		}
		if _, err := files.Read(file); filepath.IsAbs(file) && err == nil {
			return file, asked
		}
	}
	for _, pattern := range []string{filepath.Join(p.Dir, "*.conf"), "/etc/redis/*.conf", "/etc/redis/*/*.conf", "/etc/redis*.conf", "/etc/valkey/*.conf", "/etc/valkey/*/*.conf", "/etc/valkey*.conf"} {
		if pattern == "*.conf" {
			continue // its directory is not known
		}
		for _, file := range redisconf.Matches(files, pattern) {
			c := p.conf(file)
			plainPort, tlsPort := c.ports("")
			if c.has("sentinel") == p.Sentinel && (hasPort(p, plainPort) || hasPort(p, tlsPort)) {
				return file, asked
			}
		}
	}
	if asked == nil {
		asked = errNoFile
	}
	return "", asked
}
