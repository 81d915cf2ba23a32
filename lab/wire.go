package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
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
	w := &wire{conn: conn, in: bufio.NewReader(conn)}
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
	request := append([]byte{'*'}, strconv.Itoa(len(args))...)
	for _, arg := range args {
		request = fmt.Appendf(request, "\r\n$%d\r\n%s", len(arg), arg)
	}
	if _, err := w.conn.Write(append(request, "\r\n"...)); err != nil {
		return nil, err
	}
	return w.reply()
}

func (w *wire) reply() (any, error) {
	line, err := w.in.ReadString('\n')
	if err != nil {
		return nil, err
	}
	if len(line) < 3 {
		return nil, fmt.Errorf("read reply: short line %q", line)
	}
	text := line[1 : len(line)-2]
	switch line[0] {
	case '+':
		return text, nil
	case '-':
		return nil, replyError(text)
	case ':':
		return strconv.ParseInt(text, 10, 64)
	case '$', '*':
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("read reply: %w", err)
		}
		if n < 0 {
			return nil, nil
		}
		if line[0] == '$' {
			return w.bulk(n)
		}
		return w.array(n)
	}
	return nil, fmt.Errorf("read reply: unknown type in %q", line)
}

func (w *wire) bulk(n int) (any, error) {
	data := make([]byte, n+2)
	if _, err := io.ReadFull(w.in, data); err != nil {
		return nil, err
	}
	return string(data[:n]), nil
}

// array reads its elements; an error among them is an element, as in EXEC.
func (w *wire) array(n int) (any, error) {
	elements := make([]any, n)
	for i := range elements {
		element, err := w.reply()
		var refused replyError
		switch {
		case errors.As(err, &refused):
			elements[i] = refused
		case err != nil:
			return nil, err
		default:
			elements[i] = element
		}
	}
	return elements, nil
}

// words turns a command's arguments into what goes over the wire.
func words(args []any) []string {
	all := make([]string, len(args))
	for i, arg := range args {
		all[i] = fmt.Sprint(arg)
	}
	return all
}
