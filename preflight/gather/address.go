package gather

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog/sorted"
)

// lookupTimeout bounds one look-up: a partition often takes the name server
// with it.
const lookupTimeout = 500 * time.Millisecond

// names turns what Sentinels announce into the one spelling of an address: an
// IP wherever the name has one. Watchdogs spell alike (package sentinel).
type names struct {
	mu    sync.Mutex
	hosts map[string]string
}

// address is host:port, or empty if they are none.
func (n *names) address(ctx context.Context, host, port string) string {
	if v, err := strconv.ParseUint(port, 10, 16); err != nil || v == 0 || host == "" || len(host) > 255 {
		return ""
	}
	return net.JoinHostPort(n.host(ctx, host), port)
}

// spell is address of what is written host:port; what is not comes back as it
// is.
func (n *names) spell(ctx context.Context, address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return n.address(ctx, host, port)
}

func (n *names) host(ctx context.Context, name string) string {
	if ip, err := netip.ParseAddr(name); err == nil {
		return ip.Unmap().String()
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	n.mu.Lock()
	known := n.hosts[name]
	n.mu.Unlock()
	if known != "" {
		return known
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found := name
	if ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name); err == nil && len(ips) > 0 {
		sorted.By(ips, func(a, b netip.Addr) int {
			a, b = a.Unmap(), b.Unmap()
			if a.Is4() != b.Is4() { // IPv4 first, then by spelling: everybody picks the same
				if a.Is4() {
					return -1
				}
				return 1
			}
			return strings.Compare(a.String(), b.String())
		})
		found = ips[0].Unmap().String()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.hosts == nil {
		n.hosts = map[string]string{}
	}
	n.hosts[name] = found
	return found
}
