package redisclient

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"syscall"
)

// ErrGarbage is what no Redis sends to a client that speaks RESP2: somebody else
// listens there.
var ErrGarbage = errors.New("not the Redis protocol")

// ErrUnasked is an ErrGarbage: an answer to no question. Whatever was answered
// before it may have been answered to another question too.
var ErrUnasked = fmt.Errorf("%w: an answer nobody asked for", ErrGarbage)

const (
	// DefaultMaxReply is how many bytes one reply may have: CLIENT LIST of
	// 100,000 clients on a Redis 6.0 has some 30 MB.
	DefaultMaxReply = 64 << 20
	maxElements     = 1 << 20 // in one reply, over all its arrays
	maxDepth        = 8
	maxLine         = 64 << 10
)

// bounded is a connection that go-redis may read from. The library makes room
// for whatever length a peer claims (a panic, or all the memory there is), goes as
// deep as it nests (a stack that overflows cannot be recovered from), and takes
// whatever lies in its buffer for the answer to the next question. So every reply
// is looked at before the library sees it, and there is never one more than
// commands were sent. What was answered before something that is no
// answer is handed on.
type bounded struct {
	net.Conn
	limits  limits
	in, out framing
	burst   int64 // bytes that were read since something was written
	bad     error // why nothing more is read
}

// limits are what a peer may send.
type limits struct {
	reply   int64 // bytes of one reply
	burst   int64 // bytes in all before the next command is sent; 0: any number
	unasked bool  // what was not asked for may come
}

// boundedSocket is bounded where the library can look at the socket itself: it
// then notices before it sends that an idle connection was closed.
type boundedSocket struct {
	*bounded
	syscall.Conn
}

func bound(conn net.Conn, l limits) net.Conn {
	b := &bounded{Conn: conn, limits: l, in: framing{maxBytes: l.reply}, out: framing{maxBytes: 1 << 62, ours: true}}
	if socket, ok := conn.(syscall.Conn); ok {
		return &boundedSocket{b, socket}
	}
	return b
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.bad != nil {
		return 0, b.bad
	}
	n, err := b.Conn.Read(p)
	if b.burst += int64(n); b.limits.burst > 0 && b.burst > b.limits.burst {
		b.bad = fmt.Errorf("%w: more than %d bytes of answers", ErrGarbage, b.limits.burst)
		b.Conn.Close()
		return 0, b.bad
	}
	most := b.out.whole - b.in.whole // answers that may come
	if b.limits.unasked {
		most = math.MaxUint64
	}
	sound := 0
	if sound, b.bad = b.in.take(p[:n], most); b.bad != nil {
		b.Conn.Close()
		if sound == 0 || b.bad == ErrUnasked { // then no answer is certain to be that to its question
			return 0, b.bad
		}
		return sound, nil
	}
	return n, err
}

func (b *bounded) Write(p []byte) (int, error) {
	b.burst = 0
	if _, err := b.out.take(p, math.MaxUint64); err != nil {
		return 0, err
	}
	n, err := b.Conn.Write(p)
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		// Of TLS 1.3 the server's word against our certificate comes after our
		// handshake, and may lie unread.
		if _, said := b.Conn.Read(make([]byte, 1)); said != nil && strings.Contains(said.Error(), "remote error: tls:") {
			return n, said
		}
	}
	return n, err
}

// framing follows a stream of RESP2 and counts the whole values that have passed.
// It keeps no more of them than the line it is in.
type framing struct {
	maxBytes int64
	ours     bool // what we write: not bounded

	whole    uint64  // values that have passed
	bytes    int64   // of the value that is passing
	elements int64   // likewise, of all its arrays
	open     []int64 // elements that are still to come, for every array that is open
	line     []byte
	bulk     int64 // bytes of a string still to come, with its end
}

// begun says whether a part of a value has passed.
func (f *framing) begun() bool { return f.bytes > 0 }

