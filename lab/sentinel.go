package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Monitor is one group as a Sentinel is told to watch it.
type Monitor struct {
	Group           string        // empty: "mymaster"
	Master          *Redis        // or
	MasterAddress   string        // "host:port"
	Quorum          int           // 0: 2
	DownAfter       time.Duration // 0: 2 s, see package pace
	FailoverTimeout time.Duration // 0: 10 s
	ParallelSyncs   int           // 0: 1
	User, Password  string        // auth-user and auth-pass; empty: the Master's own password
	Lines           []string      // further ones, written with %[1]s where the group's name goes
}

// SentinelConfig is a Sentinel to be started.
type SentinelConfig struct {
	Name              string // of the process; empty: "sentinel"
	Binary            string // empty: "redis-sentinel"
	Port              int    // 0: 26379, or a free one on loopback
	Monitors          []Monitor
	Password          string // its own: clients and other Sentinels need it
	ResolveHostnames  bool
	AnnounceHostnames bool
	ByName            bool // both of these, and it monitors and announces itself by names
	TLS               *CA
	Lines             []string
	Paused            bool // prepare everything, and leave the start to Restart
}

// Sentinel is a running redis-sentinel.
type Sentinel struct {
	*Process
	Port       int
	Address    string
	ConfigFile string

	config SentinelConfig
	dial   dialFunc // from its own host: no cut is in between
}

// Sentinel starts a Sentinel and waits until it answers. Start it after its
// replicas are in step: it asks masters for them every 10 s only.
func (h *Host) Sentinel(c SentinelConfig) *Sentinel {
	h.lab.t.Helper()
	if c.Name == "" {
		c.Name = "sentinel"
	}
	if c.Binary == "" {
		c.Binary = "redis-sentinel"
	}
	if c.Port == 0 {
		c.Port = h.Port(26379)
	}
	p := h.Prepare(Command{Name: c.Name, Path: c.Binary, Args: []string{"sentinel.conf"}})
	s := &Sentinel{Process: p, Port: c.Port, config: c, dial: h.Dial,
		Address:    net.JoinHostPort(h.IP, strconv.Itoa(c.Port)),
		ConfigFile: filepath.Join(p.Dir, "sentinel.conf")}
	if c.TLS != nil {
		s.dial = tlsDialer(h.Dial, c.TLS.ClientConfig())
	}
	s.WriteConfig()
	if !c.Paused {
		s.Restart()
	}
	return s
}

// WriteConfig writes sentinel.conf as configured, as a configuration manager
// would: what Sentinel had added to it is lost, its epochs with it.
func (s *Sentinel) WriteConfig() {
	s.Host.lab.t.Helper()
	if err := os.WriteFile(s.ConfigFile, []byte(strings.Join(s.lines(), "\n")+"\n"), 0o644); err != nil {
		s.Host.lab.t.Fatalf("lab: write configuration of %s: %v", s.Name, err)
	}
}

// Restart starts it (again) and waits until it answers.
func (s *Sentinel) Restart() {
	l := s.Host.lab
	l.t.Helper()
	s.Process.Restart()
	l.Eventually(s.Name+" answers", 20*time.Second, func() error {
		if !s.Running() {
			return fmt.Errorf("it ended: %s", tail(s.Log, 3))
		}
		_, err := s.Try("PING")
		return err
	})
}

func (s *Sentinel) lines() []string {
	c, h := s.config, s.Host
	// The first is also where 6.0 connects from.
	lines := []string{"bind " + h.IP + " 127.0.0.1", "protected-mode no", "daemonize no", "dir " + s.Dir}
	if h.namespace == nil {
		lines[0] = "bind 127.0.0.1"
	}
	if c.TLS == nil {
		lines = append(lines, fmt.Sprintf("port %d", c.Port))
	} else {
		lines = append(lines, fmt.Sprintf("port 0\ntls-port %d\ntls-replication yes\ntls-auth-clients optional", c.Port))
		lines = append(lines, c.TLS.redisLines(h)...)
	}
	// Before the monitors, which may carry names.
	if c.ResolveHostnames || c.ByName {
		lines = append(lines, "sentinel resolve-hostnames yes")
	}
	if c.AnnounceHostnames || c.ByName {
		lines = append(lines, "sentinel announce-hostnames yes")
	}
	if c.ByName {
		lines = append(lines, "sentinel announce-ip "+h.Name)
	}
	if c.Password != "" {
		lines = append(lines, "requirepass "+c.Password)
	}
	for _, m := range c.Monitors {
		if c.ByName && m.Master != nil && m.MasterAddress == "" {
			m.MasterAddress = net.JoinHostPort(m.Master.Host.Name, strconv.Itoa(m.Master.Port))
		}
		lines = append(lines, m.lines()...)
	}
	return append(lines, c.Lines...)
}

