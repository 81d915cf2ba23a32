package gather

// One conversation: dial, say who we are, ask everything in one write.

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog/resp"
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

func (s Server) String() string {
	if s.Socket != "" {
		return s.Socket
	}
	return s.Address
}

var (
	errRemoved   = errors.New("the command was taken away (commands: in the configuration)")
	errHandshake = errors.New("tls handshake")
)

// ask sends every command in one write and returns an answer to each. An error
// says that the server was not reached, refused us or did not answer in time;
// what it had answered by then comes with it. A command that was taken away is
// not sent: its answer is an error.
func (s Server) ask(ctx context.Context, commands ...[]string) ([]resp.Reply, error) {
	timeout := s.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := s.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", s, err)
	}
	defer conn.Close()
	until, _ := ctx.Deadline()
	if err := conn.SetDeadline(until); err != nil {
		return nil, fmt.Errorf("set deadline: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()

	out, sent := s.script(commands)
	if _, err := conn.Write(out); err != nil {
		return nil, fmt.Errorf("ask %s: %w", s, explain(ctx, err))
	}
	r := bufio.NewReaderSize(conn, 16<<10)
	if s.Password != "" {
		re, err := resp.Read(r)
		if err != nil {
			return nil, fmt.Errorf("log in to %s: %w", s, explain(ctx, err))
		}
		if err := re.Err(); err != nil && !needsNone(err) {
			return nil, fmt.Errorf("log in to %s: %w", s, err)
		}
	}
	replies := make([]resp.Reply, 0, len(commands))
	for i := range commands {
		if !sent[i] {
			replies = append(replies, resp.Reply{Kind: '-', Text: errRemoved.Error()})
			continue
		}
		re, err := resp.Read(r)
		if err != nil {
			return replies, fmt.Errorf("ask %s for %s: %w", s, commands[i][0], explain(ctx, err))
		}
		replies = append(replies, re)
	}
	return replies, nil
}

// script is all there is to say, and which of the commands are in it.
func (s Server) script(commands [][]string) (out []byte, sent []bool) {
	if s.Password != "" {
		auth, _ := s.named("auth")
		if s.Username != "" {
			out = resp.Append(out, auth, s.Username, s.Password)
		} else {
			out = resp.Append(out, auth, s.Password)
		}
	}
	sent = make([]bool, len(commands))
	for i, words := range commands {
		var name string
		if name, sent[i] = s.named(words[0]); sent[i] {
			out = resp.Append(out, append([]string{name}, words[1:]...)...)
		}
	}
	return out, sent
}

// named is what the server calls a command; false: it was taken away.
func (s Server) named(command string) (name string, there bool) {
	name, renamed := s.Commands[strings.ToLower(command)]
	if !renamed {
		return command, true
	}
	return name, name != ""
}

func (s Server) dial(ctx context.Context) (net.Conn, error) {
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
		return nil, fmt.Errorf("%w: %w", errHandshake, err)
	}
	return secure, nil
}

// needsNone is the answer of a server that has no password.
func needsNone(err error) bool {
	return strings.Contains(err.Error(), "without any password configured") ||
		strings.Contains(err.Error(), "no password is set")
}

// explain says in one word what a deadline does to a connection.
func explain(ctx context.Context, err error) error {
	var timeout net.Error
	if ctx.Err() != nil || errors.As(err, &timeout) && timeout.Timeout() {
		return errors.New("no answer in time")
	}
	return err
}
