package rdb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// bufferSize is how much is read at a time; nothing else grows with the file.
const bufferSize = 1 << 17

// Error says where the file stops making sense.
type Error struct {
	Offset int64 // of the byte that could not be understood, from the start of the file
	What   string
	Err    error // io.ErrUnexpectedEOF: the file ends before its end; nil: its content is wrong
}

func (e *Error) Error() string {
	if e.Offset == 0 { // of the file as such
		return e.What
	}
	return fmt.Sprintf("at byte %d: %s", e.Offset, e.What)
}

func (e *Error) Unwrap() error { return e.Err }

// reader is the file behind one buffer. The first error stays: after it every
// read is of zeros, so that loops need to look for it only where they count.
type reader struct {
	source io.Reader
	seeker io.Seeker // set: what is skipped is not read
	buf    []byte    // of bufferSize
	pos    int
	end    int
	base   int64 // offset of buf[0] in the file
	err    error
	crc    *checksum // nil: not wanted
	moves  func()    // is called before what the buffer holds is moved or overwritten
}

func newReader(source io.Reader) *reader {
	return &reader{source: source, buf: make([]byte, bufferSize), moves: func() {}}
}

func (r *reader) offset() int64 { return r.base + int64(r.pos) }

// fail notes the first error.
func (r *reader) fail(format string, args ...any) {
	r.failAt(r.offset(), nil, fmt.Sprintf(format, args...))
}

func (r *reader) failAt(offset int64, err error, what string) {
	if r.err == nil {
		r.err = &Error{Offset: offset, What: what, Err: err}
	}
	r.pos, r.end = 0, 0
}

// fill makes at least n bytes contiguous in the buffer, n at most bufferSize.
func (r *reader) fill(n int) bool {
	if r.err != nil {
		return false
	}
	r.moves()
	if r.pos > 0 {
		if r.crc != nil {
			r.crc.add(r.buf[:r.pos])
		}
		copy(r.buf, r.buf[r.pos:r.end])
		r.base += int64(r.pos)
		r.end -= r.pos
		r.pos = 0
	}
	for empty := 0; r.end < n; {
		m, err := r.source.Read(r.buf[r.end:])
		r.end += m
		if r.end >= n {
			break
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			r.failAt(r.base+int64(r.end), err, "the file ends here, in the middle: "+err.Error())
			return false
		}
		if m > 0 {
			empty = 0
		} else if empty++; empty == 100 {
			r.failAt(r.base+int64(r.end), io.ErrNoProgress, io.ErrNoProgress.Error())
			return false
		}
	}
	return true
}

// peek is the next n bytes, which stay; n is at most bufferSize. nil: there are
// not that many.
func (r *reader) peek(n int) []byte {
	if r.end-r.pos < n && !r.fill(n) {
		return nil
	}
	return r.buf[r.pos : r.pos+n]
}

// take is peek, and they are gone.
func (r *reader) take(n int) []byte {
	b := r.peek(n)
	if b != nil {
		r.pos += n
	}
	return b
}

func (r *reader) byte() byte {
	if r.pos == r.end && !r.fill(1) {
		return 0
	}
	b := r.buf[r.pos]
	r.pos++
	return b
}

// skip passes over n bytes without looking at them.
func (r *reader) skip(n uint64) {
	if n <= uint64(r.end-r.pos) {
		r.pos += int(n)
		return
	}
	r.skipFar(n)
}

func (r *reader) skipFar(n uint64) {
	if n > math.MaxInt64-uint64(r.offset()) {
		r.fail("a length of %d bytes is more than any file has", n)
		return
	}
	for n > 0 && r.err == nil {
		have := uint64(r.end - r.pos)
		if have >= n {
			r.pos += int(n)
			return
		}
		n -= have
		r.pos = r.end
		if r.seeker != nil && r.crc == nil && n > bufferSize {
			r.seek(n)
			return
		}
		r.fill(1)
	}
}

// seek passes over n bytes beyond the buffer. Beyond the end of a file a seek is
// no error, so the end is asked for.
func (r *reader) seek(n uint64) {
	r.base += int64(r.end)
	r.pos, r.end = 0, 0
	here, err := r.seeker.Seek(0, io.SeekCurrent)
	var end int64
	if err == nil {
		end, err = r.seeker.Seek(0, io.SeekEnd)
	}
	if err == nil && n > uint64(end-here) {
		r.failAt(r.base+end-here, io.ErrUnexpectedEOF, "the file ends here, in the middle: "+io.ErrUnexpectedEOF.Error())
		r.base += end - here
		return
	}
	if err == nil {
		_, err = r.seeker.Seek(here+int64(n), io.SeekStart)
	}
	if err != nil {
		r.failAt(r.base, err, "seek: "+err.Error())
		return
	}
	r.base += int64(n)
}

