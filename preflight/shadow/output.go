package shadow

import (
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// bounded keeps the first bytes it is given.
type bounded struct {
	mu    sync.Mutex
	limit int
	text  []byte
}

func (b *bounded) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, p[:min(len(p), b.limit-len(b.text))]...)
	return len(p), nil
}

func (b *bounded) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.text)
}

var (
	atLine = regexp.MustCompile(`(?m)^Reading the configuration file, at line (\d+)$`)
	quoted = regexp.MustCompile(`'[^']*'`)
)

// refused reads why the server ended from what it said.
func (p *process) refused() error {
	said := p.output.String()
	r := &Refused{Reason: "it said nothing"}
	if m := atLine.FindStringSubmatch(said); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil && n >= 1 && n <= len(p.lines) {
			r.At = p.lines[n-1].from
		}
	}
	lines := strings.Split(strings.TrimSpace(said), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		// The quoted line is the file's own, and may be a password's.
		if l := strings.TrimSpace(lines[i]); l != "" && !strings.HasPrefix(l, ">>>") {
			r.Reason = quoted.ReplaceAllString(l, "'…'")
			break
		}
	}
	if len(r.Reason) > 300 {
		r.Reason = r.Reason[:300] + "…"
	}
	return r
}
