package lab

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

// EtcdConfig is an etcd cluster to be started.
type EtcdConfig struct {
	Binary       string // empty: EtcdBinary
	TLS          *CA    // for clients; peers stay plain
	ClientCerts  bool   // with TLS: a client certificate is demanded, its common name is the user
	RootPassword string // not empty: authentication is on, user root has it; others are added by Client
	Fsync        bool   // as in production; false keeps a busy disk out of the timing, and survives a kill, not a power cut
	Args         []string
}

// Etcd is a running cluster, a member on each of its hosts.
type Etcd struct {
	Members []*Member

	lab    *Lab
	config EtcdConfig
}

// Member is a process of the cluster.
type Member struct {
	*Process
	Endpoint string // its client URL
	Address  string // of it, "ip:port"
	PeerPort int
	DataDir  string
}

// Etcd starts a cluster with one member on each host (empty: a, b and c) and
// waits until it is healthy.
func (l *Lab) Etcd(c EtcdConfig, hosts ...*Host) *Etcd {
	l.t.Helper()
	e := l.StartEtcd(c, hosts...)
	e.Ready()
	return e
}

// StartEtcd is Etcd without the wait for an election: Ready has to be called
// before the cluster is used.
func (l *Lab) StartEtcd(c EtcdConfig, hosts ...*Host) *Etcd {
	l.t.Helper()
	if len(hosts) == 0 {
		hosts = l.Hosts("a", "b", "c")
	}
	if c.Binary == "" {
		binary, err := EtcdBinary()
		if err != nil {
			l.t.Fatalf("lab: %v", err)
		}
		c.Binary = binary
	}
	e := &Etcd{lab: l, config: c}
	var cluster []string
	for _, h := range hosts {
		m := e.prepare(h)
		e.Members = append(e.Members, m)
		cluster = append(cluster, fmt.Sprintf("%s=http://%s:%d", m.id(), h.IP, m.PeerPort))
	}
	for _, m := range e.Members {
		m.command.Args = e.args(m, strings.Join(cluster, ","))
		m.Restart()
	}
	return e
}

// Ready waits until a cluster that StartEtcd made is healthy, and makes its users.
func (e *Etcd) Ready() {
	e.lab.t.Helper()
	e.WaitHealthy()
	if e.config.RootPassword != "" {
		e.enableUsers()
	}
}

// prepare makes a member that is not started yet.
func (e *Etcd) prepare(h *Host) *Member {
	scheme := "http"
	if e.config.TLS != nil {
		scheme = "https"
	}
	p := h.Prepare(Command{Name: "etcd", Path: e.config.Binary})
	m := &Member{Process: p, PeerPort: h.Port(2380), DataDir: filepath.Join(p.Dir, "data"), Address: net.JoinHostPort(h.IP, strconv.Itoa(h.Port(2379)))}
	m.Endpoint = scheme + "://" + m.Address
	return m
}

// Joiner makes a member on the host that joins the cluster of those that are left
// of it, once it was added there by its name, host-etcd. It is not started yet.
func (e *Etcd) Joiner(h *Host, left ...*Member) *Member {
	e.lab.t.Helper()
	m := e.prepare(h)
	var cluster []string
	for _, one := range append(slices.Clone(left), m) {
		cluster = append(cluster, fmt.Sprintf("%s=http://%s:%d", one.id(), one.Host.IP, one.PeerPort))
	}
	m.command.Args = append(e.args(m, strings.Join(cluster, ",")), "--initial-cluster-state=existing")
	return m
}

// Move gives a member other ports, as of its next start. The cluster has to be told
// before.
func (e *Etcd) Move(m *Member, client, peer int) {
	m.PeerPort, m.Address = peer, net.JoinHostPort(m.Host.IP, strconv.Itoa(client))
	scheme, _, _ := strings.Cut(m.Endpoint, "://")
	m.Endpoint = scheme + "://" + m.Address
	m.command.Args = e.args(m, fmt.Sprintf("%s=http://%s:%d", m.id(), m.Host.IP, peer)) // what its data says is what counts
}

func (m *Member) id() string { return strings.ReplaceAll(m.Name, "/", "-") }

