package gate

// RESP2, as much of it as Redis sends to a client that never says HELLO 3.

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// errGarbage is what is not RESP2: somebody else listens there.
var errGarbage = errors.New("not the Redis protocol")

const (
	maxBulk  = 32 << 20 // CLIENT LIST of 100,000 clients on a Redis 6.0
	maxElems = 1 << 20
	maxDepth = 8
)

// reply is one answer. kind is RESP's first byte; a nil bulk or array has
// null set.
type reply struct {
	kind  byte
	null  bool
	text  string // '+', '-', '$'
	num   int64  // ':'
	elems []reply
}

func (r reply) isError() bool { return r.kind == '-' }

// errorIs says whether r is an error whose code (its first word) is one of
// codes.
func (r reply) errorIs(codes ...string) bool {
	if r.kind != '-' {
		return false
	}
	code, _, _ := strings.Cut(r.text, " ")
	for _, c := range codes {
		if code == c {
			return true
		}
	}
	return false
}

// unknownCommand says whether Redis does not know the command (it is renamed,
// removed, or newer than this Redis).
func (r reply) unknownCommand() bool {
	return r.kind == '-' && strings.HasPrefix(strings.ToLower(r.text), "err unknown command")
}

func (r reply) ok() bool { return r.kind == '+' && r.text == "OK" }

// err is the reply as a Go error; nil unless it is one.
func (r reply) err() error {
	if r.kind != '-' {
		return nil
	}
	return replyError(r.text)
}

// replyError is an error that Redis answered.
type replyError string

func (e replyError) Error() string { return "redis: " + string(e) }

// readReply reads one whole reply. An error means that the stream is of no
// more use.
func readReply(r *bufio.Reader, depth int) (reply, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, bufio.ErrBufferFull) {
			return reply{}, fmt.Errorf("%w: a line longer than %d bytes", errGarbage, r.Size())
		}
		return reply{}, err
	}
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return reply{}, fmt.Errorf("%w: %.40q", errGarbage, line)
	}
	kind, body := line[0], string(line[1:len(line)-2])
	switch kind {
	case '+', '-':
		return reply{kind: kind, text: body}, nil
	case ':', '$', '*':
	default:
		return reply{}, fmt.Errorf("%w: %.40q", errGarbage, line)
	}
	n, err := strconv.ParseInt(body, 10, 64)
	if err != nil {
		return reply{}, fmt.Errorf("%w: %.40q", errGarbage, line)
	}
	switch {
	case kind == ':':
		return reply{kind: kind, num: n}, nil
	case n == -1:
		return reply{kind: kind, null: true}, nil
	case kind == '$':
		return readBulk(r, n)
	}
	return readArray(r, n, depth)
}

func readBulk(r *bufio.Reader, n int64) (reply, error) {
	if n < 0 || n > maxBulk {
		return reply{}, fmt.Errorf("%w: a string of %d bytes", errGarbage, n)
	}
	b := make([]byte, n+2)
	if _, err := io.ReadFull(r, b); err != nil {
		return reply{}, err
	}
	if b[n] != '\r' || b[n+1] != '\n' {
		return reply{}, fmt.Errorf("%w: a string does not end where it said", errGarbage)
	}
	return reply{kind: '$', text: string(b[:n])}, nil
}

func readArray(r *bufio.Reader, n int64, depth int) (reply, error) {
	if n < 0 || n > maxElems || depth >= maxDepth {
		return reply{}, fmt.Errorf("%w: an array of %d elements at depth %d", errGarbage, n, depth)
	}
	a := reply{kind: '*', elems: make([]reply, 0, min(n, 64))}
	for range n {
		e, err := readReply(r, depth+1)
		if err != nil {
			return reply{}, err
		}
		a.elems = append(a.elems, e)
	}
	return a, nil
}

// appendCommand appends one command to b, in the form that survives any byte.
func appendCommand(b []byte, words ...string) []byte {
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

// info reads the lines of an INFO answer.
func info(text string) map[string]string {
	m := make(map[string]string, 64)
	for line := range strings.SplitSeq(text, "\n") {
		if k, v, ok := strings.Cut(strings.TrimRight(line, "\r"), ":"); ok && !strings.HasPrefix(k, "#") {
			m[k] = v
		}
	}
	return m
}
