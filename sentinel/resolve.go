package sentinel

// From what Sentinels announce to the one spelling of an Address.

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

const (
	lookupTimeout = time.Second
	lookupAgain   = 30 * time.Second // a name that resolved is looked up again this much later, in the background
	lookupRetry   = 5 * time.Second  // one that did not
	maxNames      = 1024
)

// resolver turns host and port into an Address. A host name is looked up the
// first time it is met, by whoever meets it; later only in the background, and
// what was known stays known while the lookup fails: a partition often takes
// the name server with it.
type resolver struct {
	lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	now    func() watchdog.Instant
	ctx    context.Context // ends the lookups in the background
	wg     sync.WaitGroup

	mu    sync.Mutex
	news  uint64 // counts up with every IP that is found for a name
	hosts map[string]*host
	texts map[string]string // one copy of each of the few texts that come again and again
}

type host struct {
	text   string // an IP, or the name itself while none was ever found
	found  bool
	failed bool             // the last lookup came to nothing
	askAt  watchdog.Instant // when to look it up again
	asking bool
	isName bool
}

// resolved says that the address has an IP. One that is still a name has never
// been looked up with success: whose it is is not known.
func resolved(a watchdog.Address) bool {
	_, err := netip.ParseAddrPort(string(a))
	return err == nil
}

func newResolver(ctx context.Context, now func() watchdog.Instant) *resolver {
	return &resolver{
		ctx: ctx, now: now, hosts: make(map[string]*host), texts: make(map[string]string),
		lookup: func(ctx context.Context, name string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		},
	}
}

// Address is host and port in the one spelling, or empty if they are none.
func (r *resolver) Address(hostname, port string) watchdog.Address {
	a, _ := r.address(hostname, port, true)
	return a
}

// address is Address; unless it shall wait, a name that was never met is not looked
// up, and said to be unmet.
func (r *resolver) address(hostname, port string, wait bool) (a watchdog.Address, met bool) {
	n, ok := number(port)
	if !ok || n <= 0 || n > 65535 || len(hostname) == 0 || len(hostname) > 255 {
		return "", true
	}
	host, met := r.host(hostname, wait)
	if !met {
		return "", false
	}
	return watchdog.Address(r.As(host, port)), true
}

// glance is a resolver that waits for no lookup.
type glance struct {
	*resolver
	missed bool // a name that was never met: what was read is to be read again, with time
}

// Address is the resolver's Address, or empty where that would have to wait.
func (g *glance) Address(hostname, port string) watchdog.Address {
	a, met := g.address(hostname, port, false)
	g.missed = g.missed || !met
	return a
}

// Same is Address of what is spelled host:port, without waiting for any lookup:
// what has never been met before is looked up in the background.
func (r *resolver) Same(spelled string) watchdog.Address {
	if spelled == "" { // with every poll, where nothing is announced
		return ""
	}
	name, port, err := net.SplitHostPort(spelled)
	if err != nil || name == "" {
		return watchdog.Address(spelled)
	}
	r.mu.Lock()
	if r.hosts[name] == nil {
		r.add(name)
	}
	r.mu.Unlock()
	return r.Address(name, port)
}

// Answers says that what is spelled host:port is an IP, or a name that was found
// when it was last looked up in this life.
func (r *resolver) Answers(spelled string) bool {
	name, _, err := net.SplitHostPort(spelled)
	if err != nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.hosts[name]
	if h == nil {
		return newHost(name).found
	}
	return h.found && !h.failed && (!h.isName || h.askAt != 0)
}

// Known is host:port with the IP that was last found for the name; false: none
// ever was, or it is no name.
func (r *resolver) Known(spelled string) (string, bool) {
	name, port, err := net.SplitHostPort(spelled)
	if err != nil {
		return "", false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.hosts[name]
	if h == nil || !h.isName || !h.found {
		return "", false
	}
	return net.JoinHostPort(h.text, port), true
}

// Recall takes in what names were found to be in an earlier life. They are looked
// up again in the background when they are met.
func (r *resolver) Recall(names map[string]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, ip := range names {
		a, err := netip.ParseAddr(ip)
		if h := newHost(name); err == nil && h.isName && len(r.hosts) < maxNames {
			h.text, h.found = a.Unmap().String(), true
			r.hosts[name] = h
		}
	}
}

// Found are all names for which an IP was found, and a number that is another
// whenever they are.
func (r *resolver) Found() (names map[string]string, news uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	names = make(map[string]string, len(r.hosts))
	for name, h := range r.hosts {
		if h.isName && h.found {
			names[name] = h.text
		}
	}
	return names, r.news
}

// News is the number that Found would tell.
func (r *resolver) News() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.news
}

