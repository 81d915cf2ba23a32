package keyspace

import "unicode/utf8"

// maxPattern bounds a pattern; what is longer is cut and ends in "…".
const maxPattern = 120

const folded = "{id}"

// appendPattern folds the ids of a key's name: user:1234:cart is user:{id}:cart.
// A segment is an id where it is a number, hexadecimal with a digit in it, long
// and mixed, or not text. Segments of ids that hyphens join, as those of a UUID,
// are one.
func appendPattern(into, name []byte) []byte {
	for start := 0; start <= len(name); {
		end := start
		var seen class
		for ; end < len(name); end++ {
			kind := classes[name[end]]
			if kind == separator {
				break
			}
			seen |= kind
		}
		if isID(name[start:end], seen) {
			if n := len(into); n >= len(folded)+1 && into[n-1] == '-' && string(into[n-1-len(folded):n-1]) == folded {
				into = into[:n-1]
			} else {
				into = append(into, folded...)
			}
		} else {
			into = append(into, name[start:end]...)
		}
		if len(into) > maxPattern {
			n := maxPattern
			for n > 0 && !utf8.RuneStart(into[n]) {
				n--
			}
			return append(into[:n], "…"...)
		}
		if end == len(name) {
			break
		}
		into = append(into, name[end])
		start = end + 1
	}
	return into
}

// class is what kinds of bytes a segment has.
type class uint8

const (
	digit class = 1 << iota
	hexLetter
	letter
	high   // beyond ASCII
	noText // control characters
	separator
)

var classes = func() (table [256]class) {
	for i := range table {
		switch c := byte(i); {
		case separates[c]:
			table[i] = separator
		case c >= '0' && c <= '9':
			table[i] = digit
		case c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
			table[i] = hexLetter
		case c < 0x20, c == 0x7f:
			table[i] = noText
		case c >= 0x80:
			table[i] = high
		default:
			table[i] = letter
		}
	}
	return table
}()

var separates = func() (table [256]bool) {
	for _, c := range ":/|.-_# {}@" {
		table[c] = true
	}
	return table
}()

// longID is from where on letters and digits mixed are an id and no word.
const longID = 16

func isID(segment []byte, seen class) bool {
	switch {
	case len(segment) == 0:
		return false
	case seen&noText != 0, seen&high != 0 && !utf8.Valid(segment):
		return true
	case seen&digit == 0:
		return false
	case seen == digit:
		return true
	case seen&^(digit|hexLetter) == 0:
		return len(segment) >= 4
	}
	return len(segment) >= longID
}
