package setup

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/redis-watchdog/redis-watchdog/preflight/redisconf"
)

// Sentinel is what a sentinel.conf says. Sentinel writes into it what it finds
// out, so that it is never older than the group.
type Sentinel struct {
	File     string
	Groups   []Monitored
	Password bool   // it wants one of its clients
	TLS      bool   // it speaks TLS only
	Announce string // host:port by which the others know it; empty: not set
}

// Monitored is one "sentinel monitor".
type Monitored struct {
	Name      string
	Master    string // host:port
	Replicas  []string
	Sentinels []string // the others
	Unread    []string // what it lists and no Redis or Sentinel can be, as it stands there
}

// ReadSentinel reads the file of a Sentinel.
func ReadSentinel(file string) (*Sentinel, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read sentinel.conf: %w", err)
	}
	s := &Sentinel{File: file}
	var port, tlsPort, ip, announcedPort string
	for line := range strings.Lines(string(text)) {
		words, ok := redisconf.Split(strings.TrimSpace(line))
		if !ok || len(words) < 2 || strings.HasPrefix(words[0], "#") {
			continue
		}
		switch key := strings.ToLower(words[0]); key {
		case "port":
			port = words[1]
		case "tls-port":
			tlsPort = words[1]
		case "requirepass":
			s.Password = words[1] != ""
		case "user":
			s.Password = s.Password || words[1] == "default" && !contains(words, "nopass")
		case "sentinel":
			switch strings.ToLower(words[1]) {
			case "announce-ip":
				ip = words[min(2, len(words)-1)]
			case "announce-port":
				announcedPort = words[min(2, len(words)-1)]
			default:
				s.monitored(words[1:])
			}
		}
	}
	s.TLS = port == "0" && tlsPort != "" && tlsPort != "0"
	if announcedPort == "" || announcedPort == "0" {
		announcedPort = port
		if s.TLS {
			announcedPort = tlsPort
		}
	}
	if announcedPort == "" {
		announcedPort = "26379"
	}
	if ip != "" {
		s.Announce = net.JoinHostPort(ip, announcedPort)
	}
	return s, nil
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
