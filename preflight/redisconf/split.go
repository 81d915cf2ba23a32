package redisconf

import (
	"bytes"
	"strings"
)

// trim takes the blanks off both ends of a line that Redis takes off (sdstrim
// in loadServerConfigFromString, config.c).
func trim(line string) string { return strings.Trim(line, " \t\r\n") }

// isSpace is isspace(3) in the C locale.
func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// at is s[i], and 0 behind the end, as C has it.
func at(s string, i int) byte {
	if i < len(s) {
		return s[i]
	}
	return 0
}

// Split cuts a line into words as sdssplitargs (sds.c) does: "…" with \n \r \t
// \b \a \xHH and \c for c, '…' with \' only; a quote inside a word opens
// quoting; behind a closing quote must be a blank or the end. Not ok: the
// quotes are unbalanced.
func Split(line string) (words []string, ok bool) {
	line, _, _ = strings.Cut(line, "\x00")
	for i := 0; ; {
		for i < len(line) && isSpace(line[i]) {
			i++
		}
		if i == len(line) {
			return words, true
		}
		word, next, ok := nextWord(line, i)
		if !ok {
			return nil, false
		}
		words, i = append(words, word), next
	}
}

// nextWord reads the word that starts at i and says where the rest begins.
func nextWord(line string, i int) (word string, next int, ok bool) {
	var b strings.Builder
	for i < len(line) {
		switch c := line[i]; c {
		case ' ', '\n', '\r', '\t': // not \v and \f: they separate words only in front of one
			return b.String(), i + 1, true
		case '"', '\'':
			i, ok = quoted(&b, line, i+1, c)
			return b.String(), i, ok
		default:
			b.WriteByte(c)
			i++
		}
	}
	return b.String(), i, true
}

// quoted reads up to the closing quote and says where the rest begins.
func quoted(b *strings.Builder, line string, i int, quote byte) (next int, ok bool) {
	for i < len(line) {
		c := line[i]
		switch {
		case c == quote:
			if n := at(line, i+1); n != 0 && !isSpace(n) {
				return 0, false
			}
			return i + 1, true
		case quote == '\'' && c == '\\' && at(line, i+1) == '\'':
			b.WriteByte('\'')
			i += 2
		case quote == '"' && c == '\\' && at(line, i+1) == 'x' && isHex(at(line, i+2)) && isHex(at(line, i+3)):
			b.WriteByte(hex(line[i+2])<<4 | hex(line[i+3]))
			i += 4
		case quote == '"' && c == '\\' && i+1 < len(line):
			b.WriteByte(escaped(line[i+1]))
			i += 2
		default:
			b.WriteByte(c)
			i++
		}
	}
	return 0, false
}

func escaped(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	case 'a':
		return '\a'
	}
	return c
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func hex(c byte) byte {
	switch {
	case c >= 'a':
		return c - 'a' + 10
	case c >= 'A':
		return c - 'A' + 10
	}
	return c - '0'
}

// Quote writes a word so that Split reads it back (sdscatrepr, sds.c).
func Quote(word string) string {
	const digits = "0123456789abcdef"
	b := []byte{'"'}
	for i := range len(word) {
		switch c := word[i]; c {
		case '\\', '"':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		case '\a':
			b = append(b, `\a`...)
		case '\b':
			b = append(b, `\b`...)
		default:
			if c >= ' ' && c <= '~' {
				b = append(b, c)
			} else {
				b = append(b, '\\', 'x', digits[c>>4], digits[c&15])
			}
		}
	}
	return string(append(b, '"'))
}

// readLen is how much of a line the server reads at once (CONFIG_READ_LEN and,
// before 7.0, CONFIG_MAX_LINE).
const readLen = 1024

// asRead is what of a file's content reaches the parser. Redis appends what
// fgets gives it as C strings: a NUL swallows the rest of its line, the line's
// end included, or the rest of a 1024 byte piece of it.
func asRead(content []byte) []byte {
	if bytes.IndexByte(content, 0) < 0 {
		return content
	}
	var out []byte
	for len(content) > 0 {
		n := min(len(content), readLen)
		if end := bytes.IndexByte(content[:n], '\n'); end >= 0 {
			n = end + 1
		}
		piece, _, _ := bytes.Cut(content[:n], []byte{0})
		out, content = append(out, piece...), content[n:]
	}
	return out
}
