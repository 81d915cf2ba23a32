package rdb

import "strconv"

func appendInt(b []byte, v int64) []byte { return strconv.AppendInt(b, v, 10) }

// window is how far back LZF refers: 13 bits.
const window = 1 << 13

// expand opens a compressed string that is at hand; false: it is broken, and lzf
// says in what.
func expand(into, in []byte, size int) ([]byte, bool) {
	for len(in) > 0 && len(into) <= size {
		high := int(in[0]&31) << 8
		length := int(in[0])
		if in = in[1:]; length < 32 {
			if length++; length > len(in) {
				return nil, false
			}
			into = append(into, in[:length]...)
			in = in[length:]
			continue
		}
		if length >>= 5; length == 7 && len(in) > 0 {
			length += int(in[0])
			in = in[1:]
		}
		if len(in) == 0 || high+int(in[0]) >= len(into) {
			return nil, false
		}
		from := len(into) - high - int(in[0]) - 1
		in = in[1:]
		for i := range length + 2 { // it may refer to what it makes
			into = append(into, into[from+i])
		}
	}
	return into, len(in) == 0 && len(into) == size
}

// lzf opens a compressed string as a stream. It holds the last 8 KiB of what it
// made, however long the string is (lzf_d.c of Redis).
type lzf struct {
	r    *reader
	left uint64 // compressed bytes not read yet
	size uint64 // bytes it is to become
	made uint64

	ring     [window]byte
	literals int // of the run that is being copied
	back     uint64
	copies   int
}

// next is the next byte; false: it is at its end, or broken (r.err).
func (d *lzf) next() (byte, bool) {
	if d.made == d.size || d.r.err != nil {
		return 0, false
	}
	if d.literals == 0 && d.copies == 0 && !d.control() {
		return 0, false
	}
	var b byte
	if d.literals > 0 {
		if d.left == 0 {
			d.r.fail("a compressed string ends too early")
			return 0, false
		}
		d.left--
		d.literals--
		b = d.r.byte()
	} else {
		d.copies--
		b = d.ring[(d.made-d.back)%window]
	}
	d.ring[d.made%window] = b
	d.made++
	return b, d.r.err == nil
}

// control reads the head of the next run.
func (d *lzf) control() bool {
	in := func() int {
		if d.left == 0 {
			d.r.fail("a compressed string ends too early")
			return 0
		}
		d.left--
		return int(d.r.byte())
	}
	c := in()
	if c < 32 {
		d.literals = c + 1
		return d.r.err == nil
	}
	length := c >> 5
	if length == 7 {
		length += in()
	}
	d.back = uint64(c&31)<<8 + uint64(in()) + 1
	d.copies = length + 2
	if d.r.err == nil && d.back > d.made {
		d.r.fail("a compressed string refers to what is before it")
	}
	return d.r.err == nil
}

// prefix appends the next n bytes.
func (d *lzf) prefix(into []byte, n int) []byte {
	for range n {
		b, ok := d.next()
		if !ok {
			break
		}
		into = append(into, b)
	}
	return into
}

// skipRest passes over the compressed bytes that were not needed.
func (d *lzf) skipRest() {
	d.r.skip(d.left)
	d.left = 0
}