func (m Monitor) lines() []string {
	m = m.withDefaults()
	host, port, _ := net.SplitHostPort(m.MasterAddress)
	lines := []string{
		fmt.Sprintf("sentinel monitor %s %s %s %d", m.Group, host, port, m.Quorum),
		fmt.Sprintf("sentinel down-after-milliseconds %s %d", m.Group, m.DownAfter.Milliseconds()),
		fmt.Sprintf("sentinel failover-timeout %s %d", m.Group, m.FailoverTimeout.Milliseconds()),
		fmt.Sprintf("sentinel parallel-syncs %s %d", m.Group, m.ParallelSyncs),
	}
	if m.User != "" {
		lines = append(lines, fmt.Sprintf("sentinel auth-user %s %s", m.Group, m.User))
	}
	if m.Password != "" {
		lines = append(lines, fmt.Sprintf("sentinel auth-pass %s %s", m.Group, m.Password))
	}
	for _, line := range m.Lines {
		lines = append(lines, strings.ReplaceAll(line, "%[1]s", m.Group))
	}
	return lines
}

func (m Monitor) withDefaults() Monitor {
	if m.Group == "" {
		m.Group = "mymaster"
	}
	if m.Master != nil && m.MasterAddress == "" {
		m.MasterAddress = m.Master.Address
	}
	if m.Master != nil && m.Password == "" {
		m.Password = m.Master.config.Password
	}
	if m.Quorum == 0 {
		m.Quorum = 2
	}
	if m.DownAfter == 0 {
		m.DownAfter = 2 * time.Second
	}
	if m.FailoverTimeout == 0 {
		m.FailoverTimeout = 10 * time.Second
	}
	if m.ParallelSyncs == 0 {
		m.ParallelSyncs = 1
	}
	return m
}

// Try sends one command from the Sentinel's own host, so that no cut is in
// between. The reply is a string, int64, nil or []any.
func (s *Sentinel) Try(args ...any) (any, error) {
	w, err := dialWire(s.Host.lab.ctx, s.dial, "tcp", s.Address, login{"", s.config.Password}, 3*time.Second)
	if err != nil {
		return nil, err
	}
	defer w.close()
	return w.do(2*time.Second, words(args)...)
}

// Do is Try, and an error ends the test.
func (s *Sentinel) Do(args ...any) any {
	s.Host.lab.t.Helper()
	reply, err := s.Try(args...)
	if err != nil {
		s.Host.lab.t.Fatalf("lab: %s: %v: %v", s.Name, args, err)
	}
	return reply
}

// Rotate gives it another password (requirepass, as ACL SETUSER sets it) and puts
// every client out; Do and Try use the new one.
func (s *Sentinel) Rotate(password string) {
	s.Host.lab.t.Helper()
	s.Do("ACL", "SETUSER", "default", "resetpass", ">"+password)
	s.config.Password = password
	s.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no")
}

// MyID is its id, as its file has it; empty: it has none yet.
func (s *Sentinel) MyID() string {
	s.Host.lab.t.Helper()
	text, err := os.ReadFile(s.ConfigFile)
	if err != nil {
		s.Host.lab.t.Fatalf("lab: read configuration of %s: %v", s.Name, err)
	}
	for line := range strings.Lines(string(text)) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "sentinel myid "); ok {
			return id
		}
	}
	return ""
}

// Master is whom it names as the group's master now ("ip:port"), by
// GET-MASTER-ADDR-BY-NAME; empty: it does not answer or knows no such group. A
// host that it names is given by its IP.
func (s *Sentinel) Master(group string) string {
	reply, err := s.Try("SENTINEL", "GET-MASTER-ADDR-BY-NAME", group)
	if err != nil {
		return ""
	}
	return s.Host.lab.resolve(joinAddress(reply))
}

