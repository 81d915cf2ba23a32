package gather

// RESP2, as much of it as questions need. Whoever answers may be anybody: every
// length is bounded before it is believed.

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
	maxBulk  = 16 << 20 // ACL LIST of ten thousand users comes in many of them, INFO in one
	maxElems = 1 << 18
	maxDepth = 5
)

// reply is one answer. kind is RESP's first byte; a nil bulk or array has
// neither text nor elements.
type reply struct {
	kind  byte
	text  string // '+', '-', '$' and the digits of ':'
	elems []reply
}

// err is the answer as a Go error; nil unless it is one.
func (r reply) err() error {
	if r.kind != '-' {
		return nil
	}
	return answerError(r.text)
}

// answerError is an error that was answered: the conversation goes on.
type answerError string

func (e answerError) Error() string { return string(e) }

// readReply reads one whole answer. An error means that the stream is of no
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
	case '+', '-', ':':
		return reply{kind: kind, text: body}, nil
	case '$', '*':
	default:
		return reply{}, fmt.Errorf("%w: %.40q", errGarbage, line)
	}
	n, err := strconv.Atoi(body)
	switch {
	case err != nil || n < -1:
		return reply{}, fmt.Errorf("%w: %.40q", errGarbage, line)
	case n == -1:
		return reply{kind: kind}, nil
	case kind == '$':
		return readBulk(r, n)
	}
	return readArray(r, n, depth)
}

func readBulk(r *bufio.Reader, n int) (reply, error) {
	if n > maxBulk {
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

func readArray(r *bufio.Reader, n, depth int) (reply, error) {
	if n > maxElems || depth >= maxDepth {
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
	b = fmt.Appendf(b, "*%d\r\n", len(words))
	for _, w := range words {
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(w), w)
	}
	return b
}

// pairs is a flat array of names and values as a map.
func (r reply) pairs() map[string]string {
	m := make(map[string]string, len(r.elems)/2)
	for i := 0; i+1 < len(r.elems); i += 2 {
		m[r.elems[i].text] = r.elems[i+1].text
	}
	return m
}

// lines calls f for every "key:value" line of an INFO text, and for the title
// of every section with an empty value.
func lines(text string, f func(key, value string)) {
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimRight(line, "\r")
		if title, ok := strings.CutPrefix(line, "# "); ok {
			f("# "+strings.ToLower(title), "")
			continue
		}
		if key, value, ok := strings.Cut(line, ":"); ok && key != "" {
			f(key, value)
		}
	}
}
