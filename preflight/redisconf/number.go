package redisconf

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// The numbers of a redis.conf, each read as the function of Redis or of C reads
// it that the server uses there.

var (
	errNotMemory  = errors.New("argument must be a memory value")
	errNotInteger = errors.New("argument couldn't be parsed into an integer")
)

// integer is string2ll (util.c): a sign, no leading zeros, no blanks, no unit.
func integer(s string) (int64, error) {
	digits := strings.TrimPrefix(s, "-")
	if s != "0" && (digits == "" || digits[0] < '1' || digits[0] > '9') {
		return 0, errNotInteger
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, errNotInteger
	}
	return n, nil
}

// unit is what a memory value is multiplied by.
func unit(suffix string) (mul uint64, ok bool) {
	switch strings.ToLower(suffix) {
	case "", "b":
		return 1, true
	case "k":
		return 1000, true
	case "kb":
		return 1 << 10, true
	case "m":
		return 1000 * 1000, true
	case "mb":
		return 1 << 20, true
	case "g":
		return 1000 * 1000 * 1000, true
	case "gb":
		return 1 << 30, true
	}
	return 0, false
}

// maxDigits is the size of the buffer memtoull copies the digits into.
const maxDigits = 128

// memory is memtoull (util.c, 7.0 and later): digits may be missing altogether,
// leading zeros count for nothing, and what is too large is clamped before the
// unit and wraps with it.
func memory(s string) (uint64, error) {
	s, _, _ = strings.Cut(s, "\x00")
	digits := 0
	for digits < len(s) && isDigit(s[digits]) {
		digits++
	}
	mul, ok := unit(s[digits:])
	if !ok || digits >= maxDigits {
		return 0, errNotMemory
	}
	if digits == 0 {
		return 0, nil
	}
	n, err := strconv.ParseUint(s[:digits], 10, 64)
	if err != nil {
		n = math.MaxUint64
	}
	return n * mul, nil
}

// signedMemory is memtoll (util.c, before 7.0): with a sign, and clamped lower.
func signedMemory(s string) (int64, error) {
	s, _, _ = strings.Cut(s, "\x00")
	digits := 0
	if at(s, 0) == '-' {
		digits++
	}
	for digits < len(s) && isDigit(s[digits]) {
		digits++
	}
	mul, ok := unit(s[digits:])
	if !ok || digits >= maxDigits || s[:digits] == "-" {
		return 0, errNotMemory
	}
	n, _ := cInteger(s[:digits], 10)
	return int64(uint64(n) * mul), nil
}

// cInteger is strtoll(3): blanks in front, a sign, digits up to what is none,
// clamped. rest is what it did not take; without digits that is all of s.
func cInteger(s string, base int) (n int64, rest string) {
	s, _, _ = strings.Cut(s, "\x00")
	i := 0
	for i < len(s) && isSpace(s[i]) {
		i++
	}
	sign := ""
	if c := at(s, i); c == '-' || c == '+' {
		if c == '-' {
			sign = "-"
		}
		i++
	}
	start := i
	for i < len(s) && s[i] >= '0' && int(s[i]-'0') < base {
		i++
	}
	if i == start {
		return 0, s
	}
	n, _ = strconv.ParseInt(sign+s[start:i], base, 64) // its error is the clamp
	return n, s[i:]
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// real is string2d (util.c).
func real(s string) (float64, bool) {
	if s == "" || isSpace(s[0]) || strings.ContainsAny(s, "_\x00") {
		return 0, false
	}
	if strings.ContainsAny(s, "xX") && !strings.ContainsAny(s, "pP") {
		s += "p0" // C does not ask for the exponent of a hexadecimal one
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) || f == 0 && strings.ContainsAny(strings.ToLower(mantissa(s)), "123456789abcdf") {
		return 0, false
	}
	return f, true
}

// mantissa is a number without its exponent.
func mantissa(s string) string {
	cut := "eE"
	if strings.ContainsAny(s, "xX") {
		cut = "pP"
	}
	if i := strings.IndexAny(s, cut); i >= 0 {
		return s[:i]
	}
	return s
}
