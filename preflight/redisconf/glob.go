package redisconf

import (
	"path"
	"slices"
	"strings"
)

// isPattern says whether the server takes an include for a pattern.
func isPattern(name string) bool { return strings.ContainsAny(name, "*?[") }

// Matches are the files whose absolute names a pattern matches, as an include
// expands it.
func Matches(src Source, pattern string) []string { return expand(src, pattern) }

// maxMatches bounds what one pattern may give: more is no configuration.
const maxMatches = 1000

// expand is glob(3) without flags: the files that match, sorted by bytes. What
// cannot be listed does not match.
func expand(src Source, pattern string) []string {
	dirs := []string{""}
	if strings.HasPrefix(pattern, "/") {
		dirs = []string{"/"}
	}
	parts := strings.FieldsFunc(pattern, func(r rune) bool { return r == '/' })
	for i, part := range parts {
		var next []string
		for _, dir := range dirs {
			if !isPattern(part) {
				next = append(next, path.Join(dir, strings.ReplaceAll(part, `\`, "")))
				continue
			}
			names, err := src.List(dir)
			if err != nil {
				continue
			}
			for _, name := range names {
				if match(part, name) {
					next = append(next, path.Join(dir, name))
				}
			}
		}
		// Behind the last pattern a plain name has to be there.
		if i == len(parts)-1 && !isPattern(part) {
			next = slices.DeleteFunc(next, func(name string) bool { return !src.Exists(name) })
		}
		dirs = next[:min(len(next), maxMatches)]
	}
	slices.Sort(dirs)
	return dirs
}

// match is fnmatch(3) for one part of a path: a dot in front is matched by a
// dot only.
func match(pattern, name string) bool {
	if strings.HasPrefix(name, ".") && !strings.HasPrefix(pattern, ".") {
		return false
	}
	// One place to go back to, behind the last star, is enough: what an earlier
	// star could take, the later one can.
	p, n, backP, backN := 0, 0, -1, 0
	for n < len(name) {
		if p < len(pattern) && pattern[p] == '*' {
			p++
			backP, backN = p, n
			continue
		}
		if next, ok := matchOne(pattern, p, name[n]); ok {
			p, n = next, n+1
			continue
		}
		if backP < 0 {
			return false
		}
		backN++
		p, n = backP, backN
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// matchOne matches one byte by what stands at p, and says where the pattern
// goes on.
func matchOne(pattern string, p int, c byte) (next int, ok bool) {
	if p >= len(pattern) {
		return 0, false
	}
	switch pattern[p] {
	case '?':
		return p + 1, true
	case '[':
		if end, in, whole := matchSet(pattern, p, c); whole {
			return end, in
		}
	case '\\':
		if p+1 < len(pattern) {
			return p + 2, pattern[p+1] == c
		}
	}
	return p + 1, pattern[p] == c
}

// matchSet matches c by the set that opens at p. Not whole: nothing closes it,
// and the bracket stands for itself.
func matchSet(pattern string, p int, c byte) (end int, in, whole bool) {
	i := p + 1
	negated := i < len(pattern) && (pattern[i] == '!' || pattern[i] == '^')
	if negated {
		i++
	}
	for first := true; i < len(pattern); first = false {
		if pattern[i] == ']' && !first {
			return i + 1, in != negated, true
		}
		low := pattern[i]
		if low == '\\' && i+1 < len(pattern) {
			i++
			low = pattern[i]
		}
		high := low
		if i+2 < len(pattern) && pattern[i+1] == '-' && pattern[i+2] != ']' {
			i += 2
			high = pattern[i]
		}
		in = in || low <= c && c <= high
		i++
	}
	return 0, false, false
}