func joinAddress(reply any) string {
	pair, _ := reply.([]any)
	if len(pair) != 2 {
		return ""
	}
	return net.JoinHostPort(fmt.Sprint(pair[0]), fmt.Sprint(pair[1]))
}

// State is SENTINEL MASTER's fields; nil: it does not answer.
func (s *Sentinel) State(group string) map[string]string {
	reply, err := s.Try("SENTINEL", "MASTER", group)
	if err != nil {
		return nil
	}
	return fieldsOf(reply)
}

// Epoch is its config epoch of the group; 0: it does not answer.
func (s *Sentinel) Epoch(group string) uint64 {
	epoch, _ := strconv.ParseUint(s.State(group)["config-epoch"], 10, 64)
	return epoch
}

// Replicas is SENTINEL REPLICAS.
func (s *Sentinel) Replicas(group string) []map[string]string { return s.list("REPLICAS", group) }

// Sentinels is SENTINEL SENTINELS: the others.
func (s *Sentinel) Sentinels(group string) []map[string]string { return s.list("SENTINELS", group) }

func (s *Sentinel) list(what, group string) []map[string]string {
	reply, err := s.Try("SENTINEL", what, group)
	if err != nil {
		return nil
	}
	elements, _ := reply.([]any)
	list := make([]map[string]string, 0, len(elements))
	for _, element := range elements {
		list = append(list, fieldsOf(element))
	}
	return list
}

func fieldsOf(reply any) map[string]string {
	flat, _ := reply.([]any)
	fields := map[string]string{}
	for i := 0; i+1 < len(flat); i += 2 {
		fields[fmt.Sprint(flat[i])] = fmt.Sprint(flat[i+1])
	}
	return fields
}

// stable says what is missing until this Sentinel knows the whole group, and
// holds nothing in it for down.
func (s *Sentinel) stable(group string, replicas, sentinels int) error {
	state := s.State(group)
	if state == nil {
		return fmt.Errorf("%s does not answer", s.Name)
	}
	if state["flags"] != "master" {
		return fmt.Errorf("%s: the master is %s", s.Name, state["flags"])
	}
	known := s.Replicas(group)
	if len(known) != replicas {
		return fmt.Errorf("%s knows %d of %d replicas", s.Name, len(known), replicas)
	}
	for _, r := range known {
		if r["flags"] != "slave" || r["master-link-status"] != "ok" || r["master-port"] != state["port"] {
			return fmt.Errorf("%s: replica %s is %s, its link %s", s.Name, r["name"], r["flags"], r["master-link-status"])
		}
	}
	others := s.Sentinels(group)
	if len(others) != sentinels-1 {
		return fmt.Errorf("%s knows %d of %d other Sentinels", s.Name, len(others), sentinels-1)
	}
	for _, o := range others {
		if o["flags"] != "sentinel" {
			return fmt.Errorf("%s: Sentinel %s is %s", s.Name, o["name"], o["flags"])
		}
	}
	return nil
}

// WaitStable waits until all these Sentinels know one another and that many
// replicas, with every link up, and name the same master.
func (l *Lab) WaitStable(group string, replicas int, sentinels ...*Sentinel) {
	l.t.Helper()
	l.Eventually("group "+group+" is stable", 45*time.Second, func() error {
		named := map[string]bool{}
		for _, s := range sentinels {
			if err := s.stable(group, replicas, len(sentinels)); err != nil {
				return err
			}
			named[s.Master(group)] = true
		}
		if len(named) != 1 {
			return errors.New("they name different masters")
		}
		return nil
	})
	l.Mark("group %s is stable", group)
}

// ClientFrom is a go-redis client of this Sentinel that stands on a host. It
// is closed with the lab.
func (s *Sentinel) ClientFrom(h *Host) *redis.SentinelClient {
	dial := dialFunc(h.Dial)
	if s.config.TLS != nil {
		dial = tlsDialer(dial, s.config.TLS.ClientConfig())
	}
	client := redis.NewSentinelClient(&redis.Options{
		Addr: s.Address, Password: s.config.Password, Protocol: 2, MaxRetries: -1, ContextTimeoutEnabled: true, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		Dialer: func(ctx context.Context, network, address string) (net.Conn, error) {
			return dial(ctx, network, address)
		},
	})
	h.lab.t.Cleanup(func() { client.Close() })
	return client
}
