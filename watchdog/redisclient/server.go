package redisclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
)

// Server is how one Redis or Sentinel is reached.
type Server struct {
	Address  string // host:port; not looked at with Socket
	Socket   string // a unix socket
	Username string // empty with a Password: the default user
	Password string
	TLS      *tls.Config // nil: plain text; not used on a unix socket
	// Commands are those that rename-command renamed: the name in lower case,
	// as Redis' documentation has it, to what it is called there. Empty: it was
	// taken away.
	Commands map[string]string
	// MaxReply bounds one reply, in bytes; zero: DefaultMaxReply.
	MaxReply int64
	// MaxBurst bounds all replies to what was sent together, in bytes; zero: it
	// does not.
	MaxBurst int64
	// Unasked says that more may come than was asked for: what is published to a
	// subscriber.
	Unasked bool

	// Dial replaces net.Dialer's. Nil: that.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

func (s Server) String() string {
	if s.Socket != "" {
		return s.Socket
	}
	return s.Address
}

// ErrRemoved is the answer to a command that was taken away: it is not sent.
var ErrRemoved = errors.New("the command was taken away (commands: in the configuration)")

// ErrHandshake is a TLS handshake that came to nothing.
var ErrHandshake = errors.New("tls handshake")

// named is what the server calls a command; false: it was taken away.
func (s Server) named(command string) (name string, there bool) {
	name, renamed := s.Commands[strings.ToLower(command)]
	if !renamed {
		return command, true
	}
	return name, name != ""
}

// Connect opens a connection, with TLS where there is TLS, and says nothing on
// it. It is not bounded.
func (s Server) Connect(ctx context.Context) (net.Conn, error) {
	dial := s.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	if s.Socket != "" {
		return dial(ctx, "unix", s.Socket)
	}
	conn, err := dial(ctx, "tcp", s.Address)
	if err != nil || s.TLS == nil {
		return conn, err
	}
	conf := s.TLS.Clone()
	if conf.ServerName == "" {
		conf.ServerName, _, _ = net.SplitHostPort(s.Address)
	}
	secure := tls.Client(conn, conf)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	return secure, nil
}
