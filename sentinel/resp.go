package sentinel

// A reader of RESP2 replies that keeps its buffers: the polls are the bulk of
// what a quiet watchdog does. It reads a whole reply into values laid out flat
// (an array is followed by its elements) that live until the next reset.

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	maxReply   = 1 << 20 // bytes in all that one group is answered to one poll
	maxValues  = 1 << 16
	maxDepth   = 4
	keepBuffer = 1 << 18 // what a longer answer made of the buffer is given back
)

// errProtocol is a reply no Redis sends.
var errProtocol = errors.New("not a reply of Sentinel")

// value is one element. Kind is the RESP type byte; n is the number of
// elements of an array (-1: nil); text is everything else's.
type value struct {
	kind     byte
	n        int
	from, to int
}

type replies struct {
	src  io.Reader
	buf  []byte
	base int // of buf, where what was read since reset begins; all other places count from here
	at   int // parsed so far
	vals []value
}

// reset forgets the values; bytes not parsed yet are kept.
func (r *replies) reset() {
	r.base += r.at
	r.at = 0
	r.vals = r.vals[:0]
	if r.base == len(r.buf) {
		r.buf, r.base = r.buf[:0], 0
		if cap(r.buf) > keepBuffer {
			r.buf = nil
		}
	}
}

// got is all that was read since reset.
func (r *replies) got() []byte { return r.buf[r.base:] }

// text is the value's bytes, until the next reset.
func (r *replies) text(v value) []byte { return r.got()[v.from:v.to] }

// next reads one whole reply and returns the index of its value.
func (r *replies) next() (int, error) {
	at := len(r.vals)
	return at, r.read(0)
}

func (r *replies) read(depth int) error {
	if depth > maxDepth || len(r.vals) >= maxValues {
		return fmt.Errorf("%w: nested or long beyond measure", errProtocol)
	}
	from, to, err := r.line()
	if err != nil {
		return err
	}
	if from == to {
		return fmt.Errorf("%w: empty line", errProtocol)
	}
	kind := r.got()[from]
	v := value{kind: kind, from: from + 1, to: to}
	switch kind {
	case '+', '-', ':':
		r.vals = append(r.vals, v)
		return nil
	case '$', '*':
	default:
		return fmt.Errorf("%w: type %q", errProtocol, kind)
	}
	n, ok := number(r.text(v))
	if !ok || n < -1 || n > maxReply {
		return fmt.Errorf("%w: length %.20q", errProtocol, r.text(v))
	}
	if kind == '$' {
		v.from = r.at
		v.to = r.at + max(int(n), 0)
		v.n = int(n)
		r.vals = append(r.vals, v)
		if n < 0 {
			return nil
		}
		if err := r.fill(v.to + 2); err != nil {
			return err
		}
		if end := r.got()[v.to:]; end[0] != '\r' || end[1] != '\n' {
			return fmt.Errorf("%w: no line end after a string", errProtocol)
		}
		r.at = v.to + 2
		return nil
	}
	v.n = int(n)
	r.vals = append(r.vals, v)
	for range n {
		if err := r.read(depth + 1); err != nil {
			return err
		}
	}
	return nil
}

// line reads up to the next line end and steps over it.
func (r *replies) line() (from, to int, err error) {
	scanned := r.at
	for {
		if i := bytes.Index(r.got()[scanned:], []byte("\r\n")); i >= 0 {
			from, to = r.at, scanned+i
			r.at = to + 2
			return from, to, nil
		}
		scanned = max(r.at, len(r.got())-1)
		if err := r.fill(len(r.got()) + 1); err != nil {
			return 0, 0, err
		}
	}
}

// fill reads until n bytes are there since reset.
func (r *replies) fill(n int) error {
	if n > maxReply {
		return fmt.Errorf("%w: longer than %d bytes", errProtocol, maxReply)
	}
	for len(r.got()) < n {
		if len(r.buf) == cap(r.buf) {
			if r.base > 0 { // what was parsed before makes room
				r.buf, r.base = r.buf[:copy(r.buf, r.got())], 0
			} else {
				r.buf = append(r.buf, make([]byte, max(4096, len(r.buf)))...)[:len(r.buf)]
			}
		}
		k, err := r.src.Read(r.buf[len(r.buf):cap(r.buf)])
		r.buf = r.buf[:len(r.buf)+k]
		if k == 0 && err != nil {
			return err
		}
	}
	return nil
}

// skip is the index after value i and all it holds.
func (r *replies) skip(i int) int {
	v := r.vals[i]
	i++
	if v.kind == '*' {
		for range v.n {
			i = r.skip(i)
		}
	}
	return i
}

// pairs calls f for every name and text in the flat array at i; false: it is
// none, or holds something else.
func (r *replies) pairs(i int, f func(name, text []byte)) bool {
	v := r.vals[i]
	if v.kind != '*' || v.n < 0 || v.n%2 != 0 {
		return false
	}
	for j := i + 1; j <= i+v.n; j += 2 {
		if r.vals[j].kind != '$' || r.vals[j+1].kind != '$' {
			return false
		}
		f(r.text(r.vals[j]), r.text(r.vals[j+1]))
	}
	return true
}

// number parses a decimal integer of at most 18 digits.
func number(b []byte) (int64, bool) {
	neg := len(b) > 0 && b[0] == '-'
	if neg {
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if neg {
		n = -n
	}
	return n, true
}
