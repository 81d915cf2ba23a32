package lab

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// RedisConfig is a Redis to be started. The zero value is one that anybody may
// use, that keeps nothing on disk and is a master.
type RedisConfig struct {
	Name      string            // of the process; empty: "redis"
	Binary    string            // empty: "redis-server"
	Port      int               // 0: 6379, or a free one on loopback
	ReplicaOf *Redis            // its credentials are taken as this one's masterauth
	Password  string            // requirepass and masterauth
	Users     []string          // lines of an ACL file, such as "user app on >secret ~* +@all". A user of the lab's own is added, for Do and Client
	ReplUser  string            // with Users: whom replicas (this one, once it is one) log in as
	ReplPass  string            // likewise
	TLS       *CA               // speak nothing but TLS, also to replicas and Sentinels
	Rename    map[string]string // rename-command; the empty string takes a command away
	Announce  string            // replica-announce-ip
	ByName    bool              // announce the host's name, and follow by name
	Lines     []string          // of redis.conf, last, so that they win
	Args      []string          // options behind the file on the command line, which win over it
	Paused    bool              // prepare everything, and leave the start to Restart
}

// Redis is a running redis-server.
type Redis struct {
	*Process
	Port       int
	Address    string // "ip:port" as its group knows it
	Socket     string // a unix socket, which no cut reaches: the test's own way in
	ConfigFile string // Redis rewrites it; Restart reads it as it is then

	config RedisConfig
	client *redis.Client
}

const (
	sideUser     = "lab"
	sidePassword = "side-door"
)

// Redis starts a redis-server and waits until it answers.
func (h *Host) Redis(c RedisConfig) *Redis {
	h.lab.t.Helper()
	if c.Name == "" {
		c.Name = "redis"
	}
	if c.Binary == "" {
		c.Binary = "redis-server"
	}
	if c.Port == 0 {
		c.Port = h.Port(6379)
	}
	p := h.Prepare(Command{Name: c.Name, Path: c.Binary, Args: append([]string{"redis.conf"}, c.Args...)})
	r := &Redis{Process: p, Port: c.Port, config: c,
		Address: net.JoinHostPort(h.IP, strconv.Itoa(c.Port)),
		Socket:  p.Dir + ".sock", ConfigFile: filepath.Join(p.Dir, "redis.conf")}
	if err := os.WriteFile(r.ConfigFile, []byte(strings.Join(r.lines(), "\n")+"\n"), 0o644); err != nil {
		h.lab.t.Fatalf("lab: write configuration of %s: %v", p.Name, err)
	}
	r.client = r.newClient()
	h.lab.t.Cleanup(func() { r.client.Close() })
	if !c.Paused {
		r.Restart()
	}
	return r
}

// Restart starts it (again) and waits until it answers: anything but LOADING.
func (r *Redis) Restart() {
	l := r.Host.lab
	l.t.Helper()
	r.Process.Restart()
	l.Eventually(r.Name+" answers", 30*time.Second, func() error {
		if !r.Running() {
			return fmt.Errorf("it ended: %s", tail(r.Log, 3))
		}
		return r.answers()
	})
}

func (r *Redis) answers() error {
	_, err := r.Try("PING")
	if err != nil && strings.HasPrefix(err.Error(), "MASTERDOWN") {
		return nil
	}
	return err
}

func (r *Redis) lines() []string {
	c, h := r.config, r.Host
	lines := []string{
		"bind " + h.IP + " 127.0.0.1", "protected-mode no", "daemonize no", "dir " + r.Dir, "save \"\"",
		"unixsocket " + r.Socket, "unixsocketperm 777", "repl-diskless-sync yes", "repl-diskless-sync-delay 0",
	}
	if h.namespace == nil {
		lines[0] = "bind 127.0.0.1"
	}
	if c.TLS == nil {
		lines = append(lines, fmt.Sprintf("port %d", c.Port))
	} else {
		lines = append(lines, fmt.Sprintf("port 0\ntls-port %d\ntls-replication yes\ntls-auth-clients optional", c.Port))
		lines = append(lines, c.TLS.redisLines(h)...)
	}
	if c.Password != "" {
		lines = append(lines, "requirepass "+c.Password, "masterauth "+c.Password)
	}
	if len(c.Users) > 0 {
		file := filepath.Join(r.Dir, "users.acl")
		users := append(slices.Clone(c.Users), fmt.Sprintf("user %s on >%s ~* &* +@all", sideUser, sidePassword))
		if err := os.WriteFile(file, []byte(strings.Join(users, "\n")+"\n"), 0o644); err != nil {
			h.lab.t.Fatalf("lab: write users of %s: %v", r.Name, err)
		}
		lines = append(lines, "aclfile "+file)
	}
	if c.ReplUser != "" {
		lines = append(lines, "masteruser "+c.ReplUser, "masterauth "+c.ReplPass)
	}
	if c.ByName && c.Announce == "" {
		c.Announce = h.Name
	}
	if c.Announce != "" {
		lines = append(lines, "replica-announce-ip "+c.Announce)
	}
	for _, command := range sortedKeys(c.Rename) {
		lines = append(lines, fmt.Sprintf("rename-command %s %q", command, c.Rename[command]))
	}
	if m := c.ReplicaOf; m != nil {
		at := m.Host.IP
		if c.ByName {
			at = m.Host.Name
		}
		lines = append(lines, fmt.Sprintf("replicaof %s %d", at, m.Port))
	}
	return append(lines, c.Lines...)
}