// add makes a host known; it is not looked up. What was found is kept as long as
// there is room: it may not be found again. Under r.mu.
func (r *resolver) add(name string) *host {
	if len(r.hosts) >= maxNames {
		maps.DeleteFunc(r.hosts, func(_ string, h *host) bool { return !h.isName || !h.found })
	}
	if len(r.hosts) >= maxNames {
		clear(r.hosts)
	}
	h := newHost(name)
	r.hosts[name] = h
	return h
}

// Text is text, of which one copy is kept however often it comes.
func (r *resolver) Text(text string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.intern([]byte(text))
}

func (r *resolver) intern(b []byte) string {
	if s, ok := r.texts[string(b)]; ok {
		return s
	}
	if len(r.texts) >= 4*maxNames {
		clear(r.texts) // garbage; the copies given out live on
	}
	s := string(b)
	r.texts[s] = s
	return s
}

// As is host and port as they are spelled.
func (r *resolver) As(hostname, port string) string {
	var room [300]byte
	b := room[:0]
	if strings.IndexByte(hostname, ':') >= 0 {
		b = append(append(append(b, '['), hostname...), ']')
	} else {
		b = append(b, hostname...)
	}
	b = append(append(b, ':'), port...)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.intern(b)
}

func (r *resolver) host(name string, wait bool) (text string, met bool) {
	r.mu.Lock()
	h := r.hosts[name]
	if h != nil && (!h.isName || h.asking || r.now() < h.askAt || r.ctx.Err() != nil) {
		defer r.mu.Unlock()
		return h.text, true
	}
	first := h == nil
	if first {
		if !wait && newHost(name).isName {
			r.mu.Unlock()
			return "", false
		}
		if h = r.add(name); !h.isName {
			r.mu.Unlock()
			return h.text, true
		}
	}
	h.asking = true
	if first {
		r.mu.Unlock()
		r.ask(name, h)
		r.mu.Lock()
		defer r.mu.Unlock()
		return h.text, true
	}
	defer r.mu.Unlock()
	r.wg.Go(func() { r.ask(name, h) })
	return h.text, true
}

// wait ends with the last lookup in the background. r.ctx has ended before, so
// that none begins any more.
func (r *resolver) wait() {
	r.mu.Lock()
	//lint:ignore SA2001 Whoever saw r.ctx alive has begun by now.
	r.mu.Unlock()
	r.wg.Wait()
}

func newHost(name string) *host {
	if ip, err := netip.ParseAddr(name); err == nil {
		return &host{text: ip.Unmap().String(), found: true}
	}
	return &host{text: strings.ToLower(strings.TrimSuffix(name, ".")), isName: true}
}

func (r *resolver) ask(name string, h *host) {
	ctx, cancel := context.WithTimeout(r.ctx, lookupTimeout)
	defer cancel()
	ips, err := r.lookup(ctx, name)
	r.mu.Lock()
	defer r.mu.Unlock()
	h.asking = false
	if h.failed = err != nil || len(ips) == 0; h.failed {
		h.askAt = r.now().Add(lookupRetry)
		return
	}
	h.askAt = r.now().Add(lookupAgain)
	texts := make([]string, len(ips))
	for i, ip := range ips {
		texts[i] = ip.Unmap().String()
	}
	if h.found && slices.Contains(texts, h.text) {
		return // of several the one we know: it must not flutter
	}
	// IPv4 first, then in order of spelling: every watchdog picks the same.
	slices.SortFunc(texts, func(a, b string) int {
		if four := strings.Contains(a, ":"); four != strings.Contains(b, ":") {
			if four {
				return 1
			}
			return -1
		}
		return strings.Compare(a, b)
	})
	h.text, h.found = texts[0], true
	r.news++
}
