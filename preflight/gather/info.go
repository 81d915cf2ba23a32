package gather

import "strings"

// lines calls f for every "key:value" line of an INFO text, and for the title
// of every section with an empty value.
func lines(text string, f func(key, value string)) {
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimRight(line, "\r")
		if title, ok := strings.CutPrefix(line, "# "); ok {
			f("# "+strings.ToLower(title), "")
			continue
		}
		if key, value, ok := strings.Cut(line, ":"); ok && key != "" {
			f(key, value)
		}
	}
}