// Client is a go-redis client on the unix socket: every cut lets it through.
// It is closed with the lab.
func (r *Redis) Client() *redis.Client { return r.client }

func (r *Redis) newClient() *redis.Client {
	o := &redis.Options{
		Network: "unix", Addr: r.Socket, MaxRetries: -1, PoolSize: 4,
		DialTimeout: time.Second, ReadTimeout: 2 * time.Second, ContextTimeoutEnabled: true,
		DisableIdentity: true, MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		Protocol: 2,
	}
	as := r.sideDoor()
	o.Username, o.Password = as.user, as.password
	return redis.NewClient(o)
}

func (r *Redis) sideDoor() login {
	if len(r.config.Users) > 0 {
		return login{sideUser, sidePassword}
	}
	return login{"", r.config.Password}
}

// ClientFrom is a go-redis client that stands on another host, where cuts
// count. It does not retry. It is closed with the lab.
func (r *Redis) ClientFrom(h *Host) *redis.Client {
	o := *r.client.Options()
	o.Network, o.Addr, o.Dialer = "tcp", r.Address, h.Dial
	if r.config.TLS != nil {
		o.Dialer = tlsDialer(h.Dial, r.config.TLS.ClientConfig())
	}
	client := redis.NewClient(&o)
	h.lab.t.Cleanup(func() { client.Close() })
	return client
}

// Try sends one command through the side door, on a connection of its own,
// two seconds at most. The reply is a string, int64, nil or []any.
func (r *Redis) Try(args ...any) (any, error) {
	w, err := r.sideWire()
	if err != nil {
		return nil, err
	}
	defer w.close()
	return w.do(2*time.Second, words(args)...)
}

// Do is Try, and an error ends the test. A missing key is nil.
func (r *Redis) Do(args ...any) any {
	r.Host.lab.t.Helper()
	reply, err := r.Try(args...)
	if err != nil {
		r.Host.lab.t.Fatalf("lab: %s: %v: %v", r.Name, args, err)
	}
	return reply
}

func (r *Redis) sideWire() (*wire, error) {
	return dialWire(r.Host.lab.ctx, new(net.Dialer).DialContext, "unix", r.Socket, r.sideDoor(), time.Second)
}

// Config is the value of one parameter, as CONFIG GET has it.
func (r *Redis) Config(parameter string) string {
	r.Host.lab.t.Helper()
	reply, _ := r.Do("CONFIG", "GET", parameter).([]any)
	if len(reply) != 2 {
		r.Host.lab.t.Fatalf("lab: %s: CONFIG GET %s: %v", r.Name, parameter, reply)
	}
	return fmt.Sprint(reply[1])
}

// Info is the fields of INFO, all sections.
func (r *Redis) Info() map[string]string {
	r.Host.lab.t.Helper()
	return parseInfo(fmt.Sprint(r.Do("INFO", "everything")))
}

func parseInfo(text string) map[string]string {
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[key] = value
		}
	}
	return fields
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

func tlsDialer(dial dialFunc, config *tls.Config) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		raw, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c := config.Clone()
		if c.ServerName == "" {
			c.ServerName, _, _ = net.SplitHostPort(address)
		}
		conn := tls.Client(raw, c)
		if err := conn.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, fmt.Errorf("shake hands with %s: %w", address, err)
		}
		return conn, nil
	}
}