func (r *reader) u16() uint16 {
	if b := r.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// length is a length; most take one byte.
func (r *reader) length() uint64 {
	if r.pos < r.end {
		if n := r.buf[r.pos]; n < 64 {
			r.pos++
			return uint64(n)
		}
	}
	return r.longLength()
}

// longLength is a length; one that is an encoded integer instead is wrong here.
func (r *reader) longLength() uint64 {
	n, special := r.lengthOrSpecial()
	if special {
		r.fail("a length was expected, not a value of encoding %d", n)
		return 0
	}
	return n
}

// lengthOrSpecial is rdbLoadLenByRef: special is set where the two high bits
// are, and then n is the kind of encoding.
func (r *reader) lengthOrSpecial() (n uint64, special bool) {
	b := r.byte()
	switch b >> 6 {
	case 0:
		return uint64(b), false
	case 1:
		return uint64(b&0x3f)<<8 | uint64(r.byte()), false
	case 3:
		return uint64(b & 0x3f), true
	}
	switch b {
	case 0x80:
		if p := r.take(4); p != nil {
			return uint64(binary.BigEndian.Uint32(p)), false
		}
	case 0x81:
		if p := r.take(8); p != nil {
			return binary.BigEndian.Uint64(p), false
		}
	default:
		r.fail("0x%02x begins no length", b)
	}
	return 0, false
}

// Encodings of a string in place of its length.
const (
	encodedInt8  = 0
	encodedInt16 = 1
	encodedInt32 = 2
	encodedLZF   = 3
)

// text is a string that has been begun: where its bytes are, and how many.
type text struct {
	length     uint64 // of the string as clients see it
	compressed uint64 // bytes in the file, where it is compressed
	lzf        bool
	number     bool // it was stored as an integer; value is it, and its bytes are passed
	value      int64
}

// beginText reads what stands before a string's bytes.
func (r *reader) beginText() text {
	n, special := r.lengthOrSpecial()
	if !special {
		return text{length: n}
	}
	switch n {
	case encodedInt8:
		return number(int64(int8(r.byte())))
	case encodedInt16:
		return number(int64(int16(r.u16())))
	case encodedInt32:
		return number(int64(int32(r.u32())))
	case encodedLZF:
		compressed := r.length()
		return text{length: r.length(), compressed: compressed, lzf: true}
	}
	r.fail("a string of encoding %d, which there is not", n)
	return text{}
}

func number(v int64) text { return text{length: digits(v), number: true, value: v} }

// plain passes over a string of less than 64 bytes that is in the buffer as it
// is, as most are, and is its bytes, which stay until moves is called; false: it is
// another.
func (r *reader) plain() (text []byte, ok bool) {
	if r.pos < r.end {
		if size := int(r.buf[r.pos]); size < 64 && size < r.end-r.pos {
			text = r.buf[r.pos+1 : r.pos+1+size]
			r.pos += 1 + size
			return text, true
		}
	}
	return nil, false
}

// skipText passes over a string and is its length as clients see it.
func (r *reader) skipText() uint64 {
	t := r.beginText()
	r.skipBody(t)
	return t.length
}

// skipBody passes over the bytes of a string that has been begun.
func (r *reader) skipBody(t text) {
	switch {
	case t.number:
	case t.lzf:
		r.skip(t.compressed)
	default:
		r.skip(t.length)
	}
}

// prefix reads a string and is its first bytes, at most limit of them, in into;
// the whole length beside them. The slice is good until the next call with into.
func (r *reader) prefix(into []byte, limit int) (first []byte, length uint64) {
	t := r.beginText()
	into = into[:0]
	switch {
	case t.number:
		return appendInt(into, t.value), t.length
	case t.lzf:
		if t.length <= uint64(limit) && t.compressed <= uint64(r.end-r.pos) {
			if whole, ok := expand(into, r.buf[r.pos:r.pos+int(t.compressed)], int(t.length)); ok {
				r.pos += int(t.compressed)
				return whole, t.length
			}
		}
		d := &lzf{r: r, left: t.compressed, size: t.length}
		into = d.prefix(into, int(min(uint64(limit), t.length)))
		d.skipRest()
		return into, t.length
	}
	n := int(min(uint64(limit), t.length))
	for have := 0; have < n && r.err == nil; {
		b := r.take(min(n-have, 4096))
		into = append(into, b...)
		have += len(b)
	}
	r.skip(t.length - uint64(n))
	return into, t.length
}
