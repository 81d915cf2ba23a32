package gate

import "strings"

// info reads the lines of an INFO answer.
func info(text string) map[string]string {
	m := make(map[string]string, 64)
	for line := range strings.SplitSeq(text, "\n") {
		if k, v, ok := strings.Cut(strings.TrimRight(line, "\r"), ":"); ok && !strings.HasPrefix(k, "#") {
			m[k] = v
		}
	}
	return m
}
