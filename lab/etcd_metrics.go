package lab

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"time"
)

// Metrics are what the member shows at /metrics, as text.
func (m *Member) Metrics() string {
	t := m.Host.lab.t
	t.Helper()
	ctx, cancel := context.WithTimeout(m.Host.lab.ctx, 15*time.Second)
	defer cancel()
	client := http.Client{Transport: &http.Transport{DialContext: m.Host.Dial, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.Endpoint+"/metrics", nil)
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatalf("lab: metrics of %s: %v", m.Name, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("lab: metrics of %s: %v", m.Name, err)
	}
	return string(text)
}

// Counted is the sum of the lines of the member's metrics; their value is the
// expression's first group.
func (m *Member) Counted(lines *regexp.Regexp) (sum float64) {
	m.Host.lab.t.Helper()
	for _, match := range lines.FindAllStringSubmatch(m.Metrics(), -1) {
		value, err := strconv.ParseFloat(match[1], 64)
		if err != nil {
			m.Host.lab.t.Fatalf("lab: metrics of %s: %v", m.Name, err)
		}
		sum += value
	}
	return sum
}
