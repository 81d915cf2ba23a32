package watched

import (
	"io"
	"regexp"
	"strconv"
)

var rowOf = regexp.MustCompile(` row=(\d+) reason="?([a-z_]+)`)

// Decided is a line of a watchdog's log of decisions.
type Decided struct {
	Row    int
	Reason string
	Line   string
}

// Decided is what the watchdog has decided since it was started first, in order.
func (d *Watchdog) Decided() []Decided {
	var out []Decided
	for _, line := range d.Decisions() {
		m := rowOf.FindStringSubmatch(line)
		if m == nil {
			d.t.Fatalf("%s: no row in %q", d.Name, line)
		}
		row, err := strconv.Atoi(m[1])
		if err != nil {
			d.t.Fatalf("%s: %v in %q", d.Name, err, line)
		}
		out = append(out, Decided{Row: row, Reason: m[2], Line: line})
	}
	return out
}

// Metrics is the text of the watchdog's metrics; empty: no answer.
func (d *Watchdog) Metrics() string {
	resp, err := d.client.Get("http://" + d.HTTP + "/metrics")
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return ""
	}
	return string(text)
}