// take looks at the next bytes, of at most so many values. With an error comes how
// many of the bytes were of values that are whole.
func (f *framing) take(b []byte, most uint64) (sound int, err error) {
	all, last := len(b), f.whole+min(most, math.MaxUint64-f.whole)
	for was := f.whole; len(b) > 0; {
		if f.whole == last {
			return sound, ErrUnasked
		}
		if f.bulk > 0 {
			n := min(f.bulk, int64(len(b)))
			err = f.string(b[:n])
			b = b[n:]
		} else {
			b, err = f.next(b)
		}
		if err != nil {
			return sound, err
		}
		if f.whole != was {
			sound, was = all-len(b), f.whole
		}
	}
	return all, nil
}

// next looks at the rest of a line, or at all that is there of it.
func (f *framing) next(b []byte) (rest []byte, err error) {
	n := bytes.IndexByte(b, '\n') + 1
	ends := n > 0
	if !ends {
		n = len(b)
	}
	if len(f.line)+n > maxLine {
		return nil, fmt.Errorf("%w: a line longer than %d bytes", ErrGarbage, maxLine)
	}
	f.line = append(f.line, b[:n]...)
	if err := f.count(int64(n)); err != nil {
		return nil, err
	}
	if ends {
		if err := f.header(f.line); err != nil {
			return nil, err
		}
		f.line = f.line[:0]
	}
	return b[n:], nil
}

// count adds to the bytes of the value that is passing.
func (f *framing) count(n int64) error {
	if f.bytes += n; f.bytes > f.maxBytes {
		return fmt.Errorf("%w: a reply of more than %d bytes", ErrGarbage, f.maxBytes)
	}
	return nil
}

// string passes the next bytes of a string. Its last two are \r\n, or the length
// was a lie and what follows would be read as something else.
func (f *framing) string(b []byte) error {
	for i, end := range []byte("\r\n") {
		at := f.bulk - 2 + int64(i)
		if at >= 0 && at < int64(len(b)) && b[at] != end {
			return fmt.Errorf("%w: a string does not end where it said", ErrGarbage)
		}
	}
	f.bulk -= int64(len(b))
	if f.bulk == 0 {
		f.passed()
	}
	return nil
}

// header reads a whole line.
func (f *framing) header(line []byte) error {
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return fmt.Errorf("%w: %.40q", ErrGarbage, line)
	}
	switch line[0] {
	case '-':
		// The library stops at some of them (LOADING, NOAUTH and others that have
		// a type of their own) in the middle of the list, and takes the rest of it
		// for the answers that follow.
		if len(f.open) > 0 {
			return fmt.Errorf("%w: an error inside of a list: %.40q", ErrGarbage, line)
		}
		f.passed()
		return nil
	case '+', ':':
		f.passed()
		return nil
	case '$', '*':
	default: // what RESP3 adds was not asked for
		return fmt.Errorf("%w: %.40q", ErrGarbage, line)
	}
	n, err := strconv.ParseInt(string(line[1:len(line)-2]), 10, 64)
	if err != nil || n < -1 {
		return fmt.Errorf("%w: %.40q", ErrGarbage, line)
	}
	switch {
	case n == -1 || n == 0 && line[0] == '*':
		f.passed()
		return nil
	case line[0] == '$':
		if n > f.maxBytes {
			return fmt.Errorf("%w: a string of %d bytes", ErrGarbage, n)
		}
		f.bulk = n + 2
		return f.count(f.bulk)
	}
	// The library makes room for all of them; none has less than four bytes.
	if f.elements += min(n, maxElements+1); !f.ours && f.elements > min(maxElements, f.maxBytes/4) || len(f.open) >= maxDepth {
		return fmt.Errorf("%w: an array of %d elements at depth %d", ErrGarbage, n, len(f.open))
	}
	f.open = append(f.open, n)
	return nil
}

// passed ends a value, and every array of which it is the last element.
func (f *framing) passed() {
	for len(f.open) > 0 {
		last := len(f.open) - 1
		if f.open[last]--; f.open[last] > 0 {
			return
		}
		f.open = f.open[:last]
	}
	f.whole++
	f.bytes, f.elements = 0, 0
}
