package rdb

import (
	"encoding/binary"
	"math/bits"
)

// Most of a file is short strings, one behind the other. They are passed over in
// the buffer as it is, by run, and their lengths are handed on a batch at a time;
// what is not whole in the buffer, or of a rare kind, is skipText's.

// batch is how many lengths are handed on at a time: even, so that a field and
// its value are in one.
const batch = 512

// run passes over strings that are whole in b, with step-1 bytes behind each: those
// whose length takes one or two bytes, compressed or not, and integers. It
// notes their lengths as clients see them and is how many there were, and where
// the next one is.
func run(b []byte, at, step int, lengths []uint64) (n, next int) {
	whole := len(b) - 63 - step // a string that begins before is whole, if its length takes one byte
	for n < len(lengths) && at < whole {
		kind := b[at]
		if kind < 64 {
			lengths[n] = uint64(kind)
			n++
			at = at + step + int(kind) // what waits for the byte is added last
			continue
		}
		length, to := longer(binary.LittleEndian.Uint64(b[at:]), at)
		if to < 0 || to+step-1 > len(b) {
			break
		}
		lengths[n] = length
		n++
		at = to + step - 1
	}
	return n, at
}

// longer is run for a string that begins with the bytes of x, the first of which
// is 64 at least; next is negative where it is of a rare kind.
func longer(x uint64, at int) (length uint64, next int) {
	switch kind := x & 0xff; kind {
	case 0xc0 | encodedLZF:
		x >>= 8
		if x&0x80 != 0 {
			return 0, -1
		}
		compressed, wide := shortLength(x)
		x >>= 8 + 8*wide
		if x&0x80 != 0 {
			return 0, -1
		}
		length, wider := shortLength(x)
		return length, at + 3 + int(wide+wider+compressed)
	case 0xc0 | encodedInt8:
		return digits(int64(int8(x >> 8))), at + 2
	case 0xc0 | encodedInt16:
		return digits(int64(int16(x >> 8))), at + 3
	case 0xc0 | encodedInt32:
		return digits(int64(int32(x >> 8))), at + 5
	default:
		if kind < 128 {
			length = kind&0x3f<<8 | x>>8&0xff
			return length, at + 2 + int(length)
		}
	}
	return 0, -1
}

// shortLength is a length of one byte, or, wide is 1 then, of two. There is no
// jump in it: which of the two comes next nobody can tell.
func shortLength(x uint64) (length, wide uint64) {
	wide = x >> 6 & 1
	return x&0x3f<<(8*wide) | x>>8&0xff*wide, wide
}

// powers of ten; the first is zero, so that zero has a digit.
var powers = [20]uint64{0, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19}

// digits is how many characters an integer has in decimal, its sign included.
func digits(v int64) uint64 {
	sign := uint64(v) >> 63
	u := (uint64(v) ^ -sign) + sign
	n := uint64(bits.Len64(u)) * 1233 >> 12 // of as many bits are so many digits, or one more
	if u >= powers[n] {
		n++
	}
	return n + sign
}

// texts passes over so many strings of a value, with so many bytes behind each.
func (w *walker) texts(n uint64, behind int) {
	for n > 0 && w.err == nil {
		into := w.notes[w.noted:]
		if uint64(len(into)) > n {
			into = into[:n]
		}
		got, next := run(w.buf[:w.end], w.pos, 1+behind, into)
		w.pos = next
		w.noted += got
		n -= uint64(got)
		if got < len(into) {
			w.note(w.skipText())
			w.skip(uint64(behind))
			n--
		} else if w.noted == batch {
			w.tell()
		}
	}
}

// note counts a string in that is an allocation of its own; of a hash field and
// value come by turns.
func (w *walker) note(length uint64) {
	w.notes[w.noted] = length
	if w.noted++; w.noted == batch {
		w.tell()
	}
}

// tell hands on what was noted.
func (w *walker) tell() {
	lengths := w.notes[:w.noted]
	w.noted = 0
	payload, longest := w.key.Payload, w.key.Longest
	for _, n := range lengths {
		payload += n
		longest = max(longest, n)
	}
	w.key.Payload, w.key.Longest = payload, longest
	if w.o.Elements != nil {
		w.o.Elements.Texts(lengths)
	}
}
