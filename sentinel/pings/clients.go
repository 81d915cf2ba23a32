package pings

// Which connections are the Sentinels', from CLIENT LIST.

import (
	"net/netip"
	"strings"
)

// Sentinel is one that is known.
type Sentinel struct {
	ID      string     // its run id
	Address netip.Addr // as the others know it; zero: not known
	Unasked bool       // we get no answer from it: its PINGs are of interest
}

func (s Sentinel) shown() string {
	if s.ID == "" {
		return s.Address.String()
	}
	return s.ID[:min(idShown, len(s.ID))]
}

// idShown is how much of its id a Sentinel puts into a connection's name
// (sentinel.c, sentinelSetClientName).
const idShown = 8

// client is one connection of a Sentinel to our Redis.
type client struct {
	sentinel      int // which of those known
	remote, local netip.AddrPort
	user          string // empty: Redis does not tell
}

// clientsOf finds in CLIENT LIST the connections on which known Sentinels send
// their commands. A line that cannot be read is none. local is zero before Redis
// 6.2.
//
// Any client may give itself any name. So it must come from where one of the
// known Sentinels is; or, where an address is translated on the way, be logged in
// as one that does: whoever may log in as a Sentinel may send SLAVEOF too, and
// needs no disguise.
func clientsOf(list string, known []Sentinel) []client {
	var all []client
	users := map[string]bool{}
	for line := range strings.Lines(list) {
		c, ok := clientOf(line, known)
		if !ok {
			continue
		}
		all = append(all, c)
		if at := known[c.sentinel].Address; at.IsValid() && at == c.remote.Addr() {
			users[c.user] = true
		}
	}
	var genuine []client
	for _, c := range all {
		if users[c.user] || fromOne(c.remote.Addr(), known) {
			genuine = append(genuine, c)
		}
	}
	return genuine
}

func fromOne(at netip.Addr, known []Sentinel) bool {
	for _, s := range known {
		if s.Address.IsValid() && s.Address == at {
			return true
		}
	}
	return false
}

func clientOf(line string, known []Sentinel) (c client, ok bool) {
	var name string
	for word := range strings.FieldsSeq(line) {
		switch key, value, _ := strings.Cut(word, "="); key {
		case "name":
			name = value
		case "user":
			c.user = value
		case "addr":
			c.remote = addrPort(value)
		case "laddr":
			c.local = addrPort(value)
		}
	}
	id, found := strings.CutPrefix(name, "sentinel-")
	id, cmd := strings.CutSuffix(id, "-cmd")
	if !found || !cmd || len(id) != idShown || !c.remote.IsValid() {
		return c, false
	}
	c.sentinel = -1
	for i, s := range known {
		if len(s.ID) > idShown && s.ID[:idShown] == id {
			if c.sentinel >= 0 {
				return c, false // two of them begin alike
			}
			c.sentinel = i
		}
	}
	return c, c.sentinel >= 0
}

func addrPort(text string) netip.AddrPort {
	ap, err := netip.ParseAddrPort(text)
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
