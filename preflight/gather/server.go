package gather

// One conversation: dial, say who we are, ask everything in one write.

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog/redisclient"
)

// DefaultTimeout is how long one server may take for all it is asked.
const DefaultTimeout = time.Second

// Server is how one Redis or Sentinel is reached.
type Server struct {
	Address  string // host:port; not looked at with Socket
	Socket   string // a unix socket
	Username string // empty with a Password: the default user
	Password string
	TLS      *tls.Config // nil: plain text
	// Commands are those that rename-command renamed: the name in lower case,
	// as Redis' documentation has it, to what it is called there. Empty: it was
	// taken away.
	Commands map[string]string
	Timeout  time.Duration // for everything; zero: DefaultTimeout

	// Dial replaces net.Dialer's, for labs. Nil: that.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

func (s Server) String() string { return s.redis().String() }

func (s Server) redis() redisclient.Server {
	return redisclient.Server{Address: s.Address, Socket: s.Socket, Username: s.Username, Password: s.Password, TLS: s.TLS,
		Commands: s.Commands, Dial: s.Dial}
}

// ask is redisclient.Ask within the Timeout.
func (s Server) ask(ctx context.Context, commands ...[]string) ([]redisclient.Answer, error) {
	timeout := s.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return redisclient.Ask(ctx, s.redis(), commands...)
}