func (e *Etcd) args(m *Member, cluster string) []string {
	peer := fmt.Sprintf("http://%s:%d", m.Host.IP, m.PeerPort)
	args := []string{
		"--name=" + m.id(), "--data-dir=" + m.DataDir, "--log-level=warn",
		"--listen-client-urls=" + m.Endpoint, "--advertise-client-urls=" + m.Endpoint,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=" + cluster, "--initial-cluster-state=new",
	}
	if !e.config.Fsync {
		args = append(args, "--unsafe-no-fsync")
	}
	if ca := e.config.TLS; ca != nil {
		cert, key := ca.Server(m.Host.IP, m.Host.Name)
		args = append(args, "--cert-file="+cert, "--key-file="+key)
		if e.config.ClientCerts {
			args = append(args, "--client-cert-auth", "--trusted-ca-file="+ca.File)
		}
	}
	return append(args, e.config.Args...)
}

// Endpoints is every member's client URL.
func (e *Etcd) Endpoints() []string {
	all := make([]string, 0, len(e.Members))
	for _, m := range e.Members {
		all = append(all, m.Endpoint)
	}
	return all
}

// Client is a client that stands on a host; nil: on the first member's, where
// no cut is between it and that member. It knows only the members that are
// given (none: all). It is root where there are users, and is closed with the
// lab.
func (e *Etcd) Client(h *Host, members ...*Member) *clientv3.Client {
	e.lab.t.Helper()
	client, err := clientv3.New(e.ClientConfig(h, members...))
	if err != nil {
		e.lab.t.Fatalf("lab: connect to etcd: %v", err)
	}
	e.lab.t.Cleanup(func() { client.Close() })
	return client
}

// ClientConfig is what Client connects with, for tests that change it first.
func (e *Etcd) ClientConfig(h *Host, members ...*Member) clientv3.Config {
	e.lab.t.Helper()
	c := e.clientConfig(h, members...)
	if e.config.RootPassword != "" {
		c.Username, c.Password = "root", e.config.RootPassword
	}
	return c
}

func (e *Etcd) clientConfig(h *Host, members ...*Member) clientv3.Config {
	if h == nil {
		h = e.Members[0].Host
	}
	if len(members) == 0 {
		members = e.Members
	}
	c := clientv3.Config{
		DialTimeout: 10 * time.Second, Logger: zap.NewNop(), Context: e.lab.ctx,
		DialOptions: []grpc.DialOption{grpc.WithContextDialer(h.DialAddress)},
	}
	for _, m := range members {
		c.Endpoints = append(c.Endpoints, m.Endpoint)
	}
	if ca := e.config.TLS; ca != nil {
		c.TLS = ca.ClientConfig()
		if e.config.ClientCerts {
			cert, err := tls.LoadX509KeyPair(ca.Client("root"))
			if err != nil {
				e.lab.t.Fatalf("lab: load certificate: %v", err)
			}
			c.TLS.Certificates = []tls.Certificate{cert}
		}
	}
	return c
}

// WaitHealthy waits until every running member answers a linearizable read.
func (e *Etcd) WaitHealthy() {
	e.lab.t.Helper()
	for _, m := range e.Members {
		if !m.Running() {
			continue
		}
		e.lab.Eventually(m.Name+" is healthy", 45*time.Second, func() error {
			if !m.Running() {
				return fmt.Errorf("it ended: %s", tail(m.Log, 3))
			}
			return e.ask(m, func(ctx context.Context, client *clientv3.Client) error {
				_, err := client.Get(ctx, "health")
				return err
			})
		})
	}
	e.lab.Mark("etcd is healthy")
}

// ask puts one question to one member, from its own host, two seconds at most.
func (e *Etcd) ask(m *Member, question func(context.Context, *clientv3.Client) error) error {
	c := e.ClientConfig(m.Host, m)
	c.DialTimeout = 2 * time.Second
	client, err := clientv3.New(c) // logs in, where there are users
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(e.lab.ctx, 2*time.Second)
	defer cancel()
	return question(ctx, client)
}

