package lab

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"time"

	"github.com/redis-watchdog/redis-watchdog/fencing/gate/resp"
)

// wire is one plain connection to a Redis or Sentinel: no pool, no retry, no
// handshake, so that what a test sees is what the server did.
type wire struct {
	conn net.Conn
	in   *bufio.Reader
}

// replyError is an error reply; the connection is as good as before.
type replyError string

func (e replyError) Error() string { return string(e) }

// class is the first word of an error reply, such as READONLY.
func (e replyError) class() string {
	for i, c := range e {
		if c == ' ' {
			return string(e[:i])
		}
	}
	return string(e)
}

// login are the credentials of a connection; zero: none are sent.
type login struct{ user, password string }

// dialWire connects and logs in, all within timeout.
func dialWire(ctx context.Context, dial dialFunc, network, address string, as login, timeout time.Duration) (*wire, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	w := &wire{conn: conn, in: bufio.NewReaderSize(conn, 16<<10)}
	if as.password == "" {
		return w, nil
	}
	args := []string{"AUTH", as.password}
	if as.user != "" {
		args = []string{"AUTH", as.user, as.password}
	}
	if _, err := w.do(timeout, args...); err != nil {
		conn.Close()
		return nil, fmt.Errorf("log in: %w", err)
	}
	return w, nil
}

func (w *wire) close() { w.conn.Close() }

// do sends one command and reads its reply: string, int64, nil or []any. After
// an error that is no replyError the connection is of no use any more.
func (w *wire) do(timeout time.Duration, args ...string) (any, error) {
	if err := w.conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	if _, err := w.conn.Write(resp.Append(nil, args...)); err != nil {
		return nil, err
	}
	return w.reply()
}

func (w *wire) reply() (any, error) {
	r, err := resp.Read(w.in)
	if err != nil {
		return nil, fmt.Errorf("read reply: %w", err)
	}
	if r.IsError() {
		return nil, replyError(r.Text)
	}
	return plain(r), nil
}

// plain is a reply as go-redis has it; an error among the elements of an array
// is an element, as in EXEC.
func plain(r resp.Reply) any {
	switch {
	case r.Null:
		return nil
	case r.IsError():
		return replyError(r.Text)
	case r.Kind == ':':
		return r.Num
	case r.Kind != '*':
		return r.Text
	}
	all := make([]any, len(r.Elems))
	for i, e := range r.Elems {
		all[i] = plain(e)
	}
	return all
}

// words turns a command's arguments into what goes over the wire.
func words(args []any) []string {
	all := make([]string, len(args))
	for i, arg := range args {
		all[i] = fmt.Sprint(arg)
	}
	return all
}
