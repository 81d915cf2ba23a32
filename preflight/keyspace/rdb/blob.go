package rdb

import (
	"encoding/binary"
	"fmt"
)

// blob is the bytes of a listpack or the like, opened where it is compressed,
// and never held as a whole.
type blob struct {
	w    *walker
	size uint64 // bytes, opened
	at   uint64 // bytes passed

	lzf        bool
	from       int64  // offset of its first byte in the file
	compressed uint64 // bytes in the file, where it is
	opened     bool   // walker.open has begun with it
}

// blob counts the entries of the string that comes next and passes over it;
// size is its bytes, opened. keep notes its first entry.
func (w *walker) blob(count func(*blob) uint64) (entries, size uint64) {
	t := w.beginText()
	if t.number {
		w.fail("an integer where a blob was expected")
		return 0, 0
	}
	b := &w.inside
	*b = blob{w: w, size: t.length, lzf: t.lzf, from: w.offset(), compressed: t.compressed}
	entries = count(b)
	switch {
	case b.opened:
		w.open.skipRest()
	case t.lzf:
		w.skip(t.compressed)
	default:
		w.skip(b.size - b.at)
	}
	if w.o.Elements != nil {
		w.o.Elements.Blob(t.length)
	}
	return entries, t.length
}

// fail notes the first error. It names the blob's beginning: how far it has been
// read depends on how it came in.
func (b *blob) fail(format string, args ...any) {
	b.w.failAt(b.from, nil, fmt.Sprintf(format, args...))
}

// head is the next n bytes, at most 16.
func (b *blob) head(n int) []byte {
	if b.size-b.at < uint64(n) {
		b.fail("a blob of %d bytes ends too early", b.size)
		return nil
	}
	if !b.lzf {
		b.at += uint64(n)
		return b.w.take(n)
	}
	if b.at == 0 {
		if h := b.literal(n); h != nil {
			b.at = uint64(n)
			return h
		}
	}
	b.openUp()
	b.at += uint64(n)
	b.w.scratch = b.w.open.prefix(b.w.scratch[:0], n)
	if len(b.w.scratch) < n {
		return nil
	}
	return b.w.scratch
}

// literal is the first n bytes of a compressed blob, where they stand there as
// they are: the head that has the count rarely has three bytes twice. nil: they do
// not, or are not in the buffer.
func (b *blob) literal(n int) []byte {
	text := b.w.buf[b.w.pos:b.w.end]
	if len(text) <= n || uint64(n) >= b.compressed || int(text[0]) < n-1 || text[0] >= 32 {
		return nil
	}
	return text[1 : 1+n]
}

// openUp begins to open a compressed blob, and goes to where it was.
func (b *blob) openUp() {
	if b.opened {
		return
	}
	b.opened = true
	d := &b.w.open
	d.r, d.left, d.size, d.made, d.literals, d.copies = b.w.reader, b.compressed, b.size, 0, 0, 0
	for range b.at {
		d.next()
	}
}

func (b *blob) byte() byte {
	if h := b.head(1); h != nil {
		return h[0]
	}
	return 0
}

func (b *blob) skip(n uint64) {
	if b.size-b.at < n {
		b.fail("an entry of a blob of %d bytes is longer than the blob", b.size)
		return
	}
	if !b.lzf {
		b.at += n
		b.w.skip(n)
		return
	}
	b.openUp()
	for ; n > 0 && b.w.err == nil; n-- {
		b.at++
		b.w.open.next()
	}
}

// unknownCount is what a 16-bit count says that does not fit: walk, then.
const unknownCount = 65535

// listPackCount reads the number of entries (listpack.c).
func listPackCount(b *blob) uint64 {
	h := b.head(6)
	if h == nil {
		return 0
	}
	if n := binary.LittleEndian.Uint16(h[4:]); n != unknownCount {
		return uint64(n)
	}
	entries := uint64(0)
	for b.w.err == nil {
		first := b.byte()
		var size uint64 // of encoding and data
		switch {
		case first == 0xff:
			return entries
		case first < 0x80: // 7-bit integer
			size = 1
		case first < 0xc0: // short text
			size = 1 + uint64(first&0x3f)
		case first < 0xe0: // 13-bit integer
			size = 2
		case first < 0xf0:
			size = 2 + uint64(first&0x0f)<<8 + uint64(b.byte())
			b.skip(size - 2 + backLength(size))
			entries++
			continue
		case first == 0xf0:
			h := b.head(4)
			if h == nil {
				return 0
			}
			size = 5 + uint64(binary.LittleEndian.Uint32(h))
			b.skip(size - 5 + backLength(size))
			entries++
			continue
		case first <= 0xf3: // 16, 24 and 32-bit integers
			size = uint64(first-0xf1) + 3
		case first == 0xf4:
			size = 9
		default:
			b.fail("0x%02x begins no entry of a listpack", first)
			return 0
		}
		b.skip(size - 1 + backLength(size))
		entries++
	}
	return 0
}

// backLength is the bytes of an entry's length behind it.
func backLength(size uint64) uint64 {
	switch {
	case size <= 127:
		return 1
	case size < 16383:
		return 2
	case size < 2097151:
		return 3
	case size < 268435455:
		return 4
	}
	return 5
}

// zipListCount reads the number of entries (ziplist.c).
func zipListCount(b *blob) uint64 {
	h := b.head(10)
	if h == nil {
		return 0
	}
	if n := binary.LittleEndian.Uint16(h[8:]); n != unknownCount {
		return uint64(n)
	}
	entries := uint64(0)
	for b.w.err == nil {
		switch before := b.byte(); before {
		case 0xff:
			return entries
		case 0xfe:
			b.skip(4)
		}
		switch first := b.byte(); {
		case first < 0x40:
			b.skip(uint64(first))
		case first < 0x80:
			b.skip(uint64(first&0x3f)<<8 + uint64(b.byte()))
		case first < 0xc0:
			if h := b.head(4); h != nil {
				b.skip(uint64(binary.BigEndian.Uint32(h)))
			}
		case first == 0xc0:
			b.skip(2)
		case first == 0xd0:
			b.skip(4)
		case first == 0xe0:
			b.skip(8)
		case first == 0xf0:
			b.skip(3)
		case first == 0xfe:
			b.skip(1)
		case first >= 0xf1 && first <= 0xfd: // the integer is in the byte
		default:
			b.fail("0x%02x begins no entry of a ziplist", first)
			return 0
		}
		entries++
	}
	return 0
}

// zipMapCount is the pairs of a zipmap (zipmap.c, RDB before 4).
func zipMapCount(b *blob) uint64 {
	if n := b.byte(); n < 254 {
		return uint64(n)
	}
	pairs := uint64(0)
	for b.w.err == nil {
		first := b.byte()
		if first == 0xff {
			return pairs
		}
		b.skip(zipMapLength(b, first))
		value := zipMapLength(b, b.byte())
		free := uint64(b.byte())
		b.skip(value + free)
		pairs++
	}
	return 0
}

func zipMapLength(b *blob, first byte) uint64 {
	if first < 254 {
		return uint64(first)
	}
	if h := b.head(4); h != nil {
		return uint64(binary.LittleEndian.Uint32(h))
	}
	return 0
}

// intSetCount is the integers of an intset (intset.c).
func intSetCount(b *blob) uint64 {
	if h := b.head(8); h != nil {
		return uint64(binary.LittleEndian.Uint32(h[4:]))
	}
	return 0
}