// Leader is the member that the first that answers holds for the leader; nil:
// none.
func (e *Etcd) Leader() *Member {
	var leader *Member
	for _, m := range e.Members {
		if !m.Running() {
			continue
		}
		err := e.ask(m, func(ctx context.Context, client *clientv3.Client) error {
			status, err := client.Status(ctx, m.Endpoint)
			if err != nil {
				return err
			}
			list, err := client.MemberList(ctx)
			if err != nil {
				return err
			}
			leader = e.member(list, status.Leader)
			return nil
		})
		if err == nil {
			return leader
		}
	}
	return nil
}

func (e *Etcd) member(list *clientv3.MemberListResponse, id uint64) *Member {
	for _, known := range list.Members {
		for _, m := range e.Members {
			if known.ID == id && known.Name == m.id() {
				return m
			}
		}
	}
	return nil
}

// Kill, Stop (SIGSTOP), Cont and Restart do it to every member.
func (e *Etcd) Kill() {
	e.lab.t.Helper()
	for _, m := range e.Members {
		if m.Running() {
			m.Kill()
		}
	}
}

func (e *Etcd) Stop() {
	e.lab.t.Helper()
	for _, m := range e.Members {
		m.Stop()
	}
}

func (e *Etcd) Cont() {
	e.lab.t.Helper()
	for _, m := range e.Members {
		m.Cont()
	}
}

// Restart starts what was killed, and waits until the cluster is healthy.
func (e *Etcd) Restart() {
	e.lab.t.Helper()
	for _, m := range e.Members {
		if !m.Running() {
			m.Restart()
		}
	}
	e.WaitHealthy()
}

func (e *Etcd) enableUsers() {
	e.lab.t.Helper()
	c := e.clientConfig(nil)
	client, err := clientv3.New(c)
	if err != nil {
		e.lab.t.Fatalf("lab: connect to etcd: %v", err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(e.lab.ctx, 20*time.Second)
	defer cancel()
	_, userErr := client.UserAdd(ctx, "root", e.config.RootPassword)
	_, roleErr := client.UserGrantRole(ctx, "root", "root")
	_, authErr := client.AuthEnable(ctx)
	if err := errors.Join(userErr, roleErr, authErr); err != nil {
		e.lab.t.Fatalf("lab: enable users of etcd: %v", err)
	}
}

// EtcdBinary is the path of the etcd server of tools/etcd in .tools, which is
// built where it is missing or another than go.mod names: about a minute on
// two cores. Processes that ask at the same time build it once.
func EtcdBinary() (string, error) { return tool("etcd", "go.etcd.io/etcd/server/v3") }

// EtcdctlBinary is etcdctl, likewise.
func EtcdctlBinary() (string, error) { return tool("etcdctl", "go.etcd.io/etcd/etcdctl/v3") }

// EtcdutlBinary is etcdutl, likewise.
func EtcdutlBinary() (string, error) { return tool("etcdutl", "go.etcd.io/etcd/etcdutl/v3") }

func tool(name, pkg string) (string, error) {
	root, err := ModuleRoot()
	if err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	source, dir := filepath.Join(root, "tools", "etcd"), filepath.Join(root, ".tools")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, name+".lock"), os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	defer lock.Close() // which unlocks
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("build %s: lock: %w", name, err)
	}
	binary := filepath.Join(dir, name)
	if fresh(binary, filepath.Join(source, "go.mod")) {
		return binary, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary+".new", pkg)
	build.Dir, build.Env = source, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w: %s", name, err, output)
	}
	if err := os.Rename(binary+".new", binary); err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	return binary, nil
}

// fresh says that the binary is there and not older than what pins it.
func fresh(binary, pin string) bool {
	b, err := os.Stat(binary)
	if err != nil {
		return false
	}
	p, err := os.Stat(pin)
	return err == nil && !b.ModTime().Before(p.ModTime())
}

// ModuleRoot is the directory of this module's go.mod, above the working
// directory of a test or of a program of make.
func ModuleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(data), "module github.com/redis-watchdog/redis-watchdog\n") {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod of redis-watchdog above the working directory")
		}
		dir = parent
	}
}
