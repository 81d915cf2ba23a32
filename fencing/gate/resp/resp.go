// Package resp reads and writes RESP2, the protocol of Redis, for the connections
// of the fence, by which a planned failover holds writers too: what they send is
// prepared beforehand and queued behind a command that blocks, their sockets are kept
// by systemd over a restart, and the fence must go out when nothing else of this
// process can. No client library offers any of that; everything else asks by go-redis
// (watchdog/redisclient). It is as much of the protocol as Redis sends to a client
// that never says HELLO 3. Whoever answers may be anybody, so every length is bounded
// before it is believed.
package resp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// ErrGarbage is what is not RESP2: somebody else listens there.
var ErrGarbage = errors.New("not the Redis protocol")

const (
	maxBulk  = 32 << 20 // CLIENT LIST of 100,000 clients on a Redis 6.0
	maxElems = 1 << 20
	maxDepth = 8
)

// Reply is one answer. Kind is RESP's first byte; a nil bulk or array has Null
// set, and neither text nor elements.
type Reply struct {
	Kind  byte
	Null  bool
	Text  string // '+', '-', '$', and the digits of ':'
	Num   int64  // ':'
	Elems []Reply
}

// IsError says whether Redis answered an error.
func (r Reply) IsError() bool { return r.Kind == '-' }

// ErrorIs says whether r is an error whose code (its first word) is one of
// codes.
func (r Reply) ErrorIs(codes ...string) bool {
	if r.Kind != '-' {
		return false
	}
	code, _, _ := strings.Cut(r.Text, " ")
	for _, c := range codes {
		if code == c {
			return true
		}
	}
	return false
}

// UnknownCommand says whether Redis does not know the command (it is renamed,
// removed, or newer than this Redis).
func (r Reply) UnknownCommand() bool {
	return r.Kind == '-' && strings.HasPrefix(strings.ToLower(r.Text), "err unknown command")
}

// OK says whether r is +OK.
func (r Reply) OK() bool { return r.Kind == '+' && r.Text == "OK" }

// Err is the reply as a Go error, an Error; nil unless it is one.
func (r Reply) Err() error {
	if r.Kind != '-' {
		return nil
	}
	return Error(r.Text)
}

// Pairs is a flat array of names and values as a map.
func (r Reply) Pairs() map[string]string {
	m := make(map[string]string, len(r.Elems)/2)
	for i := 0; i+1 < len(r.Elems); i += 2 {
		m[r.Elems[i].Text] = r.Elems[i+1].Text
	}
	return m
}

// Error is an error that was answered: the conversation goes on.
type Error string

func (e Error) Error() string { return string(e) }

// Read reads one whole reply. An error means that the stream is of no more use.
func Read(r *bufio.Reader) (Reply, error) { return read(r, 0) }

func read(r *bufio.Reader, depth int) (Reply, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, bufio.ErrBufferFull) {
			return Reply{}, fmt.Errorf("%w: a line longer than %d bytes", ErrGarbage, r.Size())
		}
		return Reply{}, err
	}
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return Reply{}, fmt.Errorf("%w: %.40q", ErrGarbage, line)
	}
	kind, body := line[0], string(line[1:len(line)-2])
	switch kind {
	case '+', '-':
		return Reply{Kind: kind, Text: body}, nil
	case ':', '$', '*':
	default:
		return Reply{}, fmt.Errorf("%w: %.40q", ErrGarbage, line)
	}
	n, err := strconv.ParseInt(body, 10, 64)
	if err != nil {
		return Reply{}, fmt.Errorf("%w: %.40q", ErrGarbage, line)
	}
	switch {
	case kind == ':':
		return Reply{Kind: kind, Num: n, Text: body}, nil
	case n == -1:
		return Reply{Kind: kind, Null: true}, nil
	case kind == '$':
		return readBulk(r, n)
	}
	return readArray(r, n, depth)
}

func readBulk(r *bufio.Reader, n int64) (Reply, error) {
	if n < 0 || n > maxBulk {
		return Reply{}, fmt.Errorf("%w: a string of %d bytes", ErrGarbage, n)
	}
	b := make([]byte, n+2)
	if _, err := io.ReadFull(r, b); err != nil {
		return Reply{}, err
	}
	if b[n] != '\r' || b[n+1] != '\n' {
		return Reply{}, fmt.Errorf("%w: a string does not end where it said", ErrGarbage)
	}
	return Reply{Kind: '$', Text: string(b[:n])}, nil
}

func readArray(r *bufio.Reader, n int64, depth int) (Reply, error) {
	if n < 0 || n > maxElems || depth >= maxDepth {
		return Reply{}, fmt.Errorf("%w: an array of %d elements at depth %d", ErrGarbage, n, depth)
	}
	a := Reply{Kind: '*', Elems: make([]Reply, 0, min(n, 64))}
	for range n {
		e, err := read(r, depth+1)
		if err != nil {
			return Reply{}, err
		}
		a.Elems = append(a.Elems, e)
	}
	return a, nil
}

// Append appends one command to b, in the form that survives any byte.
func Append(b []byte, words ...string) []byte {
	b = append(b, '*')
	b = strconv.AppendInt(b, int64(len(words)), 10)
	b = append(b, '\r', '\n')
	for _, w := range words {
		b = append(b, '$')
		b = strconv.AppendInt(b, int64(len(w)), 10)
		b = append(b, '\r', '\n')
		b = append(b, w...)
		b = append(b, '\r', '\n')
	}
	return b
}
