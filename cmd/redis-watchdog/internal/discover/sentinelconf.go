package discover

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/preflight/gather"
)

// Sentinel is what a sentinel.conf says. Sentinel writes into it what it finds
// out, so that it is never older than the group.
type Sentinel struct {
	File     string
	Groups   []Monitored
	Password bool     // it wants one of its clients
	TLS      *TLS     // it tells the others its TLS port; nil: the other
	Port     string   // the one it tells the others
	Announce string   // host:port by which the others know it; empty: not set
	Unread   []string // what its file includes and could not be read, and why

	door  door
	files TLS // of a client of its TLS port
}

// Monitored is one "sentinel monitor".
type Monitored struct {
	Name      string
	Master    string // host:port
	Replicas  []string
	Sentinels []string // the others
	Unread    []string // what it lists and no Redis or Sentinel can be, as it stands there
}

// ReadSentinel reads the file of a Sentinel, and what that includes.
func ReadSentinel(p Process, file string) (*Sentinel, error) {
	c := p.conf(file)
	if len(c.lines) == 0 {
		return nil, fmt.Errorf("nothing was read: %s", strings.Join(c.unread, "; "))
	}
	s := &Sentinel{File: file, Unread: c.unread}
	var ip, announcedPort string
	for _, d := range c.lines {
		words := d.Args
		if len(words) < 1 {
			continue
		}
		switch d.Name {
		case "requirepass":
			s.Password = words[0] != ""
		case "user":
			s.Password = s.Password || words[0] == "default" && !contains(words, "nopass")
		case "sentinel":
			switch strings.ToLower(words[0]) {
			case "announce-ip":
				ip = words[len(words)-1]
			case "announce-port":
				announcedPort = words[len(words)-1]
			default:
				s.monitored(words)
			}
		}
	}
	// sentinelSendHello, sentinel.c.
	plainPort, tlsPort := c.ports("26379")
	s.files = c.secrets()
	if s.Port = plainPort; tlsPort != "" && (plainPort == "" || c.last("tls-replication", "no") == "yes") {
		s.TLS, s.Port = &s.files, tlsPort
	}
	if announcedPort == "" || announcedPort == "0" {
		announcedPort = s.Port
	}
	if ip != "" {
		s.Announce = net.JoinHostPort(ip, announcedPort)
	}
	return s, nil
}

// ask adds what the Sentinel says itself, where it answers us: its file may be
// one that it cannot write. What its file alone has stands.
func (m *Monitored) ask(ctx context.Context, s *Sentinel) {
	c := gather.SentinelConfig{Group: m.Name, Addresses: []string{s.door.address}}
	if s.door.speaks == secured {
		t := config.TLS{CA: s.files.CA, Cert: s.files.Cert, Key: s.files.Key, ServerName: s.door.named}
		secure, err := t.Client()
		if err != nil {
			return
		}
		c.TLS = secure
	}
	for _, said := range gather.Sentinels(ctx, c) {
		if said.Error != "" {
			continue // it wants a password, say; init connects to each in the end
		}
		if m.Master == "" {
			m.Master = said.Master
		} else if !sameAddress(m.Master, said.Master) {
			m.Replicas = another(m.Replicas, said.Master)
		}
		for _, r := range said.Replicas {
			m.Replicas = another(m.Replicas, r.Address)
		}
		if said.Address == s.door.address { // to the others it is one of the others itself
			for _, peer := range said.Peers {
				m.Sentinels = another(m.Sentinels, peer)
			}
		}
	}
}

// another adds an address that is not there, by whatever name.
func another(all []string, address string) []string {
	if slices.ContainsFunc(all, func(one string) bool { return sameAddress(one, address) }) {
		return all
	}
	return append(all, address)
}

// monitored takes in a line that is about one group: its words behind
// "sentinel".
func (s *Sentinel) monitored(words []string) {
	if len(words) < 4 {
		return
	}
	kind, name, at := strings.ToLower(words[0]), words[1], net.JoinHostPort(words[2], words[3])
	if port, err := strconv.ParseUint(words[3], 10, 16); err != nil || port == 0 || words[2] == "" {
		if kind == "monitor" || strings.HasPrefix(kind, "known-") {
			// redis-cli --rdb at a master leaves a replica at port 0.
			g := s.group(name)
			g.Unread = append(g.Unread, kind+" "+at)
		}
		return
	}
	switch kind {
	case "monitor":
		s.group(name).Master = at
	case "known-replica", "known-slave":
		g := s.group(name)
		g.Replicas = append(g.Replicas, at)
	case "known-sentinel":
		g := s.group(name)
		g.Sentinels = append(g.Sentinels, at)
	}
}

func (s *Sentinel) group(name string) *Monitored {
	for i := range s.Groups {
		if s.Groups[i].Name == name {
			return &s.Groups[i]
		}
	}
	s.Groups = append(s.Groups, Monitored{Name: name})
	return &s.Groups[len(s.Groups)-1]
}

func contains(words []string, word string) bool {
	for _, w := range words {
		if strings.EqualFold(w, word) {
			return true
		}
	}
	return false
}
